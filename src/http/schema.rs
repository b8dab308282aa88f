//! JSON schemas that callers send: those that an answer must follow can be followed, or are refused
//! with the place that can't.
//!
//! Called by every dialect. Errors: 400 [`ApiError`] whose field is the place, such as
//! `response_format.json_schema.schema.properties.name`.

use serde_json::Value;
use swarmllm_models::constraint::schema_fault;

use super::errors::ApiError;
use crate::generate::{AnswerFormat, ToolChoice};

/// Checks the schema that stands at `path`.
pub(super) fn check(schema: &Value, path: &str) -> Result<(), ApiError> {
    let Some(fault) = schema_fault(schema) else { return Ok(()) };
    let place = format!("{path}{}", fault.path);
    let message = format!(
        "`{place}` can't be followed: {}; correct it or leave it out, or ask without a schema",
        fault.reason
    );
    Err(ApiError::invalid(message, Some(&place)))
}

/// Checks the parameters of functions whose calls must follow them: those that must be called, and
/// all where one is `strict` or the answer has a format. `field` has the functions, each of which
/// has its parameters at `within`.
pub(super) fn check_tools(
    tools: &[Value],
    choice: &ToolChoice,
    format: &AnswerFormat,
    (field, within): (&str, &str),
) -> Result<(), ApiError> {
    let is_strict = |tool: &Value| tool["function"]["strict"] == true;
    let are_bound = *format != AnswerFormat::Text || tools.iter().any(is_strict);
    for (index, tool) in tools.iter().enumerate() {
        let name = tool["function"]["name"].as_str().unwrap_or_default();
        let is_bound = match choice {
            ToolChoice::None => false,
            ToolChoice::Auto => are_bound,
            ToolChoice::Required => true,
            ToolChoice::OneOf(names) => names.iter().any(|forced| forced == name),
        };
        if is_bound {
            check(&tool["function"]["parameters"], &format!("{field}[{index}].{within}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::http::testing::any_json;

    proptest! {
        #[test]
        fn any_schema_is_followed_or_refused_with_its_place(schema in any_json()) {
            if let Err(error) = check(&schema, "schema") {
                prop_assert!(error.param.expect("a place").starts_with("schema"));
            }
        }
    }

    #[test]
    fn a_keyword_that_is_not_supported_is_told_with_its_place() {
        let schema = json!({"type": "object", "properties": {"a": {"not": {}}}});
        let error = check(&schema, "text.format.schema").expect_err("refused");
        assert_eq!(error.param.as_deref(), Some("text.format.schema.properties.a"));
        assert!(error.message.contains("not"), "{error}");
        assert_eq!(check(&json!({"type": "object"}), "x"), Ok(()));
    }

    #[test]
    fn only_functions_that_must_be_followed_are_checked() {
        let tool = |name: &str, parameters: Value| {
            let function = json!({"name": name, "parameters": parameters});
            json!({"type": "function", "function": function})
        };
        let checked = |tools: &[Value], choice: &ToolChoice| {
            check_tools(tools, choice, &AnswerFormat::Text, ("tools", "parameters"))
        };
        let mut tools = vec![tool("good", json!({})), tool("odd", json!({"not": {}}))];
        let one = |name: &str| ToolChoice::OneOf(vec![name.to_owned()]);
        for choice in [ToolChoice::Auto, ToolChoice::None, one("good")] {
            assert_eq!(checked(&tools, &choice), Ok(()), "{choice:?}");
        }
        for choice in [ToolChoice::Required, one("odd")] {
            let error = checked(&tools, &choice).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some("tools[1].parameters"), "{choice:?}");
        }
        tools[0]["function"]["strict"] = true.into();
        assert!(checked(&tools, &ToolChoice::Auto).is_err());
        let format = AnswerFormat::JsonObject;
        assert!(
            check_tools(&tools[1..], &ToolChoice::Auto, &format, ("tools", "parameters")).is_err()
        );
    }
}
