//! The stages of a route as their requester holds them: found, opened, fed, closed.

use std::collections::HashSet;
use std::net::SocketAddr;

use actix::Recipient;
use bytes::Bytes;
use swarmllm_protocol::ids::{LayerRange, PeerId, RequestId};
use swarmllm_protocol::kademlia::ProviderFacts;
use swarmllm_protocol::prefix::{self, PrefixKey};
use swarmllm_protocol::route::{self, Candidate, RouteStage};
use swarmllm_protocol::wire::{
    Body, Lineage, Message, NextHop, OpenStage, PeerAddress, RowEncoding, Rows, Sampling, Wanted,
};
use tokio::time::Instant;

use super::messages::{GenerationError, StageReply};
use super::request::{GenerationLinks, GenerationRequest, Gives};
use crate::batch_scheduler::{CancelSequence, OpenSequence, StageOwner, SubmitRows};
use crate::dht_router::FindProviders;
use crate::mailbox::offer;
use crate::peer_directory::{Candidates, FindCandidates, FindSession, PeerSeen, Via};
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
        (keys, guide): (Bytes, Bytes),
        (request, links): (&GenerationRequest, &GenerationLinks),
        reply: Recipient<StageReply>,
    ) -> bool {
        match &self.link {
            Link::Local => {
                let (peer, client) = (request.local, request.client);
                let owner = StageOwner { session: 0, peer, client, reply };
                offer(&links.open, OpenSequence { open, keys, guide, owner })
            }
            Link::Remote(session) => {
                let payload = match guide.is_empty() {
                    true => keys,
                    false => [keys, guide].concat().into(),
                };
                let message = Message::with_keys(Body::OpenStage(open), payload);
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
            wanted: next.is_none().then(|| match request.gives {
                Gives::Embedding => Wanted::Embedding,
                Gives::Scores(n_top) => Wanted::Scores(n_top),
                Gives::Tokens => Wanted::Tokens(sampling_of(request)),
            }),
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

fn sampling_of(request: &GenerationRequest) -> Sampling {
    let params = &request.sampling;
    Sampling {
        typical_p: params.typical_p,
        repetition_penalty: params.repetition_penalty,
        frequency_penalty: params.frequency_penalty,
        presence_penalty: params.presence_penalty,
        log_probabilities: request.log_probabilities,
        temperature: params.temperature,
        top_k: params.top_k,
        top_p: params.top_p,
        min_p: params.min_p,
        seed: params.seed,
    }
}

/// Plans a route over what is connected now, or else also over what the DHT knows of, and takes
/// its sessions.
pub(super) async fn find_stages(
    links: &GenerationLinks,
    request: &GenerationRequest,
    excluded: &HashSet<PeerId>,
) -> Result<Vec<Stage>, GenerationError> {
    let found = links.candidates.send(FindCandidates { model: request.model }).await;
    let mut found = found.map_err(internal)?;
    let route = match plan(request, &found, excluded) {
        Ok(route) => route,
        Err(_) => {
            let (model, n_layers) = (request.model, request.n_layers);
            let providers = links.find_providers.send(FindProviders { model, n_layers }).await;
            let providers = providers.map_err(internal)?;
            found.add_providers(&providers);
            let route = plan(request, &found, excluded)?;
            introduce(&providers, &route, links);
            route
        }
    };
    let mut stages = Vec::with_capacity(route.len());
    for planned in &route {
        let addresses = found.addresses.get(&planned.peer).cloned().unwrap_or_default();
        let link = match planned.peer == request.local {
            true => Link::Local,
            false => Link::Remote(session_with(planned.peer, &addresses, links).await?),
        };
        let RouteStage { peer, layers } = *planned;
        stages.push(Stage { peer, layers, addresses, link, known: None, is_queued: false });
    }
    Ok(stages)
}

fn plan(
    request: &GenerationRequest,
    found: &Candidates,
    excluded: &HashSet<PeerId>,
) -> Result<Vec<RouteStage>, GenerationError> {
    let is_usable = |candidate: &&Candidate| !excluded.contains(&candidate.peer);
    let usable: Vec<Candidate> = found.candidates.iter().filter(is_usable).copied().collect();
    Ok(route::plan_route(request.n_layers, request.local, &usable)?)
}

/// Tells the directory of the providers that the route needs.
fn introduce(providers: &[ProviderFacts], route: &[RouteStage], links: &GenerationLinks) {
    for ProviderFacts { peer, addresses, .. } in providers {
        if route.iter().any(|stage| stage.peer == *peer) {
            let (peer, addresses) = (Some(*peer), addresses.clone());
            offer(&links.seen, PeerSeen { peer, addresses, via: Via::Dht, invite: None });
        }
    }
}

async fn session_with(
    peer: PeerId,
    addresses: &[SocketAddr],
    links: &GenerationLinks,
) -> Result<SessionHandle, GenerationError> {
    let find = FindSession { peer, addresses: addresses.to_vec(), asked_by: None };
    let session = links.find_session.send(find).await.map_err(internal)?;
    session.map_err(|error| GenerationError::StageLost {
        peer: peer.short(),
        detail: error.to_string(),
    })
}

fn internal(error: actix::MailboxError) -> GenerationError {
    GenerationError::Internal(error.to_string())
}
