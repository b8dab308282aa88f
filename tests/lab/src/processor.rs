//! Processor time of running nodes by what their threads do, as the kernel counts it.
//!
//! Threads are told apart by the names that the program gives them. Units: seconds since the
//! process began. Source: proc(5), `/proc/PID/task/TID/{comm,schedstat}`. Errors: a thread that
//! can't be read counts nothing.

use std::fs;
use std::ops::Sub;
use std::path::Path;

use swarmllm::service::ready_file::Ready;

/// Seconds of processor time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BusySeconds {
    /// Sessions, scheduler, page books, generations: the `net` Arbiter.
    pub(crate) net: f64,
    /// Layers and sampling.
    pub(crate) compute: f64,
    /// Doors, text and everything else.
    pub(crate) other: f64,
}

impl BusySeconds {
    /// Of all these nodes together.
    pub(crate) fn of(nodes: &[Ready]) -> BusySeconds {
        let mut sum = BusySeconds::default();
        for node in nodes {
            let tasks = fs::read_dir(format!("/proc/{}/task", node.pid));
            for task in tasks.into_iter().flatten().flatten() {
                sum.add(&task.path());
            }
        }
        sum
    }

    fn add(&mut self, task: &Path) {
        let read = |file| fs::read_to_string(task.join(file)).unwrap_or_default();
        let (name, times) = (read("comm"), read("schedstat"));
        let on_core_ns = times.split(' ').next().and_then(|ns| ns.parse().ok());
        let seconds = on_core_ns.map_or(0.0, |ns: u64| ns as f64 / 1e9);
        let kind = match name.trim() {
            name if name.starts_with("actix-rt") => &mut self.net,
            name if name.starts_with("shard-") || name.starts_with("kernel-") => &mut self.compute,
            _ => &mut self.other,
        };
        *kind += seconds;
    }
}

impl Sub for BusySeconds {
    type Output = BusySeconds;

    fn sub(self, earlier: BusySeconds) -> BusySeconds {
        BusySeconds {
            net: self.net - earlier.net,
            compute: self.compute - earlier.compute,
            other: self.other - earlier.other,
        }
    }
}
