//! How many threads serve the requests of a test: one, or what the test is run with.

use std::{cell::Cell, os::unix::net::UnixStream};

use super::{Gateway, eventually};

/// How many connections others have: with fewer, Sidegate leaves threads empty that it has no processors for.
const OTHERS: u8 = 32;

thread_local! {
    static SERVING: Cell<usize> = const { Cell::new(1) };
}

/// Makes a second test of each of these, `NAME::on_4_threads`: every Sidegate that the test sets up serves with four
/// threads, whatever else is in its configuration. It has connections of others on each thread, so that those of the
/// test come to all of them: a few connections alone would share a thread.
macro_rules! also_on_4_threads {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            #[test]
            fn on_4_threads() {
                $crate::harness::threads::serve_with(4);
                super::$test();
            }
        }
    )+};
}
pub(crate) use also_on_4_threads;

/// What this test sets up from now on serves with so many threads.
pub(crate) fn serve_with(threads: usize) {
    SERVING.set(threads);
}

/// With how many threads this test serves.
pub(crate) fn serving() -> usize {
    SERVING.get()
}

/// The lines of `listeners` for the connections of others.
pub(super) fn listener_for_others() -> String {
    match serving() {
        1 => String::new(),
        _ => format!("  - address: unix:$folder/others.sock\n    connections: {OTHERS}\n"),
    }
}

/// Opens the connections of others, and waits until they are spread over the threads.
pub(super) fn connect_others(gateway: &Gateway) {
    if serving() > 1 {
        let connect = |_| UnixStream::connect(gateway.path("others.sock")).unwrap();
        *gateway.others.lock() = (0..OTHERS).map(connect).collect();
        eventually("they are accepted", || {
            gateway.metric("sidegate_connections", &[]) >= Some(f64::from(OTHERS))
        });
    }
}
