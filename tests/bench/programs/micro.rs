//! How long the parts of a request's way take.
//!
//! ```text
//! cargo run --release -p sidegate-bench --bin micro [PART-OF-A-NAME]
//! ```

use divan::{Bencher, Divan};
use sidegate_bench::cases::{CASES, named};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How often a case is timed that needs a new request each time, and how many each time takes.
const SAMPLES: u32 = 100;
const REQUESTS: u32 = 8;

fn main() {
    Divan::from_args().run_benches();
}

fn names(cold: bool) -> impl Iterator<Item = &'static str> {
    let cases = CASES.iter().filter(move |case| case.cold == cold);
    cases.map(|case| case.name)
}

#[divan::bench(args = names(false))]
fn again(bencher: Bencher<'_, '_>, name: &str) {
    let Some(case) = named(name) else { return };
    let mut turn = (case.prepare)(1);
    bencher.bench_local(|| turn(0));
}

#[divan::bench(args = names(true), sample_count = SAMPLES, sample_size = REQUESTS)]
fn cold(bencher: Bencher<'_, '_>, name: &str) {
    let Some(case) = named(name) else { return };
    let turn = (case.prepare)((SAMPLES * REQUESTS) as usize);
    let mut next = 0;
    let next = || {
        next += 1;
        next - 1
    };
    bencher.with_inputs(next).bench_local_values(turn);
}
