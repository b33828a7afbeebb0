//! A network that can be broken: a TCP proxy in front of a server, with faults to choose from.

use std::{io, time::Duration};

use tokio::{
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use super::runtime;

/// What is wrong with the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Nothing,
    /// Every packet takes so long, in each direction.
    Slow(Duration),
    /// Packets are lost without a word, and come once there is a network again.
    Silent,
    /// What the server answers is lost.
    Mute,
    /// Connections are closed as soon as they are open.
    Refusing,
}

/// How open connections end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

/// A proxy that stops with its value.
pub(crate) struct Toxic {
    pub(crate) port: u16,
    fault: watch::Sender<Fault>,
    /// How often connections were ended, and how the last time.
    ended: watch::Sender<(usize, End)>,
    task: tokio::task::AbortHandle,
}

impl Toxic {
    /// In front of a server on this machine.
    pub(crate) fn before(port: u16) -> Self {
        let listener = runtime().block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let (fault, ended) = (watch::Sender::new(Fault::Nothing), watch::Sender::new((0, End::Close)));
        let toxic = (fault.clone(), ended.clone());
        Self {
            port: listener.local_addr().unwrap().port(),
            task: runtime().spawn(accept(listener, port, toxic)).abort_handle(),
            fault,
            ended,
        }
    }

    /// From now on this is wrong.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Ends all connections, as a server does that ends.
    pub(crate) fn cut(&self) {
        self.ended
            .send_modify(|(times, end)| (*times, *end) = (*times + 1, End::Close));
    }

    /// Ends all connections, as a server does that knows nothing of them.
    pub(crate) fn reset(&self) {
        self.ended
            .send_modify(|(times, end)| (*times, *end) = (*times + 1, End::Reset));
    }
}

impl Drop for Toxic {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

type Poison = (watch::Sender<Fault>, watch::Sender<(usize, End)>);

async fn accept(listener: TcpListener, port: u16, poison: Poison) {
    while let Ok((client, _)) = listener.accept().await {
        if *poison.0.borrow() == Fault::Refusing {
            continue;
        }
        let (fault, ended) = (poison.0.subscribe(), poison.1.subscribe());
        tokio::spawn(async move {
            _ = relay(client, port, fault, ended).await;
        });
    }
}

async fn relay(
    client: TcpStream,
    port: u16,
    fault: watch::Receiver<Fault>,
    mut ended: watch::Receiver<(usize, End)>,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = pump(&from_client, &to_server, fault.clone(), false) => {}
        _ = pump(&from_server, &to_client, fault, true) => {}
        _ = ended.changed() => {
            if ended.borrow().1 == End::Reset {
                let client = from_client.reunite(to_client).map_err(io::Error::other)?;
                client.set_zero_linger()?;
            }
        }
    }
    Ok(())
}

async fn pump(
    from: &OwnedReadHalf,
    to: &OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    of_server: bool,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        from.readable().await?;
        let read = match from.try_read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let now = *fault.borrow_and_update();
        if let Fault::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        _ = fault.wait_for(|fault| *fault != Fault::Silent).await;
        if of_server && now == Fault::Mute {
            continue;
        }
        let mut left = &bytes[..read];
        while !left.is_empty() {
            to.writable().await?;
            match to.try_write(left) {
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
