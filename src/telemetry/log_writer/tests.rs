use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// Sends on what is written.
struct Pieces(SyncSender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(lines.to_vec());
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a writer. Returns what it writes, piece by piece; it writes so many pieces without a reader.
fn start(threads: usize, pieces: usize) -> (LogBuffer, LogWriterGuard, Receiver<Vec<u8>>) {
    let (write, read) = sync_channel(pieces);
    let lost = LostLines::new().unwrap();
    let (lines, writing) = LogBuffer::start(threads, lost, Pieces(write), |_| {}).unwrap();
    (lines, writing, read)
}

/// A disk with room for so many more bytes, and what is on it.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

impl Disk {
    fn has_room_for(&self, bytes: usize) {
        self.0.lock().0 = bytes;
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().1.clone()).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let (room, written) = &mut *self.0.lock();
        let count = lines.len().min(*room);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *room -= count;
        written.extend_from_slice(&lines[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_each_outage_is_said_once() {
    let (disk, lost) = (Disk::default(), LostLines::new().unwrap());
    let complaints = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&complaints);
    let complain = move |error: &io::Error| {
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        heard.fetch_add(1, Ordering::SeqCst);
    };
    let (lines, _writing) = LogBuffer::start(1, lost.clone(), disk.clone(), complain).unwrap();
    // Room, a line, the lines that were lost until then, and how often it was said.
    for (room, line, unwritten, said) in [
        (100, "first\n", 0, 0),
        (3, "half of it\n", 1, 1),
        (0, "second\n", 2, 1),
        (0, "third\nfourth\n", 4, 1),
        (100, "fifth\n", 4, 1),
        (0, "sixth\n", 5, 2),
        (100, "last\n", 5, 2),
    ] {
        disk.has_room_for(room);
        lines.write_through(line.as_bytes());
        let found = (lost.unwritten.get(), complaints.load(Ordering::SeqCst));
        assert_eq!(found, (unwritten, said), "{line}");
    }
    assert_eq!(disk.text(), "first\nhal\nfifth\nlast\n");
    assert_eq!(lost.dropped.get(), 0);
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
                        0 => lines.write_through(format!("now {line}").as_bytes()),
                        _ => lines.write_buffered(line.as_bytes()),
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
    assert_eq!(lines.lost().dropped.get(), 0);
}

#[test]
fn a_line_is_written_without_another_one() {
    let (lines, _writing, read) = start(1, 0);
    for line in ["first\n", "second\n"] {
        lines.write_buffered(line.as_bytes());
        assert_eq!(read.recv().unwrap(), line.as_bytes());
    }
}

#[test]
fn a_line_at_once_is_written_when_the_call_returns() {
    let (lines, _writing, read) = start(1, 1);
    for line in ["first\n", "second\n"] {
        lines.write_through(line.as_bytes());
        assert_eq!(read.try_recv().unwrap(), line.as_bytes());
    }
}

#[test]
fn slow_reader_delays_no_line_and_dropped_lines_are_counted() {
    let (lines, writing, read) = start(4, 0);
    let line = [b'x'; 1024];
    let many = 4 * CAPACITY / line.len();
    for _ in 0..many {
        lines.write_buffered(&line);
    }
    let lost = usize::try_from(lines.lost().dropped.get()).unwrap();
    assert!(lost > 0, "all of {many} lines are kept");
    let reader = thread::spawn(move || read.into_iter().flatten().count());
    drop(writing);
    let kept = reader.join().unwrap() / line.len();
    assert_eq!(kept + lost, many);
    // What one thread left, and what the writer had taken by then.
    assert!(kept * line.len() <= 2 * CAPACITY / 4, "{kept} lines are kept");
    // There is room again.
    assert_eq!(usize::try_from(lines.lost().dropped.get()).unwrap(), lost);
}

#[test]
fn neither_the_end_nor_a_line_at_once_waits_for_ever() {
    let (lines, writing, read) = start(1, 0);
    let line = [b'x'; 1024];
    for _ in 0..2 * MIN_CAPACITY / line.len() {
        lines.write_through(&line);
    }
    assert!(lines.lost().dropped.get() > 0);
    drop(writing);
    lines.write_through(b"too late\n");
    drop(read);
}
