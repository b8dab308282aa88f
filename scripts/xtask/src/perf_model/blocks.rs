//! Random weights as the bytes of a GGUF tensor.
//!
//! Called by `file`. Every bit is random but the scales, which are chosen so that weights have a
//! standard deviation of about 0.02 and a model of them neither dies out nor overflows. Scales are
//! powers of two or nearly so, written as f16 bits. Layouts: ggml's block structures.

/// How a tensor's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// F32, all of them 1.
    Ones,
    F16,
    Q80,
    Q4K,
    Q5K,
    Q6K,
}

impl Format {
    /// ggml's number for the type.
    pub(super) fn id(self) -> u32 {
        match self {
            Format::Ones => 0,
            Format::F16 => 1,
            Format::Q80 => 8,
            Format::Q4K => 12,
            Format::Q5K => 13,
            Format::Q6K => 14,
        }
    }

    /// Values and bytes of a block.
    pub(super) fn block(self) -> (u64, u64) {
        match self {
            Format::Ones => (1, 4),
            Format::F16 => (1, 2),
            Format::Q80 => (32, 34),
            Format::Q4K => (256, 144),
            Format::Q5K => (256, 176),
            Format::Q6K => (256, 210),
        }
    }

    /// Fills whole blocks.
    pub(super) fn fill(self, out: &mut [u8], random: &mut Random) {
        let blocks = |out| <[u8]>::chunks_exact_mut(out, self.block().1 as usize);
        if self == Format::Ones {
            return blocks(out).for_each(|one| one.copy_from_slice(&1f32.to_le_bytes()));
        }
        random.fill(out);
        match self {
            Format::Ones => {}
            // Any sign and mantissa, exponent -6: a size of 2^-6 to 2^-5.
            Format::F16 => blocks(out).for_each(|half| half[1] = half[1] & 0x83 | 0x24),
            // d = 2^-12, before 32 signed bytes.
            Format::Q80 => blocks(out).for_each(|block| put(block, 0, 0x0c00)),
            // d = 2^-14 and dmin = 7.5 d, so that the mean is 0; then 6-bit scales and nibbles.
            Format::Q4K => blocks(out).for_each(|block| {
                put(block, 0, 0x0400);
                put(block, 2, 0x0f80);
            }),
            // d = 2^-15 and dmin = 15.5 d.
            Format::Q5K => blocks(out).for_each(|block| {
                put(block, 0, 0x0200);
                put(block, 2, 0x0fc0);
            }),
            // 16 signed scales of -64 to 63 behind 192 bytes of quants, then d = 2^-15.
            Format::Q6K => blocks(out).for_each(|block| {
                block[192..208].iter_mut().for_each(|scale| *scale = (*scale as i8 / 2) as u8);
                put(block, 208, 0x0200);
            }),
        }
    }
}

fn put(block: &mut [u8], at: usize, half_bits: u16) {
    block[at..at + 2].copy_from_slice(&half_bits.to_le_bytes());
}

/// Steele, Lea and Flood's SplitMix64: fast, and any seed is a good seed.
pub(super) struct Random(u64);

impl Random {
    /// A sequence of its own for every name.
    pub(super) fn named(name: &str) -> Self {
        // FNV-1a.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        Random(name.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill(&mut self, out: &mut [u8]) {
        let mut words = out.chunks_exact_mut(8);
        words.by_ref().for_each(|word| word.copy_from_slice(&self.next().to_le_bytes()));
        let rest = words.into_remainder();
        let n_rest = rest.len();
        rest.copy_from_slice(&self.next().to_le_bytes()[..n_rest]);
    }
}
