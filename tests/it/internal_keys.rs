//! Internal keys: several at once, each with a name, as a secret or as its digest, and until a day.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::harness::{Gateway, JOBS_KEY, Request, Setup, Shared};

const NEXT_KEY: &str = "the-next-key-that-only-its-digest-is-known-of";
const OLD_KEY: &str = "the-old-key-that-ended-at-the-turn-of-a-year";

const POLICY: &str = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR_WALLET }
internal_key:
  header: X-Jobs-Key
  keys:
    - { name: scheduler, secret: { env: IT_JOBS_KEY } }
    - { name: from-file, secret: { file: $folder/key } }
    - { name: next, sha256: $next, expires: 2999-01-01T00:00:00Z }
    - { name: old, sha256: $old, expires: 2020-01-01T00:00:00Z }
routes: [{ path: /*, auth: internal_key }]
";

fn hex(key: &str) -> String {
    let digest = digest(&SHA256, key.as_bytes());
    digest
        .as_ref()
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let setup = Setup::new().set("next", &hex(NEXT_KEY)).set("old", &hex(OLD_KEY));
        setup
            .file("key", "a-key-that-ends-with-a-newline\n")
            .policy("wallet", POLICY)
            .start()
    })
}

fn with_key(key: &str) -> Request {
    Request::get("/w/x").header("x-jobs-key", key)
}

#[test]
fn each_key_has_its_name() {
    let gateway = gateway();
    for (key, name) in [
        (JOBS_KEY, "scheduler"),
        ("a-key-that-ends-with-a-newline", "from-file"),
        (NEXT_KEY, "next"),
    ] {
        let seen = gateway.allowed(&with_key(key));
        assert_eq!(seen.values("x-client-id"), [name]);
        assert_eq!(seen.values("x-auth-method"), ["internal_key"]);
        assert_eq!(seen.values("x-jobs-key"), [""; 0]);
    }
}

#[test]
fn malformed_internal_key_is_rejected() {
    let gateway = gateway();
    for wrong in [
        OLD_KEY,
        "wrong",
        &hex(NEXT_KEY),
        &JOBS_KEY[1..],
        &JOBS_KEY.to_uppercase(),
        &format!("{JOBS_KEY}x"),
        "\u{e9}",
    ] {
        gateway.refused(&with_key(wrong), 401, "internal_key_invalid");
    }
    gateway.refused(&Request::get("/w/x"), 401, "credential_missing");
    for elsewhere in [
        "x-internal-api-key",
        "x_jobs_key",
        "x.jobs.key",
        "authorization",
        "cookie",
    ] {
        gateway.refused(
            &Request::get("/w/x").header(elsewhere, JOBS_KEY),
            401,
            "credential_missing",
        );
    }
    gateway.refused(
        &Request::get(&format!("/w/x?x-jobs-key={JOBS_KEY}")),
        401,
        "credential_missing",
    );
}

#[test]
fn two_keys_are_not_one() {
    let gateway = gateway();
    for twice in [
        with_key(JOBS_KEY).header("x-jobs-key", JOBS_KEY),
        with_key(JOBS_KEY).header("X-Jobs-Key", "other"),
    ] {
        assert_eq!(gateway.send(&twice).status, 400, "{twice}");
    }
    gateway.refused(
        &with_key(&format!("{JOBS_KEY},{JOBS_KEY}")),
        401,
        "internal_key_invalid",
    );
}
