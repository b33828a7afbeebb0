//! A bare pass-through of pingora, which Sidegate is compared to: threads without work stealing,
//! connections kept alive on both sides, no compression, and the allocator of the program.
//!
//! ```text
//! passthrough LISTEN UPSTREAM THREADS [h2c] [grpc] [https] [tls CERTIFICATE KEY [CLIENT_CA]]
//! ```
//!
//! UPSTREAM is an address, or `unix:` and a path. `h2c` takes HTTP/2 in clear text, `grpc` speaks it to the
//! service as well. `https` connects to the service with TLS, as `localhost`, and trusts the CAs in the file
//! that `SSL_CERT_FILE` names.

#![expect(clippy::unwrap_used, reason = "it cannot do without any of its arguments")]

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::modules::http::HttpModules;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Passthrough(HttpPeer);

#[async_trait]
impl ProxyHttp for Passthrough {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap();
    let upstream = arguments.next().unwrap();
    let threads = arguments.next().unwrap().parse().unwrap();
    let flags: Vec<_> = arguments.collect();
    let flag = |name: &str| flags.iter().any(|flag| flag == name);

    let (https, name) = if flag("https") {
        (true, "localhost")
    } else {
        (false, "")
    };
    let mut peer = match upstream.strip_prefix("unix:") {
        Some(path) => HttpPeer::new_uds(path, https, name.to_owned()).unwrap(),
        None => HttpPeer::new(upstream, https, name.to_owned()),
    };
    if flag("grpc") {
        peer.options.set_http_version(2, 2);
        peer.options.max_h2_streams = 100;
    }
    let conf = ServerConf {
        threads,
        work_stealing: false,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Passthrough(peer));
    if flag("h2c") || flag("grpc") {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        service.app_logic_mut().unwrap().server_options = Some(options);
    }
    match flags.iter().position(|flag| flag == "tls") {
        Some(at) => service.add_tls_with_settings(&listen, None, tls(flags.get(at + 1..).unwrap())),
        None => service.add_tcp(&listen),
    }
    server.add_service(service);
    server.run_forever();
}

/// Certificate and key, and the CA of clients if they need a certificate.
fn tls(files: &[String]) -> TlsSettings {
    let [certificate, key, client_ca @ ..] = files else {
        unimplemented!("tls needs a certificate and a key");
    };
    let mut settings = TlsSettings::intermediate(certificate, key).unwrap();
    settings.enable_h2();
    if let [file, ..] = client_ca {
        // The one that pingora takes too, unless it has already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
        settings.set_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap());
    }
    settings
}
