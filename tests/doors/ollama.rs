//! Promises of the Ollama routes.
