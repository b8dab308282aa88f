//! Randomness from the operating system, as the byte arrays that the pure parts take.

/// Fresh random bytes.
///
/// # Panics
/// When the system has no entropy source: nothing here is safe without one.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
