//! Promises of the OpenAI responses dialect.
