//! Our own registry of tools: what each is, how it is called, and in which order they are listed.
//!
//! Called by `server.rs`. One row per tool; rows live in `tools/`. The order of [`TOOLS`] is the
//! order of every list, so that a client's prompt prefix stays the same.
//! Errors: [`ToolError`], for the model or person who called.

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{job::Job, tools};
use crate::generate::GenerateError;

/// Arguments of a call.
pub type Arguments = Map<String, Value>;

/// Runs a call.
pub type Run = for<'j> fn(Arguments, &'j Job) -> BoxFuture<'j, Result<Output, ToolError>>;

/// One tool.
#[derive(Debug)]
pub struct Tool {
    /// Name of calls.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// What it does, for a model that chooses among tools.
    pub description: &'static str,
    /// Whether other machines than the node's own may take part.
    pub reaches_out: bool,
    /// What it accepts, as a JSON schema.
    pub input: fn() -> Map<String, Value>,
    /// What it returns, as a JSON schema.
    pub output: fn() -> Map<String, Value>,
    /// Runs it.
    pub run: Run,
}

/// Every tool, in the order of lists.
pub static TOOLS: [Tool; 7] = [
    tools::chat::TOOL,
    tools::models::TOOL,
    tools::compare::TOOL,
    tools::research::TOOL,
    tools::batch::TOOL,
    tools::delegate::TOOL,
    tools::node_info::TOOL,
];

/// What a call returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The same for those who read text.
    pub text: String,
    /// An object that follows the tool's schema.
    pub structured: Value,
}

impl Output {
    /// A text and the object behind it.
    pub fn new(text: String, structured: &impl Serialize) -> Result<Output, ToolError> {
        let structured = serde_json::to_value(structured)
            .map_err(|error| ToolError::Failed(format!("the result can't be written: {error}")))?;
        Ok(Output { text, structured })
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The arguments are wrong.
    #[error("the arguments are wrong: {0}")]
    Arguments(String),
    /// The node did not answer.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// The tool of that name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// Reads arguments; an error names the field.
pub fn read<T: DeserializeOwned>(arguments: Arguments) -> Result<T, ToolError> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let path = error.path().to_string();
        ToolError::Arguments(match path.as_str() {
            "." => error.inner().to_string(),
            path => format!("`{path}`: {}", error.inner()),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only errors are looked at")]
    struct Two {
        names: Vec<String>,
        count: Option<u32>,
    }

    fn error_of(arguments: Value) -> String {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        read::<Two>(arguments).expect_err("wrong").to_string()
    }

    #[test]
    fn an_error_names_the_field() {
        assert!(error_of(json!({})).contains("missing field `names`"));
        assert!(error_of(json!({"names": ["a", 3]})).contains("`names[1]`: invalid type"));
        assert!(error_of(json!({"names": [], "count": -1})).contains("`count`: invalid value"));
    }

    #[test]
    fn names_fit_every_client_and_schemas_are_objects() {
        let names: BTreeSet<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        assert_eq!(names.len(), TOOLS.len());
        for tool in &TOOLS {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(tool.name.chars().all(plain) && tool.name.len() <= 64, "{}", tool.name);
            assert_eq!((tool.input)()["type"], "object", "{}", tool.name);
            assert_eq!((tool.output)()["type"], "object", "{}", tool.name);
        }
    }

    proptest! {
        #[test]
        fn arguments_of_any_shape_never_panic(text in "[\\[\\]{}\",:a-z0-9]{0,64}") {
            if let Ok(Value::Object(arguments)) = serde_json::from_str(&text) {
                let _ = read::<Two>(arguments);
            }
        }
    }
}
