//! What is left of the cipher's speed when records are sealed, pass the kernel, and are opened, and
//! nothing else is done: no session, no lanes, no copy of our own. What a session reaches is to be
//! read against this.
//!
//! One buffer of records is sealed where it lies, over and over, and written at once; the other
//! side reads as a session does. Units: bytes per second of the busier thread's computing time.

use std::io::{IoSlice, Write};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use swarmllm_protocol::frame;
use swarmllm_protocol::limits::{
    FRAGMENT_DATA_MAX_BYTES, RECORD_LENGTH_BYTES, RECORD_MAX_BYTES, TAG_BYTES,
};
use swarmllm_protocol::noise::CipherState;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::session::{CHUNK_BYTES, computed_s, on_thread};
use crate::swarm::LabError;

/// Records of one write, about as many bytes as a session hands over at once.
const RECORDS: usize = CHUNK_BYTES / FRAGMENT_DATA_MAX_BYTES + 1;

/// Opens everything until the other side is gone; its bytes, and the time it computed.
async fn open(listener: std::net::TcpListener) -> Result<(u64, Option<f64>), LabError> {
    listener.set_nonblocking(true)?;
    let (mut socket, _) = TcpListener::from_std(listener)?.accept().await?;
    let mut cipher = CipherState::new([1; 32]);
    let (mut received, mut bytes) = (BytesMut::new(), 0);
    loop {
        received.reserve(CHUNK_BYTES);
        if socket.read_buf(&mut received).await? == 0 {
            return Ok((bytes, computed_s()));
        }
        while let Some(mut record) = frame::take_record(&mut received, RECORD_MAX_BYTES)? {
            cipher.open(&[], &mut record)?;
            bytes += record.len() as u64;
        }
    }
}

/// Seals and writes until the time is over; the time it computed.
async fn seal(to: std::net::SocketAddr, time: Duration) -> Result<Option<f64>, LabError> {
    let mut socket = std::net::TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    let mut cipher = CipherState::new([1; 32]);
    let length = FRAGMENT_DATA_MAX_BYTES + TAG_BYTES;
    let mut record = BytesMut::from(&u16::try_from(length)?.to_le_bytes()[..]);
    record.resize(RECORD_LENGTH_BYTES + length, 0);
    let mut records = vec![record; RECORDS];
    let end = Instant::now() + time;
    while Instant::now() < end {
        for record in &mut records {
            record.truncate(RECORD_LENGTH_BYTES + FRAGMENT_DATA_MAX_BYTES);
            cipher.seal_tail(&[], record, RECORD_LENGTH_BYTES)?;
        }
        let mut slices: Vec<IoSlice<'_>> = records.iter().map(|it| IoSlice::new(it)).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let written = socket.write_vectored(left)?;
            IoSlice::advance_slices(&mut left, written);
        }
    }
    Ok(computed_s())
}

/// Measures; `None` where the system does not tell what a thread computed.
pub(crate) fn rate(time: Duration) -> Result<Option<f64>, LabError> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    let opener = on_thread(async move || open(listener).await);
    let sealer = on_thread(async move || seal(to, time).await);
    let sealed_s = sealer.join().map_err(|_| "the sealing thread panicked")??;
    let (bytes, opened_s) = opener.join().map_err(|_| "the opening thread panicked")??;
    let busiest_s = sealed_s.zip(opened_s).map(|(one, two)| one.max(two));
    Ok(busiest_s.map(|seconds| bytes as f64 / seconds))
}
