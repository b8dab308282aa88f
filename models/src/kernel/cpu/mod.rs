//! The canonical arithmetic on the CPU: the same bits at every SIMD level, thread count and batch.
//!
//! Called by `backend` (Flex operations) and `quant` (each format's interleaved schedule).
//!
//! How the bits stay the same (NUMERICS.md): integer sums are exact in any order; every float chain
//! has one fixed order, written here once and compiled per SIMD level (`schedules!`, `Lanes`);
//! lanes run over output rows or over positions, never over a reduction; threads split rows.
//! Transcendental functions are our own (`numeric`). Nothing here uses libm except `f32::mul_add`,
//! `sqrt` and division, whose results IEEE 754 fixes.

pub mod activation;
pub mod attention;
pub mod attention_rows;
pub mod attention_tile;
pub mod cache_blocks;
pub mod elementwise;
pub mod feed_forward;
pub mod half_float;
pub mod lanes;
pub mod latent;
pub mod level;
pub mod linear;
pub mod memory;
pub mod mixture;
pub mod network;
pub mod norm;
pub mod numeric;
pub mod pool;
pub mod rope;
pub mod routing;
pub mod schedule;
pub mod shared;
pub mod state_space;

pub use level::Level;
pub use pool::Pool;
