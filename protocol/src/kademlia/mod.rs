//! A table of nodes and provider records that nobody owns: Kademlia, ours.
//!
//! Called by the actors `dht_router` and `dht_bucket`, and by the simulator, with the same code.
//! Everything is a state machine: time, randomness and messages are arguments, and what it wants is
//! polled. The reading order:
//! 1. [`key`]: points, distance, and which bucket a point belongs to; [`contact`]: who and where.
//! 2. [`messages`]: four questions and their answers, each one datagram.
//! 3. [`record`]: what a provider says of itself, signed.
//! 4. [`bucket`]: whom to tell others of. Liveness before listing, limits per address group.
//! 5. [`router`]: answers, lookups, kept records. [`node`]: a router and its buckets in one.
//! 6. [`settings`]: the numbers, swept by the simulator.
//!
//! Units: milliseconds and Unix seconds. Errors: one enum per module; peers never cause a panic.
//! Absent on purpose: sealing (`dht_datagram`), sockets, the clock, NAT.
//! Sources: Maymounkov and Mazieres 2002 (Kademlia), Baumgart and Mies 2007 (S/Kademlia: disjoint
//! paths), BEP 5 (write tokens), discv5 (liveness), 2307.12212 and SR-DHT-Store (region).

pub mod bucket;
pub mod contact;
mod generator;
pub mod key;
mod lookup;
pub mod messages;
pub mod node;
mod observed;
pub mod record;
mod region;
pub mod router;
pub mod settings;
mod store;
mod token;
mod view;

pub use bucket::{Bucket, BucketNews, BucketOutput};
pub use contact::Contact;
pub use key::{BucketIndex, DhtKey, Distance};
pub use messages::{Answer, Question, RefusalReason, Request, Response, WriteToken};
pub use node::DhtNode;
pub use record::{ProviderFacts, ProviderRecord, RecordError, provider_keys};
pub use router::{LookupId, LookupOutcome, Now, Router, RouterOutput};
pub use settings::DhtSettings;

/// How often a provider announces its record again, seconds: it survives two that fail.
pub const REPUBLISH_EVERY_S: u64 = 20 * 60;
