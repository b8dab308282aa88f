//! Mailbox capacities, each with its reason, and the one way to send a message that may be refused.
//!
//! actix mailboxes hold 16 messages unless told otherwise, and `do_send` ignores even that, so
//! every actor sets its capacity in `started` and every sender uses [`offer`] or `send().await`.

use actix::{
    Message, Recipient,
    dev::{MessageResponse, ToEnvelope},
};

/// Events are notifications: a full log drops them and counts the loss.
pub const EVENT_LOG: usize = 1024;
/// Every session may report a few things at once; 256 sessions x 4.
pub const PEER_DIRECTORY: usize = 1024;
/// Frames handed over by stages and generations; the lanes behind it are bounded in bytes.
pub const PEER_SESSION: usize = 512;
/// Rows of every open sequence: one in flight each, a few more while prefilling.
pub const BATCH_SCHEDULER: usize = 2048;
/// One batch computes and one waits: more would only hide that the worker is slow.
pub const SHARD_WORKER: usize = 64;
/// Replies of the stages of one request.
pub const GENERATION: usize = 256;
/// Commands of the scheduler: a few per open sequence and step.
pub const KV_CACHE_STORE: usize = 4096;
/// Questions of lookups: a few dozen each; more would only be late.
pub const DHT_SOCKET: usize = 1024;
/// Datagrams of a second, as many as are let in.
pub const DHT_ROUTER: usize = 1024;
/// News of a bucket's contacts.
pub const DHT_BUCKET: usize = 256;
/// Everything else: rare commands and questions.
pub const CONTROL: usize = 256;

/// Hands a notification over without waiting; a full or closed mailbox is traced, not hidden.
///
/// Returns whether the message was accepted. Use it only where the loss of the message is harmless
/// or where the caller acts on `false`.
pub fn offer<M>(to: &Recipient<M>, message: M) -> bool
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    match to.try_send(message) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(message = std::any::type_name::<M>(), %error, "message refused");
            false
        }
    }
}

/// As [`offer`], for an address.
pub fn offer_to<A, M>(to: &actix::Addr<A>, message: M) -> bool
where
    A: actix::Handler<M>,
    M: Message + Send + 'static,
    M::Result: MessageResponse<A, M> + Send,
    A::Context: ToEnvelope<A, M>,
{
    match to.try_send(message) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(message = std::any::type_name::<M>(), %error, "message refused");
            false
        }
    }
}
