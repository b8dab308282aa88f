//! Promises of the Anthropic dialect.
