//! `research`: a question taken apart, its parts answered, the answers put together again.
//!
//! Everything comes out of one model: a first answer names sub-questions, each is answered on its
//! own, a last answer weighs them. There is no web and no library behind it, and the result says
//! so. All answers share the context, so their lengths are chosen by it.

use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::{
    job::{Answer, Attempt, Job, Sampling, none_succeeded, question},
    schema,
    tool::{Arguments, Output, Tool, ToolError, read},
};

/// Most sub-questions.
const DEPTH_MAX: u32 = 6;
/// Where nothing else is asked for.
const DEPTH: u32 = 3;
/// Longest answer of one step, tokens.
const STEP_TOKENS_MAX: u64 = 1024;
/// Shortest one; a context that leaves less room is too small for this.
const STEP_TOKENS_MIN: u64 = 16;
/// Longest sub-question, characters; what is longer is no question.
const SUB_QUESTION_MAX: usize = 300;
/// Said in every result.
const SOURCES: &str = "This comes from the model's own memory alone: no web, no documents and no \
                       other tools were consulted, so check what matters.";

pub(crate) const TOOL: Tool = Tool {
    name: "research",
    title: "Think a question through",
    description: "Takes a question apart into sub-questions, answers each with the node's own \
                  model, and puts the answers together. Bounded: depth + 2 answers. It has no web \
                  and no documents; everything comes from the model's memory.",
    reaches_out: true,
    input: schema::of_input::<ResearchArguments>,
    output: schema::of_output::<Research>,
    run: |arguments, job| run(arguments, job).boxed(),
};

#[derive(Debug, Deserialize, JsonSchema)]
struct ResearchArguments {
    /// What to find out.
    question: String,
    /// How many sub-questions, 1 to 6; 3 when absent.
    #[schemars(range(min = 1, max = 6))]
    depth: Option<u32>,
    /// Model name as `models` lists it; absent: the first one that can answer.
    model: Option<String>,
    /// The same seed gives the same result; 0 when absent.
    seed: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Research {
    question: String,
    model: String,
    /// What everything together comes to.
    synthesis: Answer,
    /// The parts it rests on.
    findings: Vec<Finding>,
    /// How the question was taken apart.
    plan: Answer,
    /// Always false: nothing was looked up.
    web_access: bool,
    /// Where this comes from, in words.
    sources: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Finding {
    sub_question: String,
    #[serde(flatten)]
    attempt: Attempt,
}

async fn run(arguments: Arguments, job: &Job) -> Result<Output, ToolError> {
    let arguments: ResearchArguments = read(arguments)?;
    let depth = arguments.depth.unwrap_or(DEPTH);
    if !(1..=DEPTH_MAX).contains(&depth) {
        let message = format!("`depth`: from 1 to {DEPTH_MAX}, got {depth}");
        return Err(ToolError::Arguments(message));
    }
    let (model, context) = job.model(arguments.model).await?;
    let sampling = Sampling {
        max_tokens: Some(step_tokens(context, depth)),
        temperature: None,
        seed: arguments.seed,
    };
    let text = arguments.question;
    job.says("taking the question apart".to_owned());
    let ask = format!(
        "Question: {text}\nName {depth} short sub-questions that help to answer it, one a line."
    );
    let plan = job.ask(&model, question(None, &ask), sampling).await?;
    let sub_questions = sub_questions(&plan.text, &text, depth as usize);
    let asked = sub_questions.iter().map(|sub| (model.clone(), question(None, sub)));
    let attempts = job.ask_all(asked.collect(), sampling).await;
    if let Some(error) = none_succeeded(&attempts) {
        return Err(error);
    }
    let findings = sub_questions.into_iter().zip(attempts);
    let findings: Vec<Finding> =
        findings.map(|(sub_question, attempt)| Finding { sub_question, attempt }).collect();
    job.says("putting the answers together".to_owned());
    let ask = synthesis_prompt(&text, &findings);
    let synthesis = job.ask(&model, question(None, &ask), sampling).await?;
    let sources = SOURCES.to_owned();
    let research =
        Research { question: text, model, synthesis, findings, plan, web_access: false, sources };
    Output::new(describe(&research), &research)
}

/// Tokens of one step, so that all findings and an answer fit into the context beside questions.
fn step_tokens(context: Option<u64>, depth: u32) -> u32 {
    let share = context.unwrap_or(u64::MAX) / (2 * (u64::from(depth) + 2));
    u32::try_from(share.clamp(STEP_TOKENS_MIN, STEP_TOKENS_MAX)).unwrap_or(u32::MAX)
}

/// The lines of a plan without their numbers; the question itself where there are none.
fn sub_questions(plan: &str, whole: &str, depth: usize) -> Vec<String> {
    let numbering = |c: char| c.is_ascii_digit() || c.is_whitespace() || ".)-*:#".contains(c);
    let mut found: Vec<String> = Vec::new();
    for line in plan.lines() {
        let line: String = line.trim_start_matches(numbering).trim_end().to_owned();
        let fits = !line.is_empty() && line.chars().count() <= SUB_QUESTION_MAX;
        if fits && !found.contains(&line) && found.len() < depth {
            found.push(line);
        }
    }
    if found.is_empty() {
        found.push(whole.to_owned());
    }
    found
}

fn synthesis_prompt(question: &str, findings: &[Finding]) -> String {
    let mut text = String::from("Notes:\n");
    for finding in findings {
        if let Some(answer) = &finding.attempt.answer {
            text.push_str(&format!("- {} {}\n", finding.sub_question, answer.text.trim()));
        }
    }
    text.push_str(&format!(
        "\nQuestion: {question}\nAnswer it from these notes and what you know. Say what is unsure."
    ));
    text
}

fn describe(research: &Research) -> String {
    let mut text = format!("{}\n\n{}\n", research.synthesis.text_with_route(), research.sources);
    for finding in &research.findings {
        let answer = finding.attempt.text();
        text.push_str(&format!("\n## {}\n\n{answer}\n", finding.sub_question));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plan_s_lines_become_questions_without_numbers() {
        let plan = "1. What is it?\n2) What is it?\n\n- Who made it?\n3. When?";
        assert_eq!(sub_questions(plan, "q", 2), ["What is it?", "Who made it?"]);
        assert_eq!(sub_questions("\n 3.\n", "q", 2), ["q"]);
    }

    #[test]
    fn steps_fit_into_the_context_together() {
        for context in [512, 4096, 131_072] {
            for depth in 1..=DEPTH_MAX {
                let step = u64::from(step_tokens(Some(context), depth));
                assert!(step * u64::from(depth + 1) <= context / 2, "{context} {depth} {step}");
            }
        }
        assert_eq!(step_tokens(None, 1), 1024);
    }

    proptest! {
        #[test]
        fn any_plan_gives_between_one_and_depth_questions(
            plan in any::<String>(),
            depth in 1..6_usize,
        ) {
            let found = sub_questions(&plan, "whole", depth);
            prop_assert!((1..=depth).contains(&found.len()));
            prop_assert!(found.iter().all(|question| !question.is_empty()));
        }
    }
}
