//! A rolling restart under load, as a Deployment does it: a new instance, then the end of an old
//! one. No request that was sent is cut.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use parking_lot::Mutex;

use crate::harness::{Gateway, Latch, Request, SetOnDrop, Setup, Wire, also_on_4_threads, eventually};

const POLICY: &str = "
$wallet
prefix: /w
routes: [{ path: /open/*, auth: public }]
";

/// The callers at the same time.
const CALLERS: usize = 6;

fn instance() -> Gateway {
    Setup::new().policy("wallet", POLICY).start()
}

/// Where an instance listens.
#[derive(Clone, PartialEq)]
enum Endpoint {
    Port(u16),
    Socket(PathBuf),
}

/// What callers know of the instances, and what became of their requests.
#[derive(Default)]
struct Load {
    /// What takes new connections.
    endpoints: Mutex<Vec<Endpoint>>,
    over: AtomicBool,
    answered: AtomicUsize,
    cut: AtomicUsize,
}

impl Load {
    /// Calls for as long as the load lasts, over connections that are kept as long as they may be.
    fn call(&self, caller: usize) {
        let mut connection: Option<Wire> = None;
        let mut turn = caller;
        while !self.over.load(Ordering::Relaxed) {
            let Some(mut wire) = connection.take().or_else(|| self.connect(turn)) else {
                turn += 1;
                continue;
            };
            let sent = wire.try_write(&Request::get("/w/open/x").bytes());
            match sent.and_then(|()| wire.answer("GET")) {
                Ok(answer) => {
                    assert_eq!(answer.status, 200, "{answer:?}");
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    connection = Some(wire).filter(|_| answer.keeps_alive());
                }
                Err(_) => drop(self.cut.fetch_add(1, Ordering::Relaxed)),
            }
            turn += 1;
        }
    }

    /// A connection to one of the instances; none if it has just stopped to listen.
    fn connect(&self, turn: usize) -> Option<Wire> {
        let endpoints = self.endpoints.lock().clone();
        match &endpoints[turn % endpoints.len()] {
            Endpoint::Port(port) => Wire::try_connect(*port),
            Endpoint::Socket(path) => Wire::try_unix(path),
        }
    }

    fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("the load goes on", || {
            self.answered.load(Ordering::Relaxed) > before + 20 * CALLERS
        });
    }
}

also_on_4_threads![
    no_request_is_cut,
    no_request_is_cut_when_a_successor_takes_a_unix_socket_over,
    successor_on_a_unix_socket_keeps_it_when_its_predecessor_ends,
];

/// Calls instances while they are replaced. No request is cut.
fn assert_none_is_cut(endpoints: Vec<Endpoint>, replace: impl FnOnce(&Load)) {
    let load = Load {
        endpoints: Mutex::new(endpoints),
        ..Load::default()
    };
    thread::scope(|scope| {
        let load = &load;
        let _end = SetOnDrop(&load.over);
        for caller in 0..CALLERS {
            scope.spawn(move || load.call(caller));
        }
        replace(load);
    });
    let (answered, cut) = (load.answered.into_inner(), load.cut.into_inner());
    assert!(answered > 500, "{answered}");
    assert_eq!(cut, 0, "of {answered}");
}

#[test]
fn no_request_is_cut() {
    let mut instances = vec![instance(), instance()];
    let endpoint = |instance: &Gateway| Endpoint::Port(instance.port);
    assert_none_is_cut(instances.iter().map(endpoint).collect(), |load| {
        for _ in 0..4 {
            load.goes_on();
            let new = instance();
            load.endpoints.lock().push(endpoint(&new));
            instances.push(new);
            load.goes_on();
            let old = instances.remove(0);
            old.terminate();
            eventually("it is no longer ready", || old.probe("/readyz") != Some(200));
            load.endpoints.lock().retain(|each| *each != endpoint(&old));
            assert!(old.ended().success());
        }
    });
}

#[test]
fn no_request_is_cut_when_a_successor_takes_a_unix_socket_over() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("clients.sock");
    let address = format!("unix:{}", socket.display());
    let instance = || {
        let setup = Setup::new().listener(&address);
        setup.policy("wallet", POLICY).start()
    };
    let mut old = instance();
    assert_none_is_cut(vec![Endpoint::Socket(socket.clone())], |load| {
        for _ in 0..4 {
            load.goes_on();
            old.terminate();
            eventually("the socket is free", || !socket.exists());
            let new = instance();
            load.goes_on();
            assert!(old.ended().success());
            old = new;
        }
    });
}

#[test]
fn successor_on_a_unix_socket_keeps_it_when_its_predecessor_ends() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("clients.sock");
    let address = format!("unix:{}", socket.display());
    let (latch, upstream) = Latch::before(200, "whole");
    let start = || {
        Setup::in_front_of(upstream.clone())
            .listener(&address)
            .policy("wallet", POLICY)
            .start()
    };
    let get = || Request::get("/w/open/x");
    let old = start();
    let mut in_hand = Wire::unix(&socket);
    in_hand.write(get().bytes());
    eventually("the service has it", || upstream.all().len() == 1);
    old.terminate();
    eventually("the socket is free", || !socket.exists());
    let new = start();
    latch.open();
    assert_eq!(in_hand.answer("GET").unwrap().text(), "whole");
    assert!(old.ended().success());
    assert_eq!(Wire::unix(&socket).exchange(&get()).status, 200);
    new.terminate();
    assert!(new.ended().success() && !socket.exists());
}
