//! Does the work of a case a number of times, so that its instructions can be counted: see `../guard`.
//!
//! ```text
//! instructions             names the cases
//! instructions CASE TURNS  does the work of one
//! ```
//!
//! It runs with the allocator of the system: unlike the program's, that one does nothing at times
//! of its own.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it prints, and cannot do without any of its arguments"
)]

use sidegate_bench::cases::{CASES, Turn, named};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        return CASES.iter().for_each(|case| println!("{}", case.name));
    };
    let turns = arguments.next().unwrap().parse().unwrap();
    let case = named(&name).expect("there is a case of that name");
    let mut turn = (case.prepare)(if case.cold { turns } else { 1 });
    if !case.cold {
        // The first turn finds out what the others know.
        turn(0);
    }
    counted(&mut turn, turns);
}

/// What happens below this function is counted.
#[inline(never)]
fn counted(turn: &mut Turn, turns: usize) {
    (0..turns).for_each(turn);
}
