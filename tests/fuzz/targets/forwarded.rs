//! Whatever a client sends, the service reads strict HTTP/1.1: at most one request for each that
//! was let through, for the route that was decided on, and no identity but that of the permit.
//!
//! The first byte of an input says how the service behaves, the second where the client pauses; the
//! rest are the bytes of one connection, with `$TOKEN`, `$KEY` and `$TENANT` for credentials.

#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sidegate_fuzz::gateway::{Gateway, Sending};
use sidegate_fuzz::setup::with_credentials;
use sidegate_fuzz::upstream::Manner;
use sidegate_fuzz::{mutate, oracle};

static GATEWAY: LazyLock<Mutex<Gateway>> = LazyLock::new(|| Mutex::new(Gateway::start()));

/// A request that has to be answered after all that came before it.
const ORDINARY: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

fuzz_target!(|input: &[u8]| {
    let [manner, pause, bytes @ ..] = input else { return };
    let bytes = with_credentials(bytes);
    let mut gateway = GATEWAY.lock().expect("the process ends with the first panic");
    let round = gateway.serve(Sending {
        bytes: &bytes,
        pause_at: bytes.len() * usize::from(*pause) / 256,
        manner: Manner {
            early: manner & 1 != 0,
            close: manner & 2 != 0,
            switch: manner & 4 != 0,
        },
    });
    oracle::check(&gateway.evaluator, &round);
    // One in sixteen is enough, and the first always is one.
    if gateway.rounds() % 16 == 1 {
        let round = gateway.serve(Sending {
            bytes: ORDINARY,
            pause_at: 0,
            manner: Manner::default(),
        });
        assert!(
            round.answers.starts_with(b"HTTP/1.1 200 "),
            "an ordinary request is not answered"
        );
    }
});

// Lines and bytes are changed in turn.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed.is_multiple_of(2) {
        return fuzzer_mutate(data, size, max_size);
    }
    let changed = mutate::lines(data.get(..size).unwrap_or_default(), seed);
    for (to, from) in data.iter_mut().zip(&changed) {
        *to = *from;
    }
    changed.len()
});
