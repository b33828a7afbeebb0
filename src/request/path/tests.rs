use super::*;

const OPEN: Allowance = Allowance {
    double_slash: true,
    semicolon: true,
    encoded_slash: true,
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
