//! How many threads serve the requests of a test: one, or what the test is run with.

use std::cell::Cell;

thread_local! {
    static SERVING: Cell<usize> = const { Cell::new(1) };
}

/// Makes a second test of each of these, `NAME::on_4_threads`: every Sidegate that the test sets up serves with four
/// threads, whatever else is in its configuration.
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
