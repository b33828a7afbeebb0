use super::*;

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn addresses(texts: &[&str]) -> Addresses {
    Addresses::new(sockets(texts), &Addresses::default())
}

fn candidate(addresses: &Addresses, text: &str) -> Candidate {
    let socket: SocketAddr = text.parse().unwrap();
    addresses.all().find(|one| one.socket == socket).unwrap().clone()
}

/// The addresses that some requests pick, one after the other.
fn picks(addresses: &Addresses, turns: usize, now: Instant) -> Vec<String> {
    let picks = (0..turns).map(|turn| addresses.pick(turn, now).unwrap().socket.to_string());
    picks.collect()
}

fn order(addresses: &Addresses, first: Option<&str>, now: Instant) -> Vec<String> {
    let first = first.map(|first| first.parse().unwrap());
    let order = addresses.in_order(first, now);
    order.iter().map(|candidate| candidate.socket.to_string()).collect()
}

const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";
const C: &str = "10.0.0.3:80";
const X: &str = "[fd00::1]:80";
const Y: &str = "[fd00::2]:80";

#[test]
fn rest_doubles_with_each_failure_after_it_and_a_success_ends_it() {
    let start = Instant::now();
    let rest = Rest::default();
    let at = |millis| start + Duration::from_millis(millis);
    let length = |millis| Some(Duration::from_millis(millis));
    for (now, rests) in [
        (0, length(1000)),
        // A failure during the rest changes nothing.
        (1, None),
        (999, None),
        (1000, length(2000)),
        (2999, None),
        (3000, length(4000)),
        (7000, length(8000)),
        (15_000, length(16_000)),
        (31_000, length(30_000)),
        (61_000, length(30_000)),
        (90_999, None),
        // However long ago the last failure is.
        (500_000, length(30_000)),
    ] {
        assert_eq!(rest.begin(at(now)), rests, "at {now} ms");
        assert!(matches!(rest.state(at(now)), State::Resting), "at {now} ms");
    }
    assert!(matches!(rest.state(at(529_999)), State::Resting));
    assert!(matches!(rest.state(at(530_000)), State::Due));
    assert!(rest.end());
    assert!(!rest.end());
    assert!(matches!(rest.state(at(0)), State::Good));
    assert_eq!(rest.begin(at(600_000)), length(1000));
}

#[test]
fn requests_take_turns_over_the_good_addresses_of_the_first_family_that_has_some() {
    let now = Instant::now();
    for (names, resting, want) in [
        (&[A][..], &[][..], [A, A, A, A, A, A]),
        (&[B, A, A], &[], [A, B, A, B, A, B]),
        // IPv6 is used only without a good IPv4 address.
        (&[A, X], &[], [A, A, A, A, A, A]),
        (&[A, X, Y], &[A], [X, Y, X, Y, X, Y]),
        (&[X, Y], &[X], [Y, Y, Y, Y, Y, Y]),
        // The share of one that rests goes to both others.
        (&[A, B, C], &[A], [B, B, C, C, B, C]),
        // If all rest, all are tried.
        (&[A, B, X], &[A, B, X], [A, B, X, A, B, X]),
    ] {
        let addresses = addresses(names);
        for text in resting {
            candidate(&addresses, text).failed(now);
        }
        assert_eq!(picks(&addresses, 6, now), want, "{names:?} without {resting:?}");
    }
    assert_eq!(Addresses::default().pick(0, now), None);
}

#[test]
fn address_whose_rest_is_over_is_tried_by_one_request() {
    let (addresses, start) = (addresses(&[A, B]), Instant::now());
    let a = candidate(&addresses, A);
    a.failed(start);
    let [before, over] = [999, 1000].map(|millis| start + Duration::from_millis(millis));
    assert!(!addresses.pick(0, before).unwrap().is_trial);
    let trial = addresses.pick(0, over).unwrap();
    assert_eq!((trial.socket.to_string().as_str(), trial.is_trial), (A, true));
    // All others take the good one.
    assert_eq!(picks(&addresses, 4, over), [B; 4]);
    // The trial failed, which it counted as from its beginning.
    assert_eq!(a.failed(over), None);
    assert_eq!(picks(&addresses, 4, over + Duration::from_millis(1999)), [B; 4]);
    assert!(addresses.pick(0, over + Duration::from_secs(2)).unwrap().is_trial);
    assert!(a.succeeded());
    assert_eq!(picks(&addresses, 4, over), [A, B, A, B]);
    assert!(!a.succeeded());
}

#[test]
fn order_alternates_the_families_and_ends_with_those_that_rest() {
    let now = Instant::now();
    for (names, resting, first, want) in [
        (&[A][..], &[][..], Some(A), &[A][..]),
        (&[A, B, C, X, Y], &[], Some(B), &[B, X, C, Y, A]),
        (&[A, B, C, X, Y], &[], Some(X), &[X, B, Y, C, A]),
        (&[A, B, C], &[], Some(C), &[C, A, B]),
        (&[A, B, C, X], &[B, X], Some(A), &[A, C, X, B]),
        // One that rests comes first if a request picked it.
        (&[A, B], &[A], Some(A), &[A, B]),
        // The last look-up did not find it any more.
        (&[A], &[], Some(B), &[B, A]),
        // There was none when the request began.
        (&[A, B, X], &[], None, &[A, X, B]),
        (&[], &[], None, &[]),
    ] {
        let addresses = addresses(names);
        for text in resting {
            candidate(&addresses, text).failed(now);
        }
        assert_eq!(order(&addresses, first, now), want, "{names:?} from {first:?}");
    }
    let many: Vec<_> = (1..100).map(|n| format!("10.0.0.{n}:80")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(order(&addresses(&many), Some(A), now).len(), MOST_TRIED);
}

#[test]
fn address_that_is_found_again_still_rests() {
    let now = Instant::now();
    let before = addresses(&[A, B]);
    candidate(&before, A).failed(now);
    let next = Addresses::new(sockets(&[C, A]), &before);
    assert_eq!(picks(&next, 2, now), [C; 2]);
    assert_eq!(next.sockets(), sockets(&[A, C]));
}
