//! Measures what the protocol costs: a handshake, and a message through two connections.
//!
//! Run by a person: `cargo run --release -p swarmllm-protocol --example record_speed`.
//! Every figure covers both sides on one core, without a socket: queue, seal, take the record off a
//! stream, open, check. Units: microseconds, median of the rounds. Errors: none expected; it stops.
//! Absent on purpose: the network.

use std::{io::Write as _, time::Instant};

use bytes::{Bytes, BytesMut};
use swarmllm_protocol::{
    connection::{Connection, ConnectionEvent},
    frame,
    ids::RequestId,
    testing::Pair,
    wire::{Body, Message, RowEncoding, Rows},
};

fn activation(bytes: u32) -> Message {
    let rows = Rows {
        request: RequestId([1; 16]),
        first_position: 7,
        n_rows: bytes.div_ceil(16_384),
        hidden: bytes.min(16_384) / 2,
        encoding: RowEncoding::F16,
        sample: true,
        trace: Vec::new(),
    };
    Message::rows(rows, Bytes::from(vec![0x3c; bytes as usize]))
}

/// Sends one message and takes it at the other side.
fn pass(from: &mut Connection, to: &mut Connection, stream: &mut BytesMut, message: Message) {
    from.send(message).expect("room in the lane");
    while from.poll_transmit(stream) {
        let limit = to.record_limit();
        let record = frame::take_record(stream, limit).expect("valid").expect("whole");
        if let Some(ConnectionEvent::Message(message, credit)) =
            to.receive_record(record, 0).expect("honest")
        {
            std::hint::black_box(message);
            to.release(credit);
        }
        // Grants go back at once, as they would while a link is busy.
        let mut back = BytesMut::new();
        while to.poll_transmit(&mut back) {
            let limit = from.record_limit();
            let record = frame::take_record(&mut back, limit).expect("valid").expect("whole");
            from.receive_record(record, 0).expect("honest");
        }
    }
}

fn median_us(rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let handshake = median_us(500, || {
        std::hint::black_box(Pair::established().expect("two honest nodes"));
    });
    writeln!(out, "handshake, both sides        {handshake:9.1} us")?;
    let Pair { mut initiator, mut responder, .. } = Pair::established().expect("two honest nodes");
    let mut stream = BytesMut::new();
    let ping = median_us(20_000, || {
        let message = Message::new(Body::Ping { nonce: 1 });
        pass(&mut initiator, &mut responder, &mut stream, message);
    });
    writeln!(out, "ping, send and receive       {ping:9.2} us")?;
    for (kib, rounds) in [(4, 20_000), (8, 20_000), (16, 20_000), (64, 5_000), (4_096, 100)] {
        let message = activation(kib * 1_024);
        let time = median_us(rounds, || {
            pass(&mut initiator, &mut responder, &mut stream, message.clone());
        });
        let rate = f64::from(kib) * 1_024.0 / time / 1e3;
        writeln!(out, "{kib:4} KiB rows, send and receive {time:6.1} us  {rate:5.2} GB/s")?;
    }
    Ok(())
}
