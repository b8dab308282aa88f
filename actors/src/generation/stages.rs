//! The stages of a route as their requester holds them: found, opened, fed, closed.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use actix::Recipient;
use bytes::Bytes;
use swarmllm_models::sampler::SamplingParams;
use swarmllm_protocol::ids::{LayerRange, PeerId, RequestId};
use swarmllm_protocol::prefix::{self, PrefixKey};
use swarmllm_protocol::route::{self, Candidate};
use swarmllm_protocol::wire::{
    Body, Lineage, Message, NextHop, OpenStage, PeerAddress, RowEncoding, Rows, Sampling,
};
use tokio::time::Instant;

use super::messages::{GenerationError, StageReply};
use super::request::{GenerationLinks, GenerationRequest};
use crate::batch_scheduler::{CancelSequence, OpenSequence, StageOwner, SubmitRows};
use crate::mailbox::offer;
use crate::peer_directory::{FindCandidates, FindSession};
use crate::peer_session::{SendFrame, SessionHandle};

enum Link {
    Local,
    Remote(SessionHandle),
}

/// One stage.
pub(super) struct Stage {
    pub(super) peer: PeerId,
    pub(super) layers: LayerRange,
    addresses: Vec<SocketAddr>,
    link: Link,
    /// Positions it knows, once it is open.
    pub(super) known: Option<u32>,
    /// Whether it said that there is no place yet.
    pub(super) is_queued: bool,
}

impl Stage {
    /// Round-trip time to it; 0 on this node.
    pub(super) fn rtt_us(&self) -> u32 {
        match &self.link {
            Link::Local => 0,
            Link::Remote(session) => session.rtt_us(),
        }
    }

    /// Opens it. False when its box is full.
    pub(super) fn open(
        &self,
        open: OpenStage,
        keys: Bytes,
        (request, links): (&GenerationRequest, &GenerationLinks),
        reply: Recipient<StageReply>,
    ) -> bool {
        match &self.link {
            Link::Local => {
                let (peer, client) = (request.local, request.client);
                let owner = StageOwner { session: 0, peer, client, reply };
                offer(&links.open, OpenSequence { open, keys, owner })
            }
            Link::Remote(session) => {
                let message = Message::with_keys(Body::OpenStage(open), keys);
                offer(&session.send, SendFrame { message, replies: Some(reply) })
            }
        }
    }

    /// Sends token rows. False when its box is full.
    pub(super) fn send_rows(
        &self,
        request: RequestId,
        (first_position, tokens, sample): (u32, &[u32], bool),
        links: &GenerationLinks,
    ) -> bool {
        let payload = Rows::token_payload(tokens);
        let rows = Rows {
            request,
            first_position,
            n_rows: u32::try_from(tokens.len()).unwrap_or(u32::MAX),
            hidden: 0,
            encoding: RowEncoding::Tokens,
            sample,
            trace: Vec::new(),
        };
        match &self.link {
            Link::Local => {
                let received_at = Instant::now();
                offer(&links.rows, SubmitRows { rows, payload, received_at, credit: None })
            }
            Link::Remote(session) => {
                let message = Message::rows(rows, payload);
                offer(&session.send, SendFrame { message, replies: None })
            }
        }
    }

    /// Closes it; pages with these names, behind the prompt's, may be kept for reuse.
    pub(super) fn close(self, request: RequestId, keys: &[PrefixKey], links: &GenerationLinks) {
        let payload = prefix::payload_of(keys);
        match self.link {
            Link::Local => {
                offer(&links.cancel, CancelSequence { request, owner: None, keys: payload });
            }
            Link::Remote(session) => {
                let named_pages = u32::try_from(keys.len()).unwrap_or(0);
                let body = Body::CloseStage { request, named_pages };
                let message = Message::with_keys(body, payload);
                offer(&session.send, SendFrame { message, replies: None });
            }
        }
    }
}

/// What each stage is asked for, in route order.
pub(super) fn openings(
    stages: &[Stage],
    request: &GenerationRequest,
    lineage: Lineage,
    (prompt, max_positions, named_pages): (u32, u32, u32),
) -> Vec<OpenStage> {
    let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let opening = |(index, stage): (usize, &Stage)| {
        let next = stages.get(index + 1);
        OpenStage {
            request: request.request,
            model: request.model,
            layers: stage.layers,
            stage: small(index),
            stages: small(stages.len()),
            profile: request.profile,
            cache: request.cache,
            lineage,
            sampling: next.is_none().then(|| sampling_of(&request.sampling)),
            next: next.map_or(NextHop::Requester, |next| {
                NextHop::Stage(PeerAddress { peer: next.peer, addresses: next.addresses.clone() })
            }),
            named_pages,
            prompt,
            max_positions,
        }
    };
    stages.iter().enumerate().map(opening).collect()
}

fn sampling_of(params: &SamplingParams) -> Sampling {
    Sampling {
        temperature: params.temperature,
        top_k: params.top_k,
        top_p: params.top_p,
        min_p: params.min_p,
        seed: params.seed,
    }
}

/// Plans a route over what is connected now and takes its sessions.
pub(super) async fn find_stages(
    links: &GenerationLinks,
    request: &GenerationRequest,
    excluded: &HashSet<PeerId>,
) -> Result<Vec<Stage>, GenerationError> {
    let internal = |error: actix::MailboxError| GenerationError::Internal(error.to_string());
    let found = links.candidates.send(FindCandidates { model: request.model }).await;
    let found = found.map_err(internal)?;
    let candidates: Vec<Candidate> =
        found.candidates.into_iter().filter(|c| !excluded.contains(&c.peer)).collect();
    let route = route::plan_route(request.n_layers, request.local, &candidates)?;
    let addresses: HashMap<PeerId, Vec<SocketAddr>> = found.addresses;
    let mut stages = Vec::with_capacity(route.len());
    for planned in route {
        let addresses = addresses.get(&planned.peer).cloned().unwrap_or_default();
        let link =
            if planned.peer == request.local {
                Link::Local
            } else {
                let find = FindSession { peer: planned.peer, addresses: addresses.clone() };
                let session = links.find_session.send(find).await.map_err(internal)?;
                let peer = planned.peer.short();
                Link::Remote(session.map_err(|error| GenerationError::StageLost {
                    peer,
                    detail: error.to_string(),
                })?)
            };
        let (peer, layers) = (planned.peer, planned.layers);
        stages.push(Stage { peer, layers, addresses, link, known: None, is_queued: false });
    }
    Ok(stages)
}
