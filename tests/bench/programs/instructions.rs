//! Does the work of one case some times, so that its instructions can be counted: see `../guard`.
//!
//! ```text
//! instructions CASE TURNS MOST
//! ```
//!
//! What is prepared goes by MOST, so that it costs the same for any number of turns. It runs with
//! the allocator of the system, which unlike the program's does nothing at times of its own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "it cannot do without any of its arguments"
)]

use sidegate_bench::cases::named;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [case, turns, most] = &arguments[..] else {
        panic!("instructions CASE TURNS MOST");
    };
    let (turns, most): (usize, usize) = (turns.parse().unwrap(), most.parse().unwrap());
    let mut work = (named(case).expect("there is a case of that name").prepare)(most);
    for number in 0..turns {
        work.turn(number);
    }
}
