//! The list of models in the Anthropic form, page by page.
//!
//! Called by `http/models.rs`. A page holds `limit` models (all when it is absent) behind
//! `after_id` or before `before_id`; `has_more` says whether more follow in that direction.
//! Errors: [`ApiError`] with the parameter. Source: Anthropic API reference, models.

use serde_json::{Value, json};
use swarmllm_models::chat_template::format_time;

use super::super::{errors::ApiError, fields::Fields, models::Listed};

/// Largest page.
const LIMIT_MAX: usize = 1000;

/// The page that these parameters of the address name.
pub(in super::super) fn list(models: &[Listed], mut query: Fields) -> Result<Value, ApiError> {
    let limit = match query.optional::<String>("limit")? {
        None => LIMIT_MAX,
        Some(text) => match text.parse() {
            Ok(limit @ 1..=LIMIT_MAX) => limit,
            _ => {
                let message = format!("is a number from 1 to {LIMIT_MAX}");
                return Err(ApiError::invalid(message, Some("limit")));
            }
        },
    };
    let mut place = |name: &str| -> Result<Option<usize>, ApiError> {
        let Some(id) = query.optional::<String>(name)? else { return Ok(None) };
        let found = models.iter().position(|model| model.id() == id);
        let missing = || ApiError::invalid(format!("no model `{id}` is listed"), Some(name));
        found.map(Some).ok_or_else(missing)
    };
    let (after, before) = (place("after_id")?, place("before_id")?);
    let (page, has_more) = match before {
        Some(end) => (&models[end.saturating_sub(limit)..end], end > limit),
        None => {
            let rest = &models[after.map_or(0, |at| at + 1)..];
            (&rest[..rest.len().min(limit)], rest.len() > limit)
        }
    };
    Ok(json!({
        "data": page.iter().map(object).collect::<Vec<Value>>(),
        "first_id": page.first().map(Listed::id),
        "last_id": page.last().map(Listed::id),
        "has_more": has_more,
    }))
}

/// One model.
pub(in super::super) fn object(model: &Listed) -> Value {
    let (display_name, created_unix_s, context) = match model {
        Listed::Held(held) => (held.name.clone(), held.created_unix_s, Some(held.context_length)),
        Listed::Cloud(cloud) => {
            // Whose release nobody knows is given the epoch.
            (format!("{} ({}, in the cloud)", cloud.name, cloud.provider_name), 0, None)
        }
    };
    let created = i64::try_from(created_unix_s).unwrap_or(i64::MAX);
    json!({
        "type": "model",
        "id": model.id(),
        "display_name": display_name,
        "created_at": format_time("%Y-%m-%dT%H:%M:%SZ", created),
        "lifecycle": "active",
        "max_input_tokens": context,
        "max_tokens": context,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::models::tests::{cloud, held};
    use super::*;

    fn page(query: Value) -> Result<(Vec<String>, bool), ApiError> {
        let models = [held("a"), held("b"), cloud("c"), held("d")];
        let query = Fields::of_value(query, "query")?;
        let list = list(&models, query)?;
        let ids = list["data"].as_array().into_iter().flatten();
        let ids: Vec<String> =
            ids.filter_map(|model| model["id"].as_str().map(str::to_owned)).collect();
        assert_eq!(list["first_id"].as_str(), ids.first().map(String::as_str));
        assert_eq!(list["last_id"].as_str(), ids.last().map(String::as_str));
        Ok((ids, list["has_more"] == true))
    }

    #[test]
    fn a_model_has_the_fields_of_the_api() {
        let expected = json!({
            "type": "model", "id": "a", "display_name": "a", "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active", "max_input_tokens": 512, "max_tokens": 512,
        });
        assert_eq!(object(&held("a")), expected);
        let cloud = object(&cloud("big"));
        assert_eq!(cloud["display_name"], "big (OpenAI, in the cloud)");
        assert_eq!(cloud["created_at"], "1970-01-01T00:00:00Z");
        assert_eq!(cloud["max_input_tokens"], Value::Null);
    }

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        let read = |query| page(query).expect("a page");
        let ids = |text: &str| text.chars().map(String::from).collect::<Vec<String>>();
        assert_eq!(read(json!({})), (ids("abcd"), false));
        assert_eq!(read(json!({"limit": "2"})), (ids("ab"), true));
        assert_eq!(read(json!({"limit": "2", "after_id": "b"})), (ids("cd"), false));
        assert_eq!(read(json!({"limit": "1", "after_id": "b"})), (ids("c"), true));
        assert_eq!(read(json!({"after_id": "d"})), (ids(""), false));
        assert_eq!(read(json!({"limit": "2", "before_id": "d"})), (ids("bc"), true));
        assert_eq!(read(json!({"limit": "9", "before_id": "b"})), (ids("a"), false));
        for (query, named) in [
            (json!({"limit": "0"}), "limit"),
            (json!({"limit": "1001"}), "limit"),
            (json!({"limit": "x"}), "limit"),
            (json!({"after_id": "nobody"}), "after_id"),
            (json!({"before_id": ""}), "before_id"),
        ] {
            let error = page(query).expect_err("refused");
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(named)));
        }
    }

    #[test]
    fn no_model_is_an_empty_page() {
        let list = list(&[], Fields::of_map(serde_json::Map::new())).expect("a page");
        assert_eq!((&list["data"], &list["first_id"]), (&json!([]), &Value::Null));
    }
}
