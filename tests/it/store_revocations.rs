//! What replicas know of revocations, whatever becomes of the Redis between them: nothing that was
//! acknowledged is lost, and a list that may lack something does not pass for complete.

use std::time::{Duration, Instant};

use sidegate::revocation::{Revocation, Target};

use super::{
    harness::{PATIENCE, redis::Redis, runtime},
    store::{Replica, eventually, revocation},
};

const SET: &str = "sidegate:{r}:set";
const LOG: &str = "sidegate:{r}:log";

#[test]
fn what_redis_loses_comes_back() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    runtime().block_on(async {
        for at in 0..3 {
            replica.store.revoke(&revocation(&format!("j{at}"))).await.unwrap();
        }
        redis.kill();
        redis.run();
        eventually("they are back", async || redis.ask::<usize>(&["ZCARD", SET]) == 3).await;
        redis.ask::<()>(&["FLUSHALL"]);
        eventually("and again", async || redis.ask::<usize>(&["ZCARD", SET]) == 3).await;
        redis.ask::<()>(&["DEL", SET, LOG, "sidegate:{r}:epoch"]);
        let other = Replica::of(&redis.url());
        other.store.revoke(&revocation("later")).await.unwrap();
        eventually("those are, too", async || redis.ask::<usize>(&["ZCARD", SET]) == 4).await;
        eventually("all is known", async || other.refuses("j2") && replica.refuses("later")).await;
    });
}

#[test]
fn a_reader_that_misses_some_of_the_log_reads_everything() {
    let redis = Redis::start();
    let (one, other) = (Replica::of(&redis.url()), Replica::of(&redis.url()));
    runtime().block_on(async {
        one.store.revoke(&revocation("first")).await.unwrap();
        eventually("the log is followed", async || other.refuses("first")).await;
        let text = serde_json::to_string(&revocation("unlogged")).unwrap();
        // As one whose entry was trimmed before any replica read it.
        redis.ask::<()>(&["ZADD", SET, "9000000000000", &text]);
        redis.ask::<()>(&["INCR", "sidegate:{r}:count"]);
        one.store.revoke(&revocation("third")).await.unwrap();
        eventually("it is found", async || {
            other.refuses("unlogged") && other.refuses("third")
        })
        .await;
    });
}

#[test]
fn many_are_read_in_pages() {
    const MANY: usize = 5_300;
    let redis = Redis::start();
    let mut same = revocation("");
    for at in 0..MANY {
        same.target = Target::Jti(format!("j{at}"));
        // A third of them are forgotten at the same moment, which is more than a page.
        let expires = same.expires + i64::try_from(if at % 3 == 0 { 0 } else { at }).unwrap();
        let text = serde_json::to_string(&Revocation {
            expires,
            ..same.clone()
        })
        .unwrap();
        redis.ask::<()>(&["ZADD", SET, &expires.to_string(), &text]);
    }
    let replica = Replica::of(&redis.url());
    assert!((0..MANY).all(|at| replica.refuses(&format!("j{at}"))));
    assert!(replica.is_complete(PATIENCE) && (replica.metric("sidegate_revocations") - 5300.0).abs() < 0.1);
}

#[test]
fn list_with_an_unreadable_entry_is_incomplete() {
    let redis = Redis::start();
    let text = serde_json::to_string(&revocation("fine")).unwrap();
    redis.ask::<()>(&[
        "ZADD",
        SET,
        "9000000000000",
        &text,
        "9000000000000",
        "{\"target\":\"all\"}",
    ]);
    let replica = Replica::unsettled(&redis.url(), |_| {});
    runtime().block_on(async {
        let cause = replica.store.loaded().await.unwrap_err();
        assert!(cause.cause().contains("1, the first for this"), "{cause}");
        assert!(replica.refuses("fine"), "what is understood holds");
        let second = revocation("second");
        replica.store.revoke(&second).await.unwrap();
        assert!(replica.refuses("second") && !replica.is_complete(PATIENCE));
        assert!(replica.counted("follow", "error") > 0.5);
        redis.ask::<()>(&["ZREM", SET, "{\"target\":\"all\"}"]);
        eventually("it is complete", async || replica.is_complete(Duration::from_secs(2))).await;
        redis.ask::<()>(&["XADD", LOG, "*", "n", "x", "r", "nonsense"]);
        replica.store.revoke(&revocation("after nonsense")).await.unwrap();
        let other = Replica::of(&redis.url());
        assert!(other.refuses("after nonsense"));
        eventually("it is complete", async || replica.is_complete(Duration::from_secs(1))).await;
        eventually("it follows", async || {
            let name = "followed";
            other.store.revoke(&revocation(name)).await.unwrap();
            replica.refuses(name)
        })
        .await;
    });
}

#[test]
fn what_is_over_is_forgotten() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    runtime().block_on(async {
        let now = jiff::Timestamp::now().as_millisecond();
        let short = Revocation {
            expires: now + 300,
            ..revocation("short")
        };
        replica.store.revoke(&short).await.unwrap();
        eventually("it is over", async || !replica.refuses("short")).await;
        redis.ask::<()>(&["ZADD", SET, "1", "nonsense of long ago"]);
        replica.store.revoke(&revocation("long")).await.unwrap();
        assert_eq!(redis.ask::<usize>(&["ZCARD", SET]), 1);
    });
}

#[test]
fn there_is_an_end_to_what_redis_keeps() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    let fill = "for at = 1, 10000 do redis.call('ZADD', KEYS[1], 9000000000000, ARGV[1] .. at) end";
    for part in 0..100 {
        redis.ask::<redis::Value>(&["EVAL", fill, "1", SET, &format!("{part}:")]);
    }
    let refused = runtime().block_on(replica.store.revoke(&revocation("one more")));
    assert_eq!(refused.unwrap_err().cause(), "there is no room for more revocations");
    assert!(replica.counted("revoke", "full") > 0.5);
}

/// Printed with `--nocapture`.
#[test]
fn a_revocation_is_known_everywhere_soon() {
    let redis = Redis::start();
    let (one, other) = (Replica::of(&redis.url()), Replica::of(&redis.url()));
    let mut took = Vec::new();
    runtime().block_on(async {
        for at in 0..200 {
            let name = format!("j{at}");
            one.store.revoke(&revocation(&name)).await.unwrap();
            let began = Instant::now();
            while !other.refuses(&name) {
                assert!(began.elapsed() < PATIENCE, "{name}");
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            took.push(began.elapsed());
        }
    });
    took.sort();
    eprintln!(
        "revoked elsewhere after: p50 {:?}, p99 {:?}, most {:?}",
        took[100], took[198], took[199]
    );
    // The promise is 100 ms; a machine that is busy with other tests may be late.
    assert!(took[100] < Duration::from_millis(100), "{:?}", took[100]);
}

#[test]
fn many_of_one_subject_are_one() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    let now = jiff::Timestamp::now().as_millisecond();
    let of = |before| Revocation {
        target: Target::Subject("s".into()),
        issuer: None,
        before: Some(before),
        expires: now + 3_600_000,
    };
    runtime().block_on(async {
        for before in [now - 3, now - 1, now - 2, now] {
            replica.store.revoke(&of(before)).await.unwrap();
        }
    });
    assert_eq!(redis.ask::<usize>(&["ZCARD", "sidegate:{r}:set"]), 1);
    let late = Replica::of(&redis.url());
    let known: Vec<Revocation> = late.store.revocations().list().iter().collect();
    assert_eq!(known, [of(now)]);
}

#[test]
fn what_is_over_by_the_clock_of_redis_is_not_acknowledged() {
    let redis = Redis::start();
    let replica = Replica::of(&redis.url());
    let over = Revocation {
        expires: jiff::Timestamp::now().as_millisecond() - 1,
        ..revocation("over")
    };
    let refused = runtime().block_on(replica.store.revoke(&over)).unwrap_err();
    assert!(refused.cause().contains("clock"), "{refused}");
    assert_eq!(replica.store.revocations().list().len(), 0);
}

#[test]
fn user_who_may_not_run_scripts_leaves_the_store_unavailable() {
    let redis = Redis::start();
    redis.ask::<()>(&[
        "ACL", "SETUSER", "poor", "on", ">pw", "~*", "+@all", "-eval", "-evalsha",
    ]);
    let url = format!("redis://poor:pw@127.0.0.1:{}", redis.port);
    let replica = Replica::unsettled(&url, |_| {});
    let answer = runtime().block_on(replica.store.connected()).unwrap_err();
    assert!(answer.cause().contains("no permissions"), "{answer}");
    assert!(replica.metric("sidegate_store_up") < 0.5);
}
