//! The socket in the file system: from its first moment on for its owner alone.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::place::Place;

/// An open control socket, before the server accepts connections.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a socket; removed with this value.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have put its own there since.
    identity: (u64, u64),
}

impl Socket {
    /// Opens a socket. What an earlier process left over is replaced; anything else is not.
    pub fn open(place: &Place) -> io::Result<Self> {
        place.prepare()?;
        let path = place.path();
        check_free(path)?;
        let private = PrivateFolder::beside(path)?;
        let staged = private.0.join("s");
        if SocketAddr::from_pathname(&staged).is_err() || SocketAddr::from_pathname(path).is_err() {
            return Err(io::Error::other("the path is too long for a socket"));
        }
        let listener = UnixListener::bind(&staged)?;
        fs::set_permissions(&staged, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let identity = identity(&staged)?;
        fs::rename(&staged, path)?;
        let path = path.to_owned();
        let file = SocketFile { path, identity };
        Ok(Self { listener, file })
    }
}

impl SocketFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Rejects a path that has anything but a socket on which no process listens.
fn check_free(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something else than a socket",
        ));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
    }
}

/// A private directory, for the time until only the owner may use the socket.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn beside(path: &Path) -> io::Result<Self> {
        let mut name = Uuid::new_v4().simple().to_string();
        // Short, for the path of a socket has little room.
        name.truncate(8);
        let folder = path.with_file_name(format!(".{name}"));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0.join("s"));
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_private_and_gone_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Configured(folder.path().join("s.sock"));
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let socket = Socket::open(&place).unwrap();
        assert_eq!(fs::metadata(place.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(), 1, "nothing else is left");
        let taken = Socket::open(&place).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert_eq!(names(), 0);
        // A socket without a listener is replaced, and its earlier owner does not remove the new one.
        drop(UnixListener::bind(place.path()).unwrap());
        let left_over = Socket::open(&place).unwrap();
        fs::remove_file(place.path()).unwrap();
        let socket = Socket::open(&place).unwrap();
        drop(left_over);
        UnixStream::connect(socket.file.path()).unwrap();
        drop(socket);
        fs::write(place.path(), "precious").unwrap();
        assert!(Socket::open(&place).is_err());
        assert_eq!(fs::read(place.path()).unwrap(), b"precious");
    }

    #[test]
    fn a_path_that_is_too_long_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Configured(folder.path().join("s".repeat(120)));
        let error = Socket::open(&place).unwrap_err();
        assert_eq!(error.to_string(), "the path is too long for a socket");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
