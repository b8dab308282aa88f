//! What the node says of its models in the Ollama dialect: `/api/tags`, `/api/ps`, `/api/show`,
//! `/api/pull`, `/api/version`.
//!
//! Called by `mod.rs`. Every model that is held is in memory for good, so `ps` and `tags` list the
//! same ones. Sizes are bytes of the file, digests are content addresses. `pull` confirms a model
//! that is here and refuses others: models come with the node's settings.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::{HttpResponse, http::StatusCode, web};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Map, Value, json};
use swarmllm_actors::model_store::OpenModel;
use swarmllm_models::{ModelSummary, chat_output::OutputFormat};

use super::{
    super::{errors::ApiError, fields::Fields},
    Body, LATEST, OllamaError, answer, find,
};
use crate::{generate::ErrorKind, node::NodeHandle};

/// The version of the Ollama API that these routes follow: clients refuse to speak to older ones.
const API_VERSION: &str = "0.12.0";

/// GET /api/version.
pub(super) async fn version() -> HttpResponse {
    let own = concat!("swarmllm ", env!("CARGO_PKG_VERSION"));
    HttpResponse::Ok().json(json!({"version": API_VERSION, "server": own}))
}

/// GET /api/tags.
pub(super) async fn tags(node: web::Data<NodeHandle>) -> Result<HttpResponse, OllamaError> {
    let models = node.open_models().await.map_err(ApiError::from)?;
    let entry = |model: &OpenModel| {
        let mut entry = listed(model);
        entry["modified_at"] = modified_at(model).into();
        entry
    };
    let models: Vec<Value> = models.iter().map(entry).collect();
    Ok(HttpResponse::Ok().json(json!({"models": models})))
}

/// GET /api/ps.
pub(super) async fn running(node: web::Data<NodeHandle>) -> Result<HttpResponse, OllamaError> {
    let models = node.open_models().await.map_err(ApiError::from)?;
    let entry = |model: &OpenModel| {
        let mut entry = listed(model);
        entry["context_length"] = model.model.config().context_length.into();
        // As Ollama writes the end of what is kept for good.
        entry["expires_at"] = "2318-01-01T00:00:00Z".into();
        entry
    };
    let models: Vec<Value> = models.iter().map(entry).collect();
    Ok(HttpResponse::Ok().json(json!({"models": models})))
}

/// POST /api/show.
pub(super) async fn show(
    node: web::Data<NodeHandle>,
    body: Body,
) -> Result<HttpResponse, OllamaError> {
    let name = Fields::of_body(body)?.text(&["model", "name"])?;
    let model = find(&node, &name).await?;
    let summary = model.model.summary();
    let template = model.template.as_ref().map(|template| template.source()).unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({
        "license": summary.license.as_deref().unwrap_or_default(),
        "modelfile": format!("FROM {}\n", model.name),
        "parameters": "",
        "template": template,
        "details": details(&summary),
        "model_info": model_info(&summary),
        "capabilities": capabilities(&model),
        "modified_at": modified_at(&model),
    })))
}

/// POST /api/pull.
pub(super) async fn pull(
    node: web::Data<NodeHandle>,
    body: Body,
) -> Result<HttpResponse, OllamaError> {
    let mut fields = Fields::of_body(body)?;
    let name = fields.text(&["model", "name"])?;
    let is_streamed = fields.optional("stream")?.unwrap_or(true);
    match node.model(name.strip_suffix(LATEST).unwrap_or(&name)).await {
        Ok(_) => {}
        Err(error) if error.kind == ErrorKind::ModelNotFound => {
            let message = format!(
                "{name} is not here, and models are not pulled over this API; start the node with \
                 `swarmllm serve --model FILE.gguf`"
            );
            let error = ApiError::with(StatusCode::NOT_FOUND, "model_not_found", message);
            return Err(error.into());
        }
        Err(error) => return Err(ApiError::from(error).into()),
    }
    let success = json!({"status": "success"});
    if !is_streamed {
        return Ok(HttpResponse::Ok().json(success));
    }
    let lines = [json!({"status": "pulling manifest"}), success];
    let lines = lines.map(|line| Ok::<Bytes, ApiError>(answer::line(&line)));
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(stream::iter(lines)))
}

/// What every list has of a model. Names without a tag have the one that says nothing.
fn listed(model: &OpenModel) -> Value {
    let summary = model.model.summary();
    let name = match model.name.contains(':') {
        true => model.name.clone(),
        false => format!("{}{LATEST}", model.name),
    };
    let digest: String =
        model.model.content_id().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "name": name,
        "model": name,
        "size": summary.file_bytes,
        "digest": digest,
        "details": details(&summary),
    })
}

fn details(summary: &ModelSummary) -> Value {
    json!({
        "parent_model": "",
        "format": "gguf",
        "family": summary.architecture,
        "families": [summary.architecture],
        "parameter_size": in_words(summary.parameters),
        "quantization_level": summary.quantisation,
    })
}

fn model_info(summary: &ModelSummary) -> Value {
    let mut info = Map::new();
    info.insert("general.architecture".to_owned(), summary.architecture.as_str().into());
    info.insert("general.basename".to_owned(), summary.name.as_str().into());
    info.insert("general.parameter_count".to_owned(), summary.parameters.into());
    let own = [
        ("context_length", summary.n_ctx_train),
        ("embedding_length", summary.hidden),
        ("block_count", summary.n_layers),
        ("feed_forward_length", summary.feed_forward),
        ("attention.head_count", summary.n_heads),
        ("attention.head_count_kv", summary.n_kv_heads),
        ("vocab_size", summary.vocab),
    ];
    for (name, value) in own {
        info.insert(format!("{}.{name}", summary.architecture), value.into());
    }
    Value::Object(info)
}

fn capabilities(model: &OpenModel) -> Vec<&'static str> {
    let template = model.template.as_ref().map(|template| template.source());
    let format = template.map(OutputFormat::of_template);
    let can = [
        ("completion", true),
        ("tools", template.is_some()),
        ("insert", model.tokenizer.encode_infill("a", "b").is_some()),
        ("thinking", format.is_some_and(|format| format.reasoning.is_some())),
    ];
    can.into_iter().filter(|(_, can)| *can).map(|(name, _)| name).collect()
}

fn modified_at(model: &OpenModel) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_secs(model.created_unix_s))
}

/// A number of weights as `7.6B`.
fn in_words(n: u64) -> String {
    let units = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")];
    let unit = units.into_iter().find(|(size, _)| n as f64 >= *size);
    unit.map_or_else(|| n.to_string(), |(size, unit)| format!("{:.1}{unit}", n as f64 / size))
}

/// A time as `2026-11-22T10:20:30.123456Z`.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, s) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Civil from days: years begin in March, so that a leap day ends one. Eras have 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
    let us = since.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |s| rfc3339(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000000Z");
        assert_eq!(at(1_000_000_000), "2001-09-09T01:46:40.000000Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59.000000Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn weights_are_counted_in_words() {
        assert_eq!(
            [12, 7_600, 1_234_567, 7_615_616_512].map(in_words),
            ["12", "7.6K", "1.2M", "7.6B"]
        );
    }
}
