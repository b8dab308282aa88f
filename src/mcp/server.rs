//! The protocol side: our tools and resource as an `rmcp` server, for both eras of MCP.
//!
//! Used by `http/mcp.rs` and `cli/mcp.rs`; the only file of this folder that knows `rmcp`, which
//! has a new major version every few months. `rmcp` does the handshake (2024-11-05 to 2025-11-25),
//! `server/discover` and per-request versions (2026-07-28), and cancellation tokens; this file
//! answers lists and calls, reports progress, and turns failures of tools into `isError` results.
//! Units: progress in tokens, cache lifetimes in milliseconds.
//! Source: Model Context Protocol, revisions 2025-11-25 and 2026-07-28.

use std::{sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock,
        CustomRequest, CustomResult, DiscoverResult, ErrorCode, Extensions, Implementation,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
        ProgressToken, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
        Resource, ResourceContents, ServerCapabilities, ServerConfig, ToolAnnotations,
    },
    service::RequestContext,
};
use serde_json::json;

use super::{
    job::Job,
    node::{Look, Node},
    tool::{self, Output, TOOLS, Tool, ToolError},
};

/// The resource that is the node's state.
pub const STATUS_URI: &str = "swarmllm://status";
/// Tools change with the program only.
const LIST_TTL_MS: u64 = 3_600_000;
/// Between two looks at how far a call is.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Looks without a new token after which a waiting client is told that it is still waited for.
const PATIENCE: u32 = 40;
/// What a model is told about this server.
const INSTRUCTIONS: &str = "Language models that run on this node and its peers. `models` lists \
                            them; `chat`, `delegate`, `compare`, `batch_prompts` and `research` \
                            ask them. Answers come from the models alone: they have no web access.";

/// The server over one node; cheap to clone.
#[derive(Clone)]
pub struct McpServer {
    node: Arc<dyn Node>,
}

impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpServer").finish_non_exhaustive()
    }
}

impl McpServer {
    /// A server that answers with this node.
    pub fn new(node: Arc<dyn Node>) -> McpServer {
        McpServer { node }
    }

    /// The node of the request's own caller, where the door brought one along.
    fn node_of(&self, extensions: &Extensions) -> Arc<dyn Node> {
        let parts = extensions.get::<http::request::Parts>();
        let own = parts.and_then(|parts| parts.extensions.get::<Arc<dyn Node>>());
        Arc::clone(own.unwrap_or(&self.node))
    }
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let program =
            Implementation::new("swarmllm", env!("CARGO_PKG_VERSION")).with_title("SwarmLLM");
        ServerConfig::new(capabilities).with_server_info(program).with_instructions(INSTRUCTIONS)
    }

    async fn discover(
        &self,
        _context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        let found = DiscoverResult::from_server_info(versions, self.get_info());
        Ok(found.with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        refuse_cursor(request)?;
        let tools = TOOLS.iter().map(listed).collect();
        let list = ListToolsResult::with_all_items(tools);
        Ok(list.with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = tool::find(&request.name) else {
            let known: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
            let known = known.join(", ");
            let message = format!("Unknown tool: {}; there are: {known}", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let job = Job::new(self.node_of(&context.extensions));
        let mut progress = Progress::of(&context);
        let result = tokio::select! {
            result = (tool.run)(request.arguments.unwrap_or_default(), &job) => result,
            // The call's future ends here, and with it every answer it waits for.
            () = context.ct.cancelled() => {
                return Err(ErrorData::internal_error("the call was cancelled", None));
            }
            () = progress.report(&job) => Err(ToolError::Failed("the client is gone".to_owned())),
        };
        progress.last(&job).await;
        Ok(CallToolResponse::from(call_result(result)))
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        refuse_cursor(request)?;
        let status = Resource::new(STATUS_URI, "status")
            .with_title("State of the node")
            .with_description("The node's own state as JSON: peers, models, memory, work under way")
            .with_mime_type("application/json");
        let list = ListResourcesResult::with_all_items(vec![status]);
        Ok(list.with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != STATUS_URI {
            let message = format!("no resource {}; there is {STATUS_URI}", request.uri);
            let data = json!({"uri": request.uri});
            return Err(ErrorData::resource_not_found(message, Some(data)));
        }
        let status = self.node.look(Look::Status).await;
        let status = status.map_err(|error| ErrorData::internal_error(error.message, None))?;
        let contents = ResourceContents::text(status.to_string(), STATUS_URI)
            .with_mime_type("application/json");
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    /// Methods nobody knows, and known ones whose parameters have the wrong shape.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let ours = ["tools/call", "tools/list", "resources/list", "resources/read"];
        Err(match ours.contains(&request.method.as_str()) {
            true => {
                let message = format!("the parameters of {} have the wrong shape", request.method);
                ErrorData::invalid_params(message, None)
            }
            false => {
                let message = format!("no method {}", request.method);
                ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None)
            }
        })
    }
}

/// Lists come whole, so nobody was given a cursor.
fn refuse_cursor(request: Option<PaginatedRequestParams>) -> Result<(), ErrorData> {
    match request.and_then(|request| request.cursor) {
        None => Ok(()),
        Some(_) => {
            let message = "`cursor`: lists of this server have one page; ask without a cursor";
            Err(ErrorData::invalid_params(message, None))
        }
    }
}

fn listed(tool: &Tool) -> rmcp::model::Tool {
    let annotations = ToolAnnotations::with_title(tool.title)
        .read_only(true)
        .destructive(false)
        .open_world(tool.reaches_out);
    rmcp::model::Tool::new(tool.name, tool.description, Arc::new((tool.input)()))
        .with_title(tool.title)
        .with_raw_output_schema(Arc::new((tool.output)()))
        .with_annotations(annotations)
}

fn call_result(result: Result<Output, ToolError>) -> CallToolResult {
    match result {
        Ok(output) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(output.text)]);
            result.structured_content = Some(output.structured);
            result
        }
        Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
    }
}

/// Tells a client that wants to know how far its call is.
struct Progress {
    client: Option<(rmcp::Peer<RoleServer>, ProgressToken)>,
    sent: f64,
}

impl Progress {
    fn of(context: &RequestContext<RoleServer>) -> Progress {
        let token = context.meta.get_progress_token();
        Progress { client: token.map(|token| (context.peer.clone(), token)), sent: 0.0 }
    }

    /// Reports until it is dropped; returns when nobody can be told any more.
    async fn report(&mut self, job: &Job) {
        if self.client.is_none() {
            return std::future::pending().await;
        }
        let mut quiet = 0;
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            let tokens = job.tokens() as f64;
            quiet = if tokens > self.sent { 0 } else { quiet + 1 };
            let is_told = match quiet {
                0 => self.send(job, tokens).await,
                // Progress has to grow: waiting counts as part of the token that is waited for.
                PATIENCE => {
                    quiet = 0;
                    let part = 1.0 - self.sent.fract();
                    self.send(job, self.sent + part / 2.0).await
                }
                _ => true,
            };
            if !is_told {
                return;
            }
        }
    }

    /// The tokens of the whole call, if they were not told yet.
    async fn last(&mut self, job: &Job) {
        let tokens = job.tokens() as f64;
        if tokens > self.sent {
            self.send(job, tokens).await;
        }
    }

    async fn send(&mut self, job: &Job, progress: f64) -> bool {
        let Some((peer, token)) = &self.client else { return true };
        self.sent = progress;
        let note = job.note();
        let so_far = match job.tokens() {
            0 => "waiting for the first token".to_owned(),
            tokens => format!("{tokens} tokens so far"),
        };
        let message = if note.is_empty() { so_far } else { format!("{note}, {so_far}") };
        let told = ProgressNotificationParam::new(token.clone(), progress).with_message(message);
        peer.notify_progress(told).await.is_ok()
    }
}
