//! The actor room: each concern of a node is one actix actor with typed messages.
//!
//! Concurrency, time and I/O live here and nowhere else; decisions are pure functions in
//! `swarmllm_protocol`, `swarmllm_models` or a `policy.rs` beside the actor. `src/node.rs` starts
//! the tree and is the only place that knows every actor:
//!
//! ```text
//! node_supervisor            restarts the whole tree (one for all) when a member ends unasked
//! |-- event_log              typed events, as streams          <- everybody (notifications)
//! |-- model_store            opened models                     <- doors, generation
//! |-- peer_directory         known peers, sessions, offers     <- sessions, beacon, generation
//! |-- invite_keeper          invites, redemptions, memberships <- peer_session, doors
//! |-- dialer, listener       sockets in both directions        -> peer_session
//! |   `-- peer_session*      one per connection: handshake, lanes, round-trip time
//! |-- lan_beacon             mDNS on the local network         -> peer_directory
//! |-- dht_socket             sealed datagrams, rates           <-> dht_router
//! |-- dht_router             lookups, records, announcements   <- peer_directory, generation
//! |   `-- dht_bucket*        one per range of distances        <-> dht_router
//! |-- kv_cache_store         pages of every loaded shard       <- batch_scheduler
//! |-- shard_worker*          one per loaded layer range, computing on its own thread
//! |-- batch_scheduler        open stage sequences, who runs next -> shard_worker, next stage
//! `-- generation*            one per request, at the requester  -> stages, in route order
//! ```
//!
//! Arbiters by duty: `net` runs sessions, scheduler, store and generations (a token never crosses
//! a thread but for the compute itself); the DHT has a thread of its own, so that a flood of
//! datagrams delays no token, and so has `invite_keeper`, which waits for the disk; the system's
//! own thread runs the rest. Sends are bounded: `try_send` or `send` with the capacities of
//! [`mailbox`]; `do_send` is banned by clippy.

pub mod batch_scheduler;
pub mod clock;
pub mod dht_bucket;
pub mod dht_router;
pub mod dht_socket;
pub mod dialer;
pub mod entropy;
pub mod event_log;
pub mod generation;
pub mod invite_keeper;
pub mod kv_cache_store;
pub mod lan_beacon;
pub mod listener;
pub mod mailbox;
pub mod model_store;
pub mod node_supervisor;
pub mod peer_directory;
pub mod peer_session;
pub mod shard_worker;
