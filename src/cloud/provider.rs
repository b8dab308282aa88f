//! What a row of the provider table says.
//!
//! Rows are built in (`table.rs`) or written in the configuration (`settings.rs`).
//! Units: US dollars per million tokens. Absent on purpose: keys, which are no part of a row.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

/// How a key is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `x-api-key: KEY`.
    XApiKey,
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `POST BASE/chat/completions` of the OpenAI API.
    OpenaiChat,
    /// `POST BASE/messages` of the Anthropic API.
    AnthropicMessages,
}

impl Dialect {
    /// Path of an answer below the base URL.
    pub fn path(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "chat/completions",
            Dialect::AnthropicMessages => "messages",
        }
    }
}

/// What a provider takes beyond messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Functions that the model may call.
    pub tools: bool,
    /// A JSON schema that the answer follows.
    pub json_schema: bool,
    /// Log-probabilities of tokens.
    pub logprobs: bool,
    /// A seed.
    pub seed: bool,
    /// `stream_options.include_usage`; others count tokens in a stream unasked or not at all.
    pub stream_usage: bool,
    /// Wants the reasoning of earlier answers back; others refuse it.
    pub reasoning_input: bool,
}

/// When to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection with TLS.
    pub connect: Duration,
    /// Without a byte, before the answer and inside it.
    pub idle: Duration,
}

/// List price of a model, where it is publicly known; an estimate at any later time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Its name without a date; empty: every model of the provider.
    pub model: &'static str,
    /// Per million tokens of prompts.
    pub input_usd: f64,
    /// Per million tokens of answers.
    pub output_usd: f64,
}

impl Price {
    fn is_of(&self, model: &str) -> bool {
        let is_date = |rest: &str| {
            let digits = rest.strip_prefix(['-', '@']).unwrap_or_default();
            rest == "-latest" || digits.len() >= 4 && digits.starts_with("20")
        };
        self.model.is_empty()
            || model.strip_prefix(self.model).is_some_and(|rest| rest.is_empty() || is_date(rest))
    }
}

/// One provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// What stands before the slash in `provider/model`.
    pub id: Cow<'static, str>,
    /// For people.
    pub name: Cow<'static, str>,
    /// Where its API begins, without a slash at the end.
    pub base_url: Cow<'static, str>,
    /// How the key is shown.
    pub auth: Auth,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where it lists its models, below the base URL.
    pub models_path: &'static str,
    /// Name of the field that bounds an answer; the newer one is refused by most.
    pub limit_field: &'static str,
    /// What it takes.
    pub capabilities: Capabilities,
    /// Prices, the first that fits counts.
    pub prices: Cow<'static, [Price]>,
    /// The environment variable that may hold its key.
    pub key_env: Cow<'static, str>,
    /// When to give up.
    pub timeouts: Timeouts,
}

impl Provider {
    /// What so many tokens cost, in US dollars, where the price is known.
    pub fn cost_usd(&self, model: &str, prompt_tokens: u32, answer_tokens: u32) -> Option<f64> {
        let price = self.prices.iter().find(|price| price.is_of(model))?;
        let (prompt, answer) = (f64::from(prompt_tokens), f64::from(answer_tokens));
        Some((prompt * price.input_usd + answer * price.output_usd) / 1e6)
    }

    /// Whether its address is this machine: no proxy stands between.
    pub fn is_local(&self) -> bool {
        let url = reqwest::Url::parse(&self.base_url).ok();
        let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::super::table;

    #[test]
    fn a_price_is_that_of_the_model_with_or_without_its_date() {
        let rows = table::rows();
        let row = rows.iter().find(|row| row.id == "openai").expect("there");
        let cost = |model: &str| row.cost_usd(model, 1_000_000, 1_000_000);
        assert_eq!(cost("gpt-5-mini"), Some(2.25));
        assert_eq!(cost("gpt-5-mini-2025-08-07"), Some(2.25));
        assert_eq!(cost("gpt-5-mini-turbo"), None, "another model");
        assert_eq!(cost("unheard-of"), None);
    }
}
