//! A peer that is no node: a real handshake over a real socket, then whatever its owner wants.
//!
//! Used by `tests/hostile_peer.rs` and by the lab. Blocking, with a deadline.
//! Errors: [`std::io::Error`] where the node ended it; what a test expects, it says itself.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use swarmllm_protocol::{
    connection::{Connection, ConnectionConfig, ConnectionEvent},
    frame,
    identity::Identity,
    ids::{LayerRange, ModelId, NetworkId, RequestId},
    testing,
    wire::{
        Body, CacheType, Lineage, Message, NextHop, OpenStage, Profile, RowEncoding, Rows,
        Sampling, Wanted,
    },
};

/// Longest wait for the node.
const DEADLINE: Duration = Duration::from_secs(60);

/// A peer with a session.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    pub(crate) connection: Connection,
    received: BytesMut,
    began: Instant,
}

impl Peer {
    /// Connects and shakes hands; the seed is its identity.
    pub(crate) fn connect(node: SocketAddr, seed: u64) -> io::Result<Peer> {
        let socket = dial(node)?;
        let config = ConnectionConfig::new(Arc::new(identity(seed)), NetworkId::default());
        let mut entropy = [7; 64];
        entropy[..8].copy_from_slice(&seed.to_le_bytes());
        let connection = Connection::initiator(config, entropy, 0);
        let (received, began) = (BytesMut::new(), Instant::now());
        let mut peer = Peer { socket, connection, received, began };
        while !matches!(peer.event()?, ConnectionEvent::Established { .. }) {}
        peer.flush()?;
        Ok(peer)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sends what the connection has to say and may; new keys when they are due.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut out = BytesMut::new();
        let now_ms = self.now_ms();
        let mut entropy = [0x5a; 64];
        entropy[..8].copy_from_slice(&now_ms.to_le_bytes());
        self.connection.poll(now_ms, || entropy).map_err(io::Error::other)?;
        while self.connection.poll_transmit(&mut out) {}
        self.socket.write_all(&out)
    }

    pub(crate) fn send(&mut self, message: Message) -> io::Result<()> {
        self.connection.send(message).map_err(io::Error::other)?;
        self.flush()
    }

    /// These bytes as a record, whatever they are.
    pub(crate) fn sealed(&mut self, text: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        testing::seal(&mut self.connection, text, &mut out);
        out
    }

    /// Writes to the socket.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends these bytes as a record.
    pub(crate) fn send_record(&mut self, text: &[u8]) -> io::Result<()> {
        let record = self.sealed(text);
        self.write(&record)
    }

    /// Reads what is there or comes soon, and forgets all but grants; false when nothing comes
    /// within the socket's time.
    pub(crate) fn hear_grants(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let n = match self.socket.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.received.extend_from_slice(&bytes[..n]);
        let (limit, now_ms) = (self.connection.record_limit(), self.now_ms());
        while let Some(record) =
            frame::take_record(&mut self.received, limit).map_err(io::Error::other)?
        {
            let event = self.connection.receive_record(record, now_ms).map_err(io::Error::other)?;
            if let Some(ConnectionEvent::Message(_, credit)) = event {
                self.connection.release(credit);
            }
        }
        Ok(true)
    }

    /// The next event; an error when the node closes.
    pub(crate) fn event(&mut self) -> io::Result<ConnectionEvent> {
        loop {
            // Also an answer to a cookie.
            self.flush()?;
            let (limit, now_ms) = (self.connection.record_limit(), self.now_ms());
            match frame::take_record(&mut self.received, limit).map_err(io::Error::other)? {
                Some(record) => {
                    let event = self.connection.receive_record(record, now_ms);
                    if let Some(event) = event.map_err(io::Error::other)? {
                        return Ok(event);
                    }
                }
                None => {
                    let mut bytes = [0; 4096];
                    let n = self.socket.read(&mut bytes)?;
                    if n == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.received.extend_from_slice(&bytes[..n]);
                }
            }
        }
    }

    /// Reads messages until one fits, and answers pings.
    pub(crate) fn wait_for(&mut self, fits: impl Fn(&Body) -> bool) -> io::Result<Body> {
        loop {
            if let ConnectionEvent::Message(message, credit) = self.event()? {
                self.connection.release(credit);
                if fits(&message.body) {
                    return Ok(message.body);
                }
                if let Body::Ping { nonce } = message.body {
                    self.send(Message::new(Body::Pong { nonce }))?;
                }
            }
        }
    }

    /// What the node offers first: the model and the layers of it.
    pub(crate) fn offered(&mut self) -> io::Result<(ModelId, LayerRange)> {
        let inventory = self.wait_for(|body| matches!(body, Body::Inventory { .. }))?;
        let Body::Inventory { offers } = inventory else { unreachable!("waited for") };
        let offer = offers.first().ok_or_else(|| io::Error::other("it offers nothing"))?;
        Ok((offer.model, offer.layers))
    }
}

/// Who a seed is.
pub(crate) fn identity(seed: u64) -> Identity {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    Identity::from_seed(key)
}

/// A connection to a node.
pub(crate) fn dial(node: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(node)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    Ok(socket)
}

/// A whole model as one stage, up to 64 positions.
pub(crate) fn open_stage(request: RequestId, model: ModelId, layers: LayerRange) -> OpenStage {
    let sampling = Sampling::default();
    OpenStage {
        request,
        model,
        layers,
        stage: 0,
        stages: 1,
        profile: Profile::F16,
        cache: CacheType::F16,
        lineage: Lineage::SampleOf(RequestId([0; 16])),
        named_pages: 0,
        prompt: 3,
        next: NextHop::Requester,
        wanted: Some(Wanted::Tokens(sampling)),
        max_positions: 64,
    }
}

/// Tokens of a generation, and one more is wanted.
pub(crate) fn token_rows(request: RequestId, first_position: u32, tokens: &[u32]) -> Message {
    let rows = Rows {
        request,
        first_position,
        n_rows: u32::try_from(tokens.len()).expect("a few"),
        hidden: 0,
        encoding: RowEncoding::Tokens,
        sample: true,
        trace: Vec::new(),
    };
    Message::rows(rows, Rows::token_payload(tokens))
}
