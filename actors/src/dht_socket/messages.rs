//! Messages of the DHT's socket.

use std::net::SocketAddr;

use actix::{Message, Recipient};
use swarmllm_protocol::dht_datagram::Reply;
use swarmllm_protocol::kademlia::{Contact, Request, Response};

/// Command. Sender: dht_router. The answer comes as [`Answered`], or nothing does. Worst size: one
/// datagram. When the box is full, the router notices silence.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ask {
    /// The router's number for it.
    pub request_id: u64,
    /// Whom.
    pub to: Contact,
    /// What.
    pub request: Request,
}

/// Event. Handler: dht_router. The one who was asked answered, from where it was asked.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Answered {
    /// The router's number for the question.
    pub request_id: u64,
    /// What it says; not checked beyond its form.
    pub response: Response,
}

/// Event. Handler: dht_router. Somebody asks this node; rates are kept.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Asked {
    /// From where.
    pub from: SocketAddr,
    /// What.
    pub request: Request,
    /// The way to answer.
    pub reply: Reply,
}

/// Command. Sender: dht_router.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SendAnswer {
    /// To whom.
    pub to: SocketAddr,
    /// What.
    pub response: Response,
    /// From [`Asked`].
    pub reply: Reply,
}

/// Command. Sender: `node/tree.rs`, once the router runs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AttachRouter {
    /// Takes answers.
    pub answered: Recipient<Answered>,
    /// Takes questions.
    pub asked: Recipient<Asked>,
}

/// Question. Senders: doors. Reply: the round trip to a node over UDP in microseconds; `None` where
/// nothing came back.
#[derive(Debug, Message)]
#[rtype(result = "Option<u32>")]
pub struct MeasurePath {
    /// To whom.
    pub to: Contact,
}

/// Question. Senders: doors. Reply: what went over the socket so far.
#[derive(Debug, Message)]
#[rtype(result = "SocketCounts")]
pub struct GetSocketCounts;

/// What went over the socket so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketCounts {
    /// Datagrams sent.
    pub sent: u64,
    /// Their bytes, without headers.
    pub sent_bytes: u64,
    /// Datagrams received, whatever they were.
    pub received: u64,
    /// Their bytes, without headers.
    pub received_bytes: u64,
    /// Of them, those for nobody, or altered.
    pub refused: u64,
    /// Of them, questions beyond the rate.
    pub over_rate: u64,
    /// Datagrams that were not sent: outside the ranges of offline mode, or the system refused.
    pub unsent: u64,
}
