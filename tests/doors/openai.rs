//! Promises of the OpenAI chat, completions and embeddings dialects.
