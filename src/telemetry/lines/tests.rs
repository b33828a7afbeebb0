use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// What was written, piece by piece; so many of them before somebody reads.
fn start(threads: usize, pieces: usize) -> (Lines, Writing, Receiver<Vec<u8>>) {
    let (write, read): (SyncSender<Vec<u8>>, _) = sync_channel(pieces);
    let write = move |lines: &[u8]| {
        let _ = write.send(lines.to_vec());
    };
    let (lines, writing) = Lines::start(threads, dropped().unwrap(), write).unwrap();
    (lines, writing, read)
}

#[test]
fn all_lines_of_all_threads_are_written_whole_and_in_their_order() {
    let (lines, writing, read) = start(3, 0);
    let reader = thread::spawn(move || read.into_iter().collect::<Vec<_>>().concat());
    thread::scope(|scope| {
        for name in 0..5 {
            let lines = &lines;
            scope.spawn(move || {
                for at in 0..2_000 {
                    let line = format!("{name} {at}\n");
                    match at % 100 {
                        0 => lines.leave_at_once(format!("now {line}").as_bytes()),
                        _ => lines.leave(line.as_bytes()),
                    }
                }
            });
        }
    });
    drop(writing);
    let written = String::from_utf8(reader.join().unwrap()).unwrap();
    for name in 0..5 {
        for (start, want) in [(format!("{name} "), 1_980), (format!("now {name} "), 20)] {
            let lines = written.lines().filter_map(|line| line.strip_prefix(start.as_str()));
            let numbers: Vec<u32> = lines.map(|number| number.parse().unwrap()).collect();
            assert_eq!(numbers.len(), want, "{start}");
            assert!(numbers.is_sorted(), "{start}: {numbers:?}");
        }
    }
    assert_eq!(written.lines().count(), 10_000);
    assert_eq!(lines.dropped().get(), 0);
}

#[test]
fn a_line_is_written_without_another_one() {
    let (lines, _writing, read) = start(1, 0);
    for line in ["first\n", "second\n"] {
        lines.leave(line.as_bytes());
        assert_eq!(read.recv().unwrap(), line.as_bytes());
    }
}

#[test]
fn a_line_at_once_is_written_when_the_call_returns() {
    let (lines, _writing, read) = start(1, 1);
    for line in ["first\n", "second\n"] {
        lines.leave_at_once(line.as_bytes());
        assert_eq!(read.try_recv().unwrap(), line.as_bytes());
    }
}

#[test]
fn nobody_waits_for_a_reader_and_what_is_dropped_is_counted() {
    let (lines, writing, read) = start(4, 0);
    let line = [b'x'; 1024];
    let many = 4 * ROOM / line.len();
    for _ in 0..many {
        lines.leave(&line);
    }
    let lost = usize::try_from(lines.dropped().get()).unwrap();
    assert!(lost > 0, "all of {many} lines are kept");
    let reader = thread::spawn(move || read.into_iter().flatten().count());
    drop(writing);
    let kept = reader.join().unwrap() / line.len();
    assert_eq!(kept + lost, many);
    // What one thread left, and what the writer had taken by then.
    assert!(kept * line.len() <= 2 * ROOM / 4, "{kept} lines are kept");
    // There is room again.
    assert_eq!(usize::try_from(lines.dropped().get()).unwrap(), lost);
}

#[test]
fn neither_the_end_nor_a_line_at_once_waits_for_ever() {
    let (lines, writing, read) = start(1, 0);
    let line = [b'x'; 1024];
    for _ in 0..2 * LEAST_ROOM / line.len() {
        lines.leave_at_once(&line);
    }
    assert!(lines.dropped().get() > 0);
    drop(writing);
    lines.leave_at_once(b"too late\n");
    drop(read);
}
