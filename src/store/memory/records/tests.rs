use super::*;

const SIZE: usize = 1 << 20;

const LEASE: Millis = 30;
const TTL: Millis = 100;
const ONE: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

fn key(name: &str) -> RecordKey {
    of(name, "share")
}

fn of(name: &str, share: &str) -> RecordKey {
    RecordKey {
        name: Fingerprint::of(&[name.as_bytes()]),
        share: Fingerprint::of(&[share.as_bytes()]),
    }
}

fn digest() -> Fingerprint {
    Fingerprint::of(&[b"request"])
}

fn answer(record: &[u8]) -> (Fingerprint, Bytes) {
    (digest(), Bytes::copy_from_slice(record))
}

fn answered(bytes: usize) -> Claim {
    let digest = digest();
    Claim::Stored(StoredResponse { digest, bytes })
}

fn claim(records: &mut Records, owner: Uuid, now: Millis) -> Result<Claim, Unavailable> {
    records.claim(key("k"), owner, now + LEASE, now)
}

#[test]
fn one_request_is_granted_and_repeats_get_its_response() {
    let mut records = Records::new(SIZE);
    assert_eq!(claim(&mut records, ONE, 0), Ok(Claim::Granted));
    assert_eq!(claim(&mut records, ONE, 0), Ok(Claim::Granted), "the same attempt");
    assert_eq!(claim(&mut records, OTHER, 29), Ok(Claim::Taken));
    records.renew(key("k"), ONE, 29 + LEASE, 29);
    assert_eq!(claim(&mut records, OTHER, 31), Ok(Claim::Taken));
    assert_eq!(claim(&mut records, OTHER, 59), Ok(Claim::Granted), "the lease is over");
    records.release(key("k").name, ONE);
    assert_eq!(records.complete(key("k"), ONE, answer(b"late"), TTL, 60), Ok(false));
    assert_eq!(
        claim(&mut records, ONE, 60),
        Ok(Claim::Taken),
        "only the owner has a say"
    );
    records.complete(key("k"), OTHER, answer(b"r"), 61 + TTL, 61).unwrap();
    records.release(key("k").name, OTHER);
    assert_eq!(claim(&mut records, ONE, 160), Ok(answered(1)));
    assert_eq!(records.read(key("k").name, digest(), 160), Some(Bytes::from("r")));
    assert_eq!(records.read(key("k").name, Fingerprint::of(&[]), 160), None);
    assert_eq!(records.read(key("k").name, digest(), 161), None);
    assert_eq!(
        claim(&mut records, ONE, 161),
        Ok(Claim::Granted),
        "it was kept for its time"
    );
    records.release(key("k").name, ONE);
    assert_eq!(claim(&mut records, OTHER, 161), Ok(Claim::Granted));
    records.release(key("k").name, OTHER);
    assert_eq!((records.used, records.shares.len()), (0, 0));
}

#[test]
fn lost_lease_is_renewed_unless_another_owner_has_begun() {
    let mut records = Records::new(SIZE);
    records.renew(key("k"), ONE, LEASE, 0);
    assert_eq!(claim(&mut records, OTHER, 29), Ok(Claim::Taken));
    assert_eq!(claim(&mut records, OTHER, 30), Ok(Claim::Granted));
    assert!(!records.renew(key("k"), ONE, 31 + LEASE, 31), "somebody else has it");
    records.complete(key("k"), OTHER, answer(b"r"), TTL, 32).unwrap();
    records.renew(key("k"), ONE, 33 + LEASE, 33);
    assert_eq!(claim(&mut records, ONE, 34), Ok(answered(1)));
}

#[test]
fn response_after_the_lease_is_stored_unless_another_owner_has_begun() {
    let mut records = Records::new(SIZE);
    claim(&mut records, ONE, 0).unwrap();
    records.complete(key("k"), ONE, answer(b"r"), 40 + TTL, 40).unwrap();
    assert_eq!(claim(&mut records, OTHER, 41), Ok(answered(1)));
}

#[test]
fn response_that_is_stored_again_by_the_same_owner_is_recognized() {
    let mut records = Records::new(SIZE);
    claim(&mut records, ONE, 0).unwrap();
    for record in [b"r", b"s"] {
        assert_eq!(records.complete(key("k"), ONE, answer(record), TTL, 1), Ok(true));
        assert!(records.renew(key("k"), ONE, LEASE, 1));
        assert!(!records.renew(key("k"), OTHER, LEASE, 1));
    }
    assert_eq!(records.read(key("k").name, digest(), 2), Some(Bytes::from("r")), "once");
    assert_eq!(records.complete(key("k"), OTHER, answer(b"t"), TTL, 2), Ok(false));
}

/// Stores responses of a share until there is no room, and returns how many that were.
fn fill(records: &mut Records, share: &str, now: Millis) -> usize {
    let record = vec![0; 10 * EACH - EACH];
    (0..SIZE / EACH)
        .take_while(|number| {
            let key = of(&format!("{share} {now} {number}"), share);
            records.claim(key, ONE, now + LEASE, now).is_ok() && {
                let done = records.complete(key, ONE, answer(&record), now + TTL, now);
                if done.is_err() {
                    records.release(key.name, ONE);
                }
                done.is_ok()
            }
        })
        .count()
}

#[test]
fn share_gets_as_much_as_it_leaves_free() {
    let all = SIZE / EACH / 10;
    let mut records = Records::new(SIZE);
    let alone = fill(&mut records, "a", 0);
    assert_eq!(alone, all / 2);
    assert_eq!(fill(&mut records, "b", 0), all / 4, "half of the rest");
    assert_eq!(fill(&mut records, "a", 1), 0, "it has more than is left");
    // A later tenant finds some room, however many came before.
    for share in 0..8 {
        assert!(
            fill(&mut records, &share.to_string(), 0) > 0 || all >> (share + 3) == 0,
            "{share}"
        );
    }
    let usage = records.usage(0);
    assert_eq!((usage.limit, usage.largest_share), (SIZE, alone * 10 * EACH));
    assert!(usage.used < SIZE && usage.records > alone + all / 4, "{usage:?}");
    assert_eq!(fill(&mut records, "a", TTL), all / 2, "what is over makes room");
    assert_eq!((records.usage(TTL).records, records.shares.len()), (all / 2, 1));
}

#[test]
fn room_is_free_again_whatever_becomes_of_records() {
    let mut records = Records::new(SIZE);
    for number in 0..1000_u32 {
        let key = of(&number.to_string(), "share");
        records.claim(key, ONE, LEASE, 0).unwrap();
        match number % 3 {
            0 => records.release(key.name, ONE),
            1 => assert!(records.renew(key, ONE, LEASE + 1, 0)),
            _ => assert_eq!(records.complete(key, ONE, answer(b"r"), TTL, 0), Ok(true)),
        }
    }
    assert_eq!(records.usage(0).records, 666);
    let usage = records.usage(TTL);
    assert_eq!((usage.used, usage.records, usage.largest_share), (0, 0, 0));
    assert!(records.slots.is_empty() && records.ends.is_empty() && records.shares.is_empty());
}

#[test]
fn response_that_never_fits_leaves_its_claim() {
    let mut records = Records::new(SIZE);
    claim(&mut records, ONE, 0).unwrap();
    let long = vec![0; SIZE / 2];
    let never = records.complete(key("k"), ONE, answer(&long), TTL, 1);
    assert!(never.unwrap_err().is_final());
    assert_eq!(claim(&mut records, OTHER, 2), Ok(Claim::Taken));
}
