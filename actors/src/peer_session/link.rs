//! What is known of the way to a peer: round trip, bandwidth, loss, and whether more may be sent.
//!
//! Written by the session, read by whoever holds its handle, without a message between them.
//! Units: microseconds, bytes per second, parts per million of segments. What was not measured yet,
//! or is not told by this system, is `None` (the round trip: 0).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// Bytes queued for a peer above which no more rows should be computed for it.
const CONGESTED_BYTES: usize = 2 * 1024 * 1024;
/// Bytes queued below which they may again.
const DRAINED_BYTES: usize = CONGESTED_BYTES / 2;

/// The figures of one session.
#[derive(Debug)]
pub struct LinkQuality {
    rtt_us: AtomicU32,
    bytes_per_s: AtomicU64,
    loss_ppm: AtomicU32,
    is_congested: AtomicBool,
}

impl Default for LinkQuality {
    fn default() -> LinkQuality {
        LinkQuality {
            rtt_us: AtomicU32::new(0),
            bytes_per_s: AtomicU64::new(0),
            loss_ppm: AtomicU32::new(u32::MAX),
            is_congested: AtomicBool::new(false),
        }
    }
}

impl LinkQuality {
    /// Smoothed round-trip time; 0 while unmeasured.
    pub fn rtt_us(&self) -> u32 {
        self.rtt_us.load(Ordering::Relaxed)
    }

    /// How fast data arrives at the peer.
    pub fn bytes_per_s(&self) -> Option<u64> {
        Some(self.bytes_per_s.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// Segments that had to be sent again, of a million.
    pub fn loss_ppm(&self) -> Option<u32> {
        Some(self.loss_ppm.load(Ordering::Relaxed)).filter(|loss| *loss != u32::MAX)
    }

    /// Whether so much waits for the peer that more should not be made for it.
    pub fn is_congested(&self) -> bool {
        self.is_congested.load(Ordering::Relaxed)
    }

    pub(super) fn measured(&self, rtt_us: Option<u32>, bytes_per_s: Option<u64>) {
        self.rtt_us.store(rtt_us.unwrap_or(0), Ordering::Relaxed);
        self.bytes_per_s.store(bytes_per_s.unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn look_at_socket(&self, socket: &OwnedWriteHalf) {
        self.loss_ppm.store(loss_ppm(socket).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// So many bytes wait for the peer, too many beside what others wait with or not; true when
    /// that is few again after it was too many.
    pub(super) fn queued(&self, bytes: usize, is_too_much: bool) -> bool {
        if bytes > CONGESTED_BYTES || is_too_much {
            self.is_congested.store(true, Ordering::Relaxed);
        }
        let is_few = bytes < DRAINED_BYTES && !is_too_much;
        is_few && self.is_congested.swap(false, Ordering::Relaxed)
    }
}

/// Bytes that the kernel takes ahead of what the network does: whatever is in there, control waits
/// behind.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: libc::c_int = 128 * 1024;

/// Keeps the kernel's queue of unsent bytes short; without that, control is slower beside bulk.
#[cfg(target_os = "linux")]
pub(super) fn keep_queue_short(socket: &TcpStream) {
    use std::os::fd::AsRawFd;

    let bytes = UNSENT_BYTES;
    // SAFETY: the value is an integer of the length given, and the borrowed socket keeps the
    // descriptor open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        )
    };
    if result != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "no TCP_NOTSENT_LOWAT");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn keep_queue_short(_: &TcpStream) {}

/// What the kernel counted since the socket was opened.
#[cfg(target_os = "linux")]
fn loss_ppm(socket: &OwnedWriteHalf) -> Option<u32> {
    use std::os::fd::AsRawFd;

    // SAFETY: the structure holds integers only, for which zeros are a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    let descriptor = socket.as_ref().as_raw_fd();
    // SAFETY: `info` is valid for `length` bytes, and the borrowed socket keeps the descriptor
    // open. An older kernel fills in less; the rest stays zero.
    let result = unsafe {
        libc::getsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    let sent = u64::from(info.tcpi_data_segs_out);
    if result != 0 || sent == 0 {
        return None;
    }
    u32::try_from(u64::from(info.tcpi_total_retrans) * 1_000_000 / sent).ok()
}

#[cfg(not(target_os = "linux"))]
fn loss_ppm(_: &OwnedWriteHalf) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn congestion_ends_well_below_where_it_began() {
        let link = LinkQuality::default();
        assert!(!link.queued(CONGESTED_BYTES, false) && !link.is_congested());
        assert!(!link.queued(CONGESTED_BYTES + 1, false) && link.is_congested());
        assert!(!link.queued(DRAINED_BYTES, false) && link.is_congested());
        assert!(link.queued(DRAINED_BYTES - 1, false) && !link.is_congested());
        assert!(!link.queued(0, false));
        // What others wait with counts too.
        assert!(!link.queued(1, true) && link.is_congested());
        assert!(link.queued(1, false) && !link.is_congested());
    }

    #[cfg(target_os = "linux")]
    #[actix::test]
    async fn a_loopback_socket_has_lost_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let dialled = TcpStream::connect(listener.local_addr().expect("bound")).await;
        let (mut other, _) = listener.accept().await.expect("accepts");
        let (_reader, mut writer) = dialled.expect("connects").into_split();
        let link = LinkQuality::default();
        assert_eq!(link.loss_ppm(), None);
        writer.write_all(b"data").await.expect("writes");
        other.read_exact(&mut [0; 4]).await.expect("reads");
        link.look_at_socket(&writer);
        assert_eq!(link.loss_ppm(), Some(0));
    }
}
