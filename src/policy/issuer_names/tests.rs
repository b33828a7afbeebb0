use serde_json::json;

use super::*;

fn any_of(values: &[&str]) -> PlaceholderValues {
    match values {
        [] => PlaceholderValues::Any,
        values => PlaceholderValues::OneOf(TextSet::new(values.iter().map(|&value| value.to_owned()).collect())),
    }
}

/// A pattern with the values of its placeholders; none for any.
fn pattern(text: &str, values: &[(&str, &[&str])]) -> IssuerPattern {
    let values = values.iter().map(|(name, values)| ((*name).to_owned(), any_of(values)));
    IssuerPattern::new(Template::parse(text).unwrap(), values.collect())
}

#[test]
fn placeholder_is_a_whole_segment_of_the_path() {
    for (text, want) in [
        ("https://a.example/{tid}/v2.0", Ok(vec!["tid"])),
        ("https://a.example/{a}/{b_c-1}/", Ok(vec!["a", "b_c-1"])),
        ("http://a.example:80/x/{_a}/{_a}", Ok(vec!["_a"])),
        ("https://a.example/x", Ok(vec![])),
        ("https://{tid}.example/v2.0", Err(NoTemplate::OutsidePath)),
        ("https://a.example:{port}/x", Err(NoTemplate::OutsidePath)),
        ("{scheme}://a.example/x", Err(NoTemplate::OutsidePath)),
        ("{tid}", Err(NoTemplate::NotUrl)),
        ("urn:x:{tid}", Err(NoTemplate::NotUrl)),
        ("ftp://a.example/{tid}", Err(NoTemplate::NotUrl)),
        ("https:///{tid}", Err(NoTemplate::NotUrl)),
        ("https://a.example/{tid}?x", Err(NoTemplate::NotUrl)),
        ("https://a.example/{tid}#x", Err(NoTemplate::NotUrl)),
        ("https://a.example/{tid}/ä", Err(NoTemplate::NotUrl)),
        (
            "https://a.example/x{tid}",
            Err(NoTemplate::PartOfSegment("x{tid}".into())),
        ),
        (
            "https://a.example/{tid}x/",
            Err(NoTemplate::PartOfSegment("{tid}x".into())),
        ),
        (
            "https://a.example/{a}{b}",
            Err(NoTemplate::PartOfSegment("{a}{b}".into())),
        ),
        ("https://a.example/{tid", Err(NoTemplate::PartOfSegment("{tid".into()))),
        ("https://a.example/{}", Err(NoTemplate::NotAClaim(String::new()))),
        ("https://a.example/{*}", Err(NoTemplate::NotAClaim("*".into()))),
        ("https://a.example/{1a}", Err(NoTemplate::NotAClaim("1a".into()))),
    ] {
        let parsed = Template::parse(text);
        let claims = parsed.as_ref().map(Template::claims).map_err(Clone::clone);
        assert_eq!(claims, want, "{text}");
    }
}

#[test]
fn issuer_fits_a_pattern_if_its_values_are_listed_and_equal_the_claims() {
    use Compared::{Fits, OtherClaim, OtherForm, ValueNotListed};
    let listed = pattern("https://a.example/{tid}/v2.0", &[("tid", &["t-1", "t-2"])]);
    let open = pattern("https://a.example/{tid}/v2.0", &[("tid", &[])]);
    let two = pattern("https://a.example/{a}/{b}", &[("a", &[]), ("b", &["x"])]);
    let same = pattern("https://a.example/{a}/{a}", &[("a", &[])]);
    let long = "a".repeat(65);
    for (pattern, iss, claims, want) in [
        (&listed, "https://a.example/t-1/v2.0", json!({ "tid": "t-1" }), Fits),
        (
            &listed,
            "https://a.example/t-3/v2.0",
            json!({ "tid": "t-3" }),
            ValueNotListed("tid"),
        ),
        (
            &listed,
            "https://a.example/t-1/v2.0",
            json!({ "tid": "t-2" }),
            OtherClaim("tid"),
        ),
        (
            &listed,
            "https://a.example/t-1/v2.0",
            json!({ "tid": "T-1" }),
            OtherClaim("tid"),
        ),
        (
            &listed,
            "https://a.example/T-1/v2.0",
            json!({ "tid": "T-1" }),
            ValueNotListed("tid"),
        ),
        (&listed, "https://a.example/t-1/v2.0", json!({}), OtherClaim("tid")),
        (
            &listed,
            "https://a.example/t-1/v2.0",
            json!({ "tid": ["t-1"] }),
            OtherClaim("tid"),
        ),
        (
            &listed,
            "https://a.example/t-1/v2.0/",
            json!({ "tid": "t-1" }),
            OtherForm,
        ),
        (&listed, "https://a.example/t-1", json!({ "tid": "t-1" }), OtherForm),
        (
            &listed,
            "https://A.example/t-1/v2.0",
            json!({ "tid": "t-1" }),
            OtherForm,
        ),
        (
            &listed,
            "https://a.example/{tid}/v2.0",
            json!({ "tid": "{tid}" }),
            OtherForm,
        ),
        (&open, "https://a.example/9/v2.0", json!({ "tid": "9" }), Fits),
        (
            &open,
            "https://a.example/9/v2.0",
            json!({ "tid": 9 }),
            OtherClaim("tid"),
        ),
        (&open, "https://a.example//v2.0", json!({ "tid": "" }), OtherForm),
        (&open, "https://a.example/a.b/v2.0", json!({ "tid": "a.b" }), OtherForm),
        (
            &open,
            "https://a.example/a%2Fb/v2.0",
            json!({ "tid": "a%2Fb" }),
            OtherForm,
        ),
        (&open, "https://a.example/a/b/v2.0", json!({ "tid": "a/b" }), OtherForm),
        (
            &open,
            &format!("https://a.example/{long}/v2.0"),
            json!({ "tid": long }),
            OtherForm,
        ),
        (&two, "https://a.example/1/x", json!({ "a": "1", "b": "x" }), Fits),
        (&two, "https://a.example/1/x", json!({ "a": "1" }), OtherClaim("b")),
        (&same, "https://a.example/1/1", json!({ "a": "1" }), Fits),
        (&same, "https://a.example/1/2", json!({ "a": "1" }), OtherClaim("a")),
    ] {
        let found = pattern.compare(iss, claims.as_object().unwrap());
        assert_eq!(found, want, "{iss} {claims}");
    }
}

#[test]
fn patterns_overlap_if_one_issuer_may_fit_both() {
    let v2 = |values| pattern("https://a.example/{tid}/v2.0", &[("tid", values)]);
    let other = |text, values| pattern(text, &[("org", values)]);
    for (one, two, want) in [
        (v2(&[]), v2(&[]), true),
        (v2(&["a"]), v2(&["b"]), false),
        (v2(&["a", "b"]), v2(&["b"]), true),
        (v2(&["a"]), v2(&[]), true),
        (v2(&[]), other("https://a.example/{org}/v1", &[]), false),
        (v2(&[]), other("https://a.example/x/{org}", &[]), false),
        (v2(&[]), other("https://a.example/x/{org}", &["v2"]), false),
        (v2(&[]), other("https://b.example/{org}/v2.0", &[]), false),
        (v2(&[]), other("https://a.example/{org}/v2.0/", &[]), false),
        (
            pattern("https://a.example/{tid}/x", &[("tid", &[])]),
            other("https://a.example/y/{org}", &[]),
            true,
        ),
        (
            pattern("https://a.example/{tid}/x", &[("tid", &["z"])]),
            other("https://a.example/y/{org}", &[]),
            false,
        ),
    ] {
        assert_eq!(one.overlaps(&two), want, "{one:?} {two:?}");
        assert_eq!(two.overlaps(&one), want, "{two:?} {one:?}");
    }
    assert!(v2(&["a"]).takes("https://a.example/a/v2.0"));
    assert!(!v2(&["a"]).takes("https://a.example/b/v2.0"));
}

#[test]
fn document_may_name_the_placeholders_in_another_way() {
    let template = Template::parse("https://a.example/{tid}/v2.0").unwrap();
    for (named, want) in [
        ("https://a.example/{tenantid}/v2.0", true),
        ("https://a.example/{tid}/v2.0", true),
        ("https://a.example/t-1/v2.0", false),
        ("https://a.example/{}/v2.0", false),
        ("https://a.example/{a}{b}/v2.0", false),
        ("https://a.example/{tid}/v1", false),
        ("https://a.example/{tid}/v2.0/", false),
        ("https://b.example/{tid}/v2.0", false),
        ("https://a.example/{tid}", false),
    ] {
        assert_eq!(template.is_alike(named), want, "{named}");
    }
}
