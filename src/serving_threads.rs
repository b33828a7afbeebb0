//! The threads that serve requests. Each has a runtime of its own, so that what a connection needs stays on its thread.
//! Everything else (files, names, key sets, the store, operators) runs on other threads.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::watch;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Returns the place of this thread among those that serve requests. Another thread counts as the first one.
pub fn index() -> usize {
    INDEX.get()
}

/// Threads that serve requests, until this is dropped.
#[derive(Debug)]
pub struct ServingThreads {
    ended: watch::Receiver<Option<String>>,
    _serving: watch::Sender<()>,
}

impl ServingThreads {
    /// Starts a thread for each work, which runs on a runtime of that thread.
    pub fn start<W, F, E>(works: impl IntoIterator<Item = W>) -> io::Result<Self>
    where
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = E>,
        E: ToString,
    {
        let (serving, _) = watch::channel(());
        let (end, ended) = watch::channel(None);
        for (index, work) in works.into_iter().enumerate() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let mut dropped = serving.subscribe();
            let end = End {
                thread: index,
                why: "it panicked".into(),
                ended: end.clone(),
            };
            thread::Builder::new().name(format!("serving-{index}")).spawn(move || {
                INDEX.set(index);
                let mut end = end;
                end.why = runtime.block_on(async {
                    tokio::select! {
                        why = work() => why.to_string(),
                        _ = dropped.changed() => "the process ends".into(),
                    }
                });
                runtime.shutdown_background();
            })?;
        }
        Ok(Self {
            ended,
            _serving: serving,
        })
    }

    /// Waits until one of the threads ends or panics, and returns why. Its connections are lost then.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        // The channel closes only after each thread has sent why it ended.
        let why = ended.wait_for(Option::is_some).await;
        let why = why.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| "the serving threads have ended".into())
    }
}

/// Says that a thread ends, also if it panics.
struct End {
    thread: usize,
    why: String,
    ended: watch::Sender<Option<String>>,
}

impl Drop for End {
    fn drop(&mut self) {
        let (thread, why) = (self.thread, &self.why);
        let why = format!("serving thread {thread} has ended: {why}");
        self.ended.send_replace(Some(why));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use tokio::sync::{Barrier, mpsc};

    use super::*;

    #[tokio::test]
    async fn each_work_runs_on_a_thread_of_its_own_and_ends_with_the_value() {
        let (found, mut received) = mpsc::unbounded_channel();
        let all = Arc::new(Barrier::new(3));
        let (held, released) = std::sync::mpsc::channel::<()>();
        let threads = ServingThreads::start((0..3).map(|_| {
            let (found, all, held) = (found.clone(), Arc::clone(&all), held.clone());
            move || async move {
                let _held = held;
                all.wait().await;
                let thread = tokio::spawn(async { (index(), thread::current().id()) }).await.unwrap();
                found.send((index(), thread::current().id(), thread)).unwrap();
                pending::<String>().await
            }
        }))
        .unwrap();
        let mut places = Vec::new();
        for _ in 0..3 {
            let (place, id, of_task) = received.recv().await.unwrap();
            assert_eq!((place, id), of_task);
            places.push(place);
        }
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2]);
        drop((threads, held));
        assert!(released.recv().is_err(), "the works are dropped");
    }

    #[tokio::test]
    async fn thread_that_ends_or_panics_is_reported_and_one_that_only_loses_a_task_is_not() {
        for (at, want) in [
            (1, "serving thread 1 has ended: done"),
            (2, "serving thread 2 has ended: it panicked"),
        ] {
            let threads = ServingThreads::start((0..3).map(|place| {
                move || async move {
                    let task = tokio::spawn(async { assert_eq!(index(), usize::MAX, "on purpose") });
                    assert!(task.await.is_err());
                    match (place, at) {
                        (1, 1) => "done",
                        (2, 2) => panic!("on purpose"),
                        _ => pending().await,
                    }
                }
            }))
            .unwrap();
            assert_eq!(threads.ended().await, want);
        }
    }
}
