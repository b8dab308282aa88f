//! The HTTP calls to a provider: one answer as a stream, or the list of its models.
//!
//! Called by `fallback.rs`. A call that fails before its answer began is tried again (`retry.rs`)
//! as long as the breaker lets it; dropping the future ends it. Redirects are not followed: the key
//! is for the address that was configured. On this machine no proxy is used.
//! Bounds: errors and lists that come back, time without a byte. Errors: [`CloudError`].

use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::Value;

use super::error::CloudError;
use super::key::ApiKey;
use super::provider::{Auth, Dialect, Provider};
use super::retry;

/// Longest error body that is read.
const ERROR_MAX_BYTES: usize = 64 << 10;
/// Longest list of models that is read.
const LIST_MAX_BYTES: usize = 8 << 20;
/// How much of a provider's own words is passed on.
const MESSAGE_MAX_CHARS: usize = 500;
/// How long the body of an error may take.
const ERROR_DEADLINE: Duration = Duration::from_secs(5);
/// The version of the Anthropic API that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";
const EVENT_STREAM: &str = "text/event-stream";

/// A client for one provider; connections are kept.
pub(super) fn client(provider: &Provider) -> Result<Client, CloudError> {
    static RING: Once = Once::new();
    RING.call_once(|| {
        // Another part of the program may have chosen the same one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(provider.timeouts.connect);
    if provider.is_local() {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| unreachable(provider, error))
}

/// A provider with the means to ask it.
pub(super) struct Call<'a> {
    pub(super) provider: &'a Provider,
    pub(super) client: &'a Client,
    pub(super) key: &'a ApiKey,
}

impl Call<'_> {
    /// Asks once for an answer as a stream, which begins with this response.
    pub(super) async fn open(&self, body: Bytes) -> Result<Response, CloudError> {
        let url = format!("{}/{}", self.provider.base_url, self.provider.dialect.path());
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json");
        let response = self.send(request.header(ACCEPT, EVENT_STREAM).body(body)).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        match kind {
            Some(kind) if kind.to_ascii_lowercase().starts_with(EVENT_STREAM) => Ok(response),
            other => {
                let kind = other.unwrap_or("nothing");
                Err(self.garbage(format!("{kind} instead of a stream of events")))
            }
        }
    }

    /// Names of its models.
    pub(super) async fn models(&self) -> Result<Vec<String>, CloudError> {
        let url = format!("{}/{}", self.provider.base_url, self.provider.models_path);
        let response = self.send(self.client.get(url).header(ACCEPT, "application/json")).await?;
        let idle = self.provider.timeouts.idle;
        let body = tokio::time::timeout(idle, read_bounded(response, LIST_MAX_BYTES)).await;
        let body = body.map_err(|_| self.silent())?;
        let list: Value = serde_json::from_slice(&body)
            .map_err(|_| self.garbage("a list of models that is no JSON".to_owned()))?;
        // Together answers with a bare array.
        let models = list["data"].as_array().or(list.as_array());
        let id = |model: &Value| model["id"].as_str().map(str::to_owned);
        Ok(models.into_iter().flatten().filter_map(id).collect())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CloudError> {
        let request = request.headers(self.headers()?);
        let sent = tokio::time::timeout(self.provider.timeouts.idle, request.send()).await;
        let response =
            sent.map_err(|_| self.silent())?.map_err(|error| unreachable(self.provider, error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    fn headers(&self) -> Result<HeaderMap, CloudError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("swarmllm/", env!("CARGO_PKG_VERSION"))),
        );
        let secret = |text: &str| {
            let mut value =
                HeaderValue::from_str(text).map_err(|_| super::key::KeyError::Malformed)?;
            value.set_sensitive(true);
            Ok::<_, CloudError>(value)
        };
        match self.provider.auth {
            Auth::Bearer => {
                headers.insert("authorization", secret(&format!("Bearer {}", self.key.reveal()))?)
            }
            Auth::XApiKey => headers.insert("x-api-key", secret(self.key.reveal())?),
        };
        if self.provider.dialect == Dialect::AnthropicMessages {
            headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
        }
        Ok(headers)
    }

    async fn refused(&self, response: Response) -> CloudError {
        let status = response.status().as_u16();
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after_ms =
            retry::retry_after_ms(text("retry-after-ms"), text(RETRY_AFTER.as_str()));
        let message = match status {
            // Some repeat parts of the key here.
            401 | 403 => {
                "the key was not accepted; `swarmllm cloud key set` replaces it".to_owned()
            }
            300..=399 => "a redirection, which is not followed; set its base_url".to_owned(),
            _ => {
                let body = read_bounded(response, ERROR_MAX_BYTES);
                let body = tokio::time::timeout(ERROR_DEADLINE, body).await.unwrap_or_default();
                quoted(self.key, &error_text(&body))
            }
        };
        let provider = self.provider.id.to_string();
        CloudError::Refused { provider, status, message, retry_after_ms }
    }

    fn silent(&self) -> CloudError {
        let idle_s = self.provider.timeouts.idle.as_secs();
        CloudError::Silent { provider: self.provider.id.to_string(), idle_s }
    }

    fn garbage(&self, reason: String) -> CloudError {
        CloudError::Garbage {
            provider: self.provider.id.to_string(),
            reason: quoted(self.key, &reason),
        }
    }
}

/// A provider's own words, fit to be shown.
pub(super) fn quoted(key: &ApiKey, text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let whole = key.removed_from(&plain.collect::<String>());
    whole.chars().take(MESSAGE_MAX_CHARS).collect()
}

/// What an error body says, in any of the forms there are.
fn error_text(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let places = [&value["error"]["message"], &value["error"], &value["message"], &value["detail"]];
    let told = places.into_iter().find_map(Value::as_str);
    told.unwrap_or("an error without a text that can be read").to_owned()
}

/// As much of a body as is allowed; what breaks off is what came until then.
async fn read_bounded(mut response: Response, max_bytes: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = max_bytes - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    body
}

/// A failure of the network, with its causes and without the address.
fn unreachable(provider: &Provider, error: reqwest::Error) -> CloudError {
    let error = error.without_url();
    let mut cause = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        cause = format!("{cause}: {inner}");
        source = inner.source();
    }
    CloudError::Unreachable { provider: provider.id.to_string(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_of_every_form_are_read() {
        for (body, text) in [
            (r#"{"error":{"message":"a","type":"x"}}"#, "a"),
            (r#"{"error":"b"}"#, "b"),
            (r#"{"message":"c"}"#, "c"),
            (r#"{"detail":"d"}"#, "d"),
            ("<html>", "an error without a text that can be read"),
            ("", "an error without a text that can be read"),
        ] {
            assert_eq!(error_text(body.as_bytes()), text);
        }
    }
}
