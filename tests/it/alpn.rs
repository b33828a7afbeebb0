//! Services over TLS choose HTTP/2 or HTTP/1.1 in the handshake, also those that are known by a SPIFFE id, and their
//! connections are used again. A WebSocket has a connection over HTTP/1.1 of its own.

use crate::{
    harness::{
        Gateway, Reply, Request, Upstream,
        certificates::{authority, leaf, pki, server, uri},
        eventually,
        h2_service::{Call, H2Service, in_front_of},
        http2::Http2,
    },
    upstreams::handshake,
};

const ORDERS: &str = "spiffe://eventzr/ns/core/sa/orders";

const TRUSTED: &str = ", ca_file: $folder/ca.crt";

async fn echo(mut call: Call) -> Result<(), h2::Error> {
    let body = call.whole_body().await?;
    call.reply(200, body)
}

/// Ten requests in turn, of both kinds of clients, which take one connection to the service.
fn assert_pooled(gateway: &Gateway, connections: impl Fn() -> usize) {
    let mut wire = gateway.connect();
    let http2 = Http2::plain(gateway.port);
    for _ in 0..5 {
        let request = Request::post("/s/x", "{\"a\":1}");
        for answer in [wire.exchange(&request), http2.exchange(&request)] {
            assert_eq!((answer.status, answer.text().as_str()), (200, "{\"a\":1}"));
        }
    }
    assert_eq!(connections(), 1);
}

#[test]
fn service_over_tls_without_http2_is_used_over_http1() {
    for protocols in [&[][..], &["http/1.1"]] {
        let upstream = Upstream::tls(server(&pki().server, protocols), |request| Reply::ok(&request.body));
        let gateway = in_front_of(&upstream.url, TRUSTED).tls().start();
        assert_pooled(&gateway, || upstream.connections());
        upstream.assert_strict();
    }
}

#[test]
fn service_over_tls_with_http2_is_used_over_http2() {
    for protocols in [&["h2"][..], &["h2", "http/1.1"]] {
        let service = H2Service::tls(server(&pki().server, protocols), echo);
        let gateway = in_front_of(&service.url, TRUSTED).tls().start();
        let request = Request::post("/s/x", "{}");
        assert_eq!(gateway.send(&request).text(), "{}", "{protocols:?}");
        assert_eq!(service.seen(&request.case).len(), 1, "{protocols:?}");
        assert_pooled(&gateway, || service.connections());
    }
}

#[test]
fn service_with_a_spiffe_id_has_kept_connections_over_both_versions() {
    let ours = authority("Ours");
    let identity = leaf(&ours, 1, uri(ORDERS), |_| {});
    let pinned = format!(", ca_file: $folder/ours.crt, spiffe_id: '{ORDERS}'");

    let old = Upstream::tls(server(&identity, &["http/1.1"]), |request| Reply::ok(&request.body));
    let gateway = in_front_of(&old.url, &pinned).file("ours.crt", &ours.pem()).start();
    let request = Request::post("/s/x", "{}");
    assert_eq!(gateway.send(&request).text(), "{}");
    assert!(old.seen(&request.case)[0].values("connection").is_empty());
    assert_pooled(&gateway, || old.connections());

    let modern = H2Service::tls(server(&identity, &["h2"]), echo);
    let gateway = in_front_of(&modern.url, &pinned).file("ours.crt", &ours.pem()).start();
    assert_pooled(&gateway, || modern.connections());
}

#[test]
fn websocket_of_a_service_that_prefers_http2_is_over_http1() {
    let ours = authority("Ours");
    let identity = leaf(&ours, 1, uri(ORDERS), |_| {});
    let pinned = format!(", ca_file: $folder/ours.crt, spiffe_id: '{ORDERS}'");
    for (identity, more) in [(&pki().server, TRUSTED), (&identity, pinned.as_str())] {
        let service = H2Service::tls(server(identity, &["h2", "http/1.1"]), echo);
        let setup = in_front_of(&service.url, more).tls();
        let gateway = setup.file("ours.crt", &ours.pem()).start();
        assert_eq!(gateway.send(&Request::post("/s/x", "{}")).text(), "{}");
        let mut wire = gateway.connect();
        wire.write(handshake("/s/socket").bytes());
        assert_eq!(wire.head().unwrap().0, 101, "{more}");
        for size in [1, 100, 100_000] {
            let frames = vec![0x5a; size];
            wire.write(&frames);
            assert_eq!(wire.read(size).unwrap(), frames);
        }
        // The other requests keep their connection.
        let request = Request::post("/s/x", "{}");
        assert_eq!(gateway.send(&request).text(), "{}");
        assert_eq!(service.seen(&request.case).len(), 1);
        assert_eq!(service.connections(), 2, "{more}");
        drop(wire);
        eventually("it is over", || {
            gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
        });
    }
}
