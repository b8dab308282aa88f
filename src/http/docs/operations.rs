//! Every path and method of the server, in the order of the documentation.
//!
//! Read by `mod.rs`. One row for each; whoever adds a route adds its row, or a test fails.

use std::borrow::Cow;

use utoipa::{
    ToSchema,
    openapi::{RefOr, schema::Schema},
};

use super::{
    super::health::{Health, Readiness, Version},
    schemas::{
        anthropic::{AnthropicError, CountRequest, CountedTokens, Message, MessageRequest},
        mcp::{JsonRpcAnswer, JsonRpcMessage},
        node::{
            DetokenizeRequest, Detokenized, Rendered, TemplateRequest, TokenizeRequest, Tokenized,
        },
        ollama::{
            OllamaAnswer, OllamaChatRequest, OllamaEmbedRequest, OllamaEmbedding,
            OllamaEmbeddingRequest, OllamaEmbeddings, OllamaErrorBody, OllamaGenerateRequest,
            OllamaModelList, OllamaModelRequest, OllamaPullRequest, OllamaShow, OllamaStatus,
            OllamaVersion,
        },
        openai::{
            ChatCompletion, ChatCompletionRequest, Completion, CompletionRequest, EmbeddingList,
            EmbeddingRequest, Model, ModelList, OpenAiError,
        },
        responses::{
            Response, ResponseDeleted, ResponseInputTokens, ResponseItems, ResponseRequest,
        },
    },
};

/// Server-sent events.
const EVENTS: &str = "text/event-stream";
/// JSON objects, one per line.
const LINES: &str = "application/x-ndjson";

/// Paths of one dialect.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What a refusal looks like.
    pub(super) error: Shape,
    pub(super) operations: &'static [Operation],
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Names and meanings of what may be in the query.
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) body: Option<Shape>,
    pub(super) answer: Answer,
    /// The statuses that come with the answer.
    pub(super) statuses: &'static [&'static str],
}

/// What an operation answers.
pub(super) enum Answer {
    /// Headers alone.
    Nothing,
    /// Something of this type.
    Of(&'static str),
    /// An object.
    Json(Shape),
    /// An object or, with `stream`, something of this type.
    Streamed(Shape, &'static str),
}

/// The schema of a type and of all that it consists of.
pub(super) struct Shape {
    pub(super) name: fn() -> Cow<'static, str>,
    pub(super) schema: fn() -> RefOr<Schema>,
    pub(super) parts: fn(&mut Vec<(String, RefOr<Schema>)>),
}

const fn of<T: ToSchema>() -> Shape {
    Shape { name: T::name, schema: T::schema, parts: T::schemas }
}

const fn get(path: &'static str, summary: &'static str, answer: Answer) -> Operation {
    Operation { method: "GET", path, summary, query: &[], body: None, answer, statuses: &["200"] }
}

const fn head(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "HEAD", ..get(path, summary, Answer::Nothing) }
}

const fn post(path: &'static str, summary: &'static str, body: Shape, answer: Answer) -> Operation {
    Operation { method: "POST", body: Some(body), ..get(path, summary, answer) }
}

/// All of them.
pub(super) static GROUPS: [Group; 5] = [
    Group {
        name: "OpenAI",
        about: "The OpenAI API. Fields that are not listed are read as that API has them, or \
                ignored.",
        error: of::<OpenAiError>(),
        operations: &[
            post(
                "/v1/chat/completions",
                "Answers a conversation.",
                of::<ChatCompletionRequest>(),
                Answer::Streamed(of::<ChatCompletion>(), EVENTS),
            ),
            post(
                "/v1/completions",
                "Continues a text, or fills in what is missing before `suffix`.",
                of::<CompletionRequest>(),
                Answer::Streamed(of::<Completion>(), EVENTS),
            ),
            post(
                "/v1/embeddings",
                "Turns texts into vectors of length 1.",
                of::<EmbeddingRequest>(),
                Answer::Json(of::<EmbeddingList>()),
            ),
            post(
                "/v1/responses",
                "Answers a conversation in the form of the Responses API.",
                of::<ResponseRequest>(),
                Answer::Streamed(of::<Response>(), EVENTS),
            ),
            post(
                "/v1/responses/input_tokens",
                "Counts the tokens of such a request.",
                of::<ResponseRequest>(),
                Answer::Json(of::<ResponseInputTokens>()),
            ),
            get("/v1/responses/{id}", "A response that was kept.", Answer::Json(of::<Response>())),
            Operation {
                method: "DELETE",
                ..get("/v1/responses/{id}", "Forgets it.", Answer::Json(of::<ResponseDeleted>()))
            },
            get(
                "/v1/responses/{id}/input_items",
                "What it answered.",
                Answer::Json(of::<ResponseItems>()),
            ),
            Operation {
                method: "POST",
                ..get(
                    "/v1/responses/{id}/cancel",
                    "Ends an answer that is made in the background; there are none.",
                    Answer::Json(of::<Response>()),
                )
            },
            get(
                "/v1/models",
                "Lists the models that answer here.",
                Answer::Json(of::<ModelList>()),
            ),
            get("/v1/models/{id}", "Describes a model.", Answer::Json(of::<Model>())),
        ],
    },
    Group {
        name: "Anthropic",
        about: "The Anthropic messages API. Answers have a `request-id`.",
        error: of::<AnthropicError>(),
        operations: &[
            post(
                "/v1/messages",
                "Answers a conversation.",
                of::<MessageRequest>(),
                Answer::Streamed(of::<Message>(), EVENTS),
            ),
            post(
                "/v1/messages/count_tokens",
                "Counts the tokens of such a request.",
                of::<CountRequest>(),
                Answer::Json(of::<CountedTokens>()),
            ),
        ],
    },
    Group {
        name: "Ollama",
        about: "The Ollama API, for programs that speak only that. Times are nanoseconds.",
        error: of::<OllamaErrorBody>(),
        operations: &[
            post(
                "/api/chat",
                "Answers a conversation.",
                of::<OllamaChatRequest>(),
                Answer::Streamed(of::<OllamaAnswer>(), LINES),
            ),
            post(
                "/api/generate",
                "Answers a prompt.",
                of::<OllamaGenerateRequest>(),
                Answer::Streamed(of::<OllamaAnswer>(), LINES),
            ),
            post(
                "/api/embed",
                "Turns texts into vectors of length 1.",
                of::<OllamaEmbedRequest>(),
                Answer::Json(of::<OllamaEmbeddings>()),
            ),
            post(
                "/api/embeddings",
                "Turns one text into a vector; the older form.",
                of::<OllamaEmbeddingRequest>(),
                Answer::Json(of::<OllamaEmbedding>()),
            ),
            get("/api/tags", "Lists the models.", Answer::Json(of::<OllamaModelList>())),
            head("/api/tags", "The same as a status alone."),
            get("/api/ps", "Lists the models in memory.", Answer::Json(of::<OllamaModelList>())),
            post(
                "/api/show",
                "Describes a model.",
                of::<OllamaModelRequest>(),
                Answer::Json(of::<OllamaShow>()),
            ),
            post(
                "/api/pull",
                "Confirms a model that is here; others are not pulled.",
                of::<OllamaPullRequest>(),
                Answer::Streamed(of::<OllamaStatus>(), LINES),
            ),
            get(
                "/api/version",
                "The version of the Ollama API that is followed.",
                Answer::Json(of::<OllamaVersion>()),
            ),
            head("/api/version", "The same as a status alone."),
        ],
    },
    Group {
        name: "MCP",
        about: "The model context protocol over streamable HTTP, both eras of it.",
        error: of::<JsonRpcAnswer>(),
        operations: &[
            Operation {
                statuses: &["200", "202"],
                ..post(
                    "/mcp",
                    "Takes a JSON-RPC message.",
                    of::<JsonRpcMessage>(),
                    Answer::Streamed(of::<JsonRpcAnswer>(), EVENTS),
                )
            },
            get("/mcp", "What the server says unasked, in a session.", Answer::Of(EVENTS)),
            Operation {
                method: "DELETE",
                statuses: &["204"],
                ..get("/mcp", "Ends a session.", Answer::Of("text/plain"))
            },
        ],
    },
    Group {
        name: "Node",
        about: "How the node is and how its models read text.",
        error: of::<OpenAiError>(),
        operations: &[
            get("/", "Says that somebody is here.", Answer::Of("text/plain")),
            head("/", "The same without its text."),
            Operation {
                statuses: &["200", "503"],
                ..get("/health", "Whether every part answers.", Answer::Json(of::<Health>()))
            },
            head("/health", "The same as a status alone."),
            Operation {
                statuses: &["200", "503"],
                ..get("/v1/health", "Whether every part answers.", Answer::Json(of::<Health>()))
            },
            head("/v1/health", "The same as a status alone."),
            Operation {
                query: &[("model", "Ask for this model alone.")],
                statuses: &["200", "503"],
                ..get("/ready", "Whether a model can answer.", Answer::Json(of::<Readiness>()))
            },
            Operation {
                query: &[("model", "Ask for this model alone.")],
                ..head("/ready", "The same as a status alone.")
            },
            get("/version", "Which program this is.", Answer::Json(of::<Version>())),
            get("/metrics", "What is counted.", Answer::Of("application/openmetrics-text")),
            post(
                "/tokenize",
                "Turns text or a conversation into token ids.",
                of::<TokenizeRequest>(),
                Answer::Json(of::<Tokenized>()),
            ),
            post(
                "/detokenize",
                "Turns token ids into text.",
                of::<DetokenizeRequest>(),
                Answer::Json(of::<Detokenized>()),
            ),
            post(
                "/apply-template",
                "Writes a conversation as the model reads it.",
                of::<TemplateRequest>(),
                Answer::Json(of::<Rendered>()),
            ),
            get("/openapi.json", "This description.", Answer::Of("application/json")),
            get("/docs", "This description, to read.", Answer::Of("text/html")),
        ],
    },
];
