//! Promises of API keys, origins and descriptions.
