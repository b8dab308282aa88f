//! A small pool of threads that share the tasks of one operation.
//!
//! Called by the Flex operations of `backend`. The calling thread works too; a worker that wakes
//! too late for a job is not waited for. Workers spin for some microseconds, then park.
//! Threads split output rows and nothing else, so their number never changes a result.
//! Errors: a panic in a task is passed on to the caller of [`Pool::run`].

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

/// Spins before parking; about 20 microseconds.
const SPINS: u32 = 1000;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    n_tasks: usize,
}

// SAFETY: the pointer is only followed between `run` publishing the job and `run` seeing that no
// worker is active any more; the task behind it is `Sync`.
unsafe impl Send for Job {}

#[derive(Default)]
struct State {
    job: Option<Job>,
    generation: u64,
    active: usize,
    stop: bool,
    panic: Option<Box<dyn Any + Send>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    generation: AtomicU64,
    next: AtomicUsize,
    wake: Condvar,
    idle: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, job: Job) -> Option<Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: see `Job`.
            let task = unsafe { &*job.task };
            loop {
                let i = self.next.fetch_add(1, Ordering::Relaxed);
                if i >= job.n_tasks {
                    break;
                }
                task(i);
            }
        }))
        .err()
    }

    fn worker(&self) {
        let mut seen = 0;
        loop {
            for _ in 0..SPINS {
                if self.generation.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut state = self.lock();
            while state.generation == seen && !state.stop {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            seen = state.generation;
            let Some(job) = state.job else { continue };
            state.active += 1;
            drop(state);
            let panic = self.work(job);
            let mut state = self.lock();
            state.active -= 1;
            state.panic = state.panic.take().or(panic);
            if state.active == 0 {
                self.idle.notify_all();
            }
        }
    }
}

/// The pool; dropping it ends its threads.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    one_job: Mutex<()>,
}

impl Pool {
    /// A pool in which `threads` threads work, the caller of [`Pool::run`] being one of them.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let workers = (1..threads.max(1))
            .map(|i| {
                let shared = shared.clone();
                std::thread::Builder::new()
                    .name(format!("kernel-{i}"))
                    .spawn(move || shared.worker())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { shared, workers, one_job: Mutex::new(()) })
    }

    /// How many threads work on a job.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` with every number below `n_tasks`, each once, and returns when all are done.
    pub fn run(&self, n_tasks: usize, task: &Task<'_>) {
        if n_tasks <= 1 || self.workers.is_empty() {
            (0..n_tasks).for_each(task);
            return;
        }
        let _one_job = self.one_job.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime changes; this function does not return before every worker
        // that saw the job has left it.
        let task: *const Task<'static> = unsafe {
            std::mem::transmute::<*const Task<'_>, *const Task<'static>>(std::ptr::from_ref(task))
        };
        let job = Job { task, n_tasks };
        let mut state = self.shared.lock();
        self.shared.next.store(0, Ordering::Relaxed);
        state.job = Some(job);
        state.generation += 1;
        self.shared.generation.store(state.generation, Ordering::Release);
        drop(state);
        self.shared.wake.notify_all();
        let own_panic = self.shared.work(job);
        let mut state = self.shared.lock();
        state.job = None;
        while state.active > 0 {
            state = self.shared.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let panic = state.panic.take().or(own_panic);
        drop(state);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Splits `0..n` in about `parts` ranges per thread and runs them.
    pub fn split(&self, n: usize, parts: usize, task: &(dyn Fn(std::ops::Range<usize>) + Sync)) {
        let n_tasks = if self.workers.is_empty() { 1 } else { (self.threads() * parts).min(n) };
        if n_tasks <= 1 {
            return task(0..n);
        }
        self.run(n_tasks, &|i| task(n * i / n_tasks..n * (i + 1) / n_tasks));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stop = true;
        state.generation += 1;
        self.shared.generation.store(state.generation, Ordering::Release);
        drop(state);
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker never ends by a panic (tasks are caught), so there is nothing to report.
            drop(worker.join());
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        let pool = Pool::new(3).unwrap();
        for n in [0, 1, 2, 7, 100] {
            let counts: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..50 {
                pool.run(n, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 50));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|i| assert!(i != 5))));
        assert!(result.is_err());
        pool.run(8, &|_| ());
    }

    #[test]
    fn ranges_cover_everything_once() {
        let pool = Pool::new(2).unwrap();
        let sum = AtomicUsize::new(0);
        pool.split(1000, 4, &|range| {
            sum.fetch_add(range.sum::<usize>(), Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 499_500);
    }
}
