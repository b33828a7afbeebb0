//! TLS listeners: their certificates, and client certificates that are asked for while the route
//! decides whether one is needed. What is in force is replaced as a whole, or not at all.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::Mutex;
use pingora::listeners::tls::{Acceptor, TlsSettings};
use pingora::protocols::ALPN;

use crate::config::{ServerConfig, TlsFiles};
use crate::document::problem::Problem;
use crate::telemetry::metrics::{CertificateEnds, Metrics};
use crate::watch_files::FileWatch;

mod ends;
mod files;
mod names;
mod peer;

pub use files::TlsProblems;
pub use peer::{PeerCertificate, client_certificate};

use files::Material;
use peer::{Authorities, Handshake};

/// What is wrong with the files of all listeners.
pub fn problems(config: &ServerConfig) -> Vec<Problem> {
    let files = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let found = files.filter_map(|files| TlsListener::open(files).err());
    found.flat_map(|problems| problems.0).collect()
}

/// A TLS listener, with what its next handshake uses.
pub struct TlsListener {
    files: TlsFiles,
    /// New with every change, and its session cache with it: no session outlives what it was
    /// established with.
    acceptor: ArcSwap<Acceptor>,
    authorities: Option<Arc<Authorities>>,
    ends: Mutex<CertificateEnds>,
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("files", &self.files)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

impl TlsListener {
    /// Reads the files of a listener.
    pub fn open(files: &TlsFiles) -> Result<Self, TlsProblems> {
        let material = files::read(files, Timestamp::now().as_second())?;
        let authorities = material.verifier.clone().map(Authorities::new);
        Ok(Self {
            files: files.clone(),
            ends: Mutex::new(material.ends),
            acceptor: ArcSwap::from_pointee(
                acceptor(material, authorities.clone()).map_err(|error| TlsProblems::of(files, &error))?,
            ),
            authorities,
        })
    }

    /// What makes the next handshake.
    pub fn acceptor(&self) -> Arc<Acceptor> {
        self.acceptor.load_full()
    }

    /// When what is in force comes to its end.
    pub fn ends(&self) -> CertificateEnds {
        *self.ends.lock()
    }

    /// Reads the files again. With a problem, what is in force stays.
    fn reload(&self) -> Result<(), TlsProblems> {
        let material = files::read(&self.files, Timestamp::now().as_second())?;
        let (ends, verifier) = (material.ends, material.verifier.clone());
        let acceptor =
            acceptor(material, self.authorities.clone()).map_err(|error| TlsProblems::of(&self.files, &error))?;
        // First who vouches: a handshake that is under way ends with a look at that.
        if let (Some(authorities), Some(verifier)) = (&self.authorities, &verifier) {
            authorities.replace(verifier);
        }
        self.acceptor.store(Arc::new(acceptor));
        *self.ends.lock() = ends;
        Ok(())
    }

    /// Reads the files again whenever that is due, for as long as it runs.
    pub async fn keep_current(self: Arc<Self>, name: String, mut watch: FileWatch, metrics: Metrics) {
        loop {
            watch.changed().await;
            let listener = Arc::clone(&self);
            let Ok(result) = tokio::task::spawn_blocking(move || listener.reload()).await else {
                continue;
            };
            let success = result.is_ok();
            match result {
                Ok(()) => {
                    metrics.certificates_end(&name, self.ends());
                    tracing::info!(listener = name, "the certificates were read again");
                }
                Err(problems) => {
                    tracing::error!(listener = name, %problems, "the certificates are wrong; those in force stay");
                }
            }
            // An operator who sees the number finds the line.
            metrics.certificates_read(&name, success);
        }
    }
}

fn acceptor(material: Material, authorities: Option<Arc<Authorities>>) -> pingora::Result<Acceptor> {
    let mut settings = TlsSettings::with_callbacks(Box::new(Handshake { authorities }))?;
    settings.set_cert_resolver(Arc::new(material.certificates));
    if let Some(verifier) = material.verifier {
        settings.set_client_cert_verifier(verifier);
    }
    settings.set_alpn(ALPN::H2H1);
    Ok(settings.build())
}
