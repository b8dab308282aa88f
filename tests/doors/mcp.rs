//! Promises of the MCP server.
