//! The events of a node, read as they come: whether none is lost and every generation ends once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use swarmllm::control::json_rpc::request_line;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::swarm::LabError;

/// What the events said so far.
#[derive(Debug, Default)]
pub(crate) struct Books {
    last_seq: Cell<Option<u64>>,
    /// Events missing between two that came.
    pub(crate) lost: Cell<u64>,
    /// Generations that ended as they should.
    pub(crate) finished: Cell<u64>,
    /// Begun minus ended, by request; gone when even.
    open: RefCell<HashMap<String, i32>>,
}

impl Books {
    /// Generations that began and did not end, or ended twice.
    pub(crate) fn uneven(&self) -> usize {
        self.open.borrow().len()
    }

    /// Subscribes and reads until the node or the caller goes away.
    pub(crate) async fn keep(&self, control: &Path) -> Result<(), LabError> {
        let mut stream = BufReader::new(UnixStream::connect(control).await?);
        let subscribe = request_line(Some(1), "events.subscribe", &Value::Null);
        stream.write_all(subscribe.as_bytes()).await?;
        let mut lines = stream.lines();
        while let Some(line) = lines.next_line().await? {
            let line: Value = serde_json::from_str(&line)?;
            if line["method"] == "event" {
                self.add(&line["params"]);
            }
        }
        Err("the node closed the subscription to its events".into())
    }

    fn add(&self, entry: &Value) {
        let seq = entry["seq"].as_u64();
        if let (Some(seq), Some(last)) = (seq, self.last_seq.replace(seq)) {
            self.lost.set(self.lost.get() + seq.saturating_sub(last + 1));
        }
        let step = match entry["event"].as_str() {
            Some("generation_started") => 1,
            Some("generation_finished") => {
                self.finished.set(self.finished.get() + 1);
                -1
            }
            Some("generation_failed") => -1,
            _ => return,
        };
        let request = entry["request"].as_str().unwrap_or_default().to_owned();
        let mut open = self.open.borrow_mut();
        let balance = open.entry(request.clone()).or_default();
        *balance += step;
        if *balance == 0 {
            open.remove(&request);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_gap_is_a_loss_and_a_generation_without_end_stays_open() {
        let books = Books::default();
        let say = |seq: u64, event: &str, request: &str| {
            books.add(&json!({"seq": seq, "event": event, "request": request}));
        };
        say(4, "generation_started", "a");
        say(5, "generation_started", "b");
        say(7, "generation_finished", "a");
        assert_eq!((books.lost.get(), books.finished.get(), books.uneven()), (1, 1, 1));
        say(8, "generation_failed", "b");
        assert_eq!(books.uneven(), 0);
        say(9, "generation_failed", "b");
        assert_eq!(books.uneven(), 1);
    }
}
