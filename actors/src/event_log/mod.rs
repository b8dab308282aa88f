//! The event log: typed events, numbered and dated, and the streams that follow them.
//!
//! Everybody notifies it; doors read it. Losing an event never hurts a generation.

mod messages;

use std::time::{SystemTime, UNIX_EPOCH};

use actix::{Actor, Context, Handler, MessageResult};
use tokio::sync::mpsc;

pub use messages::{Entry, Event, Record, Subscribe};

use crate::mailbox;

/// How far a subscriber may fall behind.
const SUBSCRIBER_LAG: usize = 256;
/// Subscriptions at once; more drop the oldest.
const SUBSCRIBERS_MAX: usize = 64;

/// The actor.
#[derive(Debug, Default)]
pub struct EventLog {
    seq: u64,
    subscribers: Vec<mpsc::Sender<Entry>>,
}

impl Actor for EventLog {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::EVENT_LOG);
    }
}

impl Handler<Record> for EventLog {
    type Result = ();

    fn handle(&mut self, Record(event): Record, _: &mut Self::Context) {
        tracing::info!(?event, "event");
        self.seq += 1;
        let at_unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let entry = Entry { seq: self.seq, at_unix_ms, event };
        self.subscribers.retain(|subscriber| subscriber.try_send(entry.clone()).is_ok());
    }
}

impl Handler<Subscribe> for EventLog {
    type Result = MessageResult<Subscribe>;

    fn handle(&mut self, _: Subscribe, _: &mut Self::Context) -> Self::Result {
        if self.subscribers.len() == SUBSCRIBERS_MAX {
            self.subscribers.remove(0);
        }
        let (sender, receiver) = mpsc::channel(SUBSCRIBER_LAG);
        self.subscribers.push(sender);
        MessageResult(receiver)
    }
}
