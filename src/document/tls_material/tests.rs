use rcgen::{CertificateParams, CertifiedIssuer, Issuer, KeyPair, date_time_ymd};

use super::*;

fn file<'f>(name: &'f str, text: &'f str) -> PemFile<'f> {
    PemFile {
        name,
        bytes: text.as_bytes(),
    }
}

/// A certificate that vouches for itself, and its key.
fn made() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["h".into()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A block that is base64 and nothing else.
const BROKEN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[test]
fn one_block_that_cannot_be_read_is_a_fault_of_the_file_with_its_number() {
    let (good, key) = made();
    let part_on = |line: usize| format!("the file `f` has a part of a block on line {line} that belongs to none");
    let second = good.lines().count() + 1;
    for (text, want) in [
        (String::new(), "the file `f` has no certificate as PEM"),
        ("text".to_owned(), "the file `f` has no certificate as PEM"),
        (key.clone(), "the file `f` has no certificate as PEM"),
        (
            format!("{good}{BROKEN}"),
            "block 2 of the file `f` is not a readable certificate",
        ),
        (
            format!("{BROKEN}{good}"),
            "block 1 of the file `f` is not a readable certificate",
        ),
        (
            good.replace("\n-----END", "!\n-----END"),
            "block 1 of the file `f` is cut off, or is not base64",
        ),
        (
            format!("{good}{}", good.replace("-----END CERTIFICATE-----\n", "")),
            "block 2 of the file `f` is cut off, or is not base64",
        ),
        (
            format!("{good}{}", good.replace("-----BEGIN", "----BEGIN")),
            part_on(second).as_str(),
        ),
        (
            format!("{}{good}", good.replace("-----BEGIN", "-----begin")),
            part_on(1).as_str(),
        ),
        (
            format!("{good}{}", good.replace("-----BEGIN CERTIFICATE-----\n", "")),
            part_on(second).as_str(),
        ),
        (
            format!("{good}\u{2014}BEGIN CERTIFICATE-----\nAAAA\n"),
            part_on(second).as_str(),
        ),
        (
            format!("{good}-----BEGIN CERTIFICATE----\nAAAA\n"),
            "block 2 of the file `f` is cut off, or is not base64",
        ),
        (
            format!("{}{good}", good.trim_end()),
            "block 2 of the file `f` does not begin on a line of its own",
        ),
        (
            format!("{good}  {good}"),
            "block 2 of the file `f` does not begin on a line of its own",
        ),
        (
            format!("{good}{}", good.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
            "block 2 of the file `f` is a `TRUSTED CERTIFICATE`, and only a `CERTIFICATE` counts",
        ),
    ] {
        let found = CaBundle::parse(file("f", &text)).unwrap_err();
        assert_eq!(found.message, want, "{text}");
        assert!(!found.help.is_empty());
        let faults = TlsIdentity::parse(file("f", &text), file("k", &key)).unwrap_err();
        assert_eq!(faults, [(Side::Certificate, found)], "{text}");
    }
}

#[test]
fn what_passes_is_what_each_user_of_it_takes() {
    let (one, two) = (made().0, made().0);
    for text in [
        format!("{one}{two}"),
        format!("a comment\n{one}\n# another\n{two}"),
        format!("{one}{two}").replace('\n', "\r\n"),
        format!("{one}-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n{two}"),
        format!("{one}{two}{}", made().1),
    ] {
        let bundle = CaBundle::parse(file("f", &text)).unwrap();
        assert_eq!((bundle.len(), bundle.roots().len()), (2, 2), "{text}");
        let again: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bundle.pem()).collect();
        assert_eq!(again.unwrap(), bundle.to_vec());
    }
}

#[test]
fn a_key_belongs_to_its_certificate_or_is_a_fault() {
    let ((chain, key), (_, other)) = (made(), made());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (text, want) in [
        (
            other.as_str(),
            "the private key in `k` does not belong to the certificate in `c`",
        ),
        ("text", "the file `k` has no private key as PEM"),
        (chain.as_str(), "the file `k` has no private key as PEM"),
        (encrypted, "block 1 of the file `k` is a private key with a passphrase"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "the private key in `k` has a type that is not supported",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n",
            "block 1 of the file `k` is cut off, or is not base64",
        ),
    ] {
        let faults = TlsIdentity::parse(file("c", &chain), file("k", text)).unwrap_err();
        let found: Vec<_> = faults
            .iter()
            .map(|(side, fault)| (*side, fault.message.as_str()))
            .collect();
        assert_eq!(found, [(Side::Key, want)]);
    }
    assert_eq!(TlsIdentity::parse(file("c", ""), file("k", "")).unwrap_err().len(), 2);
    // Both in one file, in either order.
    for text in [format!("{chain}{key}"), format!("{key}{chain}")] {
        let identity = TlsIdentity::parse(file("c", &text), file("k", &text)).unwrap();
        assert_eq!(
            PrivateKeyDer::from_pem_slice(&identity.key_pem()).unwrap(),
            *identity.key()
        );
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&identity.chain_pem()).collect();
        assert_eq!(chain.unwrap(), identity.chain());
        assert!(!format!("{identity:?}").contains("key"));
    }
}

#[test]
fn a_revocation_list_that_cannot_be_read_is_a_fault() {
    let issuer = CertifiedIssuer::self_signed(CertificateParams::default(), KeyPair::generate().unwrap()).unwrap();
    let good = list(&issuer);
    assert_eq!(revocations(file("f", &format!("{good}{good}"))).unwrap().len(), 2);
    for (text, want) in [
        ("text".to_owned(), "the file `f` has no revocation list as PEM"),
        (
            format!("{good}{}", BROKEN.replace("CERTIFICATE", "X509 CRL")),
            "block 2 of the file `f` is not a readable revocation list",
        ),
        (
            good.replace("-----END X509 CRL-----", ""),
            "block 1 of the file `f` is cut off, or is not base64",
        ),
    ] {
        assert_eq!(revocations(file("f", &text)).unwrap_err().message, want);
    }
}

fn list(issuer: &Issuer<'_, KeyPair>) -> String {
    let params = rcgen::CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().pem().unwrap()
}
