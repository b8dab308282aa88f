//! The arithmetic under the layers, one folder per kind of hardware.
//!
//! Called by `backend`. `cpu` is the canonical arithmetic of NUMERICS.md. Absent on purpose: GPU
//! kernels of our own (`cube/`); other devices run the plain tensor operations of `backend`.

pub mod cpu;
