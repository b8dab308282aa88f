//! The MCP server: tools over a node, over stdio and HTTP.
