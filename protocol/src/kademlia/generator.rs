//! Unpredictable numbers from one seed, so that the same seed decides the same.
//!
//! BLAKE3 keyed by the seed, over a counter. Absent on purpose: a source of the seed; the caller
//! has one.

/// Numbers that nobody can tell without the seed.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    seed: [u8; 32],
    drawn: u64,
}

impl Generator {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// 32 bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        *blake3::keyed_hash(&self.seed, &self.drawn.to_le_bytes()).as_bytes()
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        let bytes = self.bytes();
        let mut low = [0; 8];
        low.copy_from_slice(&bytes[..8]);
        u64::from_le_bytes(low)
    }

    /// A number below `bound`, 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // Bounds are counts of contacts: the remainder's bias is below 2^-50.
        if bound == 0 { 0 } else { (self.number() % bound as u64) as usize }
    }
}
