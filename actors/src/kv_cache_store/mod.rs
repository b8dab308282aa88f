//! The books of the KV pages, per loaded shard: who holds which, and which prefixes are known.
//!
//! The pages themselves live in the shard (`swarmllm_models::kv`); this actor owns the shards'
//! `PageBook`s and decides who may use which page. `batch_scheduler` attaches a sequence when it is
//! admitted, asks for pages before every step, says what was computed, and detaches at the end. Its
//! commands come in the order in which it runs batches, which is what the books rely on.

mod messages;

use actix::{Actor, Context, Handler, MessageResult};
use swarmllm_models::kv::{PageBook, PageCounts};
use swarmllm_protocol::schedule::PageRoom;

pub use messages::{
    AttachSequence, Attachment, DetachSequence, GetPageUsage, PageUsage, PrepareStep, RoomReply,
    RowsComputed, StepPages, Stretch, TrimSequence,
};

use crate::mailbox;

/// Pages of one shard, at the start.
#[derive(Debug, Clone, Copy)]
pub struct ShardPages {
    /// How many.
    pub n_pages: u32,
    /// Whether it has recurrent layers.
    pub keeps_states: bool,
}

/// The actor: one book per shard, by the shard's number in the node.
#[derive(Debug)]
pub struct KvCacheStore {
    books: Vec<PageBook>,
}

impl KvCacheStore {
    /// Books for these shards, in shard order.
    pub fn new(shards: &[ShardPages]) -> KvCacheStore {
        let book = |shard: &ShardPages| PageBook::new(shard.n_pages, shard.keeps_states);
        KvCacheStore { books: shards.iter().map(book).collect() }
    }
}

fn room_of(book: &PageBook) -> PageRoom {
    let counts = book.counts();
    PageRoom { total: counts.total, available: counts.free + counts.cached }
}

impl Actor for KvCacheStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::KV_CACHE_STORE);
    }
}

fn attach(book: &mut PageBook, attach: &AttachSequence) -> Attachment {
    let AttachSequence { sequence, prompt, .. } = *attach;
    let before = room_of(book).available;
    // The last row of the prompt is computed by every sample: its logits are not kept.
    let forked = attach
        .sample_of
        .and_then(|parent| book.fork(sequence, parent, prompt.saturating_sub(1)).ok());
    let positions = match forked {
        Some(positions) => positions,
        None => {
            let attached = book.attach(sequence, attach.namespace, &attach.keys, prompt);
            // Only who came first leads. Stages hear of a requester's sequences in one order, so
            // no two of them wait for each other at different stages.
            let behind = attached.behind.filter(|b| !attach.alone && b.leader < sequence);
            if let Some(behind) = behind {
                book.detach(sequence);
                return Attachment::Behind { leader: behind.leader, positions: behind.positions };
            }
            attached.positions
        }
    };
    let room = room_of(book);
    let needed = book.pages_needed(sequence, positions, prompt.saturating_add(1));
    if (before - room.available).saturating_add(needed) > attach.pages_max {
        book.detach(sequence);
        return Attachment::NoRoom;
    }
    let pages = book.table(sequence).map_or(0, |table| table.len() as u32);
    Attachment::Attached { positions, pages, room }
}

impl Handler<AttachSequence> for KvCacheStore {
    type Result = MessageResult<AttachSequence>;

    fn handle(&mut self, message: AttachSequence, _: &mut Self::Context) -> Self::Result {
        let book = self.books.get_mut(message.shard);
        MessageResult(book.map_or(Attachment::NoRoom, |book| attach(book, &message)))
    }
}

impl Handler<TrimSequence> for KvCacheStore {
    type Result = ();

    fn handle(&mut self, trim: TrimSequence, _: &mut Self::Context) {
        if let Some(book) = self.books.get_mut(trim.shard)
            && let Err(error) = book.trim(trim.sequence, trim.positions)
        {
            tracing::debug!(%error, "nothing to trim");
        }
    }
}

impl Handler<PrepareStep> for KvCacheStore {
    type Result = MessageResult<PrepareStep>;

    fn handle(&mut self, step: PrepareStep, _: &mut Self::Context) -> Self::Result {
        let mut pages = StepPages::default();
        if let Some(book) = self.books.get_mut(step.shard) {
            for Stretch { sequence, from, to } in step.stretches {
                let grown = book.grow(sequence, from, to);
                pages.tables.push(grown.is_ok().then(|| book.table(sequence)).flatten());
                pages.copies.extend(grown.ok().flatten());
            }
            pages.room = room_of(book);
        }
        MessageResult(pages)
    }
}

impl Handler<RowsComputed> for KvCacheStore {
    type Result = ();

    fn handle(&mut self, rows: RowsComputed, _: &mut Self::Context) {
        let Some(book) = self.books.get_mut(rows.shard) else { return };
        for (sequence, positions) in rows.computed {
            book.computed(sequence, positions);
        }
    }
}

impl Handler<DetachSequence> for KvCacheStore {
    type Result = RoomReply;

    fn handle(&mut self, detach: DetachSequence, _: &mut Self::Context) -> RoomReply {
        let Some(book) = self.books.get_mut(detach.shard) else {
            return RoomReply(PageRoom::default());
        };
        book.extend(detach.sequence, &detach.keys);
        book.computed(detach.sequence, detach.computed);
        book.detach(detach.sequence);
        RoomReply(room_of(book))
    }
}

impl Handler<GetPageUsage> for KvCacheStore {
    type Result = MessageResult<GetPageUsage>;

    fn handle(&mut self, _: GetPageUsage, _: &mut Self::Context) -> Self::Result {
        let of_book = |book: &PageBook| {
            let PageCounts { used, cached, total, .. } = book.counts();
            PageUsage { used, cached, total, prefix: book.statistics() }
        };
        MessageResult(self.books.iter().map(of_book).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_sequence_is_waited_for_and_not_for_ever() {
        let mut book = PageBook::new(9, false);
        let new = |sequence, alone| AttachSequence {
            shard: 0,
            sequence,
            namespace: 1,
            keys: vec![[7; 16]; 2],
            prompt: 70,
            pages_max: 9,
            sample_of: None,
            alone,
        };
        let is_attached =
            |attachment| matches!(attachment, Attachment::Attached { positions: 0, .. });
        assert!(is_attached(attach(&mut book, &new(5, false))));
        let behind = Attachment::Behind { leader: 5, positions: 64 };
        assert_eq!(attach(&mut book, &new(6, false)), behind);
        assert!(is_attached(attach(&mut book, &new(4, false))));
        assert!(is_attached(attach(&mut book, &new(6, true))));
    }
}
