//! A Redis that is slow, gone, stopped, full, a replica, or that lies. The first caller hears of it in time,
//! later ones at once; and once it is well, so is everything, without a restart.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sidegate::{
    quota::Rate,
    store::{Claim, Unavailable},
};
use uuid::Uuid;

use super::{
    harness::{
        PATIENCE,
        redis::{Cluster, Redis, Watched},
        runtime,
        toxic::{Fault, Toxic},
    },
    store::{Replica, answer, bucket, eventually, kept, key, revocation},
};

const LEASE: Duration = Duration::from_secs(30);

/// The longest that a caller waits: the deadline of a store is 250 ms.
const AT_ONCE: Duration = Duration::from_secs(5);

fn rate() -> Rate {
    Rate::new(1000, Duration::from_mins(1)).unwrap()
}

/// Every operation ends in time, and none of them well.
async fn assert_unavailable(replica: &Replica, what: &str) {
    let (store, key, owner) = (&replica.store, key(), Uuid::new_v4());
    let began = Instant::now();
    let answers: [Result<(), Unavailable>; 6] = [
        store.claim(key, owner, LEASE).await.map(drop),
        store.renew(key, owner, LEASE).await.map(drop),
        store.complete(key, owner, answer("r"), LEASE).await.map(drop),
        store.release(key, owner).await,
        store.spend(key.name, rate()).await.map(drop),
        store.revoke(&revocation("never")).await,
    ];
    assert!(answers.iter().all(Result::is_err), "{what}: {answers:?}");
    assert!(began.elapsed() < AT_ONCE, "{what}: {:?}", began.elapsed());
}

/// Every operation is well, sooner or later.
async fn assert_recovers(replica: &Replica, what: &str) {
    let store = &replica.store;
    eventually(what, async || {
        let (key, owner) = (key(), Uuid::new_v4());
        store.claim(key, owner, LEASE).await.is_ok()
            && store.complete(key, owner, answer("r"), LEASE).await.is_ok()
            && store.spend(bucket(), rate()).await.is_ok()
            && store.revoke(&revocation(&Uuid::new_v4().to_string())).await.is_ok()
    })
    .await;
    eventually(what, async || replica.is_complete(Duration::from_secs(2))).await;
    eventually(what, async || replica.metric("sidegate_store_up") > 0.5).await;
}

/// Without a connection, every operation fails at once.
async fn assert_gives_up(replica: &Replica, what: &str) {
    let store = &replica.store;
    eventually(what, async || {
        store.claim(key(), Uuid::new_v4(), LEASE).await.is_err() && replica.metric("sidegate_store_up") < 0.5
    })
    .await;
    let before = replica.counted("spend", "disconnected");
    for _ in 0..50 {
        assert!(store.spend(bucket(), rate()).await.is_err(), "{what}");
    }
    assert!(replica.counted("spend", "disconnected") >= before + 45.0, "{what}");
}

/// A store behind a network that breaks, and is mended.
fn check(what: &str, break_it: impl FnOnce(&Toxic), mend: impl FnOnce(&Toxic)) {
    let redis = Redis::start();
    let toxic = Toxic::before(redis.port);
    let replica = Replica::impatient(&format!("redis://127.0.0.1:{}", toxic.port));
    let elsewhere = Replica::of(&redis.url());
    runtime().block_on(async {
        assert_recovers(&replica, what).await;
        break_it(&toxic);
        assert_unavailable(&replica, what).await;
        assert_gives_up(&replica, what).await;
        elsewhere.store.revoke(&revocation("meanwhile")).await.unwrap();
        eventually(what, async || !replica.is_complete(Duration::from_secs(3))).await;
        assert!(!replica.refuses("meanwhile"), "{what}");
        mend(&toxic);
        assert_recovers(&replica, what).await;
        eventually(what, async || replica.refuses("meanwhile")).await;
    });
}

#[test]
fn a_network_that_is_slower_than_the_deadline() {
    let slow = Fault::Slow(Duration::from_secs(3));
    check("latency", |toxic| toxic.set(slow), |toxic| toxic.set(Fault::Nothing));
}

#[test]
fn a_network_that_loses_everything_without_a_word() {
    check(
        "a partition",
        |toxic| toxic.set(Fault::Silent),
        |toxic| toxic.set(Fault::Nothing),
    );
}

#[test]
fn a_server_that_closes_connections_and_takes_none() {
    let refuse = |toxic: &Toxic| {
        toxic.set(Fault::Refusing);
        toxic.cut();
    };
    check("a cut", refuse, |toxic| toxic.set(Fault::Nothing));
}

#[test]
fn a_server_that_resets_connections_and_takes_none() {
    let refuse = |toxic: &Toxic| {
        toxic.set(Fault::Refusing);
        toxic.reset();
    };
    check("a reset", refuse, |toxic| toxic.set(Fault::Nothing));
}

#[test]
fn a_connection_that_ends_is_replaced() {
    let redis = Redis::start();
    let toxic = Toxic::before(redis.port);
    let replica = Replica::impatient(&format!("redis://127.0.0.1:{}", toxic.port));
    let elsewhere = Replica::of(&redis.url());
    runtime().block_on(async {
        for round in 0..4 {
            match round % 2 {
                0 => toxic.cut(),
                _ => toxic.reset(),
            }
            let name = format!("round {round}");
            elsewhere.store.revoke(&revocation(&name)).await.unwrap();
            eventually(&name, async || replica.refuses(&name)).await;
            assert_recovers(&replica, &name).await;
        }
    });
}

#[test]
fn stopped_server_that_continues_is_used_again() {
    let redis = Redis::start();
    let replica = Replica::impatient(&redis.url());
    runtime().block_on(async {
        redis.freeze();
        assert_unavailable(&replica, "stopped").await;
        assert_gives_up(&replica, "stopped").await;
        redis.thaw();
        assert_recovers(&replica, "it goes on").await;
    });
}

/// How often keys were released, whatever came of it.
fn releases(replica: &Replica) -> f64 {
    let results = ["ok", "timeout", "disconnected", "error", "read_only", "full", "lost"];
    results.iter().map(|result| replica.counted("release", result)).sum()
}

#[test]
fn claims_without_a_reply_are_released_once_redis_is_back_and_others_never() {
    let redis = Redis::start();
    let replica = Replica::impatient(&redis.url());
    let keys: Vec<_> = (0..300).map(|_| key()).collect();
    runtime().block_on(async {
        redis.freeze();
        let mut asking = tokio::task::JoinSet::new();
        for key in keys.clone() {
            let store = replica.store.clone();
            asking.spawn(async move { store.claim(key, Uuid::new_v4(), LEASE).await });
        }
        assert!(asking.join_all().await.iter().all(Result::is_err));
        // From now on nothing is sent.
        assert_gives_up(&replica, "stopped").await;
        for _ in 0..1000 {
            assert!(replica.store.claim(key(), Uuid::new_v4(), LEASE).await.is_err());
        }
        assert!(releases(&replica) < 0.5, "nobody can release anything now");
        let unanswered = replica.counted("claim", "timeout");
        assert!((1.0..1300.0).contains(&unanswered), "{unanswered}");
        redis.thaw();
        eventually("all keys are free", async || {
            let mut free = true;
            for key in &keys {
                let owner = Uuid::from_u128(1);
                free &= replica.store.claim(*key, owner, LEASE).await == Ok(Claim::Granted);
            }
            free
        })
        .await;
        let released = replica.counted("release", "ok");
        assert!(
            (1.0..=unanswered).contains(&released),
            "{released} of {unanswered} that may have been granted"
        );
    });
}

#[test]
fn claims_that_were_not_sent_are_not_released() {
    let redis = Redis::start();
    let replica = Replica::impatient(&redis.url());
    runtime().block_on(async {
        redis.kill();
        eventually("it is lost", async || replica.metric("sidegate_store_up") < 0.5).await;
        let disconnected = replica.counted("claim", "disconnected");
        for _ in 0..200 {
            assert!(replica.store.claim(key(), Uuid::new_v4(), LEASE).await.is_err());
        }
        assert!(replica.counted("claim", "disconnected") > disconnected + 199.5);
        redis.run();
        assert_recovers(&replica, "it is there").await;
        assert!(releases(&replica) < 0.5);
    });
}

#[test]
fn lease_that_redis_lost_is_written_again_before_anything_else_is_asked() {
    let redis = Redis::start();
    let (replica, elsewhere) = (Replica::impatient(&redis.url()), Replica::of(&redis.url()));
    runtime().block_on(async {
        for round in 0..3 {
            let (held, given_up, owner) = (key(), key(), Uuid::new_v4());
            for key in [held, given_up] {
                assert_eq!(replica.store.claim(key, owner, LEASE).await, Ok(Claim::Granted));
            }
            redis.kill();
            eventually("it is gone", async || {
                replica.store.spend(bucket(), rate()).await.is_err()
            })
            .await;
            assert!(replica.store.release(given_up, owner).await.is_err());
            redis.run();
            eventually("it is back, and empty", async || {
                replica.store.spend(bucket(), rate()).await.is_ok()
            })
            .await;
            let names: Vec<String> = redis.ask(&["KEYS", "sidegate:i:*"]);
            assert_eq!(names, [format!("sidegate:i:{}", held.name)], "round {round}");
            let stranger = Uuid::new_v4();
            for store in [&replica.store, &elsewhere.store] {
                eventually("it answers", async || store.claim(held, stranger, LEASE).await.is_ok()).await;
                assert_eq!(
                    store.claim(held, stranger, LEASE).await,
                    Ok(Claim::Taken),
                    "round {round}"
                );
            }
            assert_eq!(replica.store.claim(given_up, stranger, LEASE).await, Ok(Claim::Granted));
            replica.store.release(given_up, stranger).await.unwrap();
            // Responses have a connection of their own.
            eventually("it is stored", async || {
                replica.store.complete(held, owner, answer("r"), LEASE).await == Ok(true)
            })
            .await;
            let repeat = elsewhere.store.claim(held, stranger, LEASE).await;
            assert!(matches!(repeat, Ok(Claim::Stored(_))), "{repeat:?}");
        }
    });
}

#[test]
fn key_in_flight_is_granted_to_no_other_request_here_whatever_redis_lost() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    let (held, owner, stranger) = (key(), Uuid::new_v4(), Uuid::new_v4());
    runtime().block_on(async {
        assert_eq!(replica.store.claim(held, owner, LEASE).await, Ok(Claim::Granted));
        redis.ask::<()>(&["FLUSHALL"]);
        assert_eq!(replica.store.claim(held, stranger, LEASE).await, Ok(Claim::Taken));
        assert_eq!(
            replica.store.claim(held, owner, LEASE).await,
            Ok(Claim::Granted),
            "its own"
        );
        replica.store.release(held, owner).await.unwrap();
        assert_eq!(replica.store.claim(held, stranger, LEASE).await, Ok(Claim::Granted));
    });
}

#[test]
fn response_whose_confirmation_was_lost_is_recognized_and_a_lost_key_is_not() {
    let redis = Redis::start();
    let toxic = Toxic::before(redis.port);
    let replica = Replica::impatient(&format!("redis://127.0.0.1:{}", toxic.port));
    let elsewhere = Replica::of(&redis.url());
    runtime().block_on(async {
        let (done, taken, owner) = (key(), key(), Uuid::new_v4());
        for key in [done, taken] {
            assert_eq!(replica.store.claim(key, owner, LEASE).await, Ok(Claim::Granted));
        }
        // Redis knows the script from now on.
        let before = key();
        assert_eq!(
            replica.store.complete(before, owner, answer("r"), LEASE).await,
            Ok(true)
        );
        toxic.set(Fault::Mute);
        assert!(replica.store.complete(done, owner, answer("r"), LEASE).await.is_err());
        assert_eq!(
            kept(&elsewhere.store, done).await,
            Some(Bytes::from("r")),
            "Redis did it"
        );
        let name = format!("sidegate:i:{}", taken.name);
        redis.ask::<()>(&["SET", &name, "cotherownerother"]);
        toxic.set(Fault::Nothing);
        toxic.cut();
        eventually("it answers", async || {
            replica.store.complete(done, owner, answer("r"), LEASE).await == Ok(true)
        })
        .await;
        assert!(replica.counted("complete", "lost") < 0.5);
        eventually("it answers", async || {
            replica.store.renew(done, owner, LEASE).await == Ok(true)
        })
        .await;
        assert_eq!(kept(&elsewhere.store, done).await, Some(Bytes::from("r")));
        assert_eq!(
            replica.store.complete(taken, owner, answer("r"), LEASE).await,
            Ok(false)
        );
        assert!(replica.counted("complete", "lost") > 0.5);
    });
}

#[test]
fn response_of_an_earlier_version_is_still_read() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    let key = key();
    let unhex = "(string.gsub(ARGV[1], '..', function(hex) return string.char(tonumber(hex, 16)) end))";
    let set = format!("return redis.call('SET', KEYS[1], 'a' .. {unhex} .. 'record')");
    let (name, digest) = (format!("sidegate:i:{}", key.name), answer("").0.to_string());
    redis.ask::<()>(&["EVAL", &set, "1", &name, &digest]);
    runtime().block_on(async {
        assert_eq!(kept(&replica.store, key).await, Some(Bytes::from("record")));
        let owner = Uuid::new_v4();
        assert_eq!(replica.store.renew(key, owner, LEASE).await, Ok(false));
        assert_eq!(replica.store.complete(key, owner, answer("r"), LEASE).await, Ok(false));
    });
}

#[test]
fn many_who_ask_a_server_that_is_stopped_wait_no_longer_than_one() {
    let redis = Redis::start();
    let replica = Replica::impatient(&redis.url());
    redis.freeze();
    let began = Instant::now();
    runtime().block_on(async {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..5000 {
            let store = replica.store.clone();
            asking.spawn(async move { store.claim(key(), Uuid::new_v4(), LEASE).await });
        }
        while let Some(answer) = asking.join_next().await {
            assert!(answer.unwrap().is_err());
        }
    });
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    redis.thaw();
    runtime().block_on(assert_recovers(&replica, "it goes on"));
}

#[test]
fn a_server_that_is_down_when_all_begins() {
    let redis = Redis::start();
    redis.kill();
    let replica = Replica::unsettled(&redis.url(), |_| {});
    runtime().block_on(async {
        assert!(replica.store.connected().await.is_err());
        assert!(replica.store.loaded().await.is_err());
        assert!(replica.store.has_settled() && !replica.is_complete(PATIENCE));
        assert_unavailable(&replica, "down").await;
        redis.run();
        assert_recovers(&replica, "it is there").await;
        assert!(replica.store.connected().await.is_ok() && replica.store.loaded().await.is_ok());
    });
}

#[test]
fn a_server_that_crashes_keeps_what_it_acknowledged() {
    let redis = Redis::durable();
    let replica = Replica::of(&redis.url());
    runtime().block_on(async {
        let (claimed, answered, owner) = (key(), key(), Uuid::new_v4());
        replica.store.claim(claimed, owner, LEASE).await.unwrap();
        replica
            .store
            .complete(answered, owner, answer("r"), LEASE)
            .await
            .unwrap();
        redis.kill();
        assert_unavailable(&replica, "crashed").await;
        redis.run();
        assert_recovers(&replica, "it is there again").await;
        let other = Uuid::new_v4();
        assert_eq!(replica.store.claim(claimed, other, LEASE).await, Ok(Claim::Taken));
        assert_eq!(kept(&replica.store, answered).await, Some(Bytes::from("r")));
    });
}

#[test]
fn a_server_that_becomes_a_replica_and_a_master_again() {
    let (redis, master) = (Redis::start(), Redis::start());
    let replica = Replica::of(&redis.url());
    runtime().block_on(async {
        redis.ask::<()>(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
        assert_unavailable(&replica, "read only").await;
        assert_gives_up(&replica, "read only").await;
        assert!(replica.counted("connect", "read_only") + replica.counted("claim", "read_only") > 0.0);
        eventually("its list is stale", async || {
            !replica.is_complete(Duration::from_secs(1))
        })
        .await;
        redis.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
        assert_recovers(&replica, "a master again").await;
    });
}

#[test]
fn a_server_that_is_full() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    let (taken, owner) = (key(), Uuid::new_v4());
    runtime().block_on(async {
        replica.store.claim(taken, owner, LEASE).await.unwrap();
        replica.store.revoke(&revocation("before")).await.unwrap();
        redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
        for _ in 0..3 {
            assert!(replica.store.claim(key(), owner, LEASE).await.is_err());
            assert!(replica.store.complete(key(), owner, answer("r"), LEASE).await.is_err());
            assert!(replica.store.spend(bucket(), rate()).await.is_err());
        }
        replica.store.revoke(&revocation("while full")).await.unwrap();
        assert!(replica.counted("claim", "full") > 2.5 && replica.counted("spend", "full") > 2.5);
        assert_eq!(
            replica.store.claim(taken, Uuid::new_v4(), LEASE).await,
            Ok(Claim::Taken),
            "it still reads"
        );
        assert!(
            replica.metric("sidegate_store_up") > 0.5,
            "the connection is a good one"
        );
        eventually("the list is complete", async || {
            replica.is_complete(Duration::from_secs(1))
        })
        .await;
        let late = Replica::of(&redis.url());
        assert!(late.refuses("before") && late.refuses("while full") && late.is_complete(PATIENCE));
        redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
        assert_recovers(&replica, "there is room").await;
    });
}

#[test]
fn invalid_reply_never_lets_a_request_pass() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    let store = &replica.store;
    runtime().block_on(async {
        for lie in ["", "x", "c", "c0123456789abcde", "c0123456789abcdefg", "b", "OK", "1"] {
            let key = key();
            redis.ask::<()>(&["SET", &format!("sidegate:i:{}", key.name), lie]);
            let claim = store.claim(key, Uuid::new_v4(), LEASE).await;
            assert!(claim.is_err(), "{lie}: {claim:?}");
        }
        for lie in ["", "x", "-1", "1e3", "0x10", " 1", "nan", "inf", "1.5"] {
            let bucket = bucket();
            redis.ask::<()>(&["SET", &format!("sidegate:q:{bucket}"), lie]);
            let spent = store.spend(bucket, rate()).await;
            assert!(spent.is_err(), "{lie}: {spent:?}");
        }
        let far = bucket();
        redis.ask::<()>(&["SET", &format!("sidegate:q:{far}"), "99999999999999999999999999"]);
        assert!(!store.spend(far, rate()).await.is_ok_and(|spent| spent.allowed));
        let key = key();
        for kind in ["i", "q"] {
            redis.ask::<()>(&["RPUSH", &format!("sidegate:{kind}:{}", key.name), "x"]);
        }
        assert!(store.claim(key, Uuid::nil(), LEASE).await.is_err());
        assert!(store.renew(key, Uuid::nil(), LEASE).await.is_err());
        assert!(store.complete(key, Uuid::nil(), answer(""), LEASE).await.is_err());
        assert!(store.release(key, Uuid::nil()).await.is_err());
        assert!(store.spend(key.name, rate()).await.is_err());
        assert!(replica.counted("claim", "error") > 8.5);
        assert!(
            replica.metric("sidegate_store_up") > 0.5,
            "the connection is a good one"
        );
    });
}

#[test]
fn scripts_that_a_server_forgets_are_sent_again() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    runtime().block_on(async {
        for _ in 0..3 {
            assert_eq!(
                replica.store.claim(key(), Uuid::new_v4(), LEASE).await,
                Ok(Claim::Granted)
            );
            redis.ask::<()>(&["SCRIPT", "FLUSH"]);
        }
    });
}

#[test]
fn a_sentinel_names_another_server() {
    let watched = Watched::start();
    let replica = Replica::of(&watched.url());
    runtime().block_on(async {
        replica.store.revoke(&revocation("before")).await.unwrap();
        watched.master.kill();
        assert_unavailable(&replica, "the master is dead").await;
        assert_recovers(&replica, "the other one is the master").await;
    });
    assert!(replica.refuses("before"));
    let role: Vec<redis::Value> = watched.replica.ask(&["ROLE"]);
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()));
}

#[test]
fn a_cluster_without_one_of_its_nodes() {
    let cluster = Cluster::start();
    let replica = Replica::impatient(&cluster.url());
    runtime().block_on(async {
        assert_recovers(&replica, "the cluster").await;
        cluster.nodes[2].freeze();
        let began = Instant::now();
        let mut answers = Vec::new();
        // Which node is asked follows from the key, and keys are random.
        while answers.len() < 200 && !(answers.contains(&true) && answers.contains(&false)) {
            answers.push(replica.store.claim(key(), Uuid::new_v4(), LEASE).await.is_ok());
        }
        assert!(began.elapsed() < AT_ONCE * 2, "{:?}", began.elapsed());
        assert!(answers.contains(&true) && answers.contains(&false), "{answers:?}");
        cluster.nodes[2].thaw();
        eventually("all nodes answer", async || {
            let mut well = true;
            for _ in 0..12 {
                well &= replica.store.claim(key(), Uuid::new_v4(), LEASE).await.is_ok();
            }
            well
        })
        .await;
        assert_recovers(&replica, "the cluster is whole again").await;
    });
}
