//! The seven tools, one file each: arguments, result, and what happens in between.
//!
//! Called through the rows of `tool.rs`. Field comments of arguments and results are what a client
//! reads in the schemas. Unknown arguments are ignored. Every answer says who computed it.

pub(super) mod batch;
pub(super) mod chat;
pub(super) mod compare;
pub(super) mod delegate;
pub(super) mod models;
pub(super) mod node_info;
pub(super) mod research;

#[cfg(test)]
mod tests;
