//! Lines on their way to standard output. Threads leave them in buffers, and one thread writes
//! them, whole and in large pieces: whoever leaves a line never waits for whoever reads it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntCounter;

/// How long lines may wait for others that are written with them.
const GATHER: Duration = Duration::from_millis(20);

/// A buffer that is written at once: what a pipe holds.
const LARGE: usize = 64 * 1024;

/// What all buffers hold together, in bytes; a line that finds no room is dropped.
const ROOM: usize = 4 * 1024 * 1024;

/// The least that one buffer holds.
const LEAST_ROOM: usize = 2 * LARGE;

/// What an empty buffer keeps of its memory.
const KEPT: usize = 2 * LARGE;

/// How long the end waits for somebody to read the last lines.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes lines.
#[derive(Debug, Clone)]
pub struct Lines {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug)]
struct Shared {
    /// The first is for everybody, each other one for one thread that leaves many lines.
    buffers: Vec<Buffer>,
    /// What one buffer holds, in bytes.
    room: usize,
    /// Whether there may be lines that the writer has not seen.
    waiting: AtomicBool,
    /// Whether it is not to wait for others.
    hurry: AtomicBool,
    ending: AtomicBool,
    dropped: IntCounter,
}

/// On cache lines of its own, so that threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Buffer(Mutex<Vec<u8>>);

/// Ends the writing when it is dropped, once everything is written.
#[derive(Debug)]
#[must_use = "what is not written when it is dropped is lost"]
pub struct Writing {
    lines: Lines,
    /// Hangs up when the writer is done.
    done: Receiver<()>,
}

/// The counter of lines that were dropped.
pub fn dropped() -> Result<IntCounter, prometheus::Error> {
    IntCounter::new(
        "sidegate_access_log_dropped_total",
        "Lines of the log that were dropped, since nobody read them fast enough.",
    )
}

impl Lines {
    /// Starts to write lines. As many threads as are said have a buffer of their own.
    pub fn start(
        threads: usize,
        dropped: IntCounter,
        write: impl FnMut(&[u8]) + Send + 'static,
    ) -> io::Result<(Self, Writing)> {
        let shared = Arc::new(Shared {
            buffers: (0..=threads.max(1)).map(|_| Buffer::default()).collect(),
            room: (ROOM / threads.max(1)).max(LEAST_ROOM),
            waiting: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            dropped,
        });
        let (hold, done) = channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            write,
            told: false,
            _hold: hold,
        };
        let thread = thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
        let lines = Self {
            shared,
            writer: thread.thread().clone(),
        };
        let writing = Writing {
            lines: lines.clone(),
            done,
        };
        Ok((lines, writing))
    }

    /// Leaves a line in the buffer of this thread, to be written in a moment with others.
    pub fn leave(&self, line: &[u8]) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        let number = NUMBER.try_with(|number| *number).unwrap_or_default();
        let own = self.shared.buffers.len() - 1;
        self.leave_in(1 + number % own, line, false);
    }

    /// Leaves a line that is to be written at once.
    pub fn leave_now(&self, line: &[u8]) {
        self.leave_in(0, line, true);
    }

    /// The lines that were dropped.
    pub fn dropped(&self) -> &IntCounter {
        &self.shared.dropped
    }

    fn leave_in(&self, buffer: usize, line: &[u8], hurry: bool) {
        let Some(Buffer(buffer)) = self.shared.buffers.get(buffer) else {
            return;
        };
        let mut buffer = buffer.lock();
        let before = buffer.len();
        let after = before + line.len();
        if after > self.shared.room {
            self.shared.dropped.inc();
            return;
        }
        buffer.extend_from_slice(line);
        drop(buffer);
        let hurry = hurry || (before < LARGE && after >= LARGE);
        if before == 0 || hurry {
            self.wake(hurry);
        }
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

impl Drop for Writing {
    fn drop(&mut self) {
        self.lines.shared.ending.store(true, Ordering::SeqCst);
        self.lines.writer.unpark();
        // An error says that the writer is done, or that nobody reads.
        let _ = self.done.recv_timeout(PATIENCE);
    }
}

struct Writer<W> {
    shared: Arc<Shared>,
    write: W,
    /// Whether it was told that lines were dropped.
    told: bool,
    _hold: Sender<()>,
}

impl<W: FnMut(&[u8])> Writer<W> {
    fn run(mut self) {
        let mut taken = Vec::new();
        loop {
            self.sleep();
            self.gather();
            let ending = self.shared.ending.load(Ordering::SeqCst);
            // Before the buffers are looked at: whoever comes later wakes the writer again.
            self.shared.hurry.store(false, Ordering::SeqCst);
            self.shared.waiting.store(false, Ordering::SeqCst);
            for Buffer(buffer) in &self.shared.buffers {
                std::mem::swap(&mut *buffer.lock(), &mut taken);
                if !taken.is_empty() {
                    (self.write)(&taken);
                }
                taken.clear();
                taken.shrink_to(KEPT);
            }
            self.tell();
            if ending {
                return;
            }
        }
    }

    /// Until there is a line.
    fn sleep(&self) {
        while !self.shared.waiting.load(Ordering::SeqCst) && !self.shared.ending.load(Ordering::SeqCst) {
            thread::park();
        }
    }

    /// Lets more lines come, unless there is a hurry.
    fn gather(&self) {
        let until = Instant::now() + GATHER;
        while !self.shared.hurry.load(Ordering::SeqCst) && !self.shared.ending.load(Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    /// Says the first time that lines were dropped; the counter says the rest.
    fn tell(&mut self) {
        if !self.told && self.shared.dropped.get() > 0 {
            self.told = true;
            tracing::warn!("lines of the log were dropped: whoever reads them is too slow");
        }
    }
}

#[cfg(test)]
mod tests;
