//! Where the bytes of a GGUF file live: a read-only mapping, the program itself, or memory.
//!
//! Called by the reader and `model`. Cheap to clone. Pages of a mapping are read by the system on
//! first touch only, so a shard that never touches a layer never has it in memory;
//! [`Source::forget`] gives touched pages back after the weights were copied or hashed.

use std::{fs::File, io, path::Path, sync::Arc};

use memmap2::Mmap;

/// Shared read-only bytes.
#[derive(Clone)]
pub struct Source(Kind);

#[derive(Clone)]
enum Kind {
    Mapped(Arc<Mmap>),
    Static(&'static [u8]),
    Owned(Arc<[u8]>),
}

impl Source {
    /// Maps a file. The file must not shrink while it is mapped; model files are never rewritten in
    /// place by this program.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and only read as bytes; the risk that another program
        // truncates the file (SIGBUS) is the known price of mapping, see the doc line above.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self(Kind::Mapped(Arc::new(map))))
    }

    /// Bytes that are part of the program.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Self(Kind::Static(bytes))
    }

    /// Bytes in memory, for tests and tools.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(Kind::Owned(bytes.into()))
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Mapped(map) => map,
            Kind::Static(bytes) => bytes,
            Kind::Owned(bytes) => bytes,
        }
    }

    /// Tells the system that `start..start + len` is not needed in memory any more. A later read
    /// brings the same bytes back from the file. Does nothing for bytes in memory, nor where the
    /// system does not say that the bytes come from a file.
    pub fn forget(&self, start: usize, len: usize) {
        #[cfg(target_os = "linux")]
        if !matches!(self.0, Kind::Owned(_)) {
            const PAGE: usize = 4096;
            let bytes = self.bytes();
            let base = bytes.as_ptr().addr();
            let from = (base + start.min(bytes.len())).next_multiple_of(PAGE);
            let to = (base + start.saturating_add(len).min(bytes.len())) / PAGE * PAGE;
            if from < to && is_read_only_file(from, to) {
                // SAFETY: whole pages of a file that is mapped without the right to write, so a
                // dropped page is read again from the file and no byte changes under a borrow.
                // When the advice is refused, the pages stay, and only memory is at stake.
                unsafe {
                    let at = bytes.as_ptr().add(from - base).cast_mut().cast();
                    libc::madvise(at, to - from, libc::MADV_DONTNEED);
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (start, len);
    }
}

/// Whether the system maps these addresses from a file, without the right to write.
#[cfg(target_os = "linux")]
fn is_read_only_file(from: usize, to: usize) -> bool {
    // A line is "start-end perms offset device inode path", numbers in hexadecimal.
    let covers = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        let read_only = !fields.next()?.contains('w');
        let inode = fields.nth(2)?;
        Some(start <= from && to <= end && read_only && inode != "0")
    };
    std::fs::read_to_string("/proc/self/maps")
        .is_ok_and(|maps| maps.lines().any(|line| covers(line) == Some(true)))
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.0 {
            Kind::Mapped(_) => "mapped",
            Kind::Static(_) => "static",
            Kind::Owned(_) => "owned",
        };
        write!(f, "Source({kind}, {} bytes)", self.bytes().len())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    static CONSTANT: [u8; 40_000] = [7; 40_000];

    #[test]
    fn forgotten_bytes_come_back() {
        let leaked: &'static [u8] = Vec::leak(vec![9; 40_000]);
        for (bytes, value) in [(&CONSTANT[..], 7), (leaked, 9)] {
            let source = Source::from_static(bytes);
            source.forget(0, bytes.len());
            source.forget(39_000, usize::MAX);
            assert!(source.bytes().iter().all(|b| *b == value));
        }
    }

    #[test]
    fn only_constants_and_files_are_forgotten() {
        let heap = vec![1u8; 40_000];
        let range = |bytes: &[u8]| (bytes.as_ptr().addr(), bytes.as_ptr().addr() + bytes.len());
        let (from, to) = range(&heap);
        assert!(!is_read_only_file(from, to));
        let (from, to) = range(&CONSTANT);
        assert!(is_read_only_file(from, to));
    }
}
