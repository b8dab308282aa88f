//! The whole answer as one message object.
//!
//! Called by `mod.rs` for requests without `stream`; a client whose stream was cut asks so again.
//! The same blocks as the stream's, but for a call that broke, which is text here. Extension:
//! `swarmllm` says who computed it and how long it took. Errors: [`ApiError`] with a status.

use actix_web::HttpResponse;
use serde_json::{Value, json};
use swarmllm_models::chat_output::ChatEvent;

use super::{
    super::errors::ApiError,
    encoder::{Answer, final_usage, stop},
    errors, next_event,
    request::Thinking,
};
use crate::generate::{GenerationStream, Summary, TokenEvent};

/// Waits for the end of an answer.
pub(super) async fn collect(
    answer: Answer,
    mut generation: GenerationStream,
) -> Result<HttpResponse, ApiError> {
    let mut blocks = Vec::new();
    loop {
        match next_event(&mut generation).await.map_err(errors::of_generate)? {
            TokenEvent::Part(_) if answer.is_warming() => {}
            TokenEvent::Part(part) => push(&mut blocks, part),
            TokenEvent::Finished(summary) => {
                return Ok(HttpResponse::Ok().json(message(&answer, blocks, &summary)));
            }
            _ => {}
        }
    }
}

/// A block being collected.
#[derive(Debug)]
enum Block {
    Thinking(String),
    Text(String),
    Call { name: String, arguments: String },
}

fn push(blocks: &mut Vec<Block>, part: ChatEvent) {
    match (part, blocks.last_mut()) {
        (ChatEvent::Content(piece), Some(Block::Text(text)))
        | (ChatEvent::Reasoning(piece), Some(Block::Thinking(text)))
        | (ChatEvent::ToolCallArguments(piece), Some(Block::Call { arguments: text, .. })) => {
            text.push_str(&piece);
        }
        (ChatEvent::Content(piece), _) => blocks.push(Block::Text(piece)),
        (ChatEvent::Reasoning(piece), _) => blocks.push(Block::Thinking(piece)),
        (ChatEvent::ToolCallBegin(name), _) => {
            blocks.push(Block::Call { name, arguments: String::new() });
        }
        (ChatEvent::ToolCallBroken(raw), last) => {
            if matches!(last, Some(Block::Call { .. })) {
                blocks.pop();
            }
            push(blocks, ChatEvent::Content(raw));
        }
        (ChatEvent::ToolCallArguments(_) | ChatEvent::ToolCallEnd, _) => {}
    }
}

fn message(answer: &Answer, blocks: Vec<Block>, summary: &Summary) -> Value {
    let mut content = Vec::new();
    let mut n_calls = 0;
    for block in blocks {
        match block {
            Block::Text(text) => content.push(json!({"type": "text", "text": text})),
            Block::Thinking(_) if answer.thinking == Thinking::Off => {}
            Block::Thinking(text) => {
                let signature = answer.signature(&text);
                let text = if answer.thinking == Thinking::Shown { text } else { String::new() };
                content.push(json!({"type": "thinking", "thinking": text, "signature": signature}));
            }
            Block::Call { name, arguments } => {
                let mut call = answer.call(n_calls, &name);
                n_calls += 1;
                if let Ok(input @ Value::Object(_)) = serde_json::from_str(&arguments) {
                    call["input"] = input;
                }
                content.push(call);
            }
        }
    }
    let (reason, text) = stop(answer, summary);
    let mut message = answer.message(final_usage(answer, summary));
    message["content"] = content.into();
    message["stop_reason"] = reason.into();
    message["stop_sequence"] = text.into();
    message["swarmllm"] = json!(summary);
    message
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            encoder::tests::{answer, summary},
            signature::Signer,
        },
        *,
    };
    use crate::generate::FinishReason;

    fn whole(thinking: Thinking, parts: Vec<ChatEvent>) -> Value {
        let signer = Signer::new([7; 32]);
        let answer = Answer { thinking, signer, ..answer(Some(2)) };
        let mut blocks = Vec::new();
        parts.into_iter().for_each(|part| push(&mut blocks, part));
        message(&answer, blocks, &summary(FinishReason::Stop))
    }

    #[test]
    fn a_message_has_the_shape_of_the_api() {
        let parts = ["Hi ", "you"].map(|text| ChatEvent::Content(text.into())).into();
        let mut message = whole(Thinking::Off, parts);
        message.as_object_mut().expect("an object").shift_remove("swarmllm");
        let expected = json!({
            "id": "msg_a", "type": "message", "role": "assistant", "model": "demo",
            "content": [{"type": "text", "text": "Hi you"}],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {
                "input_tokens": 6, "cache_creation_input_tokens": 32,
                "cache_read_input_tokens": 32, "output_tokens": 2,
                "output_tokens_details": {"thinking_tokens": 0},
            },
        });
        assert_eq!(message, expected);
    }

    #[test]
    fn thinking_is_shown_signed_or_left_out() {
        let parts = || vec![ChatEvent::Reasoning("2+2".into()), ChatEvent::Content("4".into())];
        let content = |thinking| whole(thinking, parts())["content"].clone();
        let text = json!({"type": "text", "text": "4"});
        assert_eq!(content(Thinking::Off), json!([text]));
        let signer = Signer::new([7; 32]);
        for (thinking, shown, signature) in [
            (Thinking::Shown, "2+2", signer.sign("demo", "2+2")),
            (Thinking::Omitted, "", signer.seal("demo", "2+2")),
        ] {
            let block = json!({"type": "thinking", "thinking": shown, "signature": signature});
            assert_eq!(content(thinking), json!([block, text]));
        }
    }

    #[test]
    fn a_call_that_broke_is_text() {
        let begin = |name: &str| ChatEvent::ToolCallBegin(name.into());
        let arguments = |json: &str| ChatEvent::ToolCallArguments(json.into());
        let parts = vec![
            begin("ls"),
            arguments("{\"a\":"),
            arguments("1}"),
            ChatEvent::ToolCallEnd,
            begin("ls"),
            arguments("{\"a\":"),
            ChatEvent::ToolCallBroken("<tool_call>x".into()),
        ];
        let call = json!({"type": "tool_use", "id": "toolu_a00", "name": "ls", "input": {"a": 1}});
        let text = json!({"type": "text", "text": "<tool_call>x"});
        assert_eq!(whole(Thinking::Off, parts)["content"], json!([call, text]));
    }
}
