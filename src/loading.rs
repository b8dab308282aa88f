//! Tells a person how far loading a model is.
//!
//! Called by the commands that load models without a node (`cli/engine.rs`) and by the node
//! (`node/tree.rs`). On a terminal a line shows the share of the weights that is loaded, from the
//! moment on that it takes a while; it is gone afterwards. Whoever wants a line that stays writes
//! one. Absent on purpose: anything in a log while loading.

use std::{
    io::{IsTerminal, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use swarmllm_models::LoadProgress;

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(300);

/// Runs `load`, which counts in `progress` up to `total` bytes, and shows how far it is on stderr
/// when that is a terminal.
pub fn shown<T>(name: &str, progress: &LoadProgress, total: u64, load: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return load();
    }
    std::thread::scope(|scope| {
        let (done, finished) = channel::<()>();
        scope.spawn(move || show(&mut std::io::stderr(), name, progress, total, &finished));
        let loaded = load();
        drop(done);
        loaded
    })
}

/// Writes the line again and again until the other end of `finished` is gone, then clears it. A
/// terminal that cannot be written to is no reason to stop.
fn show(
    out: &mut impl Write,
    name: &str,
    progress: &LoadProgress,
    total: u64,
    finished: &Receiver<()>,
) {
    let mut width = 0;
    while finished.recv_timeout(PROGRESS_EVERY) == Err(RecvTimeoutError::Timeout) {
        let share = u128::from(progress.bytes()) * 100 / u128::from(total.max(1));
        let line = format!("loading {name} {:3} %", share.min(100));
        width = line.chars().count();
        let _ = write!(out, "\r{line}").and_then(|()| out.flush());
    }
    if width > 0 {
        let _ = write!(out, "\r{:width$}\r", "").and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends the loading after the first line.
    struct Once(String, Option<std::sync::mpsc::Sender<()>>);

    impl Write for Once {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.1 = None;
            Ok(())
        }
    }

    #[test]
    fn the_line_says_how_far_and_is_cleared() {
        let (done, finished) = channel();
        let mut out = Once(String::new(), Some(done));
        show(&mut out, "demo", &LoadProgress::default(), 0, &finished);
        assert_eq!(out.0, format!("\rloading demo   0 %\r{:18}\r", ""));
    }

    #[test]
    fn what_is_loaded_comes_back() {
        assert_eq!(shown("demo", &LoadProgress::default(), 1, || 7), 7);
    }
}
