//! What the configuration says of the cloud: the policy, which model stands for which, rows.
//!
//! Called by `config/cloud.rs`. Pure. Forms, as texts of the configuration:
//! - `cloud.policy`: `never`, `only-named` or `fallback`;
//! - `cloud.models`: `LOCAL=PROVIDER/MODEL`;
//! - `cloud.providers`: `ID` and `OPTION=VALUE`s with spaces between; an id of the table changes
//!   its row, another one makes a row. Options: `base_url`, `dialect`, `auth`, `key_env`, `name`,
//!   `price` (`INPUT/OUTPUT`, US dollars per million tokens), `connect_s`, `idle_s`.
//!
//! Errors: a text that says what belongs there.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::provider::{Auth, Dialect, Price, Provider};
use super::table;

/// Longest id of a provider.
const ID_MAX_BYTES: usize = 32;
/// Longest name of a model.
const MODEL_MAX_BYTES: usize = 256;
/// Longest time that an option may name, seconds.
const SECONDS_MAX: u64 = 3600;

/// When requests may leave the swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Never.
    #[default]
    Never,
    /// When a request itself names `provider/model`.
    OnlyNamed,
    /// Then, and when the swarm can't answer with a model that has a stand-in.
    Fallback,
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 3] = [Policy::Never, Policy::OnlyNamed, Policy::Fallback];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Policy::Never => "never",
            Policy::OnlyNamed => "only-named",
            Policy::Fallback => "fallback",
        }
    }

    /// The policy of a word.
    pub fn of_word(word: &str) -> Option<Policy> {
        Policy::ALL.into_iter().find(|policy| policy.word() == word)
    }
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Id of the provider.
    pub provider: String,
    /// Its name there; visible ASCII.
    pub model: String,
}

impl Target {
    /// Reads `provider/model`; the model may have slashes of its own.
    pub fn of_text(text: &str) -> Option<Target> {
        let (provider, model) = text.split_once('/')?;
        let is_name = (1..=MODEL_MAX_BYTES).contains(&model.len())
            && model.bytes().all(|byte| byte.is_ascii_graphic());
        (is_id(provider) && is_name)
            .then(|| Target { provider: provider.to_owned(), model: model.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// Everything that is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudSettings {
    /// When requests may leave.
    pub policy: Policy,
    /// Local model names with what stands for them.
    pub models: Vec<(String, Target)>,
    /// The table with its changes.
    pub providers: Vec<Provider>,
}

impl Default for CloudSettings {
    fn default() -> CloudSettings {
        CloudSettings { policy: Policy::Never, models: Vec::new(), providers: table::rows() }
    }
}

/// Reads `cloud.providers`.
///
/// # Errors
/// Which entry is wrong, and why.
pub fn parse_providers(entries: &[String]) -> Result<Vec<Provider>, String> {
    let mut rows = table::rows();
    for entry in entries {
        let mut words = entry.split_whitespace();
        let id = words.next().unwrap_or_default();
        if !is_id(id) {
            return Err(format!("{entry:?} does not begin with an id (a-z, 0-9, -)"));
        }
        let known = rows.iter().position(|row| row.id == id);
        let mut row = known.map_or_else(|| table::custom(id), |at| rows[at].clone());
        for word in words {
            let (name, value) =
                word.split_once('=').ok_or_else(|| format!("{entry:?}: {word:?} has no `=`"))?;
            apply(&mut row, name, value).map_err(|why| format!("{entry:?}: {why}"))?;
        }
        if row.base_url.is_empty() {
            return Err(format!("{entry:?}: a new provider needs base_url=https://..."));
        }
        match known {
            Some(at) => rows[at] = row,
            None => rows.push(row),
        }
    }
    Ok(rows)
}

/// Reads `cloud.models`.
///
/// # Errors
/// Which entry is wrong, and why.
pub fn parse_models(
    entries: &[String],
    providers: &[Provider],
) -> Result<Vec<(String, Target)>, String> {
    let parse = |entry: &String| {
        let (local, target) = entry
            .split_once('=')
            .and_then(|(local, target)| Some((local.trim(), Target::of_text(target.trim())?)))
            .filter(|(local, _)| !local.is_empty())
            .ok_or_else(|| format!("{entry:?} is not LOCAL=PROVIDER/MODEL"))?;
        if !providers.iter().any(|row| row.id == target.provider) {
            let known: Vec<&str> = providers.iter().map(|row| &*row.id).collect();
            let (id, known) = (&target.provider, known.join(", "));
            return Err(format!("{entry:?}: no provider {id:?}; there are: {known}"));
        }
        Ok((local.to_owned(), target))
    };
    entries.iter().map(parse).collect()
}

fn apply(row: &mut Provider, name: &str, value: &str) -> Result<(), String> {
    match name {
        "base_url" => row.base_url = Cow::Owned(usable_url(value)?),
        "name" => row.name = Cow::Owned(value.replace('_', " ")),
        "key_env" => row.key_env = Cow::Owned(value.to_owned()),
        "dialect" => match value {
            "openai_chat" => row.dialect = Dialect::OpenaiChat,
            "anthropic_messages" => row.dialect = Dialect::AnthropicMessages,
            _ => return Err("dialect is openai_chat or anthropic_messages".to_owned()),
        },
        "auth" => match value {
            "bearer" => row.auth = Auth::Bearer,
            "x-api-key" => row.auth = Auth::XApiKey,
            _ => return Err("auth is bearer or x-api-key".to_owned()),
        },
        "price" => {
            let [input_usd, output_usd] = price(value)
                .ok_or("price is INPUT/OUTPUT in US dollars per million tokens, such as 3/15")?;
            row.prices = Cow::Owned(vec![Price { model: "", input_usd, output_usd }]);
        }
        "connect_s" => row.timeouts.connect = seconds(name, value)?,
        "idle_s" => row.timeouts.idle = seconds(name, value)?,
        _ => {
            return Err(format!(
                "no option {name:?}; there are base_url, name, dialect, auth, key_env, price, \
                 connect_s, idle_s"
            ));
        }
    }
    Ok(())
}

fn price(text: &str) -> Option<[f64; 2]> {
    let (input, output) = text.split_once('/')?;
    let number = |text: &str| text.parse().ok().filter(|usd: &f64| (0.0..=1e6).contains(usd));
    Some([number(input)?, number(output)?])
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    let number = value.parse().ok().filter(|s| (1..=SECONDS_MAX).contains(s));
    number.map(Duration::from_secs).ok_or(format!("{name} is seconds from 1 to {SECONDS_MAX}"))
}

/// Whether a text can be the id of a provider (and the name of a file).
pub(super) fn is_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=ID_MAX_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// An address to which a key may be sent, without a slash at the end. Plain HTTP is for this
/// machine and its private network only.
pub(super) fn usable_url(text: &str) -> Result<String, String> {
    let bad = |why: &str| Err(format!("base_url {text:?} {why}"));
    let Ok(url) = reqwest::Url::parse(text) else { return bad("is no URL") };
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || url.query().is_some() || url.fragment().is_some() {
        return bad("must be an address and a path, nothing else");
    }
    let host = url.host_str().unwrap_or_default();
    let near = match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => host == "localhost",
    };
    match url.scheme() {
        "https" if !host.is_empty() => {}
        "http" if near => {}
        _ => return bad("must begin with https:// (http:// is for private addresses only)"),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn providers(entries: &[&str]) -> Result<Vec<Provider>, String> {
        parse_providers(&entries.iter().map(|entry| entry.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn a_known_id_changes_its_row_and_a_new_one_makes_one() {
        let rows = providers(&[
            "openai base_url=http://127.0.0.1:9/v1/ idle_s=1",
            "x-ai base_url=https://api.x.ai/v1 price=3/15",
            "own base_url=http://10.0.0.7:8000 dialect=anthropic_messages auth=x-api-key",
        ]);
        let rows = rows.expect("valid");
        assert_eq!(rows.len(), 14);
        assert_eq!(rows[0].base_url, "http://127.0.0.1:9/v1");
        assert_eq!(rows[0].timeouts.idle, Duration::from_secs(1));
        assert_eq!(rows[0].key_env, "OPENAI_API_KEY");
        assert_eq!(rows[12].key_env, "X_AI_API_KEY");
        assert_eq!(rows[12].cost_usd("any", 1_000_000, 1_000_000), Some(18.0));
        assert_eq!((rows[13].dialect, rows[13].auth), (Dialect::AnthropicMessages, Auth::XApiKey));
    }

    #[test]
    fn a_key_is_never_sent_in_the_clear_to_a_far_address() {
        for bad in [
            "openai base_url=http://api.openai.com/v1",
            "openai base_url=http://8.8.8.8",
            "openai base_url=ftp://x",
            "openai base_url=https://user:word@x/v1",
            "openai base_url=https://x/v1?a=b",
            "new",
            "new price=1/2",
            "Upper base_url=https://x",
            "openai idle_s=0",
            "openai price=1",
            "openai colour=blue",
            "openai blue",
            "",
        ] {
            assert!(providers(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_model_stands_for_another() {
        let rows = table::rows();
        let parse = |entry: &str| parse_models(&[entry.to_owned()], &rows);
        let models = parse("demo=together/meta-llama/Llama-3.3").expect("valid");
        assert_eq!(models[0].0, "demo");
        assert_eq!(models[0].1.to_string(), "together/meta-llama/Llama-3.3");
        let unknown = parse("demo=opnai/x").expect_err("unknown");
        assert!(unknown.contains("openai"), "{unknown}");
        for bad in ["demo", "=openai/x", "demo=openai", "demo=openai/", "demo=openai/a b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn policies_have_words() {
        for policy in Policy::ALL {
            assert_eq!(Policy::of_word(policy.word()), Some(policy));
        }
        assert_eq!(Policy::of_word("always"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let entries = [text.clone()];
            let _ = parse_providers(&entries);
            let _ = parse_models(&entries, &table::rows());
            if let Some(target) = Target::of_text(&text) {
                prop_assert_eq!(target.to_string(), text);
            }
        }
    }
}
