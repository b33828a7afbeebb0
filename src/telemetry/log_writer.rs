//! Buffers log lines and writes them to standard output. Threads append lines to buffers, and one thread writes
//! them, whole and in large pieces. A slow reader of the log delays no request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;

use crate::serving_threads;

/// How long lines may wait for others that are written with them.
const GATHER: Duration = Duration::from_millis(20);

/// A buffer that is written at once: what a pipe holds.
const LARGE: usize = 64 * 1024;

/// What the buffers of all threads hold together, in bytes; a line that finds no room is dropped.
const CAPACITY: usize = 4 * 1024 * 1024;

/// The least that a buffer holds.
const MIN_CAPACITY: usize = 2 * LARGE;

/// What an empty buffer keeps of its memory.
const KEPT: usize = 2 * LARGE;

/// How long a thread waits for a line to be written. After that, other threads do not wait until the reader is back.
const SYNC_TIMEOUT: Duration = Duration::from_millis(250);

/// How long the shutdown waits for the last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes lines.
#[derive(Debug, Clone)]
pub struct LogBuffer {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    /// One for each thread that leaves many lines.
    buffers: Vec<Buffer>,
    /// What each of them holds, in bytes.
    room: usize,
    at_once: Mutex<AtOnce>,
    /// Some of those were written.
    progress: Condvar,
    /// Whether there may be lines that the writer has not seen.
    waiting: AtomicBool,
    /// Whether it is not to wait for others.
    hurry: AtomicBool,
    ending: AtomicBool,
    lost: LostLines,
}

/// On cache lines of its own, so that threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Buffer(Mutex<Vec<u8>>);

/// Lines of any thread that are written at once.
#[derive(Debug, Default)]
struct AtOnce {
    lines: Vec<u8>,
    /// How many were left.
    left: u64,
    /// How many of them are written.
    written: u64,
    /// Whether the last line with a waiting thread was not written in time.
    stuck: bool,
}

/// Ends the writing when it is dropped, once everything is written.
#[derive(Debug)]
#[must_use = "what is not written when it is dropped is lost"]
pub struct LogWriterGuard {
    lines: LogBuffer,
    /// Hangs up when the writer is done.
    done: Receiver<()>,
}

/// Counts lines that no reader gets.
#[derive(Debug, Clone)]
pub struct LostLines {
    /// Lines that a full buffer dropped.
    pub dropped: IntCounter,
    /// Lines that could not be written to standard output.
    pub unwritten: IntCounter,
}

impl LostLines {
    /// Begins to count.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            dropped: IntCounter::new(
                "sidegate_access_log_dropped_total",
                "Log lines that Sidegate dropped because the reader of standard output was too slow.",
            )?,
            unwritten: IntCounter::new(
                "sidegate_access_log_write_errors_total",
                "Log lines that could not be written to standard output, as on a full disk or a pipe without a reader.",
            )?,
        })
    }
}

impl LogBuffer {
    /// Starts to write lines. As many threads as are said have a buffer of their own. `complain` hears
    /// why lines cannot be written, once for each outage.
    pub fn start(
        threads: usize,
        lost: LostLines,
        out: impl Write + Send + 'static,
        complain: impl FnMut(&io::Error) + Send + 'static,
    ) -> io::Result<(Self, LogWriterGuard)> {
        let shared = Arc::new(Shared {
            buffers: (0..threads.max(1)).map(|_| Buffer::default()).collect(),
            room: (CAPACITY / threads.max(1)).max(MIN_CAPACITY),
            at_once: Mutex::default(),
            progress: Condvar::new(),
            waiting: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            lost,
        });
        let (hold, done): (Sender<()>, _) = channel();
        let writer = Writer {
            out,
            complain,
            taken: Vec::new(),
            told: false,
            outage: None,
            torn: false,
        };
        let of_writer = Arc::clone(&shared);
        let thread = thread::Builder::new().name("log".into()).spawn(move || {
            let _until_the_end = hold;
            writer.run(&of_writer);
        })?;
        let lines = Self {
            shared,
            writer: thread.thread().clone(),
        };
        let writing = LogWriterGuard {
            lines: lines.clone(),
            done,
        };
        Ok((lines, writing))
    }

    /// Leaves a line in the buffer of this thread, to be written in a moment with others.
    pub fn write_buffered(&self, line: &[u8]) {
        let buffers = &self.shared.buffers;
        let Some(Buffer(buffer)) = buffers.get(serving_threads::index()) else {
            return;
        };
        let mut buffer = buffer.lock();
        let before = buffer.len();
        let after = before + line.len();
        if after > self.shared.room {
            self.shared.lost.dropped.inc();
            return;
        }
        buffer.extend_from_slice(line);
        drop(buffer);
        let large = before < LARGE && after >= LARGE;
        if before == 0 || large {
            self.wake(large);
        }
    }

    /// Appends a line, and waits until it is written, or for `SYNC_TIMEOUT`.
    pub fn write_through(&self, line: &[u8]) {
        let mut at_once = self.shared.at_once.lock();
        if at_once.lines.len() + line.len() > MIN_CAPACITY {
            self.shared.lost.dropped.inc();
            return;
        }
        at_once.lines.extend_from_slice(line);
        at_once.left += 1;
        let number = at_once.left;
        self.wake(true);
        if thread::current().id() == self.writer.id() {
            return;
        }
        let until = Instant::now() + SYNC_TIMEOUT;
        while at_once.written < number && !at_once.stuck {
            let late = self.shared.progress.wait_until(&mut at_once, until).timed_out();
            at_once.stuck = late && at_once.written < number;
        }
    }

    /// The lines that no reader gets.
    pub fn lost(&self) -> &LostLines {
        &self.shared.lost
    }

    /// Wakes the writer, unless it is awake and will see the line anyway.
    fn wake(&self, hurry: bool) {
        if hurry {
            self.shared.hurry.store(true, Ordering::SeqCst);
        }
        let knows = self.shared.waiting.swap(true, Ordering::SeqCst);
        if hurry || !knows {
            self.writer.unpark();
        }
    }
}

impl Drop for LogWriterGuard {
    fn drop(&mut self) {
        self.lines.shared.ending.store(true, Ordering::SeqCst);
        self.lines.writer.unpark();
        // An error says that the writer is done, or that the output is stuck.
        let _ = self.done.recv_timeout(FLUSH_TIMEOUT);
    }
}

impl Shared {
    /// Until there is a line.
    fn sleep(&self) {
        while !self.waiting.load(Ordering::SeqCst) && !self.ending.load(Ordering::SeqCst) {
            thread::park();
        }
    }

    /// Lets more lines come, unless there is a hurry.
    fn gather(&self) {
        let until = Instant::now() + GATHER;
        while !self.hurry.load(Ordering::SeqCst) && !self.ending.load(Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

struct Writer<W, C> {
    out: W,
    complain: C,
    /// What is being written. Empty, it takes the place of a buffer that is not.
    taken: Vec<u8>,
    /// Whether the log has the line about dropped lines.
    told: bool,
    /// How many lines could not be written since the last one that could.
    outage: Option<u64>,
    /// Whether only the beginning of the last line was written.
    torn: bool,
}

impl<W: Write, C: FnMut(&io::Error)> Writer<W, C> {
    fn run(mut self, shared: &Shared) {
        loop {
            shared.sleep();
            shared.gather();
            let ending = shared.ending.load(Ordering::SeqCst);
            // Before the buffers are looked at: a later line wakes the writer again.
            shared.hurry.store(false, Ordering::SeqCst);
            shared.waiting.store(false, Ordering::SeqCst);
            self.write_at_once(shared);
            for Buffer(buffer) in &shared.buffers {
                std::mem::swap(&mut *buffer.lock(), &mut self.taken);
                self.write_taken(&shared.lost);
            }
            self.tell(shared);
            if ending {
                shared.at_once.lock().stuck = true;
                return;
            }
        }
    }

    fn write_at_once(&mut self, shared: &Shared) {
        let mut at_once = shared.at_once.lock();
        if at_once.lines.is_empty() {
            return;
        }
        std::mem::swap(&mut at_once.lines, &mut self.taken);
        let left = at_once.left;
        drop(at_once);
        self.write_taken(&shared.lost);
        let mut at_once = shared.at_once.lock();
        (at_once.written, at_once.stuck) = (left, false);
        shared.progress.notify_all();
    }

    fn write_taken(&mut self, lost: &LostLines) {
        if !self.taken.is_empty() {
            self.write_lines(lost);
        }
        self.taken.clear();
        self.taken.shrink_to(KEPT);
    }

    /// Writes what was taken. It counts lines that cannot be written, and continues with the others.
    fn write_lines(&mut self, lost: &LostLines) {
        match self
            .end_torn_line()
            .and_then(|()| write_all(&mut self.out, &self.taken))
        {
            Ok(()) => {
                if let Some(lines) = self.outage.take() {
                    tracing::warn!(lines, "lines of the log could not be written, and are lost");
                }
            }
            Err((written, error)) => {
                let (begun, rest) = self.taken.split_at_checked(written).unwrap_or_default();
                self.torn = begun.last().map_or(self.torn, |last| *last != b'\n');
                let lines = memchr::memchr_iter(b'\n', rest).count() as u64;
                lost.unwritten.inc_by(lines);
                if self.outage.is_none() {
                    (self.complain)(&error);
                }
                self.outage = Some(self.outage.unwrap_or_default() + lines);
            }
        }
    }

    /// Ends a line that was written in part, so that the next one is a line of its own.
    fn end_torn_line(&mut self) -> Result<(), (usize, io::Error)> {
        if self.torn {
            write_all(&mut self.out, b"\n")?;
            self.torn = false;
        }
        Ok(())
    }

    /// Says the first time that lines were dropped; the counter says the rest.
    fn tell(&mut self, shared: &Shared) {
        if !self.told && shared.lost.dropped.get() > 0 {
            self.told = true;
            tracing::warn!("log lines dropped: the reader of standard output is too slow");
        }
    }
}

/// Writes everything, or says how many bytes were written until it failed. Output that has no room
/// for the moment is waited for, as one that blocks.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(GATHER),
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
