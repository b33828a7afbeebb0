//! Where the control socket is.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::config::ControlSocket;

/// The path of a control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The configured path.
    Configured(PathBuf),
    /// The default path, in a private directory.
    Default(PathBuf),
}

impl Place {
    /// The place that is configured, for a process with this admin address. None where there is to
    /// be no socket, or where the port says nothing.
    pub fn of(configured: &ControlSocket, admin: SocketAddr) -> Option<Self> {
        match configured {
            ControlSocket::Off => None,
            ControlSocket::At(path) => Some(Self::Configured(path.clone())),
            ControlSocket::Default if admin.port() == 0 => None,
            ControlSocket::Default => {
                let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
                let uid = geteuid().as_raw();
                let folder = default_folder(runtime, &std::env::temp_dir(), uid);
                Some(Self::Default(folder.join(file_name(admin))))
            }
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Configured(path) | Self::Default(path) => path,
        }
    }

    /// Makes the folder of a default place, if it is not there.
    pub(super) fn prepare(&self) -> io::Result<()> {
        if let Self::Default(path) = self
            && let Some(folder) = path.parent()
        {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        self.check()
    }

    /// Rejects the directory of the default path if another user could have written to it.
    pub(super) fn check(&self) -> io::Result<()> {
        match self {
            Self::Default(path) => path.parent().map_or(Ok(()), check_private),
            Self::Configured(_) => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

fn default_folder(runtime: Option<PathBuf>, temporary: &Path, uid: u32) -> PathBuf {
    match runtime {
        Some(runtime) if runtime.is_absolute() => runtime.join("sidegate"),
        _ => temporary.join(format!("sidegate-{uid}")),
    }
}

/// No two processes on a machine listen on one admin address.
fn file_name(admin: SocketAddr) -> String {
    format!("{}-{}.sock", admin.ip(), admin.port())
}

fn check_private(folder: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    let is_ours = found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0;
    match is_ours {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("`{}` is not a folder that only this user writes to", folder.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_default_place_follows_from_the_admin_address() {
        let of = |admin: &str| Place::of(&ControlSocket::Default, admin.parse().unwrap());
        assert_eq!(of("127.0.0.1:0"), None);
        assert_ne!(of("127.0.0.1:9090"), of("127.0.0.1:9091"));
        assert_ne!(of("127.0.0.1:9090"), of("127.0.0.2:9090"));
        assert_eq!(file_name("[::1]:9090".parse().unwrap()), "::1-9090.sock");
        for (runtime, folder) in [
            (None, "/tmp/sidegate-7"),
            (Some(""), "/tmp/sidegate-7"),
            (Some("run"), "/tmp/sidegate-7"),
            (Some("/run/user/7"), "/run/user/7/sidegate"),
        ] {
            let found = default_folder(runtime.map(PathBuf::from), Path::new("/tmp"), 7);
            assert_eq!(found, Path::new(folder));
        }
    }

    #[test]
    fn a_folder_that_others_could_write_to_is_not_used() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("sidegate-7");
        let place = Place::Default(folder.join("s"));
        let mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        assert!(place.check().is_err(), "it is not there");
        place.prepare().unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        place.prepare().unwrap();
        for (bits, fine) in [(0o755, true), (0o770, false), (0o777, false), (0o1777, false)] {
            mode(bits);
            assert_eq!(place.prepare().is_ok(), fine, "{bits:o}");
        }
        mode(0o700);
        fs::rename(&folder, temporary.path().join("other")).unwrap();
        symlink(temporary.path().join("other"), &folder).unwrap();
        let error = place.prepare().unwrap_err().to_string();
        assert!(error.contains("sidegate-7"), "{error}");
        fs::remove_file(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        assert!(place.prepare().is_err(), "a file");
    }
}
