//! One generation as its requester sees it, from the prompt to the last token.
//!
//! Driven by the generation actor: it carries out [`Action`]s in order and hands in every token the
//! last stage reports. The prompt goes in chunks, a token is sampled behind the last of them, and
//! then each token goes in as one row until an end token, the limit or the end of the context. When
//! stages are lost, prompt and answer so far go in again elsewhere, and the answer goes on.
//! Units: positions and tokens. Errors: [`PlanError`], [`SessionError`]; a token that was not due
//! is an error, so nothing is lost, repeated or taken out of order without notice.
//! Absent on purpose: time, peers, text; stop texts end a generation from outside, by
//! [`Generation::stop`].

/// What a generation is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationPlan {
    /// The prompt, at least one token.
    pub prompt: Vec<u32>,
    /// Most rows in one message of the prefill; 0 means all at once.
    pub chunk: u32,
    /// Most new tokens.
    pub max_new: u32,
    /// Tokens that end the answer.
    pub end_tokens: Vec<u32>,
    /// Positions the model has.
    pub context: u32,
}

/// Why a plan cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No room for a single new token.
    #[error(
        "the prompt has {prompt} tokens and the context {context}: at least one position must be \
         left for the answer; shorten the prompt"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Positions of the model.
        context: u32,
    },
    /// Nothing to begin with.
    #[error("the prompt is empty: give at least one token")]
    EmptyPrompt,
}

/// Why a reported token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Not the position that is due: lost, repeated or out of order.
    #[error("a token for position {got} where {expected} was due")]
    UnexpectedPosition {
        /// The position due.
        expected: u32,
        /// The position reported.
        got: u32,
    },
    /// No token is due: before the start, or after the end.
    #[error("a token for position {got} where none was due")]
    NotDue {
        /// The position reported.
        got: u32,
    },
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// An end token, or [`Generation::stop`].
    Stop,
    /// As many tokens as asked for, or the end of the context.
    Length,
    /// [`Generation::cancel`].
    Cancelled,
}

/// What the requester must do next, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send rows of tokens to the first stage.
    SendRows {
        /// Position of the first token.
        first_position: u32,
        /// The tokens.
        tokens: Vec<u32>,
        /// Whether a token is to be sampled behind the last.
        sample: bool,
    },
    /// Give the token to whoever asked. An end token is given as well: it belongs to the answer's
    /// ids though not to its text.
    Emit {
        /// The token.
        token: u32,
    },
    /// The generation is over: close the stages. Nothing follows.
    Finish(FinishReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Planned,
    Running,
    /// Ended by a token: none is on its way.
    Finished(FinishReason),
    /// Ended from outside: one token may still be on its way.
    Ended(FinishReason),
}

/// A generation under way.
#[derive(Debug, Clone)]
pub struct Generation {
    plan: GenerationPlan,
    generated: Vec<u32>,
    phase: Phase,
}

impl Generation {
    /// Checks the plan.
    pub fn new(plan: GenerationPlan) -> Result<Self, PlanError> {
        let prompt = plan.prompt.len();
        if prompt == 0 {
            return Err(PlanError::EmptyPrompt);
        }
        if prompt >= plan.context as usize {
            return Err(PlanError::PromptTooLong { prompt, context: plan.context });
        }
        Ok(Self { plan, generated: Vec::new(), phase: Phase::Planned })
    }

    /// Positions every stage must reserve: the prompt and as much answer as there can be.
    #[must_use]
    pub fn max_positions(&self) -> u32 {
        // The prompt is shorter than the context, which is a u32.
        let prompt = self.plan.prompt.len() as u32;
        prompt.saturating_add(self.plan.max_new).min(self.plan.context)
    }

    /// The tokens so far, an end token included.
    #[must_use]
    pub fn generated(&self) -> &[u32] {
        &self.generated
    }

    /// Tokens of the prompt.
    #[must_use]
    pub fn prompt_tokens(&self) -> u32 {
        self.plan.prompt.len() as u32
    }

    /// Why it ended, once it has.
    #[must_use]
    pub fn finished(&self) -> Option<FinishReason> {
        match self.phase {
            Phase::Finished(reason) | Phase::Ended(reason) => Some(reason),
            Phase::Planned | Phase::Running => None,
        }
    }

    /// The position the next token will take.
    #[must_use]
    pub fn next_position(&self) -> u32 {
        (self.plan.prompt.len() + self.generated.len()) as u32
    }

    /// Tokens whose rows must be computed before the next one can be sampled: the prompt, and the
    /// answer so far.
    pub fn tokens(&self) -> impl Iterator<Item = u32> + '_ {
        self.plan.prompt.iter().chain(&self.generated).copied()
    }

    /// Sends what must be computed before the next token. The stages know the first `known`
    /// positions already; the last one goes in again in any case. Does nothing while it runs.
    pub fn start(&mut self, known: u32) -> Vec<Action> {
        if self.phase != Phase::Planned {
            return Vec::new();
        }
        self.phase = Phase::Running;
        if self.plan.max_new == 0 {
            return vec![self.finish(FinishReason::Length)];
        }
        let end = self.next_position();
        let mut first_position = known.min(end - 1);
        let rest: Vec<u32> = self.tokens().skip(first_position as usize).collect();
        let chunk = match self.plan.chunk {
            0 => rest.len(),
            chunk => chunk as usize,
        };
        let mut actions = Vec::new();
        for tokens in rest.chunks(chunk) {
            let next = first_position + tokens.len() as u32;
            let tokens = tokens.to_vec();
            actions.push(Action::SendRows { first_position, tokens, sample: next == end });
            first_position = next;
        }
        actions
    }

    /// The stages are gone, or gave its pages to others: [`Generation::start`] goes on from the
    /// last token that was reported.
    pub fn interrupt(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Planned;
        }
    }

    /// Takes the token that the last stage sampled for `position`. Tokens that were on the way when
    /// the generation was cancelled or stopped are nobody's fault and change nothing.
    pub fn token_sampled(
        &mut self,
        position: u32,
        token: u32,
    ) -> Result<Vec<Action>, SessionError> {
        match self.phase {
            Phase::Running => {}
            Phase::Ended(_) => return Ok(Vec::new()),
            Phase::Planned | Phase::Finished(_) => {
                return Err(SessionError::NotDue { got: position });
            }
        }
        let expected = self.next_position();
        if position != expected {
            return Err(SessionError::UnexpectedPosition { expected, got: position });
        }
        self.generated.push(token);
        let mut actions = vec![Action::Emit { token }];
        if self.plan.end_tokens.contains(&token) {
            actions.push(self.finish(FinishReason::Stop));
        } else if self.generated.len() >= self.plan.max_new as usize
            || self.next_position() >= self.plan.context
        {
            actions.push(self.finish(FinishReason::Length));
        } else {
            let (first_position, tokens, sample) = (position, vec![token], true);
            actions.push(Action::SendRows { first_position, tokens, sample });
        }
        Ok(actions)
    }

    /// Gives up: whoever asked is gone, or a stage is.
    pub fn cancel(&mut self) -> Vec<Action> {
        self.end(FinishReason::Cancelled)
    }

    /// Ends the answer here, as an end token would: a stop text was reached.
    pub fn stop(&mut self) -> Vec<Action> {
        self.end(FinishReason::Stop)
    }

    fn end(&mut self, reason: FinishReason) -> Vec<Action> {
        match self.phase {
            Phase::Finished(_) | Phase::Ended(_) => Vec::new(),
            Phase::Planned | Phase::Running => {
                self.phase = Phase::Ended(reason);
                vec![Action::Finish(reason)]
            }
        }
    }

    fn finish(&mut self, reason: FinishReason) -> Action {
        self.phase = Phase::Finished(reason);
        Action::Finish(reason)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan() -> GenerationPlan {
        let prompt = vec![10, 11, 12, 13, 14];
        GenerationPlan { prompt, chunk: 2, max_new: 3, end_tokens: vec![2, 3], context: 100 }
    }

    fn running(plan: GenerationPlan) -> Generation {
        let mut generation = Generation::new(plan).expect("a plan that can be carried out");
        generation.start(0);
        generation
    }

    fn rows(first_position: u32, tokens: &[u32], sample: bool) -> Action {
        Action::SendRows { first_position, tokens: tokens.to_vec(), sample }
    }

    #[test]
    fn the_prompt_goes_in_chunks_and_only_the_last_is_sampled() {
        let mut generation = Generation::new(plan()).expect("plan");
        let chunks = [rows(0, &[10, 11], false), rows(2, &[12, 13], false), rows(4, &[14], true)];
        assert_eq!(generation.start(0), chunks);
        assert_eq!(generation.start(0), []);
        let whole = GenerationPlan { chunk: 0, ..plan() };
        let mut generation = Generation::new(whole).expect("plan");
        assert_eq!(generation.start(0), [rows(0, &[10, 11, 12, 13, 14], true)]);
    }

    #[test]
    fn known_positions_are_left_out_but_the_last() {
        for (known, first) in [(0, 0), (3, 3), (4, 4), (5, 4), (99, 4)] {
            let mut generation =
                Generation::new(GenerationPlan { chunk: 0, ..plan() }).expect("plan");
            let tokens = &[10, 11, 12, 13, 14][first as usize..];
            assert_eq!(generation.start(known), [rows(first, tokens, true)]);
        }
    }

    #[test]
    fn an_interrupted_answer_goes_on_where_it_was() {
        let mut generation = running(GenerationPlan { chunk: 0, ..plan() });
        generation.token_sampled(5, 40).expect("due");
        generation.interrupt();
        assert_eq!(generation.token_sampled(6, 41), Err(SessionError::NotDue { got: 6 }));
        assert_eq!(generation.start(3), [rows(3, &[13, 14, 40], true)]);
        let next = generation.token_sampled(6, 41).expect("due");
        assert_eq!(next, [Action::Emit { token: 41 }, rows(6, &[41], true)]);
        assert_eq!(generation.generated(), [40, 41]);
    }

    #[test]
    fn an_end_token_stops_and_belongs_to_the_ids() {
        let mut generation = running(plan());
        let next = generation.token_sampled(5, 40).expect("due");
        assert_eq!(next, [Action::Emit { token: 40 }, rows(5, &[40], true)]);
        let last = generation.token_sampled(6, 3).expect("due");
        assert_eq!(last, [Action::Emit { token: 3 }, Action::Finish(FinishReason::Stop)]);
        assert_eq!(generation.generated(), [40, 3]);
        assert_eq!(generation.finished(), Some(FinishReason::Stop));
        assert_eq!(generation.token_sampled(7, 1), Err(SessionError::NotDue { got: 7 }));
        assert_eq!(generation.cancel(), []);
    }

    #[test]
    fn the_limit_and_the_context_end_the_answer() {
        for (max_new, context, new) in [(3, 100, 3), (50, 7, 2), (1, 6, 1)] {
            let mut generation = running(GenerationPlan { max_new, context, ..plan() });
            assert_eq!(generation.max_positions(), (5 + max_new).min(context));
            for index in 0..new {
                assert_eq!(generation.finished(), None);
                generation.token_sampled(5 + index, 50).expect("due");
            }
            assert_eq!(generation.finished(), Some(FinishReason::Length));
        }
        let mut none = Generation::new(GenerationPlan { max_new: 0, ..plan() }).expect("plan");
        assert_eq!(none.start(0), [Action::Finish(FinishReason::Length)]);
    }

    #[test]
    fn lost_and_repeated_tokens_are_noticed() {
        let mut generation = running(plan());
        for got in [4, 6] {
            let unexpected = SessionError::UnexpectedPosition { expected: 5, got };
            assert_eq!(generation.token_sampled(got, 40), Err(unexpected));
        }
        generation.token_sampled(5, 40).expect("due");
        assert!(generation.token_sampled(5, 40).is_err());
        let mut early = Generation::new(plan()).expect("plan");
        assert_eq!(early.token_sampled(5, 40), Err(SessionError::NotDue { got: 5 }));
    }

    #[test]
    fn late_tokens_after_an_end_from_outside_change_nothing() {
        let mut cancelled = running(plan());
        assert_eq!(cancelled.cancel(), [Action::Finish(FinishReason::Cancelled)]);
        assert_eq!(cancelled.cancel(), []);
        assert_eq!(cancelled.token_sampled(5, 40), Ok(Vec::new()));
        let mut stopped = running(plan());
        stopped.token_sampled(5, 40).expect("due");
        assert_eq!(stopped.stop(), [Action::Finish(FinishReason::Stop)]);
        assert_eq!(stopped.token_sampled(6, 41), Ok(Vec::new()));
        assert_eq!(stopped.generated(), [40]);
    }

    #[test]
    fn prompts_that_do_not_fit_are_refused() {
        let empty = GenerationPlan { prompt: Vec::new(), ..plan() };
        assert_eq!(Generation::new(empty).err(), Some(PlanError::EmptyPrompt));
        let full = GenerationPlan { context: 5, ..plan() };
        let too_long = PlanError::PromptTooLong { prompt: 5, context: 5 };
        assert_eq!(Generation::new(full).err(), Some(too_long));
    }

    proptest! {
        /// A pipeline that answers every sampled row: the answer does not depend on the chunks, and
        /// every position goes in exactly once, in order.
        #[test]
        fn every_position_goes_in_once(
            prompt in 1_usize..40, chunk in 0_u32..50, max_new in 0_u32..30, context in 2_u32..60,
        ) {
            let prompt: Vec<u32> = (0..prompt as u32).map(|index| 100 + index).collect();
            let length = prompt.len() as u32;
            let plan =
                GenerationPlan { prompt, chunk, max_new, end_tokens: vec![7], context };
            let Ok(mut generation) = Generation::new(plan) else {
                prop_assert!(length >= context);
                return Ok(());
            };
            let mut actions = std::collections::VecDeque::from(generation.start(0));
            let (mut fed, mut emitted) = (0, 0);
            while let Some(action) = actions.pop_front() {
                match action {
                    Action::SendRows { first_position, tokens, sample } => {
                        prop_assert_eq!(first_position, fed);
                        fed += tokens.len() as u32;
                        prop_assert!(fed < context && fed <= generation.max_positions());
                        if sample {
                            let token = if fed % 17 == 0 { 7 } else { 50 };
                            actions.extend(generation.token_sampled(fed, token).expect("due"));
                        }
                    }
                    Action::Emit { .. } => emitted += 1,
                    Action::Finish(_) => prop_assert!(actions.is_empty()),
                }
            }
            prop_assert!(generation.finished().is_some());
            prop_assert_eq!(generation.generated().len(), emitted);
            prop_assert!(emitted as u32 <= max_new && length + emitted as u32 <= context);
        }
    }
}
