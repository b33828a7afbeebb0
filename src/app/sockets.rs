//! Opens the sockets that a process listens on.

use std::fmt;
use std::fs::{Permissions, set_permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::start_error::StartError;
use crate::config::{ListenAddress, ServerConfig};
use crate::control::place::Place;
use crate::control::socket::Socket;
use crate::proxy::server::socket::ListeningSocket;

/// The sockets that a process listens on, opened before anything else is done.
#[derive(Debug)]
pub struct Sockets {
    /// Where clients connect.
    pub(super) clients: Vec<ListeningSocket>,
    /// Where operators connect.
    pub(super) operators: Option<TcpListener>,
    /// Where tokens are revoked.
    pub(super) control: Option<Socket>,
    /// The addresses of the listeners, with the ports that were found where 0 was asked for.
    pub listeners: Vec<ListenAddress>,
    /// Address of the admin listener (metrics and health).
    pub admin: SocketAddr,
}

impl Sockets {
    /// Opens all sockets, so that an address in use is reported at once.
    pub fn open(config: &ServerConfig) -> Result<Self, StartError> {
        let opened: Result<Vec<_>, _> = config
            .listeners
            .iter()
            .map(|listener| open(&listener.address))
            .collect();
        let (operators, admin) = open_tcp(config.admin)?;
        let (clients, listeners) = opened?.into_iter().unzip();
        Ok(Self {
            clients,
            operators: Some(operators),
            control: open_control(config)?,
            listeners,
            admin,
        })
    }
}

fn open(address: &ListenAddress) -> Result<(ListeningSocket, ListenAddress), StartError> {
    let (socket, bound) = match address {
        ListenAddress::Tcp(address) => {
            let (socket, bound) = open_tcp(*address)?;
            (ListeningSocket::Tcp(socket), ListenAddress::Tcp(bound))
        }
        ListenAddress::Unix(path) => (ListeningSocket::Unix(open_unix(path)?), address.clone()),
    };
    socket.prepare().map_err(|error| cannot_listen(&bound, &error))?;
    Ok((socket, bound))
}

fn cannot_listen(address: &dyn fmt::Display, error: &io::Error) -> StartError {
    StartError(format!("cannot listen on `{address}`: {error}"))
}

fn open_tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let opened = TcpListener::bind(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        let bound = socket.local_addr()?;
        Ok((socket, bound))
    });
    opened.map_err(|error| cannot_listen(&address, &error))
}

/// Binds a unix socket, which any local user may connect to. Replaces one on which no process listens any more.
fn open_unix(path: &Path) -> Result<UnixListener, StartError> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(refused) {
        let _ = std::fs::remove_file(path);
    }
    let opened = UnixListener::bind(path).and_then(|socket| {
        set_permissions(path, Permissions::from_mode(0o666))?;
        Ok(socket)
    });
    opened.map_err(|error| cannot_listen(&path.display(), &error))
}

/// Opens the control socket. A default one that cannot be created is only a warning: the file system may be
/// read-only.
fn open_control(config: &ServerConfig) -> Result<Option<Socket>, StartError> {
    let Some(place) = Place::of(&config.control, config.admin) else {
        return Ok(None);
    };
    match (Socket::open(&place), &place) {
        (Ok(socket), _) => Ok(Some(socket)),
        (Err(error), Place::Configured(_)) => Err(cannot_listen(&place, &error)),
        (Err(error), Place::Default(path)) => {
            let path = path.display();
            tracing::warn!(%path, %error, "no control socket: `control` in sidegate.yaml can name another place, or `off`");
            Ok(None)
        }
    }
}
