//! Replies of this node's own stages as messages to the generation at the other end.
//!
//! Sent by `batch_scheduler`; part of the session, which is the only place that knows both. Errors:
//! none; what is too long for the wire is cut.

use actix::Handler;
use swarmllm_protocol::wire::{Body, LogProbabilities, Message, detail};

use super::PeerSession;
use crate::generation::{StageReply, StageReplyBody};

/// Replies of this node's own stages to a generation at the other end.
impl Handler<StageReply> for PeerSession {
    type Result = ();

    fn handle(&mut self, reply: StageReply, ctx: &mut Self::Context) {
        let request = reply.request;
        let body = match reply.body {
            StageReplyBody::Queued { waiting } => Body::StageQueued { request, waiting },
            StageReplyBody::Opened { known } => {
                if let Some(returned) = &self.returned {
                    returned.note_generation();
                }
                Body::StageOpened { request, known }
            }
            StageReplyBody::Preempted => Body::StagePreempted { request },
            StageReplyBody::Refused { reason, detail: text, retry_after_ms } => {
                Body::StageRefused { request, reason, detail: detail(&text), retry_after_ms }
            }
            StageReplyBody::Failed { detail: text } | StageReplyBody::Lost { detail: text } => {
                Body::StageFailed { request, stage: 0, detail: detail(&text) }
            }
            StageReplyBody::Sampled(sampled) => Body::TokenSampled(sampled),
            StageReplyBody::Scored { scores, trace } => {
                let tokens = u32::try_from(scores.len()).unwrap_or(u32::MAX);
                let (top, payload) = LogProbabilities::payload_of(&scores);
                let body = Body::Scored { request, tokens, top, trace };
                return self.send(Message { body, payload }, ctx);
            }
            StageReplyBody::Embedded { values, trace } => {
                let hidden = u32::try_from(values.len()).unwrap_or(u32::MAX);
                let payload: Vec<u8> =
                    values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let body = Body::Embedded { request, hidden, trace };
                return self.send(Message { body, payload: payload.into() }, ctx);
            }
        };
        self.say(body, ctx);
    }
}
