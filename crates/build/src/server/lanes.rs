//! Work that may take long, off the threads that answer: lanes of a few threads each, which are there only
//! while there is something to do.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

type Work = Box<dyn FnOnce() + Send>;

/// A lane: what is put into it is done in order, by at most so many threads.
#[derive(Clone)]
pub(super) struct Lane {
    name: &'static str,
    threads: usize,
    shared: Arc<(Mutex<Waiting>, Condvar)>,
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    threads: usize,
    is_closed: bool,
}

impl Lane {
    /// A lane whose threads have this name.
    pub(super) fn new(name: &'static str, threads: usize) -> Self {
        Self {
            name,
            threads,
            shared: Arc::default(),
        }
    }

    /// Puts something into the lane. After [`Lane::close`], nothing more is done.
    pub(super) fn put(&self, work: impl FnOnce() + Send + 'static) {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return;
        }
        waiting.work.push_back(Box::new(work));
        if waiting.threads >= self.threads {
            return;
        }
        let lane = self.clone();
        let thread = std::thread::Builder::new().name(self.name.to_owned());
        if thread.spawn(move || lane.work()).is_ok() {
            waiting.threads += 1;
        } else if waiting.threads == 0 {
            // No thread to be had: late is better than never.
            drop(waiting);
            self.step();
        }
    }

    /// Drops what has not begun, and waits for what has.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.work.clear();
        while waiting.threads > 0 {
            waiting = self
                .shared
                .1
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until everything that was put in is done.
    #[cfg(test)]
    pub(super) fn finish(&self) {
        let mut waiting = self.lock();
        while waiting.threads > 0 || !waiting.work.is_empty() {
            waiting = self
                .shared
                .1
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        let leaving = Leaving(self);
        while self.step() {}
        drop(leaving);
    }

    /// Does one thing; false if there is nothing.
    fn step(&self) -> bool {
        let work = self.lock().work.pop_front();
        match work {
            Some(work) => {
                work();
                true
            }
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a thread out, however it ends.
struct Leaving<'l>(&'l Lane);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.threads -= 1;
        let left = !waiting.work.is_empty() && !waiting.is_closed;
        self.0.shared.1.notify_all();
        drop(waiting);
        // Something came between the last look and now.
        if left {
            self.0.put(|| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};

    use super::Lane;

    #[test]
    fn everything_is_done_by_few() {
        let lane = Lane::new("test", 3);
        let (done, now, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        for _ in 0..1000 {
            let (done, now, most) = (done.clone(), now.clone(), most.clone());
            lane.put(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        lane.finish();
        assert_eq!(done.load(Ordering::SeqCst), 1000);
        assert!(most.load(Ordering::SeqCst) <= 3);
    }

    #[test]
    fn a_panic_ends_nothing_else() {
        let lane = Lane::new("test", 1);
        let done = Arc::new(AtomicUsize::new(0));
        lane.put(|| assert_eq!(1, 2, "on purpose"));
        let count = done.clone();
        lane.put(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        lane.finish();
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn closing_waits_for_what_has_begun() {
        let lane = Lane::new("test", 1);
        let (begun, done) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
        let (its, count) = (begun.clone(), done.clone());
        lane.put(move || {
            its.wait();
            std::thread::yield_now();
            count.fetch_add(1, Ordering::SeqCst);
        });
        begun.wait();
        lane.close();
        assert_eq!(done.load(Ordering::SeqCst), 1);
        let count = done.clone();
        lane.put(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
