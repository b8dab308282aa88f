//! Tests of a session over a real socket, with a peer of the test's own at the other end.

use std::sync::Mutex;

use actix::{Addr, Message as ActixMessage};
use bytes::Bytes;
use swarmllm_protocol::admission::{Admission, AdmissionPolicy, NotAdmitted};
use swarmllm_protocol::connection::{ConnectionConfig, HandshakeGate};
use swarmllm_protocol::frame;
use swarmllm_protocol::identity::Identity;
use swarmllm_protocol::ids::NetworkId;
use swarmllm_protocol::lanes::budget::Budget;
use swarmllm_protocol::limits::WINDOW_USED_BYTES;
use swarmllm_protocol::wire::{RowEncoding, Rows};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::invite_keeper::{
    InviteKeeperError, KeepCertificate, KeepRevocations, RedeemInvite, RenewCertificate,
};

/// Keeps the rows it gets until it is told to drop them, and forgets everything else.
#[derive(Default)]
struct SlowScheduler {
    rows: Vec<SubmitRows>,
    n_rows: usize,
}

impl Actor for SlowScheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::BATCH_SCHEDULER);
    }
}

#[derive(ActixMessage)]
#[rtype(result = "usize")]
struct DropRows;

impl Handler<SubmitRows> for SlowScheduler {
    type Result = ();

    fn handle(&mut self, rows: SubmitRows, _: &mut Self::Context) {
        self.n_rows += 1;
        if let Some(credit) = &rows.credit {
            credit.were_due();
        }
        self.rows.push(rows);
    }
}

impl Handler<DropRows> for SlowScheduler {
    type Result = usize;

    fn handle(&mut self, _: DropRows, _: &mut Self::Context) -> usize {
        self.rows.clear();
        self.n_rows
    }
}

macro_rules! ignores {
    ($($message:ty),*) => {$(
        impl Handler<$message> for SlowScheduler {
            type Result = ();

            fn handle(&mut self, _: $message, _: &mut Self::Context) {}
        }
    )*};
}
ignores!(
    SessionOpened,
    SessionClosed,
    PeerReported,
    OpenSequence,
    CancelSequence,
    SessionDrained,
    KeepRevocations,
    Record
);

macro_rules! knows_no_invites {
    ($($message:ty => $reply:ty, $answer:expr;)*) => {$(
        impl Handler<$message> for SlowScheduler {
            type Result = $reply;

            fn handle(&mut self, _: $message, _: &mut Self::Context) -> $reply {
                $answer
            }
        }
    )*};
}
knows_no_invites!(
    RedeemInvite => Result<Vec<u8>, NotAdmitted>, Err(NotAdmitted::InviteUnknown);
    RenewCertificate => Option<Vec<u8>>, None;
    KeepCertificate => Result<(), InviteKeeperError>, Err(InviteKeeperError::OtherParties);
);

/// An open network without invites.
fn no_invites(scheduler: &Addr<SlowScheduler>) -> InviteLinks {
    let config = config(2);
    let rules = Admission::new(config.identity.peer_id(), config.network, AdmissionPolicy::Open);
    InviteLinks {
        redeem: scheduler.clone().recipient(),
        renew: scheduler.clone().recipient(),
        keep: scheduler.clone().recipient(),
        keep_revocations: scheduler.clone().recipient(),
        admission: watch::Sender::new(rules).subscribe(),
    }
}

fn config(seed: u8) -> ConnectionConfig {
    ConnectionConfig::new(Arc::new(Identity::from_seed([seed; 32])), NetworkId::default())
}

/// The other end of a session: a connection on a socket, read and written by hand.
struct Peer {
    socket: TcpStream,
    connection: Connection,
    received: BytesMut,
}

impl Peer {
    /// Dials a session that reports to this scheduler.
    async fn dial(scheduler: &Addr<SlowScheduler>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let socket = TcpStream::connect(address).await.expect("connects");
        let (accepted, remote) = listener.accept().await.expect("accepts");
        let clock = Clock::start();
        let responder = Connection::responder(config(2), entropy::bytes(), clock.now_ms());
        let links = SessionLinks {
            opened: scheduler.clone().recipient(),
            closed: vec![scheduler.clone().recipient()],
            reported: scheduler.clone().recipient(),
            open: scheduler.clone().recipient(),
            rows: scheduler.clone().recipient(),
            cancel: scheduler.clone().recipient(),
            drained: scheduler.clone().recipient(),
            events: scheduler.clone().recipient(),
            invites: no_invites(scheduler),
            memory: SessionMemory::new(Budget::new(0)),
            traffic: Arc::default(),
        };
        let gate = Arc::new(Mutex::new(HandshakeGate::new(config(2).identity.peer_id(), [1; 32])));
        let ticket = at_gate(&gate).admit(remote.ip()).expect("room").ticket;
        let guest = Guest::new(Arc::clone(&gate), ticket);
        PeerSession::new(accepted, remote, (responder, None), clock, links).at_door(guest).start();
        let connection = Connection::initiator(config(1), entropy::bytes(), 0);
        let mut peer = Peer { socket, connection, received: BytesMut::new() };
        assert!(matches!(peer.event().await, ConnectionEvent::Established { .. }));
        // The first sign of life: the session has let go of its place at the door.
        peer.answer_ping().await;
        assert_eq!(at_gate(&gate).half_open(), 0);
        peer
    }

    async fn flush(&mut self) {
        let mut out = BytesMut::new();
        while self.connection.poll_transmit(&mut out) {}
        self.socket.write_all(&out).await.expect("the session reads");
    }

    async fn event(&mut self) -> ConnectionEvent {
        loop {
            self.flush().await;
            let limit = self.connection.record_limit();
            match frame::take_record(&mut self.received, limit).expect("a frame") {
                Some(record) => {
                    if let Some(event) = self.connection.receive_record(record, 0).expect("good") {
                        return event;
                    }
                }
                None => {
                    let n = self.socket.read_buf(&mut self.received).await.expect("open");
                    assert!(n > 0, "the session ended");
                }
            }
        }
    }

    async fn answer_ping(&mut self) {
        let ConnectionEvent::Message(message, _) = self.event().await else { panic!("a ping") };
        let Body::Ping { nonce } = message.body else { panic!("{message:?}") };
        self.connection.send(Message::new(Body::Pong { nonce })).expect("room");
    }

    /// Asks for a sign of life and reads until it comes: everything before has then arrived.
    async fn round(&mut self, nonce: u64) {
        self.connection.send(Message::new(Body::Ping { nonce })).expect("room");
        loop {
            if let ConnectionEvent::Message(message, _) = self.event().await
                && message.body == (Body::Pong { nonce })
            {
                return;
            }
        }
    }
}

fn rows() -> Message {
    let header = Rows {
        request: RequestId([1; 16]),
        first_position: 0,
        n_rows: 1_000,
        hidden: 30,
        encoding: RowEncoding::F16,
        sample: false,
        trace: Vec::new(),
    };
    Message::rows(header, Bytes::from(vec![1; 60_000]))
}

#[actix::test]
async fn a_slow_consumer_is_sent_no_more_than_its_window_and_control_passes() {
    let scheduler = SlowScheduler::default().start();
    let mut peer = Peer::dial(&scheduler).await;
    let total = 20;
    for _ in 0..total {
        peer.connection.send(rows()).expect("room");
    }
    // Nothing is given back: what the credit allows arrives, and pings pass beside what waits.
    for nonce in 0..5 {
        peer.round(nonce).await;
    }
    let waiting = peer.connection.queued_bytes(Lane::Tensor);
    assert!(waiting >= total * 60_000 - WINDOW_USED_BYTES, "{waiting} bytes wait");
    let mut got = scheduler.send(DropRows).await.expect("alive");
    assert!((3..=4).contains(&got), "{got}");
    for nonce in 5..100 {
        peer.round(nonce).await;
        got = scheduler.send(DropRows).await.expect("alive");
    }
    assert_eq!((got, peer.connection.queued_bytes(Lane::Tensor)), (total, 0));
}
