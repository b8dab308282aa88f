//! The twelve providers that are known without configuration, one row each.
//!
//! Read by `settings.rs`. Addresses, headers and fields are those of the providers' own references;
//! prices are list prices that were public in spring 2026, for models whose price was clear. A
//! price that is wrong by now makes a wrong estimate and nothing else; `price=` in the
//! configuration replaces it.

use std::borrow::Cow;
use std::time::Duration;

use super::provider::{Auth, Capabilities, Dialect, Price, Provider, Timeouts};

const EVERYTHING: Capabilities = Capabilities {
    tools: true,
    json_schema: true,
    logprobs: true,
    seed: true,
    stream_usage: true,
    reasoning_input: false,
};
/// Open models on fast machines: no log-probabilities.
const HOSTED: Capabilities = Capabilities { logprobs: false, ..EVERYTHING };
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(10), idle: Duration::from_secs(300) };

const fn price(model: &'static str, input_usd: f64, output_usd: f64) -> Price {
    Price { model, input_usd, output_usd }
}

/// A row that speaks OpenAI's dialect, as eleven of twelve do.
const fn row(id: &'static str, name: &'static str, base_url: &'static str) -> Provider {
    Provider {
        id: Cow::Borrowed(id),
        name: Cow::Borrowed(name),
        base_url: Cow::Borrowed(base_url),
        auth: Auth::Bearer,
        dialect: Dialect::OpenaiChat,
        models_path: "models",
        limit_field: "max_tokens",
        capabilities: HOSTED,
        prices: Cow::Borrowed(&[]),
        key_env: Cow::Borrowed(""),
        timeouts: TIMEOUTS,
    }
}

/// A row for a provider that only the configuration knows.
pub(super) fn custom(id: &str) -> Provider {
    let key_env = format!("{}_API_KEY", id.to_ascii_uppercase().replace('-', "_"));
    Provider {
        id: Cow::Owned(id.to_owned()),
        name: Cow::Owned(id.to_owned()),
        key_env: Cow::Owned(key_env),
        ..row("", "", "")
    }
}

/// All of them.
pub(super) fn rows() -> Vec<Provider> {
    let env = Cow::Borrowed::<'static, str>;
    vec![
        Provider {
            limit_field: "max_completion_tokens",
            capabilities: EVERYTHING,
            prices: Cow::Borrowed(OPENAI),
            key_env: env("OPENAI_API_KEY"),
            ..row("openai", "OpenAI", "https://api.openai.com/v1")
        },
        Provider {
            auth: Auth::XApiKey,
            dialect: Dialect::AnthropicMessages,
            capabilities: Capabilities { seed: false, stream_usage: false, ..HOSTED },
            prices: Cow::Borrowed(ANTHROPIC),
            key_env: env("ANTHROPIC_API_KEY"),
            ..row("anthropic", "Anthropic", "https://api.anthropic.com/v1")
        },
        Provider {
            capabilities: Capabilities {
                json_schema: false,
                seed: false,
                reasoning_input: true,
                ..EVERYTHING
            },
            prices: Cow::Borrowed(DEEPSEEK),
            key_env: env("DEEPSEEK_API_KEY"),
            ..row("deepseek", "DeepSeek", "https://api.deepseek.com/v1")
        },
        Provider {
            capabilities: Capabilities { seed: false, stream_usage: false, ..HOSTED },
            prices: Cow::Borrowed(MISTRAL),
            key_env: env("MISTRAL_API_KEY"),
            ..row("mistral", "Mistral", "https://api.mistral.ai/v1")
        },
        Provider {
            prices: Cow::Borrowed(GROQ),
            key_env: env("GROQ_API_KEY"),
            ..row("groq", "Groq", "https://api.groq.com/openai/v1")
        },
        Provider {
            capabilities: Capabilities { json_schema: false, ..HOSTED },
            key_env: env("NVIDIA_API_KEY"),
            ..row("nvidia", "NVIDIA NIM", "https://integrate.api.nvidia.com/v1")
        },
        Provider {
            capabilities: EVERYTHING,
            prices: Cow::Borrowed(CEREBRAS),
            key_env: env("CEREBRAS_API_KEY"),
            ..row("cerebras", "Cerebras", "https://api.cerebras.ai/v1")
        },
        Provider {
            capabilities: Capabilities { seed: false, ..HOSTED },
            prices: Cow::Borrowed(SAMBANOVA),
            key_env: env("SAMBANOVA_API_KEY"),
            ..row("sambanova", "SambaNova", "https://api.sambanova.ai/v1")
        },
        Provider {
            key_env: env("FIREWORKS_API_KEY"),
            ..row("fireworks", "Fireworks", "https://api.fireworks.ai/inference/v1")
        },
        Provider {
            prices: Cow::Borrowed(TOGETHER),
            key_env: env("TOGETHER_API_KEY"),
            ..row("together", "Together", "https://api.together.xyz/v1")
        },
        Provider {
            key_env: env("DEEPINFRA_API_KEY"),
            ..row("deepinfra", "DeepInfra", "https://api.deepinfra.com/v1/openai")
        },
        Provider {
            capabilities: Capabilities { seed: false, reasoning_input: true, ..HOSTED },
            prices: Cow::Borrowed(MOONSHOT),
            key_env: env("MOONSHOT_API_KEY"),
            ..row("moonshot", "Moonshot", "https://api.moonshot.ai/v1")
        },
    ]
}

const OPENAI: &[Price] = &[
    price("gpt-5.5", 5.0, 30.0),
    price("gpt-5.4", 2.5, 15.0),
    price("gpt-5.4-mini", 0.75, 4.5),
    price("gpt-5", 1.25, 10.0),
    price("gpt-5-mini", 0.25, 2.0),
    price("gpt-5-nano", 0.05, 0.4),
    price("gpt-4.1", 2.0, 8.0),
    price("gpt-4.1-mini", 0.4, 1.6),
    price("gpt-4.1-nano", 0.1, 0.4),
    price("gpt-4o", 2.5, 10.0),
    price("gpt-4o-mini", 0.15, 0.6),
    price("o3", 2.0, 8.0),
    price("o4-mini", 1.1, 4.4),
];
const ANTHROPIC: &[Price] = &[
    price("claude-opus-4-7", 5.0, 25.0),
    price("claude-opus-4-6", 5.0, 25.0),
    price("claude-opus-4-5", 5.0, 25.0),
    price("claude-opus-4-1", 15.0, 75.0),
    price("claude-sonnet-4-6", 3.0, 15.0),
    price("claude-sonnet-4-5", 3.0, 15.0),
    price("claude-sonnet-4", 3.0, 15.0),
    price("claude-haiku-4-5", 1.0, 5.0),
];
const DEEPSEEK: &[Price] = &[
    price("deepseek-v4-flash", 0.14, 0.28),
    price("deepseek-chat", 0.28, 0.42),
    price("deepseek-reasoner", 0.28, 0.42),
];
const MISTRAL: &[Price] = &[
    price("mistral-large", 2.0, 6.0),
    price("mistral-small", 0.1, 0.3),
    price("codestral", 0.3, 0.9),
];
const GROQ: &[Price] =
    &[price("llama-3.3-70b-versatile", 0.59, 0.79), price("llama-3.1-8b-instant", 0.05, 0.08)];
const CEREBRAS: &[Price] = &[price("llama3.1-8b", 0.1, 0.1), price("llama-3.3-70b", 0.85, 1.2)];
const SAMBANOVA: &[Price] = &[price("Meta-Llama-3.3-70B-Instruct", 0.6, 1.2)];
const TOGETHER: &[Price] = &[price("meta-llama/Llama-3.3-70B-Instruct-Turbo", 0.88, 0.88)];
const MOONSHOT: &[Price] = &[price("kimi-k2-0905-preview", 0.6, 2.5)];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::settings::{is_id, usable_url};
    use super::*;

    #[test]
    fn twelve_rows_with_names_of_their_own_and_safe_addresses() {
        let rows = rows();
        assert_eq!(rows.len(), 12);
        let ids: BTreeSet<_> = rows.iter().map(|row| &row.id).collect();
        let variables: BTreeSet<_> = rows.iter().map(|row| &row.key_env).collect();
        assert_eq!((ids.len(), variables.len()), (12, 12));
        for row in &rows {
            assert!(is_id(&row.id) && row.base_url.starts_with("https://"), "{row:?}");
            assert_eq!(usable_url(&row.base_url).as_deref(), Ok(&*row.base_url));
            assert!(row.key_env.ends_with("_API_KEY"), "{row:?}");
        }
    }
}
