//! HTTP/2 heads and trailers that no library would send: what is not HTTP is rejected, and nothing of it
//! becomes another path, another framing or an identity.

use std::sync::Arc;

use crate::harness::{
    Gateway, Request, Setup, Shared,
    frames::{DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, NO_FLAGS, RST_STREAM, field, frame},
    unique,
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("wallet", POLICY).start())
}

const FINE: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/w/open/x"),
    (":authority", "localhost"),
];

/// `FINE` with one pseudo-header changed, or left out.
fn with(name: &str, value: Option<&str>) -> Vec<(String, String)> {
    let changed = FINE.iter().filter_map(|&(each, own)| match (each == name, value) {
        (true, None) => None,
        (true, Some(value)) => Some((each, value)),
        (false, _) => Some((each, own)),
    });
    changed
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// `FINE` and a field behind it.
fn and(name: &str, value: &str) -> Vec<(String, String)> {
    let mut fields = with("", None);
    fields.push((name.to_owned(), value.to_owned()));
    fields
}

fn block(fields: &[(String, String)], case: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        field(&mut block, name, value);
    }
    field(&mut block, "x-case", case);
    block
}

/// Sends the frames of one stream, and waits for its response or its end.
fn exchange(gateway: &Gateway, bytes: &[u8]) {
    let mut frames = Frames::open(gateway.port, &[]);
    frames.send(bytes);
    frames.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM if frame.stream == 1) || frame.kind == GOAWAY);
}

#[test]
fn malformed_head_reaches_no_service() {
    let gateway = gateway();
    for fields in [
        with(":path", None),
        with(":path", Some("")),
        with(":path", Some("*")),
        with(":path", Some("w/open/x")),
        with(":path", Some("?/w/open/x")),
        with(":path", Some("http://localhost/w/open/x")),
        with(":path", Some("//localhost/w/open/x")),
        with(":path", Some("/w/open/../x")),
        with(":path", Some("/w/open/x y")),
        with(":path", Some("/w/open/x\r\nx-user-id: spoofed")),
        with(":path", Some("/w/open/\u{1}")),
        with(":method", None),
        with(":method", Some("")),
        with(":method", Some("post")),
        with(":method", Some("GE T")),
        with(":method", Some("GET /w/open/x HTTP/1.1\r\nx:")),
        with(":method", Some("CONNECT")),
        with(":authority", None),
        with(":authority", Some("")),
        with(":authority", Some("user@localhost")),
        with(":authority", Some("localhost, other")),
        with(":authority", Some("local host")),
        with(":authority", Some("localhost/w")),
        with(":authority", Some("localhost:99999")),
        and(":path", "/w/x"),
        and(":method", "POST"),
        and(":authority", "other"),
        and(":identity", "spoofed"),
        and(":status", "200"),
        and("host", "other"),
        and("X-User-Id", "spoofed"),
        and("x-user-id:", "spoofed"),
        and("x user id", "spoofed"),
        and("x\r\nx-user-id", "spoofed"),
        and("", "spoofed"),
        and("x-some", "a\r\nx-user-id: spoofed"),
        and("x-some", "a\nx-user-id: spoofed"),
        and("x-some", "a\0b"),
        and("connection", "x-auth-method"),
        and("keep-alive", "timeout=5"),
        and("transfer-encoding", "chunked"),
        and("upgrade", "websocket"),
        and("te", "gzip"),
        and("content-length", "5"),
        and("content-length", "-1"),
        and("content-length", "05"),
    ] {
        let case = unique().to_string();
        let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields, &case));
        exchange(&gateway, &head);
        assert_eq!(gateway.upstream.seen(&case).len(), 0, "{fields:?}");
    }
    let case = unique().to_string();
    let mut late = vec![("x-first".to_owned(), "1".to_owned())];
    late.extend(with("", None));
    exchange(
        &gateway,
        &frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&late, &case)),
    );
    assert_eq!(gateway.upstream.seen(&case).len(), 0, "pseudo-headers behind others");
    gateway.upstream.assert_strict();
    gateway.allowed(&Request::get("/w/open/x"));
}

#[test]
fn the_same_head_without_the_trick_is_fine() {
    let gateway = gateway();
    for fields in [
        with("", None),
        and("te", "trailers"),
        and("content-length", "0"),
        and("host", "localhost"),
    ] {
        let case = unique().to_string();
        exchange(
            &gateway,
            &frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields, &case)),
        );
        assert_eq!(gateway.upstream.seen(&case).len(), 1, "{fields:?}");
    }
}

#[test]
fn a_length_that_is_not_the_bodys_is_not_believed() {
    let gateway = gateway();
    for (length, data) in [("5", "abc"), ("2", "abc"), ("0", "abc")] {
        let case = unique().to_string();
        let mut fields = with(":method", Some("POST"));
        fields.push(("content-length".to_owned(), length.to_owned()));
        let head = frame(HEADERS, END_HEADERS, 1, &block(&fields, &case));
        exchange(&gateway, &[head, frame(DATA, END_STREAM, 1, data.as_bytes())].concat());
        // The service may have heard of an empty body before more of it came than there should be.
        let seen = gateway.upstream.seen(&case);
        assert!(
            seen.iter().all(|seen| length == "0" && seen.body.is_empty()),
            "{length} for {data}"
        );
    }
    gateway.upstream.assert_strict();
    gateway.allowed(&Request::get("/w/open/x"));
}

#[test]
fn trailers_prove_nothing() {
    let gateway = gateway();
    for (name, value) in [
        ("x-user-id", "spoofed"),
        ("x_user_id", "spoofed"),
        ("x-auth-method", "spoofed"),
        ("authorization", "Bearer spoofed"),
        (":path", "/w/spoofed"),
        ("content-length", "99"),
    ] {
        let case = unique().to_string();
        let fields = with(":method", Some("POST"));
        let mut trailers = Vec::new();
        field(&mut trailers, name, value);
        let bytes = [
            frame(HEADERS, END_HEADERS, 1, &block(&fields, &case)),
            frame(DATA, NO_FLAGS, 1, b"{}"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers),
        ];
        exchange(&gateway, &bytes.concat());
        for seen in gateway.upstream.seen(&case) {
            assert_eq!(
                (&seen.body[..], seen.values("x-user-id")),
                (&b"{}"[..], vec![]),
                "{name}"
            );
            assert!(
                !format!("{:?}", seen.headers).contains("spoofed"),
                "{name}: {:?}",
                seen.headers
            );
        }
    }
    // The service's reader takes trailers for an error.
    gateway.upstream.assert_strict();
    gateway.allowed(&Request::get("/w/open/x"));
}
