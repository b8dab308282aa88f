//! What travels between SwarmLLM nodes, and who may say what, as plain state machines.
//!
//! Called by `actors/` (which own sockets, clocks and threads) and by the doors for names and
//! codes. Nothing here reads a clock, a file, a socket or randomness: bytes, milliseconds and
//! entropy are arguments, so the same code runs in a service, in a simulation and in a fuzzer.
//!
//! From the outside in, and the reading order:
//! 1. [`frame`]: a byte stream is records of at most 64 KiB, refused by their length alone.
//! 2. [`noise`] and [`connection`]: three records establish keys and prove both [`identity`]s;
//!    every later record is sealed.
//! 3. [`lanes`]: records carry fragments of messages; control goes before tensors before bulk.
//! 4. [`wire`]: the closed set of messages, each checked before it is used; [`tensor_frame`]: the
//!    rows behind them; [`codec`]: how a body becomes bytes.
//! 5. [`route`], [`placement`], [`session`], [`prefix`]: who computes which layers, one generation
//!    from its prompt to its last token, and names for what it begins with; [`schedule`]: who
//!    computes next at a stage. Pure decisions, all of them.
//! 6. [`node_record`], [`invite`], [`address`], [`lan_beacon`], [`observed`]: what nodes say of
//!    themselves and of each other. [`peer_exchange`], [`peer_cache`], [`dial_budget`] and what
//!    joins them, [`peer_book`]: whom a node believes, remembers and dials.
//! 7. [`kademlia`]: who is near a key, and who provides a model: a table that nobody owns;
//!    [`dht_datagram`], [`source_limit`]: its questions and answers on the wire.
//! 8. [`membership`], [`redemption`], [`admission`]: who was invited, how often, and who is let in.
//! 9. [`ids`], [`limits`], [`rate_limit`]: names and bounds.
//!
//! Who may say what: the handshake first; then `Hello` from both sides; a requester says
//! `OpenStage`, `Rows` of tokens and `CloseStage`; a stage says `StageQueued`, `StageOpened`,
//! `StageRefused`, `StagePreempted`, `StageFailed`, `Rows` of activations to the next stage, and
//! the last one `TokenSampled` to the requester. `Inventory`, `PeerExchange`, `Ping` and `Pong`
//! anyone may say at any time. Where not everybody is let in, `Present` comes before `Hello`, and
//! `Admitted`, `NotAdmitted` and `Revocations` are an inviter's words.
//!
//! Version policy: one number ([`limits::PROTOCOL_VERSION`]) stands for everything on the wire and
//! is part of the handshake; nodes of different numbers refuse each other in words. Within a number
//! nothing changes its meaning, and nothing unknown is skipped.
//!
//! Shapes: rows are `[n_rows, hidden]`, little endian. Units are in the names. Errors: one enum per
//! module; input from a peer never panics. Absent on purpose: I/O, time, tensors' meaning.

#![forbid(unsafe_code)]

pub mod address;
pub mod admission;
pub mod codec;
pub mod connection;
pub mod cookie;
pub mod dht_datagram;
pub mod dial_budget;
pub mod frame;
pub mod guide;
pub mod identity;
pub mod ids;
pub mod invite;
pub mod kademlia;
pub mod lan_beacon;
pub mod lanes;
pub mod limits;
pub mod membership;
pub mod node_record;
pub mod noise;
pub mod observed;
pub mod peer_book;
pub mod peer_cache;
pub mod peer_exchange;
pub mod placement;
pub mod prefix;
pub mod rate_limit;
pub mod redemption;
pub mod route;
pub mod schedule;
pub mod session;
pub mod source_limit;
pub mod tensor_frame;
pub mod testing;
pub mod wire;
