//! Accepts connections. Each serving thread accepts from all listeners, and keeps the connection or hands it to a thread
//! that has fewer.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pingora::server::ShutdownWatch;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

use super::listener::NO_BUFFER;
use super::socket::{ClientSocket, DetachedSocket, ListeningSocket};
use super::spread::{LoadGuard, Spread, Weight};
use super::{Entry, Server};
use crate::proxy::connection_limit::ConnectionGuard;

/// How long to wait for the first bytes of a client, which tell its protocol.
const GLANCE: Duration = Duration::from_millis(100);

/// How long to wait when no connection can be accepted, as without file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves connections on one thread.
#[derive(Debug)]
pub struct ThreadServer {
    desk: Arc<Desk>,
    /// The connections that other threads accepted for this one.
    inbox: UnboundedReceiver<Arrival>,
}

/// What places the connections that one thread accepts.
#[derive(Debug)]
struct Desk {
    thread: usize,
    /// One for each listener.
    servers: Vec<Arc<Server>>,
    spread: Arc<Spread>,
    /// Where each thread receives the connections that others accepted for it.
    inboxes: Arc<[UnboundedSender<Arrival>]>,
}

/// A connection on its way to the thread that serves it.
#[derive(Debug)]
struct Arrival {
    listener: usize,
    socket: DetachedSocket,
    held: Held,
}

/// What a connection holds while it is open.
type Held = (ConnectionGuard, LoadGuard);

impl ThreadServer {
    /// Prepares the threads, each with its own servers: one for each listener, in their order. A machine has so many
    /// processors for them.
    pub fn of_threads(servers: Vec<Vec<Server>>, processors: usize) -> Vec<Self> {
        let spread = Arc::new(Spread::new(servers.len(), processors));
        let (inboxes, received): (Vec<_>, Vec<_>) = servers.iter().map(|_| unbounded_channel()).unzip();
        let inboxes: Arc<[_]> = inboxes.into();
        let threads = servers.into_iter().zip(received).enumerate();
        threads
            .map(|(thread, (servers, inbox))| {
                let desk = Desk {
                    thread,
                    servers: servers.into_iter().map(Arc::new).collect(),
                    spread: Arc::clone(&spread),
                    inboxes: Arc::clone(&inboxes),
                };
                let desk = Arc::new(desk);
                Self { desk, inbox }
            })
            .collect()
    }

    /// Serves connections on this thread. It accepts them until `stop` is true, and then those that still wait. Ends
    /// only if a socket fails. `accepting` is dropped when it accepts no more.
    pub async fn run(
        self,
        sockets: Vec<Arc<ListeningSocket>>,
        mut stop: ShutdownWatch,
        accepting: Sender<Infallible>,
    ) -> io::Result<Infallible> {
        let Self { desk, mut inbox } = self;
        // Each request looks whether the process ends. So each thread has its own word for that.
        let (own_stop, stopping) = watch::channel(false);
        let accept = async {
            let all = sockets.into_iter().enumerate();
            let accepted = join_all(all.map(|(listener, socket)| desk.accept(listener, socket, &stopping))).await;
            drop(accepting);
            accepted.into_iter().collect::<io::Result<()>>()
        };
        let receive = async {
            while let Some(arrival) = inbox.recv().await {
                if let Ok(socket) = arrival.socket.attach() {
                    desk.begin(arrival.listener, socket, arrival.held, &stopping);
                }
            }
            Err::<Infallible, _>(io::Error::other("the other threads are gone"))
        };
        let pass_on = async {
            // Without a sender, the process ends as well.
            let _ = stop.wait_for(|stop| *stop).await;
            own_stop.send_replace(true);
            Ok(())
        };
        tokio::try_join!(accept, pass_on, receive).map(|((), (), never)| never)
    }
}

impl Desk {
    /// Accepts the connections of a listener.
    async fn accept(
        self: &Arc<Self>,
        listener: usize,
        socket: Arc<ListeningSocket>,
        stopping: &ShutdownWatch,
    ) -> io::Result<()> {
        let mut stop = stopping.clone();
        let mut stop = pin!(stop.wait_for(|stop| *stop));
        let of_thread = socket.on_this_thread()?;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = &mut stop => break,
                accepted = of_thread.accept() => accepted,
            };
            match accepted {
                Ok(socket) => self.place(listener, socket, stopping),
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    let listener = self
                        .servers
                        .get(listener)
                        .map(|server| server.listener.slots.listener());
                    tracing::error!(listener, %error, "no connection can be accepted");
                    if timeout(PAUSE, &mut stop).await.is_ok() {
                        break;
                    }
                }
            }
        }
        // Those that wait have connected before the end.
        loop {
            match socket.accept().and_then(DetachedSocket::attach) {
                Ok(socket) => self.place(listener, socket, stopping),
                Err(error) if is_of_connection(&error) => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// Finds a thread for a connection, if the listener has room for it.
    fn place(self: &Arc<Self>, listener: usize, socket: ClientSocket, stopping: &ShutdownWatch) {
        let Some(server) = self.servers.get(listener) else {
            return;
        };
        match server.enter(socket.peer()) {
            Entry::Open(open) => match server.listener.weight(&socket) {
                None if !self.spread.is_single() => {
                    tokio::spawn(Arc::clone(self).place_by_protocol(listener, socket, open, stopping.clone()));
                }
                weight => self.place_on_thread(listener, socket, (open, weight.unwrap_or(Weight::Light)), stopping),
            },
            Entry::Overloaded => {
                let server = Arc::clone(server);
                tokio::spawn(async move {
                    if let Ok(stream) = socket.into_stream(NO_BUFFER) {
                        server.respond_overloaded(stream).await;
                    }
                });
            }
            Entry::Closed => {}
        }
    }

    /// Looks which protocol the client speaks, if it does so soon.
    async fn place_by_protocol(
        self: Arc<Self>,
        listener: usize,
        socket: ClientSocket,
        open: ConnectionGuard,
        stopping: ShutdownWatch,
    ) {
        let is_http2 = timeout(GLANCE, socket.begins_with_preface()).await;
        let weight = match is_http2 {
            Ok(true) => Weight::Heavy,
            Ok(false) | Err(_) => Weight::Light,
        };
        self.place_on_thread(listener, socket, (open, weight), &stopping);
    }

    /// Serves a connection on this thread, or hands it to another one.
    fn place_on_thread(
        &self,
        listener: usize,
        socket: ClientSocket,
        (open, weight): (ConnectionGuard, Weight),
        stopping: &ShutdownWatch,
    ) {
        let load = self.spread.place(self.thread, weight);
        if load.thread() == self.thread {
            return self.begin(listener, socket, (open, load), stopping);
        }
        let to = self.inboxes.get(load.thread());
        if let (Some(to), Ok(socket)) = (to, socket.detach()) {
            let held = (open, load);
            // A thread that receives nothing has ended, and the process with it.
            let _ = to.send(Arrival { listener, socket, held });
        }
    }

    /// Serves a connection on this thread.
    fn begin(&self, listener: usize, socket: ClientSocket, held: Held, stopping: &ShutdownWatch) {
        let Some(server) = self.servers.get(listener) else {
            return;
        };
        match socket.into_stream(server.listener.read_buffer()) {
            Ok(stream) => {
                tokio::spawn(Arc::clone(server).serve_connection(stream, stopping.clone(), held));
            }
            Err(error) => tracing::debug!(%error, "the client is gone"),
        }
    }
}

/// Returns whether an error is one of the connection, and the next one can be accepted: the client is gone, a filter
/// forbids it, or the network failed meanwhile (accept(2)).
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
        PermissionDenied,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn lack_of_descriptors_is_an_error_of_the_listener() {
        for (errno, want) in [
            (Errno::CONNABORTED, true),
            (Errno::INTR, true),
            (Errno::PERM, true),
            (Errno::NETDOWN, true),
            (Errno::HOSTUNREACH, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOMEM, false),
            (Errno::AGAIN, false),
            (Errno::INVAL, false),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(is_of_connection(&error), want, "{error}");
        }
    }
}
