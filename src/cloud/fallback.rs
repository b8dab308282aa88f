//! The fallback of one node: what may be asked, and asking it.
//!
//! Called by `node/fallback.rs`, which decides when the swarm can't. A request leaves only when the
//! policy allows it, the node is not offline and the request is not private; [`Cloud::may_leave`]
//! is the one place that says so, and [`Cloud::answer`] asks it again.
//! Bounds: size of a request. Errors: [`CloudError`].

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::{Client, Response};
use swarmllm_actors::entropy;
use swarmllm_protocol::ids::RequestId;
use tokio::sync::mpsc;

use super::answer::{Answer, estimated_tokens};
use super::breaker::Breaker;
use super::client::{self, Call};
use super::error::CloudError;
use super::key::{ApiKey, ProviderKeys};
use super::ledger::{CloudStatus, Ledger, ProviderStatus};
use super::provider::{Dialect, Provider};
use super::settings::{CloudSettings, Policy, Target};
use super::{anthropic_encode, openai_encode, retry};
use crate::generate::{ErrorKind, GenerateRequest, GenerationStream};

/// Longest body that is sent.
const BODY_MAX_BYTES: usize = 32 << 20;
/// Events between a provider's stream and the door.
const EVENTS: usize = 64;

/// Why a request goes to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It names the provider itself.
    Named,
    /// Layers are missing in the swarm.
    NoRoute,
    /// The swarm's queues are full.
    Busy,
    /// The swarm knows no such model.
    ModelNotFound,
}

impl Reason {
    /// The failures of the swarm for which another may stand in.
    pub fn of_kind(kind: ErrorKind) -> Option<Reason> {
        match kind {
            ErrorKind::NoRoute => Some(Reason::NoRoute),
            ErrorKind::Busy => Some(Reason::Busy),
            ErrorKind::ModelNotFound => Some(Reason::ModelNotFound),
            ErrorKind::ContextLength
            | ErrorKind::Invalid
            | ErrorKind::Grammar
            | ErrorKind::StageLost
            | ErrorKind::DeadlinePassed
            | ErrorKind::Internal => None,
        }
    }

    /// As metrics and answers say it.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Named => "named",
            Reason::NoRoute => "no_route",
            Reason::Busy => "busy",
            Reason::ModelNotFound => "model_not_found",
        }
    }
}

/// What a node needs to know of the cloud.
#[derive(Debug, Clone, Default)]
pub struct CloudOptions {
    /// What is configured.
    pub settings: CloudSettings,
    /// The keys.
    pub keys: ProviderKeys,
}

/// A request for a provider.
#[derive(Debug)]
pub struct Asked {
    /// Who is to answer.
    pub target: Target,
    /// Why.
    pub reason: Reason,
    /// What.
    pub request: GenerateRequest,
    /// Since when it is waited for.
    pub began: Instant,
}

/// Breaker and ledger of one provider.
#[derive(Debug)]
pub(super) struct Books {
    breaker: Breaker,
    pub(super) ledger: Ledger,
}

/// One provider of this node.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) provider: Provider,
    client: OnceLock<Client>,
    books: Mutex<Books>,
    epoch: Instant,
}

impl Line {
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        // Counters stay usable whatever panicked between them.
        change(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Made at the first use: it reads the system's certificates.
    fn client(&self) -> Result<&Client, CloudError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = client::client(&self.provider)?;
        Ok(self.client.get_or_init(|| made))
    }
}

/// One request that a breaker let pass; dropped unsettled, it was given up.
pub(super) struct Pass {
    line: Arc<Line>,
    is_settled: bool,
}

impl Pass {
    fn of(line: &Arc<Line>) -> Result<Pass, CloudError> {
        let admitted = line.with(|books| books.breaker.admit(line.now_ms()));
        admitted.map_err(|left_ms| CloudError::LeftAlone {
            provider: line.provider.id.to_string(),
            retry_after_s: u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX),
        })?;
        Ok(Pass { line: Arc::clone(line), is_settled: false })
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn succeeded(mut self) {
        self.is_settled = true;
        self.line.with(|books| books.breaker.succeeded());
    }

    /// This attempt failed.
    fn failed(mut self, error: &CloudError) {
        self.is_settled = true;
        let now_ms = self.line.now_ms();
        self.line.with(|books| match error {
            // Nothing is known of the provider.
            CloudError::DeadlinePassed => books.breaker.abandoned(now_ms),
            error if error.is_providers() => books.breaker.failed(now_ms),
            _ => books.breaker.succeeded(),
        });
    }

    /// The answer as a whole failed.
    pub(super) fn ended_with(self, error: &CloudError) {
        self.line.with(|books| books.ledger.failed(&error.to_string()));
        self.failed(error);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.is_settled {
            let now_ms = self.line.now_ms();
            self.line.with(|books| books.breaker.abandoned(now_ms));
        }
    }
}

/// The fallback of one node.
#[derive(Debug)]
pub struct Cloud {
    policy: Policy,
    is_offline: bool,
    models: Vec<(String, Target)>,
    keys: ProviderKeys,
    lines: Vec<Arc<Line>>,
}

impl Cloud {
    /// A fallback that has asked nobody yet.
    pub fn new(options: CloudOptions, is_offline: bool) -> Cloud {
        let CloudOptions { settings, keys } = options;
        let epoch = Instant::now();
        let line = |provider| {
            let books = Books { breaker: Breaker::new(), ledger: Ledger::default() };
            Arc::new(Line { provider, client: OnceLock::new(), books: Mutex::new(books), epoch })
        };
        Cloud {
            policy: settings.policy,
            is_offline,
            models: settings.models,
            keys,
            lines: settings.providers.into_iter().map(line).collect(),
        }
    }

    /// Whether a request may go to a provider at all.
    ///
    /// # Errors
    /// Why not.
    pub fn may_leave(&self, request: &GenerateRequest) -> Result<(), &'static str> {
        if self.policy == Policy::Never {
            return Err("cloud.policy is \"never\"; \"only-named\" would allow it");
        }
        if self.is_offline {
            return Err("this node is offline");
        }
        if request.private {
            return Err("the request must not leave the swarm");
        }
        Ok(())
    }

    /// What stands in for a model that the swarm can't serve now.
    pub fn stand_in(&self, request: &GenerateRequest) -> Option<Target> {
        if self.policy != Policy::Fallback || self.may_leave(request).is_err() {
            return None;
        }
        let mapped = self.models.iter().find(|(local, _)| *local == request.model);
        mapped.map(|(_, target)| target.clone())
    }

    /// The provider and model that a name says, if there is such a provider.
    pub fn named(&self, model: &str) -> Option<Target> {
        Target::of_text(model).filter(|target| self.line(&target.provider).is_some())
    }

    fn line(&self, provider: &str) -> Option<&Arc<Line>> {
        self.lines.iter().find(|line| line.provider.id == provider)
    }

    /// Asks a provider; returns once it has begun to answer. `held` is dropped with the answer.
    ///
    /// # Errors
    /// Why it did not begin.
    pub async fn answer<G: Send + Sync + 'static>(
        &self,
        asked: Asked,
        held: G,
    ) -> Result<GenerationStream, CloudError> {
        let provider = asked.target.provider.clone();
        let line = self.line(&provider).ok_or_else(|| unknown(&provider))?;
        line.with(|books| books.ledger.asked(asked.reason.word(), unix_s()));
        let left = asked.request.deadline.map(|all| all.saturating_sub(asked.began.elapsed()));
        let begun = self.begin(line, &asked);
        let begun = match left {
            None => begun.await,
            Some(left) => {
                tokio::time::timeout(left, begun).await.unwrap_or(Err(CloudError::DeadlinePassed))
            }
        };
        let Begun { response, pass, key, n_bytes } = begun.inspect_err(|error| {
            tracing::warn!(to = %asked.target, %error, "a provider did not answer");
            line.with(|books| books.ledger.failed(&error.to_string()));
        })?;
        let (events, receiver) = mpsc::channel(EVENTS);
        let Asked { target, reason, request, began } = asked;
        let answer = Answer {
            pass,
            key,
            target,
            reason,
            began,
            deadline: request.deadline,
            prompt_estimate: estimated_tokens(n_bytes),
            events,
            _held: held,
        };
        tokio::spawn(answer.run(response));
        Ok(GenerationStream { request: RequestId(entropy::bytes()), events: receiver })
    }

    async fn begin(&self, line: &Arc<Line>, asked: &Asked) -> Result<Begun, CloudError> {
        let provider = &line.provider;
        let refuse = |reason| CloudError::NotForCloud { provider: provider.id.to_string(), reason };
        self.may_leave(&asked.request).map_err(refuse)?;
        if let Some(reason) = openai_encode::refusal(provider, &asked.request) {
            return Err(refuse(reason));
        }
        let model = &asked.target.model;
        let body = match provider.dialect {
            Dialect::OpenaiChat => openai_encode::body(provider, model, &asked.request),
            Dialect::AnthropicMessages => anthropic_encode::body(model, &asked.request),
        };
        let body = Bytes::from(body.to_string());
        if body.len() > BODY_MAX_BYTES {
            return Err(refuse("the request is too long to be sent"));
        }
        let key = self.key(provider)?;
        let n_bytes = body.len();
        let call = Call { provider, client: line.client()?, key: &key };
        let (response, pass) = open(line, &call, body).await?;
        Ok(Begun { response, pass, key, n_bytes })
    }

    fn key(&self, provider: &Provider) -> Result<ApiKey, CloudError> {
        let found = self.keys.find(&provider.id)?;
        found.map(|(key, _)| key).ok_or_else(|| CloudError::NoKey {
            provider: provider.id.to_string(),
            variable: provider.key_env.to_string(),
        })
    }

    /// Names of a provider's models, as it tells them now.
    ///
    /// # Errors
    /// Why there is no list.
    pub async fn list_models(&self, provider: &str) -> Result<Vec<String>, CloudError> {
        let line = self.line(provider).ok_or_else(|| unknown(provider))?;
        let nothing = crate::generate::Prompt::Text(String::new());
        let reason = self.may_leave(&GenerateRequest::new("", nothing)).err();
        if let Some(reason) = reason {
            return Err(CloudError::NotForCloud { provider: provider.to_owned(), reason });
        }
        let key = self.key(&line.provider)?;
        Call { provider: &line.provider, client: line.client()?, key: &key }.models().await
    }

    /// Policy, providers, and what they were asked.
    pub fn status(&self) -> CloudStatus {
        CloudStatus {
            policy: self.policy.word(),
            offline: self.is_offline,
            providers: self.lines.iter().map(|line| self.line_status(line)).collect(),
        }
    }

    fn line_status(&self, line: &Line) -> ProviderStatus {
        let provider = &line.provider;
        let (key, key_error) = match self.keys.find(&provider.id) {
            Ok(found) => (found.map(|(_, origin)| origin), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let own = self.models.iter().filter(|(_, target)| target.provider == provider.id);
        let (breaker, ledger) = line.with(|books| (books.breaker.state(), books.ledger.clone()));
        ProviderStatus {
            id: provider.id.to_string(),
            name: provider.name.to_string(),
            base_url: provider.base_url.to_string(),
            dialect: provider.dialect,
            key,
            key_error,
            key_env: provider.key_env.to_string(),
            models: own.map(|(local, target)| [local.clone(), target.model.clone()]).collect(),
            breaker,
            ledger,
        }
    }
}

/// An answer that has begun.
struct Begun {
    response: Response,
    pass: Pass,
    key: ApiKey,
    n_bytes: usize,
}

/// Asks until the provider answers, as often as that is sensible.
async fn open(
    line: &Arc<Line>,
    call: &Call<'_>,
    body: Bytes,
) -> Result<(Response, Pass), CloudError> {
    let mut last = None;
    for attempt in 1.. {
        let pass = match Pass::of(line) {
            Ok(pass) => pass,
            Err(left_alone) => return Err(last.unwrap_or(left_alone)),
        };
        let error = match call.open(body.clone()).await {
            Ok(response) => return Ok((response, pass)),
            Err(error) => error,
        };
        pass.failed(&error);
        let chance = f64::from(entropy::bytes::<1>()[0]) / 255.0;
        let pause_ms = retry::pause_ms(attempt, error.retry_after_ms(), chance);
        let Some(pause_ms) = pause_ms.filter(|_| error.is_passing()) else { return Err(error) };
        last = Some(error);
        tokio::time::sleep(std::time::Duration::from_millis(pause_ms)).await;
    }
    Err(last.unwrap_or_else(|| unknown(&line.provider.id)))
}

fn unknown(provider: &str) -> CloudError {
    let reason = "there is no such provider; `swarmllm cloud list` shows them";
    CloudError::NotForCloud { provider: provider.to_owned(), reason }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Prompt;

    fn cloud(policy: Policy, is_offline: bool) -> Cloud {
        let target = Target::of_text("openai/gpt-5-mini").expect("valid");
        let models = vec![("demo".to_owned(), target)];
        let settings = CloudSettings { policy, models, ..CloudSettings::default() };
        Cloud::new(CloudOptions { settings, keys: ProviderKeys::default() }, is_offline)
    }

    fn request(model: &str) -> GenerateRequest {
        GenerateRequest::new(model, Prompt::Text("hi".to_owned()))
    }

    #[test]
    fn nothing_leaves_unless_everything_allows_it() {
        let private = GenerateRequest { private: true, ..request("demo") };
        for (cloud, request) in [
            (cloud(Policy::Never, false), request("demo")),
            (cloud(Policy::Fallback, true), request("demo")),
            (cloud(Policy::Fallback, false), private),
        ] {
            assert!(cloud.may_leave(&request).is_err());
            assert_eq!(cloud.stand_in(&request), None);
        }
        let named = cloud(Policy::OnlyNamed, false);
        assert_eq!(
            (named.may_leave(&request("demo")), named.stand_in(&request("demo"))),
            (Ok(()), None)
        );
    }

    #[test]
    fn a_stand_in_is_for_its_model_and_a_name_for_known_providers() {
        let cloud = cloud(Policy::Fallback, false);
        let found = cloud.stand_in(&request("demo")).map(|target| target.to_string());
        assert_eq!(found.as_deref(), Some("openai/gpt-5-mini"));
        assert_eq!(cloud.stand_in(&request("other")), None);
        assert!(cloud.named("groq/any/model").is_some());
        assert!(cloud.named("someone/model").is_none() && cloud.named("openai").is_none());
    }
}
