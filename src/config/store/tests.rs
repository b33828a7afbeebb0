use std::sync::Arc;

use super::*;
use crate::document::decode::FromNode as _;
use crate::document::environment::FixedEnvironment;
use crate::document::problem::SourceFile;
use crate::document::yaml::Value;

/// A file with this store.
fn source(text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile::new("sidegate.yaml", format!("store:\n  {text}\n")))
}

fn document(problems: &mut Problems) -> Option<StoreDocument> {
    let file = crate::document::read(problems)?;
    let Value::Mapping(fields) = &file.value else {
        return None;
    };
    StoreDocument::from_node(&fields.first()?.1, problems).ok()
}

fn read(text: &str) -> Result<StoreConfig, Vec<String>> {
    let ca = rcgen::generate_simple_self_signed(["h".into()]).unwrap().cert.pem();
    let environment = FixedEnvironment {
        variables: [
            ("URL", "rediss://u:hunter2@h/1"),
            ("PASSWORD", "hunter2"),
            ("EMPTY", ""),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec(),
        files: vec![
            ("/etc/ca.pem".into(), ca.into()),
            ("/etc/password".into(), b"hunter2\n".to_vec()),
            ("/etc/text".into(), b"x".to_vec()),
        ],
    };
    let mut problems = Problems::of(source(text));
    let document = document(&mut problems);
    let config = document.and_then(|document| check(Some(document), (Path::new("/etc"), &environment), &mut problems));
    match config {
        Some(config) if !problems.has_errors() => Ok(config),
        _ => Err(problems.into_sorted().iter().map(|p| p.message().to_owned()).collect()),
    }
}

fn redis(text: &str) -> RedisConfig {
    match read(text) {
        Ok(StoreConfig::Redis(config)) => *config,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_redis_is_read() {
    let config = redis("redis: { url: 'redis://h' }");
    assert_eq!((config.timeout, config.prefix.as_str()), (TIMEOUT, "sidegate"));
    assert_eq!((config.tls, config.username, config.password), (None, None, None));
    let config = redis("redis: { url: { env: URL }, ca_file: ca.pem, timeout: 1s, prefix: 'a-b_c.d:1' }");
    assert!(config.tls.as_ref().unwrap().ca.is_some());
    assert_eq!(config.username.as_deref(), Some("u"));
    assert!(!format!("{config:?}").contains("hunter2"));
    for password in ["{ env: PASSWORD }", "{ file: password }"] {
        let config = redis(&format!(
            "redis: {{ url: 'redis://h', username: u, password: {password} }}"
        ));
        assert_eq!(config.password.unwrap().expose(), "hunter2");
    }
}

#[test]
fn memory_has_the_room_that_it_is_given() {
    let of = |size| Ok(StoreConfig::Memory(MemoryConfig { size }));
    assert_eq!(read("memory"), of(MEMORY));
    assert_eq!(read("memory: { size: 64MiB }"), of(64 << 20));
    assert_eq!(read("memory: { size: 1MiB }"), of(1 << 20));
    let mut config = read("memory: { size: 64MiB }").unwrap();
    config.replaced_by(&StoreConfig::parse("memory").unwrap());
    assert_eq!(Ok(config), of(64 << 20), "the command line says nothing of its size");
}

#[test]
fn every_problem_of_a_store_is_reported() {
    for (text, want) in [
        ("disk", "unknown word `disk`"),
        ("redis: {}", "`url` is missing here"),
        (
            "{}",
            "exactly one of `memory` and `redis` is needed, and none is written",
        ),
        (
            "{ memory: { size: 1MiB }, redis: { url: 'redis://h' } }",
            "exactly one of `memory` and `redis` is needed, and several are written",
        ),
        ("memory: {}", "`size` is missing here"),
        ("memory: 64MiB", "expected a mapping, found text"),
        (
            "memory: { size: 1023KiB }",
            "the memory for responses must be at least `1MiB`",
        ),
        ("redis: { url: { env: NONE } }", "the variable `NONE` is not set"),
        ("redis: { url: { env: EMPTY } }", "the variable `EMPTY` is not set"),
        (
            "redis: { url: 'redis://h:x' }",
            "the port of `h` is not a number from 1 to 65535",
        ),
        (
            "redis: { url: 'redis://:hunter2@h' }",
            "a password does not belong in this file",
        ),
        (
            "redis: { url: { env: NONE, default: 'redis://:hunter2@h' } }",
            "a password does not belong in this file",
        ),
        (
            "redis: { url: 'redis://h', password: hunter2 }",
            "a secret does not belong in this file",
        ),
        (
            "redis: { url: 'redis://h', password: { env: EMPTY } }",
            "the variable `EMPTY` is empty",
        ),
        (
            "redis: { url: { env: URL }, password: { env: PASSWORD } }",
            "the URL has a password already",
        ),
        (
            "redis: { url: { env: URL }, username: v }",
            "the URL has a user already",
        ),
        (
            "redis: { url: 'redis://h', username: v }",
            "`username` needs a password",
        ),
        (
            "redis: { url: 'redis://h', ca_file: ca.pem }",
            "the file has an effect with TLS only, and the URL does not use TLS",
        ),
        (
            "redis: { url: 'rediss://h', ca_file: text }",
            "the file `text` has no certificate as PEM",
        ),
        (
            "redis: { url: 'rediss://h', client_key: text }",
            "`client_key` needs `client_certificate`",
        ),
        (
            "redis: { url: 'redis://h', timeout: 0s }",
            "a timeout of zero would end everything at once",
        ),
        (
            "redis: { url: 'redis://h', timeout: 11s }",
            "`timeout` must be at most `10s`: requests wait for it",
        ),
        (
            "redis: { url: 'redis://h', prefix: 'a b' }",
            "a prefix of keys has letters, digits, `-`, `_`, `.` and `:`, 100 at the most",
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), [want], "{text}");
    }
}

#[test]
fn another_address_leaves_the_rest() {
    let mut config = StoreConfig::Redis(Box::new(redis(
        "redis: { url: 'rediss://h', ca_file: ca.pem, timeout: 1s, prefix: p }",
    )));
    config.replaced_by(&StoreConfig::parse("rediss://:q@i").unwrap());
    let StoreConfig::Redis(new) = &config else {
        panic!("{config:?}")
    };
    assert_eq!((new.servers.to_string().as_str(), new.prefix.as_str()), ("i:6379", "p"));
    assert!(new.tls.as_ref().unwrap().ca.is_some() && new.password.is_some());
    config.replaced_by(&StoreConfig::default());
    assert_eq!(config, StoreConfig::default());
}

#[test]
fn a_url_alone_leads_to_where_it_belongs_and_is_not_shown_again() {
    for (text, fix) in [
        ("redis://h:6379/0", "write `store: { redis: { url: … } }`"),
        ("rediss://h", "write `store: { redis: { url: … } }`"),
        ("redis+cluster://a:1,b:2", "write `store: { redis: { url: … } }`"),
        ("unix:/run/redis.sock", "write `store: { redis: { url: … } }`"),
        (
            "redis://:hunter2@h",
            "write `store: { redis: { url: { env: NAME } } }`, with the URL in that variable",
        ),
        ("disk", "write `store: memory`, or `store: { redis: { url: … } }`"),
        ("redis", "write `store: { redis: { url: redis://host:6379 } }`"),
        ("memroy", "did you mean `memory`?"),
    ] {
        let mut problems = Problems::of(source(text));
        assert!(document(&mut problems).is_none(), "{text}");
        let found = problems.into_sorted();
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].fix(), fix, "{text}");
        let said = found[0].to_string();
        assert!(!said.contains("hunter2"), "{said}");
    }
}
