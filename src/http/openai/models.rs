//! The list of models in the OpenAI form.
//!
//! Called by `http/models.rs`. Beside the four fields of the API each model has `meta`, an
//! extension with the names of llama-server where it has them: context, size, and whether the swarm
//! can answer with it now. A model of a provider in the cloud is owned by that provider, and `meta`
//! says what is asked there. Units: bytes, tokens. Errors: none.
//! Source: OpenAI API reference, llama-server.

use serde_json::{Value, json};

use crate::{cloud::CloudModel, http::models::Listed, node::ModelStatus};

/// All of them.
pub(in super::super) fn list(models: &[Listed]) -> Value {
    let data: Vec<Value> = models.iter().map(object).collect();
    json!({"object": "list", "data": data})
}

/// One model.
pub(in super::super) fn object(model: &Listed) -> Value {
    match model {
        Listed::Held(model) => held(model),
        Listed::Cloud(model) => of_provider(model),
    }
}

fn held(model: &ModelStatus) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": model.created_unix_s,
        "owned_by": "swarmllm",
        "meta": {
            "n_ctx": model.context_length,
            "n_vocab": model.n_vocab,
            "n_params": model.n_params,
            "size": model.size_bytes,
            "quantization": model.quantization,
            "vocab_type": vocabulary_number(&model.vocabulary),
            "model_id": model.model_id,
            "layers": model.layers,
            "n_layers": model.n_layers,
            "servable": model.servable,
        },
    })
}

/// When it was made, and how large it is, only its provider knows.
fn of_provider(model: &CloudModel) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": model.target.provider,
        "meta": {"cloud": model.target.to_string(), "servable": true},
    })
}

/// llama.cpp's number of a kind of vocabulary, null for one it has none for.
fn vocabulary_number(kind: &str) -> Option<u32> {
    match kind {
        "llama" => Some(1),
        "gpt2" => Some(2),
        "bert" => Some(3),
        "t5" => Some(4),
        "rwkv" => Some(5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::models::tests::{cloud, held};

    #[test]
    fn what_is_known_of_a_model_is_told() {
        let object = object(&held("owner/repo:Q4_K_M"));
        assert_eq!(
            (&object["id"], &object["object"]),
            (&json!("owner/repo:Q4_K_M"), &json!("model"))
        );
        let meta = &object["meta"];
        assert_eq!((&meta["n_params"], &meta["size"]), (&json!(1_000), &json!(2_000)));
        assert_eq!((&meta["quantization"], &meta["vocab_type"]), (&json!("Q4_K"), &json!(2)));
    }

    #[test]
    fn a_model_of_a_provider_is_marked_as_one() {
        let expected = json!({
            "id": "big", "object": "model", "created": 0, "owned_by": "openai",
            "meta": {"cloud": "openai/gpt-5-mini", "servable": true},
        });
        assert_eq!(list(&[cloud("big")]), json!({"object": "list", "data": [expected]}));
    }
}
