//! What one session carries: bulk as fast as it goes, beside pings on the control lane, over a real
//! socket between two threads; against the speed of the cipher alone on one core.
//!
//! `bulk_gb_s` is rows that arrived whole by the clock, `core_gb_s` the same by the time that the
//! busier of both threads computed, which other programs on the machine disturb less; `aead_gb_s`
//! is sealing records of that size, likewise, before and after; `floor_gb_s` what the kernel leaves
//! of that to anybody (`floor.rs`). `control_*_ms` is a ping's round
//! trip while bulk saturates the session. `--connections 2` puts the pings on a second connection,
//! as a measure of what that would bring.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use clap::Args;
use serde_json::json;
use swarmllm_protocol::connection::{Connection, ConnectionEvent};
use swarmllm_protocol::frame;
use swarmllm_protocol::ids::RequestId;
use swarmllm_protocol::lanes::Lane;
use swarmllm_protocol::limits::{FRAGMENT_DATA_MAX_BYTES, TAG_BYTES};
use swarmllm_protocol::noise::CipherState;
use swarmllm_protocol::testing::config;
use swarmllm_protocol::wire::{Body, Message, RowEncoding, Rows};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use crate::figures::{Sorted, ms};
use crate::floor;
use crate::swarm::LabError;

/// Bytes of one message of bulk.
const MESSAGE_BYTES: usize = 1 << 20;
/// Bulk that waits to be sent at any time.
const BACKLOG_BYTES: usize = 4 * MESSAGE_BYTES;
/// What a session hands to the socket, or takes from it, at once.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// Time between pings.
const PING_EVERY: Duration = Duration::from_millis(1);

/// Options of `session`.
#[derive(Args)]
pub(crate) struct SessionArgs {
    /// How long bulk flows, seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// 1: as a session is; 2: control on a connection of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    connections: u8,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// One end: a connection and its socket.
struct End {
    socket: TcpStream,
    connection: Connection,
    received: BytesMut,
    outgoing: BytesMut,
    began: Instant,
}

impl End {
    fn new(socket: TcpStream, connection: Connection) -> Result<End, LabError> {
        socket.set_nodelay(true)?;
        let received = BytesMut::with_capacity(CHUNK_BYTES);
        let (outgoing, began) = (BytesMut::new(), Instant::now());
        Ok(End { socket, connection, received, outgoing, began })
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Writes until the socket or the credit is used up.
    fn write(&mut self) -> Result<(), LabError> {
        self.connection.poll(self.now_ms(), || [7; 64])?;
        loop {
            while self.outgoing.len() < CHUNK_BYTES
                && self.connection.poll_transmit(&mut self.outgoing)
            {}
            if self.outgoing.is_empty() {
                return Ok(());
            }
            match self.socket.try_write(&self.outgoing) {
                Ok(written) => self.outgoing.advance(written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                // Seen by the next read.
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what is there; false at the end of the stream.
    fn read(&mut self, mut heard: impl FnMut(&mut Connection, Message)) -> Result<bool, LabError> {
        self.received.reserve(CHUNK_BYTES);
        match self.socket.try_read_buf(&mut self.received) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(true),
            // The other side ended with something of ours unread.
            Err(error) if is_gone(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let now_ms = self.now_ms();
        loop {
            let limit = self.connection.record_limit();
            let Some(record) = frame::take_record(&mut self.received, limit)? else {
                return Ok(true);
            };
            if let Some(ConnectionEvent::Message(message, credit)) =
                self.connection.receive_record(record, now_ms)?
            {
                heard(&mut self.connection, message);
                self.connection.release(credit);
            }
        }
    }

    /// Waits until the socket has something, or room for what waits.
    async fn ready(&self) {
        let wanted = match self.outgoing.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        // A ping may be due sooner than anything comes.
        let _ = tokio::time::timeout(PING_EVERY, self.socket.ready(wanted)).await;
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// Time this thread has computed, seconds; `None` where the system does not tell.
pub(crate) fn computed_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

/// What the sending thread saw.
#[derive(Default)]
struct Sent {
    round_trips_ms: Vec<f64>,
    computed_s: Option<f64>,
}

/// What a receiving thread saw.
struct Received {
    bytes: u64,
    computed_s: Option<f64>,
}

/// Keeps bulk flowing, and a ping on its way, until the time is over.
async fn send(mut bulk: End, mut control: Option<End>, end: Instant) -> Result<Sent, LabError> {
    let payload = Bytes::from(vec![0x3c; MESSAGE_BYTES]);
    let mut sent = Sent::default();
    let mut ping: Option<Instant> = None;
    let mut pinged_at = Instant::now();
    let mut nonce = 0;
    while Instant::now() < end {
        while bulk.connection.peer().is_some()
            && bulk.connection.queued_bytes(Lane::Bulk) < BACKLOG_BYTES
        {
            bulk.connection.send(rows(payload.clone()))?;
        }
        let pings = control.as_mut().unwrap_or(&mut bulk);
        if ping.is_none() && pings.connection.peer().is_some() && pinged_at.elapsed() >= PING_EVERY
        {
            nonce += 1;
            pinged_at = Instant::now();
            ping = Some(pinged_at);
            pings.connection.send(Message::new(Body::Ping { nonce }))?;
        }
        let mut heard = |_: &mut Connection, message: Message| {
            if let (Body::Pong { nonce: of }, Some(at)) = (message.body, ping)
                && of == nonce
            {
                sent.round_trips_ms.push(ms(at, Instant::now()));
                ping = None;
            }
        };
        if let Some(control) = &mut control {
            control.write()?;
            control.read(&mut heard)?;
        }
        bulk.write()?;
        bulk.read(&mut heard)?;
        match &control {
            None => bulk.ready().await,
            Some(control) => tokio::select! {
                () = bulk.ready() => {}
                () = control.ready() => {}
            },
        }
    }
    sent.computed_s = computed_s();
    Ok(sent)
}

/// Takes everything and answers pings, until the other side is gone.
async fn receive(mut end: End) -> Result<Received, LabError> {
    let mut bytes = 0;
    loop {
        let is_open = end.read(|connection, message| match message.body {
            Body::Ping { nonce } => {
                let pong = connection.send(Message::new(Body::Pong { nonce }));
                pong.expect("one ping is under way at a time");
            }
            _ => bytes += message.payload.len() as u64,
        })?;
        if !is_open {
            return Ok(Received { bytes, computed_s: computed_s() });
        }
        end.write()?;
        end.ready().await;
    }
}

fn rows(payload: Bytes) -> Message {
    let header = Rows {
        request: RequestId([1; 16]),
        first_position: 0,
        n_rows: (payload.len() / 16_384) as u32,
        hidden: 8_192,
        encoding: RowEncoding::F16,
        sample: false,
        trace: Vec::new(),
    };
    Message::rows(header, payload)
}

/// Bytes per second of computing that sealing full records takes, on this thread.
fn aead_rate(time: Duration) -> f64 {
    let mut cipher = CipherState::new([1; 32]);
    let mut record = BytesMut::zeroed(FRAGMENT_DATA_MAX_BYTES);
    record.reserve(TAG_BYTES);
    let (began, computed) = (Instant::now(), computed_s());
    let mut bytes = 0_u64;
    while began.elapsed() < time {
        for _ in 0..64 {
            cipher.seal_tail(&[], &mut record, 0).expect("a fresh key");
            record.truncate(FRAGMENT_DATA_MAX_BYTES);
            bytes += FRAGMENT_DATA_MAX_BYTES as u64;
        }
    }
    std::hint::black_box(&record);
    let taken = computed_s().zip(computed).map(|(end, start)| end - start);
    bytes as f64 / taken.unwrap_or(began.elapsed().as_secs_f64())
}

/// Runs a future on a thread of its own.
pub(crate) fn on_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T, LabError> + Send + 'static,
) -> std::thread::JoinHandle<Result<T, String>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(work()).map_err(|error| error.to_string())
    })
}

/// What a run gave.
struct Run {
    bytes: u64,
    /// Computing time of the busiest thread.
    busiest_s: Option<f64>,
    round_trips_ms: Vec<f64>,
}

fn run_session(connections: u8, time: Duration) -> Result<Run, LabError> {
    let (addresses_out, addresses_in) = std::sync::mpsc::channel();
    let mut receivers = Vec::new();
    for _ in 0..connections {
        let addresses = addresses_out.clone();
        receivers.push(on_thread(async move || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.send(listener.local_addr()?)?;
            let (socket, _) = listener.accept().await?;
            receive(End::new(socket, Connection::responder(config(2), [2; 64], 0))?).await
        }));
    }
    let mut addresses = Vec::new();
    for _ in 0..connections {
        addresses.push(addresses_in.recv()?);
    }
    let sender = on_thread(async move || {
        let mut ends = Vec::new();
        for address in addresses {
            let socket = TcpStream::connect(address).await?;
            ends.push(End::new(socket, Connection::initiator(config(1), [1; 64], 0))?);
        }
        let bulk = ends.remove(0);
        send(bulk, ends.pop(), Instant::now() + time).await
    });
    let Sent { round_trips_ms, computed_s } =
        sender.join().map_err(|_| "the sending thread panicked")??;
    let mut run = Run { bytes: 0, busiest_s: computed_s, round_trips_ms };
    for receiver in receivers {
        let received = receiver.join().map_err(|_| "a receiving thread panicked")??;
        run.bytes += received.bytes;
        run.busiest_s = run.busiest_s.zip(received.computed_s).map(|(one, two)| one.max(two));
    }
    Ok(run)
}

/// Measures; true when bulk and pings both arrived.
pub(crate) fn run(args: &SessionArgs) -> Result<bool, LabError> {
    let time = Duration::from_secs(args.seconds);
    let before = aead_rate(Duration::from_secs(1));
    let floor_gb_s = floor::rate(Duration::from_secs(1))?.map(|rate| rate / 1e9);
    let Run { bytes, busiest_s, round_trips_ms } = run_session(args.connections, time)?;
    let aead_gb_s = (before + aead_rate(Duration::from_secs(1))) / 2e9;
    let bulk_gb_s = bytes as f64 / time.as_secs_f64() / 1e9;
    let core_gb_s = bytes as f64 / busiest_s.unwrap_or(time.as_secs_f64()) / 1e9;
    let ratio = core_gb_s / aead_gb_s;
    let pings = round_trips_ms.len();
    let control = Sorted::of(round_trips_ms);
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| control.at(share));
    if args.json {
        let object = json!({
            "connections": args.connections, "seconds": args.seconds, "bulk_gb_s": bulk_gb_s,
            "core_gb_s": core_gb_s, "aead_gb_s": aead_gb_s, "ratio": ratio,
            "floor_gb_s": floor_gb_s, "pings": pings,
            "control_p50_ms": p50, "control_p99_ms": p99, "control_max_ms": most,
        });
        println!("{object}");
    } else {
        println!("bulk      {bulk_gb_s:6.3} GB/s over {} connection(s)", args.connections);
        println!("per core  {core_gb_s:6.3} GB/s of the busier thread's computing time");
        println!("cipher    {aead_gb_s:6.3} GB/s on one core");
        let floor_gb_s = floor_gb_s.unwrap_or(f64::NAN);
        println!("floor     {floor_gb_s:6.3} GB/s with cipher and kernel alone");
        println!("ratio     {ratio:6.3}");
        println!("control   {p50:6.3} ms p50, {p99:.3} ms p99, {most:.3} ms max of {pings} pings");
    }
    Ok(bytes > 0 && pings > 0)
}
