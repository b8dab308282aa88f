//! Peers that do what brought nodes of other networks down, many at once, beside an honest one.
//!
//! Used by `tests/hostile_peer.rs` and by `swarmllm-lab -- hostile`. The classes, each named after
//! what was published:
//! - `beyond_credit` (CVE-2026-32314, yamux: a body larger than the credit): declared lengths that
//!   nobody has, data that was not granted, and messages that fill what was and never end;
//! - `numbers` (CVE-2026-34219, gossipsub: a peer's duration overflows a clock): the largest number
//!   in every field that counts time, positions or credit, and keys changed out of turn;
//! - `registrations` (CVE-2026-35405, rendezvous: no quota per peer): offers, records, generations
//!   and lists, as many as the lane carries;
//! - `tiny` (CVE-2022-23486, libp2p: many small allocations): the smallest messages there are,
//!   pings whose answers are not read, records that stop before their end.
//!
//! Each peer plays one class over a session of its own and keeps its socket open until all have. An
//! honest peer, connected before, goes on with a generation all the while, a token at a time.
//! Units: MiB of resident memory beyond that before the first class, its peak; milliseconds.
//! Absent on purpose: what costs a peer nothing but sockets
//! (`honest_nodes_come_in_through_a_flood`), and how long a new generation waits for a place beside
//! hundreds of requesters; that is a question of shares, and every peer has one.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use swarmllm_protocol::{
    ids::{InviteId, LayerRange, ModelId, NetworkId, PeerId, RequestId},
    lanes::Lane,
    limits::{BULK_MESSAGE_MAX_BYTES, FRAGMENT_DATA_MAX_BYTES, TENSOR_MESSAGE_MAX_BYTES},
    membership::{Grant, MemberCertificate, MemberFacts, MemberRole, RevocationList},
    node_record::{NodeFacts, NodeRecord},
    wire::{Body, Message, RefusalReason, RowEncoding, Rows, ShardOffer, StageTrace, TokenSampled},
};

use super::peer::{Peer, identity, open_stage, token_rows};

/// Peers that are played at the same time.
const AT_ONCE: usize = 32;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Positions of one honest generation; the context of the demo model is a little larger.
const POSITIONS: u32 = 480;
/// The honest peer asks for a token so often.
const TOKEN_EVERY: Duration = Duration::from_millis(20);
/// Seeds of hostile peers begin here, those of honest ones below.
const HOSTILE_SEED: u64 = 1 << 32;

/// First fragment of a message.
const FIRST: u8 = 0b100;
/// A signal.
const SIGNAL: u8 = 0b1000;

/// The node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) listen: SocketAddr,
    pub(crate) pid: u32,
}

/// What one class came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) class: &'static str,
    pub(crate) peers: usize,
    /// Handshakes that were completed.
    pub(crate) let_in: usize,
    /// Sessions that the node ended before their peer had said everything.
    pub(crate) ended: usize,
    /// Most resident memory beyond that before the first class.
    pub(crate) grown_mib: f64,
    /// Tokens (and pongs) that the honest peer got meanwhile, and the longest it waited for one.
    pub(crate) honest_answers: usize,
    pub(crate) honest_slowest_ms: f64,
    /// Why the honest peer could not go on, if so.
    pub(crate) honest_error: Option<String>,
    pub(crate) seconds: f64,
}

/// What a peer plays; an error where the node ended it.
type Play = fn(&mut Peer, u64, (ModelId, LayerRange)) -> io::Result<()>;

const CLASSES: [(&str, Play); 4] = [
    ("beyond_credit", beyond_credit),
    ("numbers", numbers),
    ("registrations", registrations),
    ("tiny", tiny),
];

/// Plays all classes, one after the other, each by so many peers.
///
/// # Errors
/// When the node does not let an honest peer in.
pub(crate) fn replay(target: Target, peers: usize) -> io::Result<Vec<Report>> {
    let mut honest = Peer::connect(target.listen, 1)?;
    let model = honest.offered()?;
    let mut generation = Generation::new(model);
    generation.begin(&mut honest)?;
    let before = resident_bytes(target.pid);
    let mut reports = Vec::new();
    for (index, (class, play)) in CLASSES.into_iter().enumerate() {
        let first_seed = HOSTILE_SEED + (index * peers) as u64;
        let attack = Attack { target, play, peers, first_seed, model };
        let report = attack.run(&mut honest, &mut generation, before);
        let has_ended = report.honest_error.is_some();
        reports.push(Report { class, ..report });
        if has_ended {
            break;
        }
        generation.begin(&mut honest)?;
    }
    Ok(reports)
}

/// One class being played.
struct Attack {
    target: Target,
    play: Play,
    peers: usize,
    first_seed: u64,
    model: (ModelId, LayerRange),
}

impl Attack {
    fn run(&self, honest: &mut Peer, generation: &mut Generation, before: u64) -> Report {
        let began = Instant::now();
        let [let_in, ended, next, peak] = [0; 4].map(AtomicUsize::new);
        let (open, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let mut report = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let now = resident_bytes(self.target.pid) as usize;
                    peak.fetch_max(now, Ordering::Relaxed);
                    std::thread::park_timeout(LOOK_EVERY);
                }
            });
            let work = || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= self.peers {
                        return;
                    }
                    let seed = self.first_seed + number as u64;
                    let Ok(mut peer) = Peer::connect(self.target.listen, seed) else { continue };
                    let_in.fetch_add(1, Ordering::Relaxed);
                    if (self.play)(&mut peer, seed, self.model).is_err() {
                        ended.fetch_add(1, Ordering::Relaxed);
                    }
                    open.lock().expect("no panic").push(peer);
                }
            };
            let players: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
            let is_playing = || players.iter().any(|player| !player.is_finished());
            let report = generation.go_on_while(honest, is_playing);
            players.into_iter().for_each(|player| player.join().expect("it only sends"));
            // What was sent last has arrived when the honest peer has its next answer.
            let last = generation.go_on(honest).err().map(|error| error.to_string());
            is_over.store(true, Ordering::Relaxed);
            Report { honest_error: report.honest_error.clone().or(last), ..report }
        });
        report.peers = self.peers;
        (report.let_in, report.ended) = (let_in.into_inner(), ended.into_inner());
        let grown = (peak.into_inner() as u64).saturating_sub(before);
        report.grown_mib = grown as f64 / f64::from(1 << 20);
        report.seconds = began.elapsed().as_secs_f64();
        report
    }
}

/// Generations of an honest peer, one after the other.
struct Generation {
    model: (ModelId, LayerRange),
    number: u64,
    position: u32,
}

impl Generation {
    fn new(model: (ModelId, LayerRange)) -> Generation {
        Generation { model, number: 0, position: 0 }
    }

    fn request(&self) -> RequestId {
        let mut id = [0xaa; 16];
        id[..8].copy_from_slice(&self.number.to_le_bytes());
        RequestId(id)
    }

    /// Ends the one before and opens another, up to its first token.
    fn begin(&mut self, peer: &mut Peer) -> io::Result<()> {
        let (model, layers) = self.model;
        peer.send(Message::new(Body::CloseStage { request: self.request(), named_pages: 0 }))?;
        (self.number, self.position) = (self.number + 1, 0);
        let mut open = open_stage(self.request(), model, layers);
        open.max_positions = POSITIONS;
        peer.send(Message::new(Body::OpenStage(open)))?;
        peer.wait_for(|body| matches!(body, Body::StageOpened { .. }))?;
        self.rows(peer, &[1, 2, 3])
    }

    /// Sends tokens and waits for the next.
    fn rows(&mut self, peer: &mut Peer, tokens: &[u32]) -> io::Result<()> {
        peer.send(token_rows(self.request(), self.position, tokens))?;
        self.position += tokens.len() as u32;
        let expected = self.position;
        let answers = |body: &Body| match body {
            Body::TokenSampled(sampled) => sampled.position == expected,
            body => matches!(body, Body::StageFailed { .. } | Body::StagePreempted { .. }),
        };
        match peer.wait_for(answers)? {
            Body::TokenSampled(_) => Ok(()),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    /// One more token; a ping once the generation is at its end.
    fn go_on(&mut self, peer: &mut Peer) -> io::Result<()> {
        if self.position < POSITIONS {
            return self.rows(peer, &[5]);
        }
        let nonce = 77;
        peer.send(Message::new(Body::Ping { nonce }))?;
        peer.wait_for(|body| *body == Body::Pong { nonce }).map(|_| ())
    }

    /// Goes on while others attack.
    fn go_on_while(&mut self, peer: &mut Peer, is_wanted: impl Fn() -> bool) -> Report {
        let mut report = Report::default();
        while is_wanted() && report.honest_error.is_none() {
            let asked = Instant::now();
            report.honest_error = self.go_on(peer).err().map(|error| error.to_string());
            let waited_ms = asked.elapsed().as_secs_f64() * 1_000.0;
            report.honest_slowest_ms = report.honest_slowest_ms.max(waited_ms);
            report.honest_answers += 1;
            std::thread::park_timeout(TOKEN_EVERY);
        }
        report
    }
}

/// Resident memory of a process.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1024)
}

/// A fragment that begins a message of this length, or goes on with one.
fn fragment(lane: Lane, total: Option<u32>, data: usize) -> Vec<u8> {
    let mut bytes = vec![lane as u8];
    if let Some(total) = total {
        bytes[0] |= FIRST;
        bytes.extend_from_slice(&total.to_le_bytes());
    }
    bytes.resize(bytes.len() + data, 0x11);
    bytes
}

fn rows_of(n_rows: u32, hidden: u32) -> Message {
    let rows = Rows {
        request: RequestId([3; 16]),
        first_position: 0,
        n_rows,
        hidden,
        encoding: RowEncoding::F16,
        sample: false,
        trace: Vec::new(),
    };
    Message::rows(rows, vec![1; (n_rows * hidden * 2) as usize].into())
}

fn beyond_credit(peer: &mut Peer, seed: u64, _: (ModelId, LayerRange)) -> io::Result<()> {
    let full = FRAGMENT_DATA_MAX_BYTES;
    match seed % 4 {
        // Data that nobody granted.
        0 => {
            let total = BULK_MESSAGE_MAX_BYTES as u32;
            peer.send_record(&fragment(Lane::Bulk, Some(total), full))?;
            (0..400).try_for_each(|_| peer.send_record(&fragment(Lane::Bulk, None, full)))
        }
        // A length that no message has.
        1 => {
            peer.send_record(&fragment(Lane::Bulk, Some(u32::MAX), full))?;
            peer.send(Message::new(Body::Ping { nonce: 1 }))
        }
        // What may be sent without a grant, on both lanes, and never the rest.
        2 => {
            for (lane, total) in
                [(Lane::Tensor, TENSOR_MESSAGE_MAX_BYTES), (Lane::Bulk, BULK_MESSAGE_MAX_BYTES)]
            {
                peer.send_record(&fragment(lane, Some(total as u32), full))?;
                peer.send_record(&fragment(lane, None, full))?;
                peer.send_record(&fragment(lane, None, full))?;
            }
            Ok(())
        }
        // The largest message, as the credit allows, all but its end.
        _ => {
            peer.connection.send(rows_of(512, 16 * 1024 - 8)).map_err(io::Error::other)?;
            peer.socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            while peer.connection.queued_bytes(Lane::Bulk) > 2 * full {
                let before = peer.connection.queued_bytes(Lane::Bulk);
                peer.flush()?;
                if peer.connection.queued_bytes(Lane::Bulk) == before && !peer.hear_grants()? {
                    // It waits for room, and so does everybody behind it.
                    return Ok(());
                }
            }
            Ok(())
        }
    }
}

/// Messages with the largest numbers that their fields hold.
fn largest_numbers(seed: u64) -> Vec<Message> {
    let (us, network) = (identity(seed), NetworkId::default());
    let request = RequestId([9; 16]);
    let listen: Vec<SocketAddr> = vec![([10, 0, 0, 1], 9).into()];
    let facts = |sequence, expires_at_unix_s| NodeFacts {
        peer: us.peer_id(),
        sequence,
        expires_at_unix_s,
        is_reachable: true,
        addresses: listen.clone(),
    };
    let record = |sequence, expires| {
        let record = NodeRecord::sign(&us, &network, facts(sequence, expires));
        record.expect("an address that can be dialled").as_bytes().to_vec()
    };
    let member = |now| {
        let facts = MemberFacts {
            issuer: us.peer_id(),
            member: us.peer_id(),
            grant: Grant { role: MemberRole::Member, pool: None },
            invite: InviteId([1; 16]),
            serial: u64::MAX,
            issued_at_unix_s: 0,
            expires_at_unix_s: 0,
        };
        MemberCertificate::issue(&us, &network, facts, now).as_bytes().to_vec()
    };
    let since = [(InviteId([1; 16]), u64::MAX)].into_iter().collect();
    let trace = StageTrace {
        stage: 0,
        compute_us: u32::MAX,
        residence_us: u32::MAX,
        bytes_out: u32::MAX,
        link_rtt_us: u32::MAX,
    };
    let hello = |record| Body::Hello {
        version: u16::MAX,
        agent: "x".into(),
        listen: listen.clone(),
        record,
        observed: listen[0],
    };
    let bodies = [
        hello(record(u64::MAX, u64::MAX)),
        hello(record(u64::MAX, i64::MAX as u64)),
        Body::PeerExchange { added: vec![record(u64::MAX, u64::MAX)], dropped: vec![] },
        Body::StageOpened { request, known: u32::MAX },
        Body::StageQueued { request, waiting: u32::MAX },
        Body::TokenSampled(TokenSampled {
            request,
            position: u32::MAX,
            token: u32::MAX,
            trace: vec![trace],
            log_probabilities: None,
        }),
        Body::Present { certificates: vec![member(u64::MAX), member(u64::MAX - 1), member(0)] },
        Body::Admitted { certificate: member(u64::MAX) },
        Body::Revocations {
            list: RevocationList::sign(&us, &network, u64::MAX, since).as_bytes().to_vec(),
        },
        Body::Ping { nonce: u64::MAX },
        Body::Pong { nonce: u64::MAX },
    ];
    bodies.into_iter().map(Message::new).collect()
}

/// A message that its own rules forbid, as the one fragment it is.
fn forbidden(body: Body, lane: Lane, payload: usize) -> Vec<u8> {
    let header = Message::new(body).encode_header().expect("it can be written");
    let total = (header.len() + payload) as u32;
    let mut bytes = fragment(lane, Some(total), 0);
    bytes.extend_from_slice(&header);
    bytes.resize(bytes.len() + payload, 0);
    bytes
}

fn numbers(peer: &mut Peer, seed: u64, (model, layers): (ModelId, LayerRange)) -> io::Result<()> {
    // First everything that a node may take, then one thing that ends the session.
    for message in largest_numbers(seed) {
        peer.send(message)?;
    }
    let request = RequestId([4; 16]);
    let signal = |kind: u8, body: &[&[u8]]| [&[SIGNAL, kind][..], &body.concat()].concat();
    let (bulk, most) = ([Lane::Bulk as u8], u64::MAX.to_le_bytes());
    let last = match seed % 9 {
        0 => signal(1, &[&bulk, &most, &most]),
        1 => signal(1, &[&bulk, &[0; 8], &most]),
        2 => signal(6, &[&bulk, &most]),
        3 => signal(5, &[]),
        4 => signal(2, &[&[0; 48]]),
        5 => {
            let mut open = open_stage(request, model, layers);
            (open.max_positions, open.prompt) = (u32::MAX, u32::MAX);
            (open.named_pages, open.stages) = (u32::MAX, u16::MAX);
            forbidden(Body::OpenStage(open), Lane::Control, 0)
        }
        6 => forbidden(Body::CloseStage { request, named_pages: u32::MAX }, Lane::Control, 16),
        7 => {
            let (reason, detail) = (RefusalReason::Busy, String::new());
            let retry_after_ms = u32::MAX;
            let refused = Body::StageRefused { request, reason, detail, retry_after_ms };
            forbidden(refused, Lane::Control, 0)
        }
        _ => {
            let rows = Rows {
                request,
                first_position: u32::MAX,
                n_rows: u32::MAX,
                hidden: u32::MAX,
                encoding: RowEncoding::F32,
                sample: true,
                trace: Vec::new(),
            };
            forbidden(Body::Rows(rows), Lane::Tensor, 64)
        }
    };
    peer.send_record(&last)?;
    peer.send(Message::new(Body::Ping { nonce: 2 }))?;
    peer.wait_for(|body| *body == Body::Pong { nonce: 2 }).map(|_| ())
}

fn registrations(
    peer: &mut Peer,
    seed: u64,
    (model, layers): (ModelId, LayerRange),
) -> io::Result<()> {
    let id = |round: u8, index: u8| {
        let mut id = [round; 32];
        id[..8].copy_from_slice(&seed.to_le_bytes());
        id[9] = index;
        id
    };
    for round in 0..20 {
        let offer = |index| ShardOffer {
            model: ModelId(id(round, index)),
            model_name: "m".repeat(128),
            n_layers: 1_000,
            layers: LayerRange { start: 0, end: 1_000 },
        };
        let offers = (0..64).map(offer).collect();
        peer.send(Message::new(Body::Inventory { offers }))?;
        let dropped: Vec<PeerId> = (0..50).map(|index| PeerId(id(round, index))).collect();
        peer.send(Message::new(Body::PeerExchange { added: Vec::new(), dropped }))?;
        let record = |index: u8| {
            let owner = identity(seed ^ (u64::from(round) << 40) ^ (u64::from(index) << 48));
            let facts = NodeFacts {
                peer: owner.peer_id(),
                sequence: 1,
                expires_at_unix_s: now_unix_s() + 3_600,
                is_reachable: true,
                addresses: vec![([10, index, round, 1], 9).into()],
            };
            let record = NodeRecord::sign(&owner, &NetworkId::default(), facts);
            record.expect("an address that can be dialled").as_bytes().to_vec()
        };
        let added = (0..10).map(record).collect();
        peer.send(Message::new(Body::PeerExchange { added, dropped: Vec::new() }))?;
        for index in 0..5 {
            let request = RequestId(*id(round, index).first_chunk().expect("32 bytes"));
            peer.send(Message::new(Body::OpenStage(open_stage(request, model, layers))))?;
        }
    }
    peer.send(Message::new(Body::Ping { nonce: 3 }))?;
    peer.wait_for(|body| *body == Body::Pong { nonce: 3 }).map(|_| ())
}

fn tiny(peer: &mut Peer, seed: u64, _: (ModelId, LayerRange)) -> io::Result<()> {
    match seed % 4 {
        // The smallest rows, of a generation that is not here.
        0 => {
            let smallest = rows_of(1, 1);
            for _ in 0..2_000 {
                if peer.connection.send(smallest.clone()).is_err() {
                    peer.flush()?;
                    peer.hear_grants()?;
                }
            }
            peer.flush()
        }
        // Pings, and no answer is read.
        1 => {
            let mut pings = Vec::new();
            for nonce in 0..20_000 {
                let ping = forbidden(Body::Ping { nonce }, Lane::Control, 0);
                pings.extend_from_slice(&peer.sealed(&ping));
            }
            peer.write(&pings)
        }
        // A record that stops before its end.
        2 => {
            let mut record = peer.sealed(&fragment(Lane::Bulk, Some(1 << 20), 17_000));
            record.truncate(record.len() - 1);
            peer.write(&record)
        }
        // Less data than a fragment must carry.
        _ => {
            let bytes = (0..100).flat_map(|_| peer.sealed(&fragment(Lane::Tensor, Some(9), 1)));
            let bytes: Vec<u8> = bytes.collect();
            peer.write(&bytes)
        }
    }
}

fn now_unix_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
