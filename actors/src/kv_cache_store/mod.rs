//! The books of the KV pages: which are free, per loaded shard.
//!
//! The pages themselves live in the shard (`swarmllm_models::kv`); this actor decides who may use
//! which. `batch_scheduler` reserves at admission and releases at the end, so a sequence that was
//! admitted never runs out of pages halfway.

mod messages;

use actix::{Actor, Context, Handler, MessageResult};
use swarmllm_models::kv::{PAGE_TOKENS, PageAllocator};

pub use messages::{GetPageUsage, PageUsage, ReleasePages, ReservePages, ReservePagesError};

use crate::mailbox;

/// The actor: one allocator per shard, by the shard's number in the node.
#[derive(Debug)]
pub struct KvCacheStore {
    allocators: Vec<PageAllocator>,
}

impl KvCacheStore {
    /// Allocators for shards of these page counts, in shard order.
    pub fn new(pages: &[u32]) -> KvCacheStore {
        KvCacheStore { allocators: pages.iter().map(|n| PageAllocator::new(*n)).collect() }
    }
}

impl Actor for KvCacheStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::CONTROL);
    }
}

impl Handler<ReservePages> for KvCacheStore {
    type Result = Result<Vec<u32>, ReservePagesError>;

    fn handle(&mut self, reserve: ReservePages, _: &mut Self::Context) -> Self::Result {
        let allocator =
            self.allocators.get_mut(reserve.shard).ok_or(ReservePagesError::UnknownShard)?;
        let wanted = reserve.positions.div_ceil(PAGE_TOKENS);
        let free = allocator.free();
        allocator.reserve(wanted).map_err(|_| ReservePagesError::OutOfPages { wanted, free })
    }
}

impl Handler<ReleasePages> for KvCacheStore {
    type Result = ();

    fn handle(&mut self, release: ReleasePages, _: &mut Self::Context) {
        if let Some(allocator) = self.allocators.get_mut(release.shard) {
            allocator.release(&release.pages);
        }
    }
}

impl Handler<GetPageUsage> for KvCacheStore {
    type Result = MessageResult<GetPageUsage>;

    fn handle(&mut self, _: GetPageUsage, _: &mut Self::Context) -> Self::Result {
        let total = self.allocators.iter().map(PageAllocator::total).sum();
        let free: u32 = self.allocators.iter().map(PageAllocator::free).sum();
        MessageResult(PageUsage { used: total - free, total })
    }
}
