//! `truncation: "auto"`: old turns are left out until the conversation fits into the context.
//!
//! Called by `mod.rs` where the caller asks for it. What stands in front of the first turn stays; a
//! turn begins with a user's message, so calls and their outputs leave together. The last turn is
//! never left out: when it alone is too long, the node says so. Room is kept for the answer: as
//! many tokens as it may have, at most half of the context, a quarter when nothing is said.
//! Errors: those of counting tokens.

use serde_json::Value;

use crate::generate::{GenerateRequest, Prompt};
use crate::http::errors::{ApiError, Places};
use crate::node::NodeHandle;

/// Leaves out what does not fit.
pub(super) async fn fit(node: &NodeHandle, request: &mut GenerateRequest) -> Result<(), ApiError> {
    let Prompt::Chat(chat) = &request.prompt else { return Ok(()) };
    let Some(room) = room(node, request).await? else { return Ok(()) };
    let messages = chat.messages.as_array().cloned().unwrap_or_default();
    let turns = turns(&messages);
    // Smallest number of turns to leave out; more of them never make a prompt longer.
    let (mut low, mut high) = (0, turns.len().saturating_sub(1));
    let mut prompt = request.prompt.clone();
    while low < high {
        let middle = (low + high) / 2;
        set_messages(&mut prompt, without(&messages, &turns, middle));
        let counted = node.count_tokens(&request.model, &prompt).await;
        let counted = counted.map_err(|error| Places::all("input").name(error))?;
        if counted <= room { high = middle } else { low = middle + 1 }
    }
    set_messages(&mut request.prompt, without(&messages, &turns, low));
    Ok(())
}

/// Tokens that a prompt may have; `None` when the model is not known, which the node tells better.
async fn room(node: &NodeHandle, request: &GenerateRequest) -> Result<Option<u32>, ApiError> {
    let models = node.models().await.map_err(|error| {
        let status = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
        ApiError::with(status, "unavailable", error.to_string())
    })?;
    let model = models.iter().find(|model| model.name == request.model);
    Ok(model.map(|model| {
        let context = model.context_length;
        context - request.max_tokens.unwrap_or(context / 4).min(context / 2)
    }))
}

/// Where turns begin.
fn turns(messages: &[Value]) -> Vec<usize> {
    let of_user = messages.iter().enumerate().filter(|(_, message)| message["role"] == "user");
    of_user.map(|(index, _)| index).collect()
}

/// The messages without the first `n` turns.
fn without(messages: &[Value], turns: &[usize], n: usize) -> Vec<Value> {
    let (Some(first), Some(begin)) = (turns.first(), turns.get(n)) else {
        return messages.to_vec();
    };
    [&messages[..*first], &messages[*begin..]].concat()
}

fn set_messages(prompt: &mut Prompt, messages: Vec<Value>) {
    if let Prompt::Chat(chat) = prompt {
        chat.messages = Value::Array(messages);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn turns_leave_whole_and_the_front_stays() {
        let roles = ["system", "user", "assistant", "tool", "assistant", "user", "user"];
        let messages: Vec<Value> = roles.iter().map(|role| json!({"role": role})).collect();
        let turns = turns(&messages);
        assert_eq!(turns, [1, 5, 6]);
        let left = |n: usize| -> Vec<String> {
            let left = without(&messages, &turns, n);
            left.iter().map(|message| message["role"].as_str().expect("role").to_owned()).collect()
        };
        assert_eq!(left(0), roles);
        assert_eq!(left(1), ["system", "user", "user"]);
        assert_eq!(left(2), ["system", "user"]);
        assert_eq!(without(&messages[..1], &[], 0), &messages[..1]);
    }
}
