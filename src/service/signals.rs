//! The wish to end: SIGINT, SIGTERM, SIGHUP, or the end of stdin when a parent asked for that.
//!
//! Called by `cli/serve.rs` and `demo/`. Signals that were caught stay caught: a second one is
//! seen by the next `wait`, so a caller can hurry up. Errors: [`io::Error`] when the system
//! refuses a handler. Absent on purpose: what to do then.

use std::io::{self, Read};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// Every way to be asked to end.
#[derive(Debug)]
pub struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    stdin: Option<oneshot::Receiver<()>>,
}

impl EndSignals {
    /// Starts listening; must run inside a tokio runtime.
    pub fn listen(until_stdin_closes: bool) -> io::Result<EndSignals> {
        Ok(EndSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            stdin: until_stdin_closes.then(watch_stdin),
        })
    }

    /// Waits for the next wish; returns its name.
    pub async fn wait(&mut self) -> &'static str {
        let stdin_closed = async {
            match &mut self.stdin {
                // A dropped sender means that the watching thread ended: stdin is closed as well.
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        let name = tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
            () = stdin_closed => "stdin closed",
        };
        if name == "stdin closed" {
            self.stdin = None;
        }
        name
    }
}

/// A thread of its own, not tokio's stdin: that one would hold the runtime at its end.
fn watch_stdin() -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        // Nobody waits any more when the node ends for another reason.
        let _ = closed.send(());
    });
    receiver
}
