//! A throw-away CA with a server and two client certificates, in a folder that only this user can
//! read and that is removed with the demo.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::error::DemoError;

/// The folder with the certificates.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes `ca.crt`, and `server`, `scheduler` and `stranger` as `.crt` and `.key`.
    pub fn make() -> Result<Self, DemoError> {
        let folder = std::env::temp_dir().join(format!("sidegate-demo-{}", uuid::Uuid::new_v4()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let made = Self { folder };
        let ca = authority()?;
        made.write("ca.crt", &ca.pem())?;
        made.leaf("server", &ca, &["localhost", "127.0.0.1"], None)?;
        made.leaf("scheduler", &ca, &[], Some("spiffe://eventzr/ns/core/sa/scheduler"))?;
        made.leaf("stranger", &ca, &[], Some("spiffe://eventzr/ns/core/sa/stranger"))?;
        Ok(made)
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn leaf(
        &self,
        name: &str,
        ca: &CertifiedIssuer<'_, KeyPair>,
        hosts: &[&str],
        uri: Option<&str>,
    ) -> Result<(), DemoError> {
        let mut params = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![match uri {
            Some(_) => ExtendedKeyUsagePurpose::ClientAuth,
            None => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        if let Some(uri) = uri {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, ca)?;
        self.write(&format!("{name}.crt"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), DemoError> {
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.path(name))?;
        file.write_all(text.as_bytes())?;
        Ok(())
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, DemoError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Sidegate demo CA");
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}
