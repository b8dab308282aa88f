//! A small pool of threads that share the tasks of one operation.
//!
//! Called by the kernels. The calling thread works too; a worker that wakes too late for a job is
//! not waited for. Whoever waits looks for at most [`SPIN`], then sleeps, so that other programs
//! get the processor when it is theirs. Threads split output rows and nothing else, so their
//! number never changes a result.
//! Errors: a panic in a task is passed on to the caller of [`Pool::run`].

use std::{
    any::Any,
    cell::UnsafeCell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a thread looks for the next job, or for the end of one, before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

type Task<'a> = dyn Fn(usize) + Sync + 'a;

#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    n_tasks: usize,
}

/// The pool's word: the number of workers in the job (16 bits), whether it may still be entered
/// (one bit), and the number of the job.
mod word {
    pub(super) const WORKERS: u64 = 0xffff;
    pub(super) const OPEN: u64 = 0x1_0000;
    pub(super) const JOB: u32 = 17;
}

#[derive(Default)]
struct Shared {
    word: AtomicU64,
    /// Written while the word says closed and empty, read by workers that entered.
    job: UnsafeCell<Option<Job>>,
    next: AtomicUsize,
    stop: AtomicBool,
    /// Threads that sleep, or are about to.
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: the job's pointer is only followed by workers that entered, and `run` does not return
// before they have left; the task behind it is `Sync`.
unsafe impl Send for Shared {}
// SAFETY: as above; the cell is written only when no worker can read it.
unsafe impl Sync for Shared {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn work(&self, job: Job) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: see `Shared`.
            let task = unsafe { &*job.task };
            loop {
                let i = self.next.fetch_add(1, Ordering::Relaxed);
                if i >= job.n_tasks {
                    break;
                }
                task(i);
            }
        }));
        if let Err(panic) = result {
            lock(&self.panic).get_or_insert(panic);
        }
    }

    /// Waits until `ready`: looks for a while, then sleeps.
    fn wait(&self, ready: impl Fn() -> bool) {
        let began = Instant::now();
        loop {
            for _ in 0..16 {
                if ready() {
                    return;
                }
                std::hint::spin_loop();
            }
            if began.elapsed() > SPIN {
                break;
            }
        }
        let mut guard = lock(&self.lock);
        // Whoever changes the word looks at the sleepers afterwards, so either it is seen here
        // that the word has changed, or there that someone sleeps.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !ready() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.lock));
            self.wake.notify_all();
        }
    }

    fn worker(&self) {
        let mut seen = 0;
        loop {
            let number = || self.word.load(Ordering::SeqCst) >> word::JOB;
            self.wait(|| number() != seen || self.stop.load(Ordering::SeqCst));
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let current = self.word.load(Ordering::SeqCst);
            if current & word::OPEN == 0 {
                seen = current >> word::JOB;
                continue;
            }
            let entered = self.word.compare_exchange(
                current,
                current + 1,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            if entered.is_err() {
                continue;
            }
            seen = current >> word::JOB;
            // SAFETY: entered, so the job stays until this worker leaves.
            if let Some(job) = unsafe { *self.job.get() } {
                self.work(job);
            }
            let before = self.word.fetch_sub(1, Ordering::SeqCst);
            if before & word::WORKERS == 1 {
                self.wake();
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
        let workers = (1..threads.clamp(1, word::WORKERS as usize))
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
        let one_job = lock(&self.one_job);
        // SAFETY: only the lifetime changes; this function does not return before every worker
        // that saw the job has left it.
        let task: *const Task<'static> = unsafe {
            std::mem::transmute::<*const Task<'_>, *const Task<'static>>(std::ptr::from_ref(task))
        };
        let (shared, job) = (&*self.shared, Job { task, n_tasks });
        shared.next.store(0, Ordering::Relaxed);
        // SAFETY: the word says closed and empty, so nobody reads the cell.
        unsafe { *shared.job.get() = Some(job) };
        let number = (shared.word.load(Ordering::SeqCst) >> word::JOB) + 1;
        shared.word.store(number << word::JOB | word::OPEN, Ordering::SeqCst);
        shared.wake();
        shared.work(job);
        shared.word.fetch_and(!word::OPEN, Ordering::SeqCst);
        shared.wait(|| shared.word.load(Ordering::SeqCst) & word::WORKERS == 0);
        let panic = lock(&shared.panic).take();
        drop(one_job);
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
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake();
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
