//! Resident memory of this process and what is available to it, as the kernel counts them.
//!
//! Called by `node.rs` for `status` and by `node/tree.rs` for the caches. Units: bytes. Sources:
//! proc(5), `VmRSS` of /proc/self/status and `MemAvailable` of /proc/meminfo; the kernel's
//! cgroup-v2.rst, `memory.max` and `memory.current` of the process's own group.
//! Errors: none; 0 or `None` where the kernel does not say. Absent on purpose: memory of a GPU.

use std::{fs, path::Path};

/// Bytes of this process that are in memory now.
pub fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/status").map_or(0, |status| bytes_in(&status, "VmRSS:"))
}

/// Bytes that programs could take now: the system's, or those left to this process's group where
/// that is less; `None` where nobody says.
pub fn available_bytes() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let left = fs::read_to_string("/proc/self/cgroup").ok().and_then(|groups| left_to(&groups));
    Some(bytes_in(&info, "MemAvailable:").min(left.unwrap_or(u64::MAX)))
}

/// What a group's limit leaves, if it has one.
fn left_to(groups: &str) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = Path::new("/sys/fs/cgroup").join(group);
    let number = |file: &str| -> Option<u64> {
        fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
    };
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// The value of a line in `kB`.
fn bytes_in(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim_end().parse().ok());
    kib.map_or(0, |kib: u64| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_and_its_absence_is_zero() {
        let status = "Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t1\n";
        assert_eq!(bytes_in(status, "VmRSS:"), 1234 << 10);
        assert_eq!(bytes_in("Name:\tx\n", "VmRSS:"), 0);
        assert!(resident_bytes() > 1 << 20 && available_bytes() > Some(0));
        assert_eq!(left_to("1:name=systemd:/old\n"), None);
        assert_eq!(left_to("0::/no-such-group\n"), None);
    }
}
