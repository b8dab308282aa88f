//! Promises of the fallback to providers.
