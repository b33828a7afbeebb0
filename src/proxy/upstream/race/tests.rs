use std::net::IpAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::*;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(1);

/// A service at 127.0.0.1. Its port rejects connections at other addresses.
async fn service() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 0, 0, last]), port)
}

/// A listener at 127.0.0.9 with a full queue, so that it answers no other connection.
async fn silent(port: u16) -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(at(9, port)).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut queued = Vec::new();
    while let Ok(connected) = tokio::time::timeout(SHORT, TcpStream::connect(at(9, port))).await {
        queued.push(connected.unwrap());
    }
    (listener, queued)
}

/// The addresses of four requests that begin at a time.
fn picked(name: &ResolvedHost, now: Instant) -> Vec<SocketAddr> {
    (0..4).map(|_| name.pick(now).unwrap().socket).collect()
}

fn failed(result: Result<(TcpStream, SocketAddr), ConnectFailure>) -> (ErrorType, String) {
    let failure = result.err().unwrap();
    let addresses = failure.addresses.map(String::from).unwrap_or_default();
    (failure.error.etype().clone(), addresses)
}

#[tokio::test]
async fn next_address_follows_one_that_rejects_and_that_one_rests() {
    let (_service, port) = service().await;
    let all = [at(1, port), at(2, port), at(3, port)];
    let name = ResolvedHost::with(&all, &all);
    let begin = Instant::now();
    let (_, address) = connect(&name, Some(at(2, port)), LONG).await.unwrap();
    assert_eq!(address, at(1, port));
    // Each of the others rejected one connection at most, and no request begins there.
    let (_, address) = connect(&name, Some(at(3, port)), LONG).await.unwrap();
    assert_eq!(address, at(1, port));
    assert_eq!(picked(&name, begin), [at(1, port); 4]);
}

#[tokio::test]
async fn next_address_follows_one_that_is_silent_and_that_one_rests() {
    let (_service, port) = service().await;
    let _full = silent(port).await;
    let name = ResolvedHost::with(&[at(1, port), at(9, port)], &[]);
    let begin = Instant::now();
    for within in [LONG, SHORT] {
        let (_, address) = connect(&name, Some(at(9, port)), within).await.unwrap();
        assert_eq!(address, at(1, port), "within {within:?}");
    }
    assert_eq!(picked(&name, begin), [at(1, port); 4]);
}

#[tokio::test]
async fn family_without_a_service_is_followed_by_the_other() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let v6 = listener.local_addr().unwrap();
    let name = ResolvedHost::with(&[at(1, v6.port()), v6], &[]);
    let first = name.pick(Instant::now()).unwrap().socket;
    assert_eq!(first, at(1, v6.port()));
    let (_, address) = connect(&name, Some(first), LONG).await.unwrap();
    assert_eq!(address, v6);
}

#[tokio::test]
async fn failure_names_all_addresses_that_were_tried() {
    let (service, port) = service().await;
    let name = ResolvedHost::with(&[at(2, port), at(3, port)], &[at(2, port), at(3, port)]);
    let want = format!("{}, {}", at(3, port), at(2, port));
    assert_eq!(
        failed(connect(&name, Some(at(3, port)), LONG).await),
        (ErrorType::ConnectRefused, want)
    );
    // One that rests is tried as well if all do.
    drop(service);
    let _service = TcpListener::bind(at(2, port)).await.unwrap();
    let (_, address) = connect(&name, Some(at(3, port)), LONG).await.unwrap();
    assert_eq!(address, at(2, port));

    let _full = silent(port).await;
    let name = ResolvedHost::with(&[at(9, port)], &[at(9, port)]);
    assert_eq!(
        failed(connect(&name, Some(at(9, port)), SHORT).await),
        (ErrorType::ConnectTimedout, at(9, port).to_string())
    );
}

#[tokio::test]
async fn failed_connection_causes_a_look_up_whose_addresses_are_tried() {
    let (_service, port) = service().await;
    let name = ResolvedHost::with(&[at(2, port)], &[at(1, port)]);
    let (_, address) = connect(&name, Some(at(2, port)), LONG).await.unwrap();
    assert_eq!(address, at(1, port));
    // So does a name that had no address.
    let name = ResolvedHost::with(&[], &[at(1, port)]);
    let (_, address) = connect(&name, None, LONG).await.unwrap();
    assert_eq!(address, at(1, port));
    // And one whose only address is silent.
    let _full = silent(port).await;
    let name = ResolvedHost::with(&[at(9, port)], &[at(1, port)]);
    let (_, address) = connect(&name, Some(at(9, port)), LONG).await.unwrap();
    assert_eq!(address, at(1, port));

    let name = ResolvedHost::with(&[], &[]);
    let failure = connect(&name, None, LONG).await.err().unwrap();
    assert_eq!(failure.addresses, None);
    assert_eq!(failure.error.etype(), &ErrorType::ConnectNoRoute);
    assert_eq!(failure.error.context.as_ref().unwrap().as_str(), NO_ADDRESS);
}

#[tokio::test]
async fn no_more_than_eight_addresses_are_tried() {
    let (_service, port) = service().await;
    let refusing: Vec<_> = (10..30).map(|last| at(last, port)).collect();
    let name = ResolvedHost::with(&refusing, &refusing);
    let (kind, addresses) = failed(connect(&name, Some(at(10, port)), LONG).await);
    assert_eq!(kind, ErrorType::ConnectRefused);
    assert_eq!(addresses.split(", ").count(), MOST_TRIED);
}
