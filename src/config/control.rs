//! Where the control socket is, as the file, flags and the environment say.

use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::address::{ListenAddress, or_report, reserve};
use crate::document::collections::OffOr;
use crate::document::decode::Spanned;
use crate::document::problem::{Fault, ProblemCode, Problems};

/// Where tokens are revoked on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ControlSocket {
    /// Nowhere.
    Off,
    /// On a socket at this path.
    At(PathBuf),
    /// Where `sidegate revoke` looks by default.
    #[default]
    Default,
}

impl ControlSocket {
    /// `off`, or a path; a relative one begins at `base`.
    pub fn written(text: &str, base: &Path) -> Result<Self, Fault> {
        if text == "off" {
            return Ok(Self::Off);
        }
        if text.starts_with("unix:") {
            let message = format!("`{text}` is not a path");
            let help = format!("leave out `unix:`, and write `{}`", text.trim_start_matches("unix:"));
            return Err(Fault::new(ProblemCode::InvalidAddress, message, help));
        }
        let path = base.join(text);
        // The system has room for about 100 bytes.
        if SocketAddr::from_pathname(&path).is_ok() {
            return Ok(Self::At(path));
        }
        let message = format!("`{}` is too long for the path of a socket", path.display());
        let help = "write a path of at most 100 bytes, such as `/run/sidegate/control.sock`";
        Err(Fault::new(ProblemCode::InvalidAddress, message, help))
    }
}

/// The socket of a file, which no listener may have.
pub(super) fn check(
    written: OffOr<Spanned<String>>,
    base: &Path,
    taken: &mut Vec<ListenAddress>,
    problems: &mut Problems,
) -> ControlSocket {
    let OffOr::On(text) = written else {
        return ControlSocket::Off;
    };
    let control = or_report(ControlSocket::written(&text.value, base), &text, problems).unwrap_or_default();
    if let ControlSocket::At(path) = &control {
        reserve(Some(&ListenAddress::Unix(path.clone())), &text, taken, problems);
    }
    control
}
