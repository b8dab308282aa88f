//! `POST /v1/embeddings`: texts as vectors of length 1.
//!
//! Called by `mod.rs`. Inputs have the forms of prompts of completions. `encoding_format` is
//! `float`, a list of numbers, or `base64`, their bytes as little-endian `f32`. `dimensions` keeps
//! the first so many values and makes the rest of the vector length 1 again.
//! Errors: 400 [`ApiError`] with the field, then those of the node.
//! Source: OpenAI API reference, embeddings.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{inputs, options};
use crate::{
    generate::EmbedRequest,
    http::{
        errors::{ApiError, Places, body_error},
        fields::Fields,
        vectors::shortened,
    },
    node::NodeHandle,
};

/// Most texts of one request, as the API has it.
const INPUTS_MAX: usize = 2048;

/// POST /v1/embeddings.
pub(super) async fn embeddings(
    node: web::Data<NodeHandle>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| body_error(&error))?;
    let Asked { embed, form, dimensions } = parse(&body)?;
    let model = embed.model.clone();
    let found = node.embed(embed).await.map_err(|error| Places::all("input").name(error))?;
    let vectors = found.vectors.into_iter().map(|vector| shortened(vector, dimensions));
    let vectors = vectors.collect::<Result<Vec<Vec<f32>>, ApiError>>()?;
    let data = vectors.iter().enumerate().map(|(index, vector)| {
        json!({"object": "embedding", "index": index, "embedding": form.write(vector)})
    });
    let usage = json!({"prompt_tokens": found.prompt_tokens, "total_tokens": found.prompt_tokens});
    Ok(HttpResponse::Ok().json(json!({
        "object": "list", "data": data.collect::<Vec<Value>>(), "model": model, "usage": usage,
    })))
}

#[derive(Debug, PartialEq)]
struct Asked {
    embed: EmbedRequest,
    form: Form,
    dimensions: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Float,
    Base64,
}

impl Form {
    fn write(self, vector: &[f32]) -> Value {
        match self {
            Form::Float => vector.into(),
            Form::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                BASE64.encode(&bytes).into()
            }
        }
    }
}

fn parse(body: &[u8]) -> Result<Asked, ApiError> {
    let mut fields = Fields::of_bytes(body)?;
    let form = fields.optional::<String>("encoding_format")?;
    let form = match form.as_deref() {
        None | Some("float") => Form::Float,
        Some("base64") => Form::Base64,
        Some(_) => {
            let message = "`encoding_format` is \"float\" or \"base64\"";
            return Err(ApiError::invalid(message, Some("encoding_format")));
        }
    };
    let dimensions: Option<i64> = fields.optional("dimensions")?;
    let dimensions = dimensions.map(|n| usize::try_from(n).unwrap_or(0));
    if dimensions == Some(0) {
        return Err(ApiError::invalid("`dimensions` is at least 1", Some("dimensions")));
    }
    let embed = EmbedRequest {
        model: options::model(&mut fields)?,
        inputs: inputs::read(fields.required("input")?, "input", INPUTS_MAX)?,
        client: fields.optional("user")?.unwrap_or_default(),
    };
    Ok(Asked { embed, form, dimensions })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{generate::Prompt, http::testing::any_body};

    fn asked(more: Value) -> Result<Asked, ApiError> {
        let mut body = json!({"model": "demo", "input": "a"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        parse(body.to_string().as_bytes())
    }

    #[test]
    fn inputs_and_form_are_read() {
        let plain = asked(json!({})).expect("valid");
        assert_eq!((plain.form, plain.dimensions), (Form::Float, None));
        assert_eq!(plain.embed.inputs, [Prompt::Text("a".into())]);
        let more = json!({"input": [[1], [2]], "encoding_format": "base64", "dimensions": 3});
        let more = asked(more).expect("valid");
        assert_eq!(
            (more.form, more.dimensions, more.embed.inputs.len()),
            (Form::Base64, Some(3), 2)
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let cases = [
            (json!({"input": ""}), "input"),
            (json!({"input": null}), "input"),
            (json!({"input": vec!["a"; 2049]}), "input"),
            (json!({"encoding_format": "hex"}), "encoding_format"),
            (json!({"dimensions": 0}), "dimensions"),
            (json!({"dimensions": "many"}), "dimensions"),
            (json!({"model": null}), "model"),
        ];
        for (body, param) in cases {
            let error = asked(body.clone()).expect_err("refused");
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(param)));
        }
    }

    #[test]
    fn both_forms_hold_the_same_values() {
        let vector = [0.6_f32, -0.8, f32::MIN_POSITIVE];
        let floats: Vec<f32> = serde_json::from_value(Form::Float.write(&vector)).expect("floats");
        let text = Form::Base64.write(&vector);
        let bytes = BASE64.decode(text.as_str().expect("a text").as_bytes()).expect("base64");
        let (values, rest) = bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        let values: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        assert_eq!((floats, values), (vector.to_vec(), vector.to_vec()));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(
            body in any_body(&["input", "encoding_format", "dimensions", "user"]),
        ) {
            if let Err(error) = parse(&body) {
                prop_assert_eq!(error.status.as_u16(), 400);
                prop_assert!(error.param.is_some());
            }
        }
    }
}
