//! Whether other users can read secrets, or change the files that Sidegate reads.

use std::path::PathBuf;

use super::finding::{Finding, Severity};

/// One file that Sidegate goes by.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub path: PathBuf,
    /// Whether other users must not read it.
    pub secret: bool,
    /// Who can do what with it.
    pub access: Access,
    /// The certificates in it.
    pub certificates: Vec<Certificate>,
}

/// One certificate of a file.
#[derive(Debug, Clone, Copy)]
pub struct Certificate {
    /// Whether it may sign other certificates.
    pub authority: bool,
    /// When it ends, in seconds since the epoch.
    pub ends: i64,
}

/// Who can do what with a file or a socket.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// The bits for its owner, its group and others.
    pub mode: u32,
    /// The user that it belongs to.
    pub owner: u32,
    /// Whether a folder on the way keeps others out.
    pub sheltered: bool,
}

impl Access {
    /// Whether others have one of these bits, and a way to the file.
    pub fn lets_others(&self, bits: u32) -> bool {
        self.mode & bits != 0 && !self.sheltered
    }
}

/// Whether bytes may be known: PEM without a private key, or a key set without secrets. What is
/// not known to be public is a secret.
pub fn is_public(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    if text.contains("-----BEGIN ") {
        return !text.contains("PRIVATE KEY-----");
    }
    let set = serde_json::from_str::<serde_json::Value>(text).ok();
    let keys = set.as_ref().and_then(|set| set.get("keys")?.as_array());
    keys.is_some_and(|keys| keys.iter().all(|key| key.get("k").is_none() && key.get("d").is_none()))
}

/// Judges all files, as the user that reads them.
pub fn judge(files: &[File], user: u32) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files.iter().flat_map(|file| judge_one(file, user)).collect();
    let secrets = files.iter().filter(|file| file.secret).count();
    if findings.is_empty() && secrets > 0 {
        findings.push(Finding {
            code: "files_private",
            area: "files",
            severity: Severity::Ok,
            about: format!("{} files, {secrets} of them secret", files.len()),
            found: "no other user can read a secret or change a file".to_owned(),
            advice: "",
        });
    }
    findings
}

fn judge_one(file: &File, user: u32) -> Vec<Finding> {
    let access = &file.access;
    let mut findings = Vec::new();
    let mut note = |is_so: bool, (severity, code, found, advice): (Severity, _, String, _)| {
        if is_so {
            findings.push(Finding {
                code,
                area: "files",
                severity,
                about: file.path.display().to_string(),
                found,
                advice,
            });
        }
    };
    let mode = format!("mode {:04o}", access.mode);
    // A public file of a group or of another user may be theirs to change: a deployment's, say.
    let shared = if file.secret {
        Severity::Problem
    } else {
        Severity::Caution
    };
    note(
        file.secret && access.lets_others(0o004),
        (
            Severity::Problem,
            "secret_readable",
            format!("it has a secret, and every user of this machine can read it ({mode})"),
            "`chmod 0400`, or 0440 with a group that has Sidegate alone; then replace the secret",
        ),
    );
    note(
        access.lets_others(0o002),
        (
            Severity::Problem,
            "file_writable",
            format!("every user of this machine can change it ({mode})"),
            "`chmod o-w`",
        ),
    );
    note(
        access.mode & 0o020 != 0,
        (
            shared,
            "file_writable",
            format!("its group can change it ({mode})"),
            "`chmod g-w`, unless the group is meant to",
        ),
    );
    // Root reads what belongs to the user that Sidegate runs as elsewhere.
    note(
        access.owner != user && access.owner != 0 && user != 0,
        (
            shared,
            "file_owner",
            format!("it belongs to user {}, who can change it", access.owner),
            "`chown` it to root or to the user of Sidegate",
        ),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_known() {
        for (text, public) in [
            ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", true),
            ("-----BEGIN PUBLIC KEY-----\n", true),
            ("-----BEGIN EC PRIVATE KEY-----\n", false),
            ("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n", false),
            (r#"{"keys":[{"kty":"RSA","n":"x","e":"AQAB"}]}"#, true),
            (r#"{"keys":[{"kty":"oct","k":"x"}]}"#, false),
            (r#"{"keys":[{"kty":"RSA","d":"x"}]}"#, false),
            (r#"{"password":"x"}"#, false),
            ("swordfish\n", false),
            ("", false),
        ] {
            assert_eq!(is_public(text.as_bytes()), public, "{text}");
        }
        assert!(!is_public(b"\xff\xfe"));
    }

    #[test]
    fn who_can_read_and_change() {
        use Severity::{Caution, Problem};
        let secret = |mode, owner, sheltered| (true, mode, owner, sheltered);
        let public = |mode, owner, sheltered| (false, mode, owner, sheltered);
        for (file, user, want) in [
            (secret(0o400, 7, false), 7, &[][..]),
            (secret(0o440, 0, false), 7, &[]),
            (secret(0o644, 7, true), 7, &[]),
            (secret(0o644, 7, false), 7, &[("secret_readable", Problem)]),
            (secret(0o660, 0, false), 7, &[("file_writable", Problem)]),
            (secret(0o400, 8, false), 7, &[("file_owner", Problem)]),
            (secret(0o400, 8, false), 0, &[]),
            (
                secret(0o606, 7, false),
                7,
                &[("secret_readable", Problem), ("file_writable", Problem)],
            ),
            (public(0o644, 7, false), 7, &[]),
            (public(0o664, 7, false), 7, &[("file_writable", Caution)]),
            (public(0o646, 7, false), 7, &[("file_writable", Problem)]),
            (public(0o646, 7, true), 7, &[]),
            (public(0o644, 8, false), 7, &[("file_owner", Caution)]),
        ] {
            let (secret, mode, owner, sheltered) = file;
            let file = File {
                path: "f".into(),
                secret,
                access: Access { mode, owner, sheltered },
                certificates: Vec::new(),
            };
            let found = judge(&[file], user);
            let found: Vec<_> = found.iter().map(|finding| (finding.code, finding.severity)).collect();
            let want = match want {
                [] if secret => &[("files_private", Severity::Ok)][..],
                want => want,
            };
            assert_eq!(found, want, "{mode:o} {owner} {sheltered}");
        }
    }
}
