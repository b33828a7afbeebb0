//! How many connections a service gets: as many as there are requests with it at a time, and one for each thread.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::harness::{
    Gateway, Request, Setup, Wire, eventually,
    h2_service::{Call, H2Service, policy},
    threads::serve_with,
};

const THREADS: usize = 4;

/// How many requests are with the service at a time.
const REQUESTS: usize = 16;

/// A service that knows its connections at any time: it serves all of them in turn, and counts after it has seen which
/// of them ended. It responds once it has all requests that come at a time.
struct Service {
    url: String,
    most: Arc<AtomicUsize>,
}

/// A connection of the service, and whether a request waits on it.
struct Connection {
    socket: TcpStream,
    asks: bool,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let most = Arc::<AtomicUsize>::default();
        let seen = Arc::clone(&most);
        thread::spawn(move || {
            let mut open: Vec<Connection> = Vec::new();
            loop {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true).unwrap();
                    open.push(Connection { socket, asks: false });
                }
                open.retain_mut(Connection::is_open);
                seen.fetch_max(open.len(), Ordering::Relaxed);
                if open.iter().filter(|connection| connection.asks).count() == REQUESTS {
                    open.retain_mut(Connection::respond);
                }
                thread::sleep(Duration::from_micros(100));
            }
        });
        Self { url, most }
    }
}

impl Connection {
    fn is_open(&mut self) -> bool {
        match self.socket.read(&mut [0; 8192]) {
            Ok(read) => {
                self.asks = true;
                read > 0
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn respond(&mut self) -> bool {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        !std::mem::take(&mut self.asks) || self.socket.write_all(response).is_ok()
    }
}

fn in_front_of(url: &str) -> Gateway {
    serve_with(THREADS);
    Setup::new().policy("s", &policy("s", url, "")).start()
}

/// Sends requests at a time, and waits until all of them have ended.
fn exchange<'w>(gateway: &Gateway, wires: impl Iterator<Item = &'w mut Wire>) {
    let mut wires: Vec<_> = wires.collect();
    assert_eq!(wires.len(), REQUESTS);
    for wire in &mut wires {
        wire.write(Request::get("/s/x").bytes());
    }
    for wire in wires {
        assert_eq!(wire.answer("GET").unwrap().status, 200);
    }
    eventually("they have ended", || {
        gateway.metric("sidegate_requests_in_flight", &[]) == Some(0.0)
    });
}

/// Requests come over some of many connections, others each time, and over new ones.
fn call(gateway: &Gateway) {
    let mut kept: Vec<_> = (0..64).map(|_| gateway.connect()).collect();
    for step in [1, 3, 5, 7] {
        for first in [0, 16, 32, 48] {
            let chosen: Vec<_> = (0..REQUESTS).map(|nth| (first + nth * step) % 64).collect();
            let wires = kept.iter_mut().enumerate();
            let wires = wires.filter_map(|(at, wire)| chosen.contains(&at).then_some(wire));
            exchange(gateway, wires);
        }
        let mut new: Vec<_> = (0..REQUESTS).map(|_| gateway.connect()).collect();
        exchange(gateway, new.iter_mut());
    }
}

#[test]
fn service_gets_as_many_connections_as_requests_at_a_time_and_one_for_each_thread() {
    let service = Service::start();
    call(&in_front_of(&service.url));
    let most = service.most.load(Ordering::Relaxed);
    assert!((REQUESTS..=REQUESTS + THREADS).contains(&most), "{most}");
}

#[test]
fn service_over_h2c_gets_no_more_connections_than_there_are_threads() {
    let service = H2Service::start(|mut call: Call| async move { call.reply(200, "") });
    call(&in_front_of(&service.url));
    // None of them ended.
    assert!(
        (1..=THREADS).contains(&service.connections()),
        "{}",
        service.connections()
    );
}
