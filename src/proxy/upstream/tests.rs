//! Sessions over HTTP/2 with a real service, on real sockets.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use pingora::http::RequestHeader;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::policy::origin::Origin;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

type Stream = (Request<RecvStream>, SendResponse<Bytes>);

/// A service over h2c, and what it saw.
struct Service {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Service {
    /// Serves each stream by a task of its own.
    async fn start<F>(builder: server::Builder, serve: impl Fn(Stream) -> F + Send + Sync + Clone + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                seen.fetch_add(1, SeqCst);
                let (builder, serve) = (builder.clone(), serve.clone());
                tokio::spawn(async move {
                    let mut connection = builder.handshake::<_, Bytes>(socket).await.unwrap();
                    while let Some(Ok(stream)) = connection.accept().await {
                        tokio::spawn(serve(stream));
                    }
                });
            }
        });
        Self { port, connections }
    }

    fn upstream(&self, timeout: Duration) -> (Arc<Upstream>, Choice) {
        upstream(self.port, LONG, timeout)
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

fn upstream(port: u16, connect_timeout: Duration, timeout: Duration) -> (Arc<Upstream>, Choice) {
    let upstream = Upstream::start(&described(UpstreamScheme::H2c, port, (connect_timeout, timeout)), 1);
    let upstream = Arc::new(upstream.unwrap().remove(0));
    let address = upstream.choose(Instant::now());
    (upstream, address)
}

fn described(scheme: UpstreamScheme, port: u16, (connect_timeout, timeout): (Duration, Duration)) -> policy::Upstream {
    policy::Upstream {
        address: UpstreamAddress::Network {
            scheme,
            host: "127.0.0.1".into(),
            port,
        },
        variable: Origin(None),
        connect_timeout,
        timeout,
        idle_timeout: LONG,
        ca: None,
        client: None,
        spiffe_id: None,
    }
}

fn post() -> Box<RequestHeader> {
    let mut head = RequestHeader::build("POST", b"/x", None).unwrap();
    head.insert_header("host", "service").unwrap();
    Box::new(head)
}

fn reply(mut respond: SendResponse<Bytes>, status: u16) {
    let head = Response::builder().status(status).body(()).unwrap();
    respond.send_response(head, true).unwrap();
}

async fn session(upstream: &Upstream, address: &Choice) -> Result<UpstreamSession, ConnectFailure> {
    match upstream.take(address, false, Instant::now()) {
        Some(session) => Ok(session),
        None => upstream.connect(address, false).await,
    }
}

/// Sends a request without a body, and returns the status of the response.
async fn status(upstream: &Upstream, address: &Choice) -> u16 {
    let mut session = session(upstream, address).await.unwrap();
    session.write_head(post(), true).await.unwrap();
    let UpstreamEvent::Head(head, true) = session.next(true).await.unwrap() else {
        panic!("a head that ends the response");
    };
    session.release(Instant::now());
    head.status.as_u16()
}

/// Sends many requests at once, and returns the statuses of their responses.
async fn statuses(upstream: &Arc<Upstream>, address: &Choice) -> Vec<u16> {
    let mut all = JoinSet::new();
    for _ in 0..50 {
        let (upstream, address) = (Arc::clone(upstream), address.clone());
        all.spawn(async move { status(&upstream, &address).await });
    }
    all.join_all().await
}

/// Waits until a condition holds.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

#[tokio::test]
async fn burst_on_a_service_with_one_stream_for_each_connection_is_served_whole() {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(1);
    let service = Service::start(builder, async |(_, respond): Stream| reply(respond, 200)).await;
    let (upstream, address) = service.upstream(LONG);
    for _ in 0..3 {
        let all = statuses(&upstream, &address).await;
        assert!(all.iter().all(|status| *status == 200), "{all:?}");
    }
}

#[tokio::test]
async fn burst_on_a_new_connection_waits_for_it_and_shares_it() {
    let service = Service::start(server::Builder::new(), async |(_, respond): Stream| reply(respond, 200)).await;
    let (upstream, address) = service.upstream(LONG);
    statuses(&upstream, &address).await;
    assert_eq!(status(&upstream, &address).await, 200);
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn request_that_ends_while_it_opens_a_connection_leaves_it_to_the_others() {
    let service = Service::start(server::Builder::new(), async |(_, respond): Stream| reply(respond, 200)).await;
    let (upstream, address) = service.upstream(LONG);
    let mut first = Box::pin(upstream.connect(&address, false));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(upstream.connect(&address, false));
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    assert!(second.await.unwrap().is_http2());
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn failed_connection_fails_all_that_wait_for_it_and_the_next_is_opened_anew() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let (upstream, address) = upstream(port, LONG, LONG);
    let [one, two] = [0; 2].map(|_| upstream.connect(&address, false));
    for failed in <[_; 2]>::from(tokio::join!(one, two)) {
        let ConnectFailure { error, addresses } = failed.err().unwrap();
        assert_eq!(addresses.as_deref(), Some(format!("127.0.0.1:{port}").as_str()));
        assert_eq!(error.etype(), &ErrorType::ConnectRefused);
        assert_eq!(error.esource(), &pingora::ErrorSource::Upstream);
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let serve = async {
        let socket = listener.accept().await.unwrap().0;
        let mut connection = server::handshake(socket).await.unwrap();
        connection.accept().await;
    };
    tokio::select! {
        connected = upstream.connect(&address, false) => assert!(connected.is_ok()),
        () = serve => panic!("the service ended"),
    }
}

#[tokio::test]
async fn service_without_settings_is_given_up_in_the_time_for_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (upstream, address) = upstream(listener.local_addr().unwrap().port(), SHORT, LONG);
    let silent = tokio::spawn(async move {
        let mut socket = listener.accept().await.unwrap().0;
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    let failure = upstream.connect(&address, false).await.err().unwrap();
    assert_eq!(failure.error.etype(), &ErrorType::ConnectTimedout);
    silent.abort();
}

#[tokio::test]
async fn connection_on_which_a_request_timed_out_takes_no_other() {
    let service = Service::start(server::Builder::new(), async |stream: Stream| {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let (upstream, address) = service.upstream(SHORT);
    let mut silent = upstream.connect(&address, false).await.unwrap();
    assert!(upstream.take(&address, false, Instant::now()).is_some());
    silent.write_head(post(), true).await.unwrap();
    assert_eq!(silent.next(true).await.unwrap_err().etype(), &ErrorType::ReadTimedout);
    assert!(upstream.take(&address, false, Instant::now()).is_none());
}

#[tokio::test]
async fn connection_that_the_service_closed_takes_no_other_request() {
    let service = Service::start(server::Builder::new(), async |(_, respond): Stream| reply(respond, 200)).await;
    let (upstream, address) = service.upstream(LONG);
    assert_eq!(status(&upstream, &address).await, 200);
    upstream.evict_expired(Instant::now());
    assert!(upstream.take(&address, false, Instant::now()).is_some());
    // It is not used after its time, evicted or not.
    let later = Instant::now() + LONG;
    assert!(upstream.take(&address, false, later).is_none());
    assert!(upstream.take(&address, false, Instant::now()).is_some());
    upstream.evict_expired(Instant::now() + LONG);
    assert!(upstream.take(&address, false, Instant::now()).is_none());

    let closing = Service::start(server::Builder::new(), async |(_, mut respond): Stream| {
        respond.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let (upstream, address) = closing.upstream(LONG);
    let mut session = upstream.connect(&address, false).await.unwrap();
    session.write_head(post(), true).await.unwrap();
    let error = session.next(true).await.unwrap_err();
    assert!(UpstreamSession::is_unprocessed(&error), "{error}");
}

#[tokio::test]
async fn response_is_heard_while_the_window_is_closed_and_the_upload_times_out() {
    let mut builder = server::Builder::new();
    builder.initial_window_size(10);
    let service = Service::start(builder, async |(body, mut respond): Stream| {
        let head = Response::builder().status(413).body(()).unwrap();
        let _stream = respond.send_response(head, false).unwrap();
        let _unread = body;
        std::future::pending::<()>().await;
    })
    .await;
    let (upstream, address) = service.upstream(SHORT);
    let mut session = upstream.connect(&address, false).await.unwrap();
    session.write_head(post(), false).await.unwrap();
    session.write(Some(Bytes::from_static(b"12345")), false).await.unwrap();
    assert!(!session.is_blocked());
    session
        .write(Some(Bytes::from_static(b"6789012345")), true)
        .await
        .unwrap();
    assert!(session.is_blocked());
    let UpstreamEvent::Head(head, false) = session.next(false).await.unwrap() else {
        panic!("a head");
    };
    assert_eq!(head.status, 413);
    let error = session.next(false).await.unwrap_err();
    assert_eq!(error.etype(), &ErrorType::WriteTimedout);
}

#[tokio::test]
async fn response_that_is_whole_before_its_stream_is_reset_counts_and_the_upload_ends() {
    let service = Service::start(server::Builder::new(), async |(body, mut respond): Stream| {
        let head = Response::builder().status(200).body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data("whole".into(), true).unwrap();
        // Dropping both resets the stream with NO_ERROR, for the body is unread.
        drop((stream, respond, body));
    })
    .await;
    let (upstream, address) = service.upstream(LONG);
    let mut session = upstream.connect(&address, false).await.unwrap();
    session.write_head(post(), false).await.unwrap();
    let UpstreamEvent::Head(head, false) = session.next(false).await.unwrap() else {
        panic!("a head");
    };
    assert_eq!(head.status, 200);
    let mut whole = Vec::new();
    loop {
        let UpstreamEvent::Body(part, ends) = session.next(false).await.unwrap() else {
            panic!("a part");
        };
        whole.extend_from_slice(&part);
        if ends {
            break;
        }
    }
    assert_eq!(whole, b"whole");
    let error = loop {
        if let Err(error) = session.write(Some(Bytes::from_static(b"more")), false).await {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(!UpstreamSession::is_unprocessed(&error));
}

#[tokio::test]
async fn dropped_session_resets_its_own_stream_and_makes_room() {
    let resets = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&resets);
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(2);
    let service = Service::start(builder, move |(_, mut respond): Stream| {
        let seen = Arc::clone(&seen);
        async move {
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            assert_eq!(reset.unwrap(), Reason::CANCEL);
            seen.fetch_add(1, SeqCst);
        }
    })
    .await;
    let (upstream, address) = service.upstream(LONG);
    let mut one = upstream.connect(&address, false).await.unwrap();
    let mut other = upstream.take(&address, false, Instant::now()).unwrap();
    assert!(upstream.take(&address, false, Instant::now()).is_none());
    one.write_head(post(), true).await.unwrap();
    other.write_head(post(), true).await.unwrap();
    drop(one);
    until(|| resets.load(SeqCst) == 1).await;
    assert!(other.next(true).now_or_never().is_none());
    assert!(upstream.take(&address, false, Instant::now()).is_some());
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn new_connection_closes_an_idle_one_of_another_thread_beyond_one_for_each_thread() {
    const THREADS: usize = 3;
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = service.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(service.accept().await.unwrap());
        }
    });
    let http1 = described(UpstreamScheme::Http, address.port(), (LONG, LONG));
    let upstreams = Upstream::start(&http1, THREADS).unwrap();
    let socket = SocketAddr::Inet(address);
    let idle = || {
        let idle = upstreams
            .iter()
            .map(|upstream| upstream.pool.idle(&socket, Instant::now()));
        idle.collect::<Vec<_>>()
    };
    for (thread, count) in [(0, 6), (1, 2)] {
        for _ in 0..count {
            let stream = connection::boxed(connection::tcp(&address).await.unwrap());
            upstreams[thread]
                .pool
                .put(socket.clone(), stream.into(), Instant::now());
        }
    }
    let choice = upstreams[2].choose(Instant::now());
    let mut sessions = Vec::new();
    for left in [
        [5, 2, 0],
        [4, 2, 0],
        [3, 2, 0],
        [2, 2, 0],
        [2, 1, 0],
        [2, 1, 0],
        [2, 1, 0],
    ] {
        sessions.push(upstreams[2].connect(&choice, false).await.unwrap());
        let mut found = idle();
        if left == [2, 1, 0] {
            found.sort_by(|one, other| other.cmp(one));
        }
        assert_eq!(found, left, "{} sessions", sessions.len());
    }
    // Another address has connections of its own.
    let elsewhere = SocketAddr::Inet("127.0.0.1:1".parse().unwrap());
    for _ in 0..THREADS * 2 {
        let stream = connection::boxed(connection::tcp(&address).await.unwrap());
        upstreams[0].pool.put(elsewhere.clone(), stream.into(), Instant::now());
    }
    sessions.push(upstreams[2].connect(&choice, false).await.unwrap());
    assert_eq!(upstreams[0].pool.idle(&elsewhere, Instant::now()), THREADS * 2);
}
