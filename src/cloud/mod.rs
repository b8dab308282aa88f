//! The fallback to providers in the cloud: off until somebody allows it and gives a key.
//!
//! Used by `node/fallback.rs`, which decides when the swarm can't; set up by `config/` and
//! `cli/cloud.rs`. Reading order:
//! - [`provider`]: what a row of the table says, [`table`]: the twelve rows, [`settings`]: how the
//!   configuration changes them and which model stands for which; [`key`]: where keys lie;
//! - [`openai_encode`], [`anthropic_encode`]: a request as a provider reads it;
//! - [`sse_parser`], [`openai_decode`], [`anthropic_decode`], [`calls`]: its stream as our events;
//! - [`retry`], [`breaker`]: when to try again, and when to leave a provider alone;
//! - [`client`]: the HTTP call; [`answer`]: one answer; [`ledger`]: what it cost; [`fallback`]: all
//!   of it for one node.
//!
//! A prompt leaves this machine only where policy, caller and network settings all allow it. Keys
//! are shown to the provider and to nobody else: not to logs, errors, or status.
//! Absent on purpose: when to use it (`node/fallback.rs`), HTTP of our own (`http/`).

mod answer;
mod anthropic_decode;
mod anthropic_encode;
mod breaker;
mod calls;
mod client;
mod decode;
mod error;
mod fallback;
pub mod key;
mod ledger;
mod openai_decode;
mod openai_encode;
pub mod provider;
mod retry;
pub mod settings;
mod sse_parser;
mod table;

pub use error::CloudError;
pub use fallback::{Asked, Cloud, CloudModel, CloudOptions, Held, Reason};
pub use ledger::{CloudStatus, ProviderStatus};
pub use settings::{CloudSettings, Policy, Target};
