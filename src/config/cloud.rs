//! The settings of the fallback to providers in the cloud.
//!
//! Called by `resolved.rs`; `cloud/settings.rs` reads the texts. Keys of providers are no settings
//! and are never here. Errors: [`ConfigError::BadValue`] that says which entry is wrong.

use super::ConfigError;
use super::keys;
use super::raw::RawValue;
use super::resolved::{Mismatch, Setting, Sources, default, mismatch, texts};
use crate::cloud::provider::Provider;
use crate::cloud::settings::{parse_models, parse_providers};
use crate::cloud::{CloudSettings, Policy, Target};

/// Settings of the fallback.
#[derive(Debug, Clone)]
pub struct CloudSection {
    /// When requests may leave the swarm.
    pub policy: Setting<Policy>,
    /// Local model names with what stands in for them.
    pub models: Setting<Vec<(String, Target)>>,
    /// The known providers, changed and added to.
    pub providers: Setting<Vec<Provider>>,
}

impl CloudSection {
    pub(super) fn resolve(sources: &Sources<'_>) -> Result<CloudSection, ConfigError> {
        let defaults = CloudSettings::default();
        let providers = sources
            .pick(keys::CLOUD_PROVIDERS, None, |raw| {
                parse_providers(&texts(raw)?).map_err(|why| explained(raw, &why))
            })?
            .unwrap_or_else(|| default(defaults.providers));
        let models = sources
            .pick(keys::CLOUD_MODELS, None, |raw| {
                parse_models(&texts(raw)?, &providers.value).map_err(|why| explained(raw, &why))
            })?
            .unwrap_or_else(|| default(Vec::new()));
        let policy = sources.pick(keys::CLOUD_POLICY, None, policy)?;
        Ok(CloudSection { policy: policy.unwrap_or(default(Policy::Never)), models, providers })
    }

    /// As the fallback takes them.
    #[must_use]
    pub fn settings(&self) -> CloudSettings {
        CloudSettings {
            policy: self.policy.value,
            models: self.models.value.clone(),
            providers: self.providers.value.clone(),
        }
    }
}

fn explained(raw: &RawValue, why: &str) -> Mismatch {
    mismatch(raw, &format!("something else: {why}"))
}

fn policy(raw: &RawValue) -> Result<Policy, Mismatch> {
    let word = match raw {
        RawValue::Text(word) => Policy::of_word(word),
        _ => None,
    };
    let words = Policy::ALL.map(|policy| format!("{:?}", policy.word()));
    word.ok_or_else(|| mismatch(raw, &words.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Environment, Flags, raw, resolve};
    use super::*;

    fn section(text: &str) -> Result<CloudSection, String> {
        let file = raw::parse(Path::new("f.toml"), text).expect("TOML");
        let home = Environment::of([("HOME", "/h")]);
        let settings = resolve(&[file], &home, &Flags::default());
        settings.map(|settings| settings.cloud).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_is_asked_unless_the_configuration_says_so() {
        let cloud = section("").expect("defaults");
        assert_eq!(cloud.settings(), CloudSettings::default());
        assert_eq!((cloud.policy.value, cloud.models.value.len()), (Policy::Never, 0));
    }

    #[test]
    fn rows_and_stand_ins_are_read_and_mistakes_are_named() {
        let cloud = section(
            "[cloud]\npolicy = \"fallback\"\nmodels = [\"demo=own/m\"]\n\
             providers = [\"own base_url=https://own.example/v1\"]\n",
        );
        let cloud = cloud.expect("valid").settings();
        assert_eq!((cloud.policy, cloud.providers.len()), (Policy::Fallback, 13));
        assert_eq!(cloud.models[0].1.provider, "own");
        let bad = section("[cloud]\nmodels = [\"demo=own/m\"]\n").expect_err("unknown");
        assert!(bad.starts_with("f.toml:2: `cloud.models`") && bad.contains("openai"), "{bad}");
        let bad = section("[cloud]\npolicy = \"always\"\n").expect_err("no policy");
        assert!(bad.ends_with("expected \"never\", \"only-named\", \"fallback\""), "{bad}");
        let bad = section("[cloud]\nproviders = [\"groq price=low\"]\n").expect_err("no price");
        assert!(bad.contains("INPUT/OUTPUT"), "{bad}");
    }
}
