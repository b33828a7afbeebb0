use super::*;

const OPEN: Allowance = Allowance {
    double_slash: true,
    semicolon: true,
    encoded_slash: EncodedSlash::Either,
    encoded_percent: false,
    encoded_delimiter: false,
};

const OPAQUE: Allowance = Allowance {
    double_slash: false,
    semicolon: false,
    encoded_slash: EncodedSlash::Opaque,
    encoded_percent: false,
    encoded_delimiter: false,
};

const PERCENT: Allowance = Allowance {
    double_slash: false,
    semicolon: false,
    encoded_slash: EncodedSlash::Ambiguous,
    encoded_percent: true,
    encoded_delimiter: false,
};

const DELIMITER: Allowance = Allowance {
    double_slash: false,
    semicolon: false,
    encoded_slash: EncodedSlash::Ambiguous,
    encoded_percent: false,
    encoded_delimiter: true,
};

#[test]
fn a_path_with_one_reading_is_normalized() {
    for (raw, wire, decoded) in [
        ("/", "/", "/"),
        ("/a/b.json", "/a/b.json", "/a/b.json"),
        ("/a/", "/a/", "/a/"),
        ("/%77allets/%c3%a9", "/wallets/%C3%A9", "/wallets/é"),
        ("/a%20b", "/a%20b", "/a b"),
        ("/a%3ab", "/a%3Ab", "/a:b"),
        ("/100%25", "/100%25", "/100%"),
        ("/100%25x", "/100%25x", "/100%x"),
        ("/...", "/...", "/..."),
        ("/a..b/.c", "/a..b/.c", "/a..b/.c"),
    ] {
        let path = NormalizedPath::parse(raw.as_bytes(), Allowance::default()).unwrap();
        assert_eq!((path.as_str(), path.decoded()), (wire, decoded), "{raw}");
        assert_eq!(path.lenient().count(), 0, "{raw}");
    }
}

#[test]
fn path_with_two_readings_is_rejected() {
    use Ambiguity::*;
    for (raw, why) in [
        (&b"a/b"[..], NotOriginForm),
        (b"", NotOriginForm),
        (b"http://x/a", NotOriginForm),
        (b"*", NotOriginForm),
        (b"/a/../b", DotSegment),
        (b"/a/..", DotSegment),
        (b"/./a", DotSegment),
        (b"/a/%2e%2E/b", DotSegment),
        (b"/a/.%2e", DotSegment),
        (b"//a", DoubleSlash),
        (b"/a//", DoubleSlash),
        (b"/a\\b", Backslash),
        (b"/a%5cb", Backslash),
        (b"/a%2fb", EncodedSlash),
        (b"/a%2Fb", EncodedSlash),
        (b"/a;b", Semicolon),
        (b"/a%3bb", Semicolon),
        (b"/a#b", Delimiter),
        (b"/a%23b", Delimiter),
        (b"/a%3fb", Delimiter),
        (b"/a\0", ControlCharacter),
        (b"/a%00", ControlCharacter),
        (b"/a%0d%0a", ControlCharacter),
        (b"/a%7f", ControlCharacter),
        (b"/a%c2%85", ControlCharacter),
        (b"/a b", IllegalCharacter),
        (b"/a\"b", IllegalCharacter),
        (b"/a|b", IllegalCharacter),
        ("/é".as_bytes(), IllegalCharacter),
        (b"/a%", BrokenEscape),
        (b"/a%2", BrokenEscape),
        (b"/a%zz", BrokenEscape),
        (b"/a%+1", BrokenEscape),
        (b"/%252e%252e/x", DoubleEscape),
        (b"/%25%32%65", DoubleEscape),
        (b"/%2525", DoubleEscape),
        (b"/%c0%ae", NotUtf8),
        (b"/%ff", NotUtf8),
        (b"/a%20/b", EdgeSpace),
        (b"/%20a", EdgeSpace),
    ] {
        let got = NormalizedPath::parse(raw, Allowance::default());
        assert_eq!(got, Err(why), "{}", String::from_utf8_lossy(raw));
    }
}

#[test]
fn an_escape_that_need_not_be_one_has_a_literal_reading() {
    for (raw, decoded, literal) in [
        ("/a%3ab", "/a:b", Some("/a%3Ab")),
        ("/%40x/%c3%a9", "/@x/é", Some("/%40x/é")),
        ("/a%20b", "/a b", None),
        ("/100%25", "/100%", None),
        ("/a:b", "/a:b", None),
    ] {
        let path = NormalizedPath::parse(raw.as_bytes(), Allowance::default()).unwrap();
        assert_eq!((path.decoded(), path.literal()), (decoded, literal), "{raw}");
    }
}

#[test]
fn an_allowance_opens_one_way_and_tells_the_other_reading() {
    for (raw, decoded, lenient) in [
        ("/a//b", "/a//b", &["/a/b"][..]),
        ("/a;v=1/b", "/a;v=1/b", &["/a/b"]),
        ("/a%3bv/b", "/a;v/b", &["/a/b"]),
        ("/a%2fb", "/a%2Fb", &["/a/b"]),
        ("/a;v%2fb", "/a;v%2Fb", &["/a", "/a/b", "/a;v/b"]),
        ("/a/;v/b", "/a/;v/b", &["/a//b", "/a/b"]),
        ("/a/", "/a/", &[]),
        ("/a", "/a", &[]),
    ] {
        let path = NormalizedPath::parse(raw.as_bytes(), OPEN).unwrap();
        let readings: Vec<_> = path.lenient().collect();
        assert_eq!((path.decoded(), &readings[..]), (decoded, lenient), "{raw}");
    }
    for raw in [
        "//",
        "//a/b",
        "/%2fa/b",
        "/a%2f..%2fb",
        "/a/..;x/b",
        "/a/.%3b/b",
        "/a%5cb",
        "/a%2f%2e",
    ] {
        assert!(NormalizedPath::parse(raw.as_bytes(), OPEN).is_err(), "{raw}");
    }
    let only = Allowance {
        semicolon: true,
        ..Allowance::default()
    };
    assert!(NormalizedPath::parse(b"/a//b", only).is_err());
    assert!(NormalizedPath::parse(b"/a%2fb", only).is_err());
}

#[test]
fn opaque_slash_is_a_part_of_a_segment() {
    for (raw, wire, separated) in [
        ("/a%2fb", "/a%2Fb", &["/a/b"][..]),
        ("/x/a%2Fb%2Fc/d", "/x/a%2Fb%2Fc/d", &["/x/a/b/c/d"]),
        ("/x/%2F", "/x/%2F", &["/x/", "/x//"]),
        ("/x/%2F/y", "/x/%2F/y", &["/x/y", "/x///y"]),
        ("/%2F", "/%2F", &["/", "//"]),
        ("/x/%2F/", "/x/%2F/", &["/x/", "/x///"]),
    ] {
        let path = NormalizedPath::parse(raw.as_bytes(), OPAQUE).unwrap();
        let mut found: Vec<_> = path.separated().collect();
        found.sort_by_key(|path| path.len());
        assert_eq!(
            (path.as_str(), path.decoded(), &found[..]),
            (wire, wire, separated),
            "{raw}"
        );
        assert_eq!(path.lenient().count(), 0, "{raw}");
    }
    for raw in [
        "/%2Fa",
        "/a%2F",
        "/a%2F/b",
        "/a%2F%2Fb",
        "/%2F%2F",
        "/a%2F..%2Fb",
        "/a%2F.%2Fb",
        "/a%2F%2e%2E%2Fb",
        "/..%2Fb",
        "/a%2F..",
        "/a%5Cb",
        "/a%2Fb%5C",
        "/a%2F%20b",
        "/a%252Fb",
        "/a//b%2Fc",
    ] {
        assert!(NormalizedPath::parse(raw.as_bytes(), OPAQUE).is_err(), "{raw}");
    }
    let open = Allowance {
        encoded_slash: EncodedSlash::Opaque,
        encoded_percent: true,
        encoded_delimiter: true,
        ..OPEN
    };
    for (raw, is_fine) in [
        ("/a%2Fb;v", true),
        ("/a%2F;v", false),
        ("/%2F;v", false),
        ("/a;%2F..", false),
        ("/a%2F%3Fv", false),
        ("/a%2Fb%3Fv", true),
        ("/a%252Fb", false),
        ("/a%252fb", false),
        ("/a%2Fb%2520c", true),
        ("/a%2F%252e%252e", false),
    ] {
        assert_eq!(NormalizedPath::parse(raw.as_bytes(), open).is_ok(), is_fine, "{raw}");
    }
}

#[test]
fn escape_of_an_escape_tells_what_it_is_once_more_decoded() {
    for (raw, wire, decoded, lenient) in [
        ("/a%2520b", "/a%2520b", "/a%20b", &["/a b"][..]),
        ("/%2541", "/%2541", "/%41", &["/A"]),
        ("/%25%34%31", "/%2541", "/%41", &["/A"]),
        ("/a%2525", "/a%2525", "/a%25", &["/a%"]),
        ("/%25C3%25A9", "/%25C3%25A9", "/%C3%A9", &["/é"]),
        ("/%253a", "/%253a", "/%3a", &["/%3A", "/:"]),
    ] {
        let path = NormalizedPath::parse(raw.as_bytes(), PERCENT).unwrap();
        let found: Vec<_> = path.lenient().collect();
        assert_eq!(
            (path.as_str(), path.decoded(), &found[..]),
            (wire, decoded, lenient),
            "{raw}"
        );
    }
    for raw in [
        "/%252e%252e/x",
        "/.%252e",
        "/%252e",
        "/a%252Fb",
        "/a%25%32%46b",
        "/a%252fb",
        "/a%255Cb",
        "/a%253Bb",
        "/a%2500",
        "/a%250A",
        "/a%253Fb",
        "/a%2523b",
        "/a%2520",
        "/a%2520/b",
        "/a%25C0%25AF",
        "/a%25FF",
        "/%252541",
        "/%252525",
        "/a%25%2541B",
        "/a%25C2%2585",
    ] {
        assert!(NormalizedPath::parse(raw.as_bytes(), PERCENT).is_err(), "{raw}");
    }
    let with = |open: Allowance| Allowance {
        encoded_percent: true,
        ..open
    };
    for (raw, allowance, lenient) in [
        ("/a%252Fb", with(OPEN), &["/a%2Fb", "/a/b"][..]),
        ("/a%253Bb", with(OPEN), &["/a", "/a;b"]),
        ("/a%253Fb", with(DELIMITER), &["/a", "/a?b"]),
    ] {
        let path = NormalizedPath::parse(raw.as_bytes(), allowance).unwrap();
        for reading in lenient {
            assert!(path.readings().any(|found| found == *reading), "{raw}: {path:?}");
        }
    }
    assert!(NormalizedPath::parse(b"/%252Fa", with(OPEN)).is_err());
    assert!(NormalizedPath::parse(b"/a%252F..", with(OPEN)).is_err());
}

#[test]
fn delimiter_may_end_the_path() {
    for (raw, decoded, lenient) in [
        ("/a%3fb/c", "/a?b/c", &["/a"][..]),
        ("/a%23b", "/a#b", &["/a"]),
        ("/a/%3F", "/a/?", &["/a/"]),
        ("/a%3Ab%3F", "/a:b?", &["/a%3Ab", "/a:b"]),
    ] {
        let path = NormalizedPath::parse(raw.as_bytes(), DELIMITER).unwrap();
        let found: Vec<_> = path.lenient().collect();
        assert_eq!((path.decoded(), &found[..]), (decoded, lenient), "{raw}");
    }
    for raw in ["/a#b", "/..%3F", "/a/.%23x", "/a%20%3Fb", "/a%5C%3F", "/a%253F"] {
        assert!(NormalizedPath::parse(raw.as_bytes(), DELIMITER).is_err(), "{raw}");
    }
}
