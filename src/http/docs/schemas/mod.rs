//! The shapes of bodies, for the documentation: the fields that matter, with their types.
//!
//! Read by `operations.rs` through their schemas; nothing is made of these types. Handlers read
//! bodies field by field, so that a mistake is named; more fields are read than are listed here.
#![allow(dead_code, reason = "only the derived schemas are used")]

pub(super) mod anthropic;
pub(super) mod mcp;
pub(super) mod node;
pub(super) mod ollama;
pub(super) mod openai;
pub(super) mod responses;
