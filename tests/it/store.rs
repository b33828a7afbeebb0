//! What every store does alike: in memory, in a Redis, in one with TLS and a password, behind
//! sentinels, in a cluster. The library itself is asked, for nothing else shows what a store does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sidegate::{
    config::{StoreConfig, store::RedisConfig},
    digest::Fingerprint,
    document::{pem::PemFile, tls_material::CaBundle},
    quota::Rate,
    revocation::{Revocation, Target, Token},
    store::{Claim, RecordKey, Store},
    telemetry::metrics::Metrics,
};
use uuid::Uuid;

use super::harness::{
    PATIENCE, certificates,
    redis::{Cluster, Redis, Watched},
    runtime, unique,
};

const LEASE: Duration = Duration::from_secs(30);
const TTL: Duration = Duration::from_secs(100);

/// A store, as one replica has it, with what it counts.
pub(crate) struct Replica {
    pub(crate) store: Arc<Store>,
    metrics: Metrics,
}

impl Replica {
    /// A replica of a Redis behind a URL, that has settled. It is patient: a machine may be busy.
    pub(crate) fn of(url: &str) -> Self {
        Self::with(url, |_| {})
    }

    /// As [`Self::of`], with the default deadline.
    pub(crate) fn impatient(url: &str) -> Self {
        Self::with(url, |config| config.timeout = Duration::from_millis(250))
    }

    /// As [`Self::of`], with other settings.
    pub(crate) fn with(url: &str, change: impl FnOnce(&mut RedisConfig)) -> Self {
        let patient = |config: &mut RedisConfig| {
            config.timeout = PATIENCE / 2;
            change(config);
        };
        let replica = Self::unsettled(url, patient);
        let settled = async {
            replica.store.connected().await.unwrap();
            replica.store.loaded().await.unwrap();
        };
        // The thread of a test may be at something else that waits.
        std::thread::scope(|scope| scope.spawn(|| runtime().block_on(settled)).join().unwrap());
        replica
    }

    /// A replica that may have no connection.
    pub(crate) fn unsettled(url: &str, change: impl FnOnce(&mut RedisConfig)) -> Self {
        let mut config = StoreConfig::parse(url).unwrap();
        if let StoreConfig::Redis(redis) = &mut config {
            change(redis);
        }
        let metrics = Metrics::new().unwrap();
        let _inside = runtime().enter();
        let store = Store::start(&config, &metrics).unwrap();
        Self { store, metrics }
    }

    /// The value of a line of the metrics; 0 where there is none.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let (_, page) = self.metrics.page().unwrap();
        let page = String::from_utf8(page).unwrap();
        let value = page
            .lines()
            .find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// How often an operation ended so.
    pub(crate) fn counted(&self, operation: &str, result: &str) -> f64 {
        self.metric(&format!(
            "sidegate_store_operations_total{{operation=\"{operation}\",result=\"{result}\"}}"
        ))
    }

    /// Whether the revocations that it knows are all that there are, as of no longer ago than that.
    pub(crate) fn is_complete(&self, within: Duration) -> bool {
        use sidegate::revocation::Revocations::Known;
        let snapshot = self.store.revocations();
        matches!(snapshot.view(), Known { age: Some(age), .. } if age <= within)
    }

    /// Whether it knows that a token is revoked.
    pub(crate) fn refuses(&self, jti: &str) -> bool {
        let token = Token {
            issuer: None,
            jti: Some(jti),
            subject: None,
            tenants: &[],
            issued: None,
        };
        let now = jiff::Timestamp::now().as_millisecond();
        self.store.revocations().list().find(&token, now).is_some()
    }
}

/// A bucket of its own.
pub(crate) fn bucket() -> Fingerprint {
    Fingerprint::of(&[b"it", &unique().to_be_bytes()])
}

/// A key of its own.
pub(crate) fn key() -> RecordKey {
    let share = Fingerprint::of(&[b"share"]);
    let name = bucket();
    RecordKey { name, share }
}

/// A response to the one request of these tests.
pub(crate) fn answer(record: impl Into<Bytes>) -> (Fingerprint, Bytes) {
    (Fingerprint::of(&[b"request"]), record.into())
}

/// Returns the response that is stored under a key, if there is one.
pub(crate) async fn kept(store: &Store, key: RecordKey) -> Option<Bytes> {
    match store.claim(key, Uuid::new_v4(), LEASE).await {
        Ok(Claim::Stored(answered)) => {
            assert_eq!(answered.digest, answer("").0);
            store.read(key, answered).await.unwrap()
        }
        _ => None,
    }
}

/// One token, revoked for an hour.
pub(crate) fn revocation(jti: &str) -> Revocation {
    Revocation {
        target: Target::Jti(jti.into()),
        issuer: None,
        before: None,
        expires: jiff::Timestamp::now().as_millisecond() + 3_600_000,
    }
}

/// Waits for `condition`, and says `what` never came true when it does not.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All that a store promises, with a second replica of it.
fn check(one: &Replica, other: &Replica) {
    runtime().block_on(async {
        one_request_is_granted_and_repeats_get_its_response(&one.store, &other.store).await;
        leases_and_answers_end(&one.store).await;
        only_the_owner_has_a_say(&one.store).await;
        records_are_any_bytes(&one.store).await;
        buckets_empty_and_fill(&one.store, &other.store).await;
        what_one_revokes_all_refuse(one, other).await;
    });
}

async fn one_request_is_granted_and_repeats_get_its_response(one: &Store, other: &Store) {
    let (key, owner, late) = (key(), Uuid::new_v4(), Uuid::new_v4());
    assert_eq!(one.claim(key, owner, LEASE).await, Ok(Claim::Granted));
    assert_eq!(
        one.claim(key, owner, LEASE).await,
        Ok(Claim::Granted),
        "the same attempt asks again"
    );
    assert_eq!(other.claim(key, late, LEASE).await, Ok(Claim::Taken));
    one.renew(key, owner, LEASE).await.unwrap();
    one.complete(key, owner, answer(Bytes::from("r")), TTL).await.unwrap();
    assert_eq!(kept(other, key).await, Some(Bytes::from("r")));
    one.release(key, owner).await.unwrap();
    let again = one.complete(key, owner, answer(Bytes::from("s")), TTL).await;
    assert_eq!(again, Ok(true), "its own");
    assert_eq!(one.renew(key, owner, LEASE).await, Ok(true), "its own");
    assert_eq!(one.complete(key, late, answer(Bytes::from("s")), TTL).await, Ok(false));
    assert_eq!(one.renew(key, late, LEASE).await, Ok(false));
    assert_eq!(kept(one, key).await, Some(Bytes::from("r")), "once and for all");
}

async fn leases_and_answers_end(store: &Store) {
    const SHORT: Duration = Duration::from_millis(300);
    let (key, owner, late) = (key(), Uuid::new_v4(), Uuid::new_v4());
    let granted = async || store.claim(key, late, SHORT).await == Ok(Claim::Granted);
    store.claim(key, owner, SHORT).await.unwrap();
    eventually("the lease is over", granted).await;
    store
        .complete(key, late, answer(Bytes::from("r")), SHORT)
        .await
        .unwrap();
    assert!(!granted().await);
    eventually("the answer is over", granted).await;
    let late_answer = Bytes::from("late");
    let other = self::key();
    store.claim(other, owner, Duration::ZERO).await.unwrap();
    eventually("nobody has it", async || {
        store
            .complete(other, owner, answer(late_answer.clone()), TTL)
            .await
            .unwrap();
        kept(store, other).await == Some(late_answer.clone())
    })
    .await;
    let renewed = self::key();
    store.claim(renewed, owner, SHORT).await.unwrap();
    store.renew(renewed, owner, LEASE).await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(
        store.claim(renewed, late, SHORT).await,
        Ok(Claim::Taken),
        "it was prolonged"
    );
}

async fn only_the_owner_has_a_say(store: &Store) {
    let (key, owner, stranger) = (key(), Uuid::new_v4(), Uuid::new_v4());
    store.claim(key, owner, LEASE).await.unwrap();
    assert_eq!(store.complete(key, stranger, answer("r"), TTL).await, Ok(false));
    store.release(key, stranger).await.unwrap();
    assert_eq!(store.renew(key, stranger, Duration::ZERO).await, Ok(false));
    assert_eq!(store.renew(key, owner, LEASE).await, Ok(true));
    assert_eq!(store.claim(key, stranger, LEASE).await, Ok(Claim::Taken));
    store.release(key, owner).await.unwrap();
    assert_eq!(store.claim(key, stranger, LEASE).await, Ok(Claim::Granted));
    store.release(self::key(), owner).await.unwrap();
    store.renew(self::key(), owner, LEASE).await.unwrap();
}

async fn records_are_any_bytes(store: &Store) {
    let all: Vec<u8> = (0..=255).collect();
    for record in [Vec::new(), all.clone(), b"c\r\n$-1\r\n".to_vec(), all.repeat(4096)] {
        let (key, record) = (key(), Bytes::from(record));
        store.claim(key, Uuid::nil(), LEASE).await.unwrap();
        store
            .complete(key, Uuid::nil(), answer(record.clone()), TTL)
            .await
            .unwrap();
        assert_eq!(kept(store, key).await, Some(record));
    }
}

async fn buckets_empty_and_fill(one: &Store, other: &Store) {
    let rate = Rate::new(3, Duration::from_mins(10)).unwrap();
    let (bucket, another) = (bucket(), bucket());
    for (store, left) in [(one, 2), (other, 1), (one, 0)] {
        let spent = store.spend(bucket, rate).await.unwrap();
        assert!(spent.allowed && spent.retry_after.is_zero(), "{spent:?}");
        assert_eq!(spent.remaining, left);
    }
    let spent = other.spend(bucket, rate).await.unwrap();
    assert!(!spent.allowed && spent.remaining == 0, "{spent:?}");
    assert!(spent.retry_after <= Duration::from_secs(200), "{spent:?}");
    assert!(spent.reset > Duration::from_secs(500), "{spent:?}");
    assert!(one.spend(another, rate).await.unwrap().allowed, "buckets are apart");
    let quick = Rate::new(1, Duration::from_millis(200)).unwrap();
    assert!(one.spend(another, quick).await.is_ok(), "a rate may change");
    let bucket = self::bucket();
    assert!(one.spend(bucket, quick).await.unwrap().allowed);
    eventually("it fills", async || one.spend(bucket, quick).await.unwrap().allowed).await;
}

async fn what_one_revokes_all_refuse(one: &Replica, other: &Replica) {
    let names: Vec<String> = (0..20).map(|_| format!("j\"\r\n*{}", unique())).collect();
    for name in &names {
        one.store.revoke(&revocation(name)).await.unwrap();
        assert!(one.refuses(name));
    }
    eventually("the other one knows", async || {
        names.iter().all(|name| other.refuses(name))
    })
    .await;
    one.store.revoke(&revocation(&names[0])).await.unwrap();
    assert!(one.store.loaded().await.unwrap().list().len() >= names.len());
    let complete = Duration::from_secs(2);
    eventually("both are complete", async || {
        one.is_complete(complete) && other.is_complete(complete)
    })
    .await;
    assert!(one.metric("sidegate_revocations") >= 20.0);
    assert!(one.metric("sidegate_store_up") >= 1.0);
}

#[test]
fn in_memory() {
    let metrics = Metrics::new().unwrap();
    let store = Store::memory(&metrics);
    let replica = || Replica {
        store: Arc::clone(&store),
        metrics: metrics.clone(),
    };
    check(&replica(), &replica());
    assert!(replica().is_complete(Duration::ZERO) && store.has_settled());
    assert!(replica().metric("sidegate_revocations_last_complete_timestamp_seconds") < 1.0);
}

#[test]
fn in_a_redis() {
    let redis = Redis::start();
    let (one, other) = (Replica::of(&redis.url()), Replica::of(&redis.url()));
    check(&one, &other);
    // T-S6: what Redis holds has our names, which are of one form.
    let fine = |key: &str| {
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let rest = key.strip_prefix("sidegate:").unwrap();
        ["i:", "q:"].iter().any(|kind| rest.strip_prefix(kind).is_some_and(hex)) || rest.starts_with("{r}:")
    };
    let keys: Vec<String> = redis.ask(&["KEYS", "*"]);
    assert!(keys.len() > 10 && keys.iter().all(|key| fine(key)), "{keys:?}");
    let now = jiff::Timestamp::now().as_second();
    let complete = one.metric("sidegate_revocations_last_complete_timestamp_seconds");
    assert!(
        (complete - f64::from(u32::try_from(now).unwrap())).abs() < 10.0,
        "{complete}"
    );
}

#[test]
fn through_a_socket() {
    let redis = Redis::start();
    let url = format!("unix:{}", redis.socket().display());
    check(&Replica::of(&url), &Replica::of(&redis.url()));
}

#[test]
fn with_tls_and_a_password() {
    let redis = Redis::secured();
    let trusting = |config: &mut RedisConfig| {
        config.tls.as_mut().unwrap().ca = Some(
            CaBundle::parse(PemFile {
                name: "ca.crt",
                bytes: certificates::pki().ca.as_bytes(),
            })
            .unwrap(),
        );
    };
    let (one, other) = (
        Replica::with(&redis.url(), trusting),
        Replica::with(&redis.url(), trusting),
    );
    check(&one, &other);
    let distrusting = Replica::unsettled(&redis.url(), |_| {});
    let cause = runtime().block_on(distrusting.store.connected()).unwrap_err();
    assert!(cause.cause().contains("certificate"), "{cause}");
    let stranger = Replica::unsettled(&redis.url(), |config| {
        trusting(config);
        config.password = None;
    });
    let cause = runtime().block_on(stranger.store.connected()).unwrap_err();
    assert!(cause.cause().contains("NOAUTH"), "{cause}");
}

#[test]
fn user_with_the_documented_rights_alone_can_do_everything() {
    let page = include_str!("../../docs/state.md");
    let rights = page.lines().find(|line| line.starts_with("~sidegate:* +")).unwrap();
    let redis = Redis::start();
    let user: Vec<&str> = ["ACL", "SETUSER", "small", "reset", "on", ">pw"]
        .into_iter()
        .chain(rights.split(' '))
        .collect();
    redis.ask::<()>(&user);
    let url = format!("redis://small:pw@127.0.0.1:{}", redis.port);
    let (one, other) = (Replica::of(&url), Replica::of(&url));
    check(&one, &other);
    runtime().block_on(async {
        one.store.revoke(&revocation("gone")).await.unwrap();
        redis.ask::<()>(&["DEL", "sidegate:{r}:set", "sidegate:{r}:log", "sidegate:{r}:epoch"]);
        let third = Replica::of(&url);
        eventually("what was lost is back", async || third.refuses("gone")).await;
    });
}

#[test]
fn in_a_cluster() {
    let cluster = Cluster::start();
    let (one, other) = (Replica::of(&cluster.url()), Replica::of(&cluster.url()));
    check(&one, &other);
    // By chance no node is left out: one in 10^10 times.
    runtime().block_on(async {
        for _ in 0..64 {
            assert_eq!(one.store.claim(key(), Uuid::new_v4(), LEASE).await, Ok(Claim::Granted));
        }
    });
    let holds = |node: &Redis| node.ask::<usize>(&["DBSIZE"]) > 0;
    assert!(cluster.nodes.iter().all(holds), "all nodes have their part");
}

#[test]
fn behind_a_sentinel() {
    let watched = Watched::start();
    let (one, other) = (Replica::of(&watched.url()), Replica::of(&watched.url()));
    check(&one, &other);
}

#[test]
fn of_two_with_different_prefixes_none_knows_the_other() {
    let redis = Redis::start();
    let one = Replica::of(&redis.url());
    let other = Replica::with(&format!("{}/3", redis.url()), |_| {});
    let third = Replica::with(&redis.url(), |config| config.prefix = "other:".into());
    runtime().block_on(async {
        let key = key();
        for replica in [&one, &other, &third] {
            assert_eq!(
                replica.store.claim(key, Uuid::new_v4(), LEASE).await,
                Ok(Claim::Granted)
            );
        }
        one.store.revoke(&revocation("theirs")).await.unwrap();
        third.store.revoke(&revocation("mine")).await.unwrap();
        eventually("it is complete", async || third.is_complete(Duration::from_millis(400))).await;
    });
    assert!(third.refuses("mine") && !third.refuses("theirs") && !other.refuses("theirs"));
}

/// The script says the same as `Rate::spend`. The bucket says when it is full, and the reply how long that is
/// from now; so the time by the clock of the server follows.
#[test]
fn a_bucket_in_redis_is_the_one_that_is_specified() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    let mut compared = 0;
    for (limit, window) in [
        (1, 40),
        (3, 50),
        (7, 60_000),
        (100, 30),
        (1_000_000, 10_000),
        (3, 86_400_000 * 365),
    ] {
        let rate = Rate::new(limit, Duration::from_millis(window)).unwrap();
        let bucket = bucket();
        let mut full_at = 0;
        for step in 0..150 {
            let spent = runtime().block_on(replica.store.spend(bucket, rate)).unwrap();
            let found: Option<u64> = redis.ask(&["GET", &format!("sidegate:q:{bucket}")]);
            let Some(found) = found else {
                // It is full by now, and gone.
                full_at = 0;
                continue;
            };
            let now = found - u64::try_from(spent.reset.as_micros()).unwrap();
            assert_eq!(rate.spend(full_at, now), (spent, found), "{limit} {window} {step}");
            compared += 1;
            full_at = found;
        }
        let left: i64 = redis.ask(&["PTTL", &format!("sidegate:q:{bucket}")]);
        assert!(
            left <= i64::try_from(window).unwrap() + 1,
            "{limit} {window}: kept for {left} ms"
        );
    }
    assert!(compared >= 300, "only {compared} steps");
}
