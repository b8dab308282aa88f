//! The embedded model reads well: of twenty questions in a stranger's words, none of them in its
//! corpus, at least sixteen are answered (greedy, the key words of a right answer are there), and
//! every answer ends by itself.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use swarmllm::generate::{Chat, Prompt};
use swarmllm::local::{self, Chain, ChainOptions, LocalRequest};
use swarmllm::prompt;
use swarmllm_models::sampler::SamplingParams;

/// Answers that must be right.
const RIGHT_MIN: usize = 16;

/// Whether every group has one of its words in the answer.
fn is_right(question: &Value, answer: &str) -> bool {
    let answer = answer.to_lowercase();
    let groups = question["keywords"].as_array().expect("keyword groups");
    groups.iter().all(|group| {
        let words = group.as_array().expect("alternatives");
        words.iter().any(|word| answer.contains(word.as_str().expect("a word")))
    })
}

#[test]
fn at_least_sixteen_of_twenty_strangers_questions_are_answered() {
    let text = include_str!("data/demo_questions.json");
    let questions: Vec<Value> = serde_json::from_str(text).expect("the questions are JSON");
    assert_eq!(questions.len(), 20);
    let (_, model) = local::open_model("demo").expect("the embedded model");
    let tokenizer = model.tokenizer().expect("its tokenizer");
    let template = model.chat_template().expect("its template");
    let options =
        ChainOptions { positions: model.config().context_length, ..ChainOptions::default() };
    let mut chain = Chain::load(&model, &options).expect("it loads");
    let mut wrong = Vec::new();
    for question in &questions {
        let words = question["question"].as_str().expect("a question");
        let messages = json!([{"role": "user", "content": words}]);
        let chat = Prompt::Chat(Chat::of_messages(messages));
        let prompt = prompt::prepare(&tokenizer, Some(&template), &chat).expect("a prompt").tokens;
        let sampling = SamplingParams::default();
        let request = LocalRequest { prompt, max_new: None, sampling, chunk: 0 };
        chain.forget();
        let answer =
            local::generate(&mut chain, &tokenizer, &request, |_| ControlFlow::Continue(()))
                .expect("an answer");
        assert_eq!(answer.finish_text(), "stop", "{words} -> {}", answer.text);
        if !is_right(question, &answer.text) {
            wrong.push(format!("{words} -> {}", answer.text));
        }
    }
    let n_right = questions.len() - wrong.len();
    assert!(n_right >= RIGHT_MIN, "{n_right} of 20:\n{}", wrong.join("\n"));
}
