//! Resident memory of this process, as the kernel counts it.
//!
//! Called by `node.rs` for `status`. Units: bytes. Source: proc(5), `VmRSS` of /proc/self/status.
//! Errors: none; 0 where the kernel does not say. Absent on purpose: memory of a GPU.

/// Bytes of this process that are in memory now.
pub fn resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| vm_rss_bytes(&status))
}

fn vm_rss_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim_end().parse().ok());
    kib.map_or(0, |kib: u64| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_and_its_absence_is_zero() {
        assert_eq!(vm_rss_bytes("Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t1\n"), 1234 << 10);
        assert_eq!(vm_rss_bytes("Name:\tx\n"), 0);
        assert!(resident_bytes() > 1 << 20);
    }
}
