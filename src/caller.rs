//! One caller of a node: what it allows, and who answered it.
//!
//! Made by a door for each of its requests and put into a handle by `NodeHandle::for_caller`; the
//! node notes there who answers, before the first event is given out, and the door tells it. An
//! answer that fails is nobody's: its note is withdrawn before the door hears of the failure. A
//! request may have several answers (`n`, batches): each place is told once, in order.
//! Who the caller is matters for fair sharing only: the owner of its API key.

use std::sync::{Mutex, PoisonError};

use swarmllm_protocol::ids::RequestId;

use crate::cloud::{Reason, Target};

/// Answers that are remembered for one caller.
const ANSWERS_MAX: usize = 256;

/// Who answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnsweredBy {
    /// This node and its peers.
    Swarm,
    /// A provider, and why it was asked.
    Cloud(Target, Reason),
}

impl std::fmt::Display for AnsweredBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AnsweredBy::Swarm => f.write_str("swarm"),
            AnsweredBy::Cloud(target, _) => write!(f, "cloud/{target}"),
        }
    }
}

/// One caller, for as long as its request lives.
#[derive(Debug, Default)]
pub struct Caller {
    client: String,
    forbids_cloud: bool,
    answers: Mutex<Vec<Noted>>,
}

/// One answer; it may fail before it is known who gives it.
#[derive(Debug)]
struct Noted {
    request: RequestId,
    by: Option<AnsweredBy>,
    has_failed: bool,
}

impl Caller {
    /// A caller with its name for fair sharing, if it has one, which forbids providers in the cloud
    /// or does not.
    pub fn new(client: String, forbids_cloud: bool) -> Caller {
        Caller { client, forbids_cloud, ..Caller::default() }
    }

    /// Whose share of the node its requests take where they name nobody.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Whether its requests must stay in the swarm.
    pub fn forbids_cloud(&self) -> bool {
        self.forbids_cloud
    }

    /// Notes who answers a request.
    pub fn note(&self, request: RequestId, by: AnsweredBy) {
        self.change(request, |noted| noted.by = Some(by));
    }

    /// Notes that a request has no answer after all.
    pub fn withdraw(&self, request: RequestId) {
        self.change(request, |noted| noted.has_failed = true);
    }

    fn change(&self, request: RequestId, change: impl FnOnce(&mut Noted)) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(noted) = answers.iter_mut().find(|noted| noted.request == request) {
            change(noted);
        } else if answers.len() < ANSWERS_MAX {
            let mut noted = Noted { request, by: None, has_failed: false };
            change(&mut noted);
            answers.push(noted);
        }
    }

    /// Who was to answer that request, if it is this caller's.
    pub fn who_answers(&self, request: RequestId) -> Option<AnsweredBy> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().find(|noted| noted.request == request)?.by.clone()
    }

    /// Everybody who answers: `swarm`, `cloud/PROVIDER/MODEL`, or both; visible ASCII.
    pub fn answered_by(&self) -> Option<String> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places: Vec<String> = Vec::new();
        for by in answers.iter().filter(|noted| !noted.has_failed).flat_map(|noted| &noted.by) {
            let place = by.to_string();
            if !places.contains(&place) {
                places.push(place);
            }
        }
        (!places.is_empty()).then(|| places.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_once_and_in_order() {
        let caller = Caller::new(String::new(), true);
        assert_eq!((caller.forbids_cloud(), caller.answered_by()), (true, None));
        let target = Target::of_text("openai/gpt").expect("valid");
        let cloud = AnsweredBy::Cloud(target, Reason::Busy);
        for (id, by) in [(1, AnsweredBy::Swarm), (2, cloud.clone()), (3, AnsweredBy::Swarm)] {
            caller.note(RequestId([id; 16]), by);
        }
        assert_eq!(caller.answered_by().as_deref(), Some("swarm, cloud/openai/gpt"));
        assert_eq!(caller.who_answers(RequestId([2; 16])), Some(cloud));
        assert_eq!(caller.who_answers(RequestId([9; 16])), None);
    }

    #[test]
    fn an_answer_that_failed_is_nobody_s_but_its_samples_go_the_same_way() {
        let caller = Caller::default();
        let target = Target::of_text("openai/gpt").expect("valid");
        let cloud = AnsweredBy::Cloud(target, Reason::Busy);
        caller.note(RequestId([1; 16]), AnsweredBy::Swarm);
        caller.withdraw(RequestId([1; 16]));
        // It may fail before it is noted.
        caller.withdraw(RequestId([2; 16]));
        caller.note(RequestId([2; 16]), cloud.clone());
        assert_eq!(caller.answered_by(), None);
        assert_eq!(caller.who_answers(RequestId([2; 16])), Some(cloud.clone()));
        caller.note(RequestId([3; 16]), cloud);
        assert_eq!(caller.answered_by().as_deref(), Some("cloud/openai/gpt"));
    }
}
