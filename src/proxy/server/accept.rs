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
use super::spread::{LoadGuard, Spread};
use super::{Entry, Server};
use crate::proxy::connection_limit::ConnectionGuard;

/// How long to wait when no connection can be accepted, as without file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// The servers of one thread, one for each listener.
#[derive(Debug)]
pub struct ThreadServer {
    thread: usize,
    servers: Vec<Arc<Server>>,
    spread: Arc<Spread>,
    /// Where each thread receives the connections that others accepted for it.
    inboxes: Arc<[UnboundedSender<Arrival>]>,
    inbox: UnboundedReceiver<Arrival>,
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
    /// Prepares the threads, each with its own servers: one for each listener, in their order.
    pub fn of_threads(servers: Vec<Vec<Server>>) -> Vec<Self> {
        let spread = Arc::new(Spread::new(servers.len()));
        let (inboxes, received): (Vec<_>, Vec<_>) = servers.iter().map(|_| unbounded_channel()).unzip();
        let inboxes: Arc<[_]> = inboxes.into();
        let threads = servers.into_iter().zip(received).enumerate();
        threads
            .map(|(thread, (servers, inbox))| Self {
                thread,
                servers: servers.into_iter().map(Arc::new).collect(),
                spread: Arc::clone(&spread),
                inboxes: Arc::clone(&inboxes),
                inbox,
            })
            .collect()
    }

    /// Serves connections on this thread. It accepts them until `stop` is true, and then those that still wait. Ends
    /// only if a socket fails. `accepting` is dropped when it accepts no more.
    pub async fn run(
        mut self,
        sockets: Vec<Arc<ListeningSocket>>,
        mut stop: ShutdownWatch,
        accepting: Sender<Infallible>,
    ) -> io::Result<Infallible> {
        // Each request looks whether the process ends. So each thread has its own word for that.
        let (own_stop, stopping) = watch::channel(false);
        let mut inbox = std::mem::replace(&mut self.inbox, unbounded_channel().1);
        let accept = async {
            let all = sockets.into_iter().enumerate();
            let accepted = join_all(all.map(|(listener, socket)| self.accept(listener, socket, &stopping))).await;
            drop(accepting);
            accepted.into_iter().collect::<io::Result<()>>()
        };
        let receive = async {
            while let Some(arrival) = inbox.recv().await {
                if let Ok(socket) = arrival.socket.attach() {
                    self.begin(arrival.listener, socket, arrival.held, &stopping);
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

    /// Accepts the connections of a listener.
    async fn accept(&self, listener: usize, socket: Arc<ListeningSocket>, stopping: &ShutdownWatch) -> io::Result<()> {
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
                    let _ = timeout(PAUSE, &mut stop).await;
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

    /// Chooses the thread for a connection, if the listener has room for it.
    fn place(&self, listener: usize, socket: ClientSocket, stopping: &ShutdownWatch) {
        let Some(server) = self.servers.get(listener) else {
            return;
        };
        match server.enter(socket.peer()) {
            Entry::Open(open) => {
                let load = self.spread.place(self.thread);
                if load.thread() == self.thread {
                    return self.begin(listener, socket, (open, load), stopping);
                }
                let to = self.inboxes.get(load.thread());
                if let (Some(to), Ok(socket)) = (to, socket.detach()) {
                    // A thread that receives nothing has ended, and the process with it.
                    let _ = to.send(Arrival {
                        listener,
                        socket,
                        held: (open, load),
                    });
                }
            }
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

/// Returns whether an error is one of the connection, and not of the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
