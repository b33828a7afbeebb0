//! The copies of `policies/` below `deploy/`: each has the same rules, with addresses and secrets of its own.

use std::{collections::BTreeSet, fs, path::Path};

use crate::shipped_policies::POLICIES;

/// A copy of a policy, the policy that it is made of, and what it has in other places.
type Copy = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const AUTH_UPSTREAM: &str = r#"{ env: AUTH_UPSTREAM, default: "http://127.0.0.1:3000" }"#;
const HUB_UPSTREAM: &str = r#"{ env: HUB_UPSTREAM, default: "http://127.0.0.1:3001" }"#;
const WALLET_UPSTREAM: &str = r#"{ env: WALLET_UPSTREAM, default: "http://127.0.0.1:3002" }"#;
const KEYS: &str = r#"{ env: AUTH_JWKS_URL, default: "http://127.0.0.1:3000/auth/v1/.well-known/jwks.json" }"#;

const ORDERS_UPSTREAM: &str = r#"{ env: ORDERS_UPSTREAM, default: "http://127.0.0.1:3000" }"#;

const COPIES: [Copy; 7] = [
    (
        "compose/policies/auth.yaml",
        "auth.yaml",
        &[(AUTH_UPSTREAM, r#""http://auth-svc:3000""#)],
    ),
    (
        "compose/policies/integration-hub.yaml",
        "integration-hub.yaml",
        &[
            (HUB_UPSTREAM, r#""http://integration-hub:3000""#),
            (
                KEYS,
                r#""http://auth-svc:3000/auth/v1/.well-known/jwks.json", allow_http: true"#,
            ),
        ],
    ),
    (
        "compose/policies/wallet.yaml",
        "wallet.yaml",
        &[
            (WALLET_UPSTREAM, r#""http://wallet:3000""#),
            ("{ env: WALLET_JWT_SECRET }", "{ file: /run/secrets/wallet_jwt_secret }"),
            ("{ env: WALLET_JOBS_KEY }", "{ file: /run/secrets/wallet_jobs_key }"),
        ],
    ),
    (
        "compose/unix-socket/policies/orders.yaml",
        "example/orders.yaml",
        &[
            (ORDERS_UPSTREAM, "unix:/run/orders/http.sock"),
            ("{ env: ORDERS_JWT_SECRET }", "{ file: /run/secrets/orders_jwt_secret }"),
        ],
    ),
    (
        "kubernetes/integration-hub/policies/integration-hub.yaml",
        "integration-hub.yaml",
        &[
            (HUB_UPSTREAM, "http://127.0.0.1:3001"),
            (KEYS, "https://auth.example.com/auth/v1/.well-known/jwks.json"),
        ],
    ),
    (
        "kubernetes/unix-socket/policies/orders.yaml",
        "example/orders.yaml",
        &[
            (ORDERS_UPSTREAM, "unix:/run/orders/http.sock"),
            ("{ env: ORDERS_JWT_SECRET }", "{ file: ../secrets/orders-jwt-secret }"),
        ],
    ),
    (
        "kubernetes/wallet/policies/wallet.yaml",
        "wallet.yaml",
        &[
            (WALLET_UPSTREAM, "http://127.0.0.1:3002"),
            ("{ env: WALLET_JWT_SECRET }", "{ file: ../secrets/wallet-jwt-secret }"),
            ("{ env: WALLET_JOBS_KEY }", "{ file: ../secrets/wallet-jobs-key }"),
        ],
    ),
];

/// The policy files below a folder, as paths that begin there.
fn policy_files(folder: &Path, below: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            policy_files(&path, below, found);
        } else if path.parent().unwrap().ends_with("policies") {
            found.insert(path.strip_prefix(below).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn every_copy_has_the_rules_of_its_policy_and_other_addresses_and_secrets() {
    let rules = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.split(" # ").next().unwrap().trim_end());
        let rule = |line: &&str| !line.is_empty() && !line.trim_start().starts_with('#');
        lines.filter(rule).map(str::to_owned).collect()
    };
    let deploy = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"));
    for (copy, policy, places) in COPIES {
        let mut expected = fs::read_to_string(format!("{POLICIES}/{policy}")).unwrap();
        for (place, other) in places {
            assert!(expected.contains(place), "{policy}: {place}");
            expected = expected.replace(place, other);
        }
        let copied = fs::read_to_string(deploy.join(copy)).unwrap();
        assert_eq!(rules(&copied), rules(&expected), "{copy}");
    }
    let mut found = BTreeSet::new();
    policy_files(deploy, deploy, &mut found);
    assert_eq!(found, COPIES.iter().map(|(copy, _, _)| (*copy).to_owned()).collect());
}
