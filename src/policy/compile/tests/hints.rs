//! What a problem tells to do leads to what was meant, and never to something less safe.

use super::{GOOD, problems};
use crate::keys::Algorithm;
use crate::testing::parse;

/// The one problem of a good policy with one thing changed: its message and its fix.
fn hint(from: &str, to: &str) -> (String, String) {
    assert!(GOOD.contains(from), "{from}");
    let found = problems(&GOOD.replacen(from, to, 1));
    assert_eq!(found.len(), 1, "{to}: {found:#?}");
    (found[0].message().to_owned(), found[0].fix().to_owned())
}

#[test]
fn each_hint_leads_to_what_was_meant() {
    const SECRET: &str = "keys: { secret: { env: SECRET } }";
    const PUBLIC: &str = "[HS256]\n      keys: { secret: { env: SECRET } }";
    let oidc = |keys: &str| format!("[RS256]\n      keys: {{ oidc: {keys} }}");
    let document = "https://a.example/t/.well-known/openid-configuration";
    for (from, to, message, fix) in [
        (
            "[HS256]",
            "[HS512x]".to_owned(),
            "unknown algorithm `HS512x`",
            "did you mean `HS512`?",
        ),
        (
            "path: /open",
            "path: /a/*/b".into(),
            "`*` stands at the end of a path only, and for all segments behind it",
            "write `/a/{name}/b`",
        ),
        (
            "routes:",
            "content_types: ['application/*']\nroutes:".into(),
            "`application/*` would match no request: media types have no wildcards here",
            "list the types, as in `[application/json, application/xml]`, or write `any`",
        ),
        (
            "routes:",
            "content_types: ['*/*']\nroutes:".into(),
            "`*/*` would match no request: media types have no wildcards here",
            "list the types, as in `[application/json, application/xml]`, or write `any`",
        ),
        (
            "path: /x, auth: jwt",
            "path: /x, auth: jwt, content_types: ['application/json; charset=utf-8']".into(),
            "`application/json; charset=utf-8` has parameters, and those of a request are not compared",
            "write `application/json`",
        ),
        (
            "issuer: i",
            "issuer: 'https://sts.example/{tenantid}/'".into(),
            "`{tenantid}` would be the claim `tenantid`, and tokens have the claim `tid`",
            "write `issuer: https://sts.example/{tid}/`",
        ),
        (
            "issuer: i",
            format!("issuer: {document}"),
            "`https://a.example/t/.well-known/openid-configuration` is the document of an issuer, not its name",
            "leave the suffix out: `issuer: https://a.example/t`",
        ),
        (
            SECRET,
            format!("{SECRET}\n      required_claims: [sub, token_use=access]"),
            "`token_use=access` is not the name of a claim: a name has no `=` here",
            "write `when: [{ claim: token_use, equals: access }]` beside it for a claim with this value, or `token_use` for one with any value",
        ),
        (
            "path: /x, auth: jwt",
            "path: /x, auth: jwt, quotas: [{ name: q, per: tenant, limit: 3, window: 1h }], sandbox: yes".into(),
            "expected `true` or `false`, found text",
            "write `true`",
        ),
    ] {
        assert_eq!(hint(from, &to), (message.to_owned(), fix.to_owned()), "{to}");
    }
    // The name of the issuer, its document with or without a slash, and as text or in the long form.
    for keys in [
        document.to_owned(),
        format!("{document}/"),
        format!("{{ issuer: {document} }}"),
        format!("{{ issuer: https://a.example/t, url: {document} }}"),
    ] {
        let text = GOOD
            .replacen("issuer: i\n", "issuer: https://a.example/t\n", 1)
            .replacen(PUBLIC, &oidc(&keys), 1);
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{keys}: {found:#?}");
        assert_eq!(found[0].fix(), "leave the suffix out: `https://a.example/t`", "{keys}");
    }
    for (issuer, keys, fix) in [
        (
            "https://a.example/",
            "https://a.example",
            "a slash at the end counts: write `issuer: https://a.example` or `oidc: https://a.example/`, as the `iss` of the tokens has it",
        ),
        (
            "https://a.example/7/v2.0",
            "https://a.example/common/v2.0",
            "write `oidc: { issuer: https://a.example/7/v2.0, url: https://a.example/common/v2.0 }` if they are served there",
        ),
        (
            "https://a.example",
            "https://a.example/.well-known/jwks.json",
            "leave the suffix out: `https://a.example`",
        ),
    ] {
        let text = GOOD
            .replacen("issuer: i\n", &format!("issuer: {issuer}\n"), 1)
            .replacen(PUBLIC, &oidc(keys), 1);
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{keys}: {found:#?}");
        assert_eq!(found[0].fix(), fix, "{keys}");
    }
    let braces = "https://sts.example/{tenantid}/v2.0";
    let text = GOOD
        .replacen("issuer: i\n", &format!("issuer: '{braces}'\n"), 1)
        .replacen(PUBLIC, &oidc(&format!("'{braces}'")), 1);
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn a_claim_with_dots_is_likely_meant_as_a_path() {
    let issuer = "keys: { secret: { env: SECRET } }";
    let quota = |claim: &str| {
        format!("quotas: [{{ name: q, per: tenant, limit: 3, window: 1h, plan_claim: {claim} }}]\nroutes:")
    };
    let warnings = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        let set = parse(&[&GOOD.replacen(from, to, 1)]).unwrap();
        let warnings = set
            .warnings()
            .map(|warning| (warning.message().to_owned(), warning.fix().to_owned()));
        warnings.collect::<Vec<_>>()
    };
    let path = |fix: &str| Some(format!("write `{fix}` for a claim inside another one"));
    for (claim, fix) in [
        ("realm_access.roles", path("[realm_access, roles]")),
        ("resource_access.my-app.roles", path("[resource_access, my-app, roles]")),
        ("[realm_access, roles]", None),
        ("[kubernetes.io, namespace]", None),
        ("kubernetes.io", None),
        ("'https://claims.example.com/roles'", None),
        ("claims.example.com/roles", None),
        ("'urn:example:roles.all'", None),
        ("roles", None),
        ("roles.", None),
        (".roles", None),
    ] {
        for (from, to) in [
            (issuer, format!("{issuer}\n      roles_claim: {claim}")),
            ("routes:", format!("identity: {{ x-org: {claim} }}\nroutes:")),
            ("routes:", quota(claim)),
        ] {
            let message = format!("`{claim}` is taken for the name of one claim, with its dots");
            let want: Vec<_> = fix.iter().map(|fix| (message.clone(), fix.clone())).collect();
            assert_eq!(warnings(from, &to), want, "{to}");
        }
    }
    let required = |claim: &str| warnings(issuer, &format!("{issuer}\n      required_claims: [sub, {claim}]"));
    assert_eq!(required("kubernetes.io"), []);
    let [(message, fix)] = &required("organization.id")[..] else {
        panic!("{:?}", required("organization.id"))
    };
    assert_eq!(
        message,
        "`organization.id` is taken for the name of one claim, with its dots"
    );
    assert!(fix.starts_with("write `organization`"), "{fix}");
    assert_eq!(warnings("routes:", "identity: { x-tenant: '@tenant' }\nroutes:"), []);
}

#[test]
fn no_hint_leads_from_a_public_key_to_a_shared_secret_or_back() {
    let shared = |name: &str| name.to_ascii_uppercase().starts_with("HS");
    let mut words: Vec<String> = Vec::new();
    for name in Algorithm::ALL.map(Algorithm::name) {
        // A letter left out, changed or doubled, and sizes that others have.
        for (at, letter) in name.chars().enumerate() {
            let doubled = format!("{letter}{letter}");
            let slips = ["", "0", "1", "x", "S", "5", "2", doubled.as_str()];
            let word = |slip: &str| {
                let letters = name.chars().enumerate();
                letters
                    .map(|(n, letter)| if n == at { slip.to_owned() } else { letter.to_string() })
                    .collect::<String>()
            };
            words.extend(slips.map(word));
        }
        let family: String = name.chars().take(2).collect();
        words.extend(["1", "128", "256K", "512"].map(|size| format!("{family}{size}")));
        words.push(name.to_ascii_lowercase());
    }
    for word in words.iter().filter(|word| word.parse::<Algorithm>().is_err()) {
        let found = problems(&GOOD.replacen("[HS256]", &format!("['{word}']"), 1));
        let fix = found[0].fix().to_owned();
        assert!(found[0].message().contains("unknown algorithm"), "{word}: {found:#?}");
        let Some(meant) = fix
            .strip_prefix("did you mean `")
            .and_then(|fix| fix.strip_suffix("`?"))
        else {
            continue;
        };
        let family = word.get(..2).unwrap_or_default().to_ascii_uppercase();
        let mut names = Algorithm::ALL.into_iter().map(Algorithm::name);
        if names.any(|name| name.to_ascii_uppercase().starts_with(&family)) {
            assert_eq!(shared(word), shared(meant), "{word}: {fix}");
        }
        assert!(crate::document::suggestion::is_close(word, meant), "{word}: {fix}");
    }
    for (word, fix) in [
        ("ES512", "known: ES256, ES384"),
        ("ES256K", "known: ES256, ES384"),
        ("HS257", "did you mean `HS256`?"),
        ("hs256", "did you mean `HS256`?"),
        ("RSA256", "did you mean `RS256`?"),
        ("EdDSA25519", "known: EdDSA"),
        (
            "SH256",
            "known: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        ),
    ] {
        assert_eq!(hint("[HS256]", &format!("[{word}]")).1, fix, "{word}");
    }
}

#[test]
fn problem_beside_a_line_break_of_unicode_is_shown() {
    for text in [
        "routes: [{ path\u{85}: /b/*, auth: public }]",
        "routes: [{ pa\u{2028}th: /b/*, auth: public }]",
    ] {
        let policy = format!("version: 1\nservoce: a\nupstream: {{ url: http://h:1 }}\n{text}\n");
        let problems = parse(&[&policy]).unwrap_err();
        let shown: Vec<_> = problems.iter().map(|problem| problem.render(false)).collect();
        assert!(shown.iter().any(|shown| shown.contains("0.yaml:4:")), "{shown:?}");
    }
}
