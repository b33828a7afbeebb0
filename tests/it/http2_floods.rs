//! HTTP/2 against the rules, or within them and without end: it ends or costs little, the service hears of no
//! more than was asked, and the next client is served.

use crate::harness::{
    Gateway, Latch, Reply, Request, Setup, Upstream, eventually,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, NO_FLAGS, PING,
        RST_STREAM, SETTINGS, block, field, frame, head, nth, reset, settings, window_update,
    },
};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }, { path: /*, auth: jwt }]
";

/// How much more memory than before an attack may take, in bytes.
const ALLOWANCE: u64 = 64 << 20;

const PATH: &str = "/w/open/x";

fn gateway(upstream: Upstream, limits: &str) -> Gateway {
    let limits = format!("limits: {{ {limits} }}\nlog: {{ access: false }}");
    let setup = Setup::in_front_of(upstream).config(&limits);
    let gateway = setup.policy("wallet", POLICY).start();
    gateway.allowed(&Request::get(PATH));
    gateway
}

/// Attacks over one connection that is still open when the next one is served.
fn check(upstream: Upstream, limits: &str, attack: impl FnOnce(&Gateway, &mut Frames)) -> Gateway {
    let gateway = gateway(upstream, limits);
    let before = gateway.resident_bytes();
    let mut frames = Frames::open(gateway.port, &[]);
    attack(&gateway, &mut frames);
    gateway.allowed(&Request::get(PATH));
    let after = gateway.resident_bytes();
    assert!(after < before + ALLOWANCE, "{before} bytes before, {after} after");
    gateway
}

/// The requests that the service heard of besides the ordinary ones.
fn heard(gateway: &Gateway) -> usize {
    gateway.upstream.all().len() - 2
}

#[test]
fn rapid_resets() {
    let gateway = check(Upstream::recording(), "", |_, frames| {
        frames.flood(20_000, |n| {
            [head(nth(n), END_STREAM, "GET", PATH), reset(nth(n))].concat()
        });
        assert!(frames.ended(), "no GOAWAY");
    });
    assert!(heard(&gateway) < 100, "{}", heard(&gateway));
}

#[test]
fn resets_that_the_server_is_made_to_send() {
    type Provoke = fn(u32) -> Vec<u8>;
    let zero: Provoke = |stream| window_update(stream, 0);
    let overflow: Provoke = |stream| window_update(stream, 0x7fff_ffff);
    let half_closed: Provoke = |stream| frame(DATA, NO_FLAGS, stream, b"x");
    for provoke in [zero, overflow, half_closed] {
        let gateway = check(Upstream::recording(), "", |_, frames| {
            frames.flood(20_000, |n| {
                [head(nth(n), END_STREAM, "GET", PATH), provoke(nth(n))].concat()
            });
            assert!(frames.ended(), "no GOAWAY");
        });
        assert!(heard(&gateway) < 2_000, "{}", heard(&gateway));
    }
}

#[test]
fn a_head_that_never_ends() {
    for part in [vec![], vec![0; 1], vec![b'x'; 16_384]] {
        let gateway = check(Upstream::recording(), "", |_, frames| {
            frames.send(&frame(HEADERS, NO_FLAGS, 1, &block("GET", PATH)));
            frames.flood(50_000, |_| frame(CONTINUATION, NO_FLAGS, 1, &part));
            frames.ended();
        });
        assert_eq!(heard(&gateway), 0);
    }
}

#[test]
fn settings_and_pings_without_end() {
    for kind in [SETTINGS, PING] {
        check(Upstream::recording(), "", |_, frames| {
            let payload: &[u8] = if kind == PING { &[0; 8] } else { &[] };
            frames.flood(50_000, |_| frame(kind, NO_FLAGS, 0, payload));
            // It replies to each and takes no harm, or it ends the connection.
            frames.is_alive();
        });
    }
}

#[test]
fn a_body_of_nothing_without_end() {
    let gateway = check(Upstream::recording(), "", |_, frames| {
        frames.send(&head(1, NO_FLAGS, "POST", PATH));
        frames.flood(50_000, |_| frame(DATA, NO_FLAGS, 1, b""));
        frames.send(&frame(DATA, END_STREAM, 1, b"x"));
        // A response, a reset or the end.
        frames.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
    });
    for seen in gateway.upstream.all() {
        assert!(matches!(&seen.body[..], b"" | b"x"), "{seen:?}");
    }
}

#[test]
fn one_large_header_that_is_named_thousands_of_times() {
    let gateway = check(Upstream::recording(), "", |_, frames| {
        // A literal that enters the dynamic table, then the index of its entry.
        let mut bomb = block("GET", PATH);
        bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        bomb.extend([b'x'; 4000]);
        bomb.resize(16_000, 0xbe);
        frames.flood(200, |n| frame(HEADERS, END_HEADERS | END_STREAM, nth(n), &bomb));
        // 431, a reset or the end.
        frames.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
    });
    assert_eq!(heard(&gateway), 0);
}

#[test]
fn more_streams_than_were_announced() {
    let release = Latch::default();
    let held = release.clone();
    let upstream = Upstream::start(move |request| {
        if request.target.ends_with("held") {
            held.wait();
        }
        Reply::ok("{}")
    });
    let gateway = check(upstream, "", |gateway, frames| {
        let announced = frames.until(|frame| frame.kind == SETTINGS).unwrap();
        assert!(
            announced.payload.chunks(6).any(|each| each == [0, 3, 0, 0, 0, 100]),
            "{announced:?}"
        );
        frames.flood(1000, |n| head(nth(n), END_STREAM, "GET", "/w/open/held"));
        let refused = frames.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY));
        assert!(refused.is_some());
        eventually("the service has some", || !gateway.upstream.all().is_empty());
    });
    assert!(heard(&gateway) <= 100, "{}", heard(&gateway));
    release.open();
}

/// A service with a large response, as often as it is asked.
fn large() -> Upstream {
    Upstream::start(|request| match request.target.ends_with("large") {
        true => Reply::ok(vec![b'x'; 2 << 20]),
        false => Reply::ok("{}"),
    })
}

#[test]
fn a_client_that_never_opens_its_window() {
    let gateway = check(large(), "idle_timeout: 500ms", |_, frames| {
        frames.send(&settings(&[(INITIAL_WINDOW_SIZE, 0)]));
        frames.flood(100, |n| head(nth(n), END_STREAM, "GET", "/w/open/large"));
        assert!(frames.until(|frame| frame.kind == RST_STREAM).is_some());
        frames.ended();
    });
    eventually("its connection is gone", || {
        gateway.metric("sidegate_connections", &[]) == Some(0.0)
    });
}

#[test]
fn a_client_that_opens_its_window_and_does_not_read() {
    let gateway = gateway(large(), "idle_timeout: 500ms");
    let before = gateway.resident_bytes();
    let mut frames = Frames::unread(gateway.port, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    frames.send(&window_update(0, 0x7000_0000));
    frames.flood(100, |n| head(nth(n), END_STREAM, "GET", "/w/open/large"));
    eventually("the service has all of them", || gateway.upstream.all().len() == 101);
    gateway.allowed(&Request::get(PATH));
    let after = gateway.resident_bytes();
    assert!(after < before + ALLOWANCE, "{before} bytes before, {after} after");
    eventually("its connection is gone", || {
        gateway.metric("sidegate_connections", &[]) == Some(0.0)
    });
}

#[test]
fn a_connection_that_does_nothing_ends() {
    let half = frame(HEADERS, NO_FLAGS, 1, &block("GET", PATH));
    let pings: Vec<u8> = (0..100).flat_map(|_| frame(PING, NO_FLAGS, 0, &[0; 8])).collect();
    let window = window_update(0, 1);
    check(Upstream::recording(), "idle_timeout: 500ms", |gateway, frames| {
        let mut others = [half, pings, window].map(|silence| {
            let mut frames = Frames::open(gateway.port, &[]);
            frames.send(&silence);
            frames
        });
        frames.ended();
        for frames in &mut others {
            frames.ended();
        }
    });
}

#[test]
fn a_head_in_many_small_frames_is_a_head() {
    let gateway = check(Upstream::recording(), "", |_, frames| {
        let mut whole = block("GET", PATH);
        field(&mut whole, "x-small", "frames");
        let (last, parts) = whole.split_last().unwrap();
        frames.send(&frame(HEADERS, END_STREAM, 1, &[]));
        for part in parts.chunks(20) {
            frames.send(&frame(CONTINUATION, NO_FLAGS, 1, part));
        }
        frames.send(&frame(CONTINUATION, END_HEADERS, 1, &[*last]));
        assert!(
            frames
                .until(|frame| frame.kind == HEADERS && frame.stream == 1)
                .is_some()
        );
    });
    assert_eq!(heard(&gateway), 1);
}
