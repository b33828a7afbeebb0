//! The CAs of the system, read once, when something needs them for the first time.

use std::path::Path;
use std::sync::OnceLock;

use crate::document::tls_material::CaBundle;
use crate::read_file::{MAX_PEM_BYTES, read_file};

/// The CAs of the system that can be used. Where there are none, the next call reads them again.
pub fn authorities() -> CaBundle {
    static FOUND: OnceLock<CaBundle> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return found.clone();
    }
    // The library would wait for a pipe.
    if let Err(error) = check_named() {
        tracing::warn!("{error}");
        return CaBundle::usable([]);
    }
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "CAs of the system cannot be read");
    }
    let usable = CaBundle::usable(found.certs);
    if usable.is_empty() {
        tracing::warn!("the system has no CAs: no server without `ca_file` can be reached over https");
        return usable;
    }
    FOUND.get_or_init(|| usable).clone()
}

/// Checks that the CAs of the system which variables name exist: the operator means it, so a
/// file that is missing is reported at once, not when something needs it.
pub fn check_named() -> Result<(), String> {
    let unreadable = |path: &Path, variable: &str, error: &std::io::Error| {
        format!("`{}` of `{variable}` cannot be read: {error}", path.display())
    };
    if let Some(path) = std::env::var_os("SSL_CERT_FILE") {
        let path = Path::new(&path);
        read_file(path, MAX_PEM_BYTES).map_err(|error| unreadable(path, "SSL_CERT_FILE", &error))?;
    }
    let folders = std::env::var_os("SSL_CERT_DIR").unwrap_or_default();
    for path in std::env::split_paths(&folders).filter(|path| !path.as_os_str().is_empty()) {
        path.read_dir()
            .map_err(|error| unreadable(&path, "SSL_CERT_DIR", &error))?;
    }
    Ok(())
}
