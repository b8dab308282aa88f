//! Promises of the OpenAI chat, completions, embeddings and models dialects.
//!
//! Each test asks a node with the built-in model as a client would, over HTTP.

use serde_json::{Value, json};

use super::{
    CHAT, chat, dialogue,
    support::{Node, get, post, request},
};

const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

fn completion(more: Value) -> Value {
    let mut body = json!({"model": "demo", "prompt": "A swarm is", "temperature": 0});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

/// A body's answer, which must be one.
fn answer(node: &Node, path: &str, body: &Value) -> Value {
    let answer = post(node.http(), path, body);
    assert_eq!(answer.status, 200, "{body} {answer:?}");
    answer.json()
}

/// Chunks of a stream that ended well.
fn chunks(node: &Node, path: &str, mut body: Value) -> Vec<Value> {
    body["stream"] = true.into();
    let answer = post(node.http(), path, &body);
    let mut events = answer.events();
    assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{answer:?}");
    events.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
}

fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().expect("content")
}

fn text(of: &Value) -> String {
    of.as_str().expect("a text").to_owned()
}

fn bytes_of(tokens: &[Value]) -> Vec<u8> {
    let all = tokens.iter().flat_map(|token| token["bytes"].as_array().expect("bytes"));
    all.map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()).expect("a byte"))
        .collect()
}

#[test]
fn log_probabilities_belong_to_the_text_whole_and_in_a_stream() {
    let node = Node::serve(&[]);
    let likely = chat(json!({"logprobs": true, "top_logprobs": 3}));
    let whole = answer(&node, CHAT, &likely);
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().expect("tokens").clone();
    assert_eq!(String::from_utf8_lossy(&bytes_of(&tokens)).trim(), content(&whole).trim());
    for token in &tokens {
        assert!(token["logprob"].as_f64().expect("a number") <= 0.0, "{token}");
        let top = token["top_logprobs"].as_array().expect("the likeliest");
        assert_eq!(top.len(), 3);
        // A greedy answer takes the likeliest.
        assert_eq!((&top[0]["token"], &top[0]["logprob"]), (&token["token"], &token["logprob"]));
    }
    let streamed: Vec<Value> = chunks(&node, CHAT, likely)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(streamed, tokens);
    let plain = answer(&node, CHAT, &chat(json!({})));
    assert_eq!(plain["choices"][0]["logprobs"], Value::Null);
    assert_eq!(plain["swarmllm"]["token_ids"], whole["swarmllm"]["token_ids"]);
}

#[test]
fn log_probabilities_are_not_those_of_tags_around_the_text() {
    let (_folder, node) = dialogue();
    let asked = json!({
        "model": "dialogue", "logprobs": true,
        "messages": [{"role": "user", "content": "What do you think?"}],
    });
    let whole = answer(&node, CHAT, &asked);
    assert_eq!(whole["choices"][0]["message"]["reasoning_content"], "the secret thought");
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().expect("tokens").clone();
    assert_eq!(String::from_utf8_lossy(&bytes_of(&tokens)), content(&whole));
    let mut streamed = Vec::new();
    for chunk in chunks(&node, CHAT, asked) {
        let choice = &chunk["choices"][0];
        let tokens = choice["logprobs"]["content"].as_array().cloned().unwrap_or_default();
        let said = choice["delta"]["content"].as_str().unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&bytes_of(&tokens)), said);
        streamed.extend(tokens);
    }
    assert_eq!(streamed, tokens);
}

#[test]
fn a_schema_that_can_not_be_followed_is_refused_with_its_place() {
    let node = Node::serve(&[]);
    let schema = json!({"type": "object", "properties": {"a": {"not": {}}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let function = json!({"name": "f", "parameters": schema});
    let tools = json!([{"type": "function", "function": function}]);
    let cases = [
        (json!({"response_format": format}), "response_format.json_schema.schema.properties.a"),
        (
            json!({"tools": tools, "tool_choice": "required"}),
            "tools[0].function.parameters.properties.a",
        ),
        (
            json!({"functions": [function], "function_call": {"name": "f"}}),
            "functions[0].parameters.properties.a",
        ),
    ];
    for (more, param) in cases {
        for stream in [false, true] {
            let mut body = chat(more.clone());
            body["stream"] = stream.into();
            let refused = post(node.http(), CHAT, &body);
            let error = refused.json()["error"].clone();
            assert_eq!((refused.status, &error["param"]), (400, &json!(param)), "{error}");
            assert!(text(&error["message"]).contains("\"not\""), "{error}");
        }
    }
    let free = chat(json!({"tools": tools, "max_tokens": 2}));
    assert_eq!(post(node.http(), CHAT, &free).status, 200);
}

#[test]
fn several_answers_share_a_prompt_and_a_seed_gives_them_again() {
    let node = Node::serve(&[]);
    let hot = json!({"temperature": 1.5, "seed": 7, "max_tokens": 12, "n": 2});
    let (first, second) =
        (answer(&node, CHAT, &chat(hot.clone())), answer(&node, CHAT, &chat(hot)));
    assert_eq!(first["choices"], second["choices"]);
    let choices = first["choices"].as_array().expect("choices");
    assert_eq!((choices.len(), &choices[1]["index"]), (2, &json!(1)));
    assert_ne!(choices[0]["message"], choices[1]["message"]);
    let one = answer(&node, CHAT, &chat(json!({"temperature": 1.5, "seed": 7, "max_tokens": 12})));
    assert_eq!(one["choices"][0]["message"], choices[0]["message"]);
    assert_eq!(first["usage"]["prompt_tokens"], one["usage"]["prompt_tokens"]);
    assert!(
        first["usage"]["completion_tokens"].as_u64() > one["usage"]["completion_tokens"].as_u64()
    );
    assert_eq!(first["system_fingerprint"], one["system_fingerprint"]);
}

#[test]
fn a_stop_text_that_straddles_tokens_is_never_shown() {
    let node = Node::serve(&[]);
    let whole = answer(&node, CHAT, &chat(json!({"logprobs": true})));
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().expect("tokens");
    let tokens: Vec<String> = tokens.iter().map(|token| text(&token["token"])).collect();
    let stop = tokens.windows(2).skip(1).find_map(|pair| {
        let (end, begin) = (pair[0].chars().last()?, pair[1].chars().next()?);
        let stop = format!("{end}{begin}");
        // It must not be in one token already.
        let straddles = !tokens.iter().any(|token| token.contains(&stop));
        (straddles && stop.is_ascii()).then_some(stop)
    });
    let stop = stop.expect("a border between tokens");
    let before = content(&whole).split(&stop).next().expect("text before it").to_owned();
    let stopped = answer(&node, CHAT, &chat(json!({"stop": [stop, "never"]})));
    assert_eq!(content(&stopped), before);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let streamed: String = chunks(&node, CHAT, chat(json!({"stop": stop})))
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(streamed, before);
}

#[test]
fn a_banned_token_is_not_chosen() {
    let node = Node::serve(&[]);
    let free = answer(&node, CHAT, &chat(json!({})));
    let token = free["swarmllm"]["token_ids"][0].clone();
    let bias = json!({token.to_string(): -100});
    let banned = answer(&node, CHAT, &chat(json!({"logit_bias": bias, "max_tokens": 20})));
    let tokens = banned["swarmllm"]["token_ids"].as_array().expect("ids");
    assert!(!tokens.contains(&token), "{token} in {tokens:?}");
}

#[test]
fn an_answer_follows_the_schema_it_was_promised_in() {
    let node = Node::serve(&[]);
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"enum": ["ann", "bob"]},
            "age": {"type": "integer", "minimum": 0, "maximum": 99},
        },
        "required": ["name", "age"],
        "additionalProperties": false,
    });
    let named = json!({"name": "person", "strict": true, "schema": schema});
    let format = json!({"type": "json_schema", "json_schema": named});
    for temperature in [0.0, 1.0] {
        let more = json!({"response_format": format, "temperature": temperature, "seed": 3});
        let answer = answer(&node, CHAT, &chat(more));
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        let person: Value = serde_json::from_str(content(&answer)).expect("JSON");
        assert!(["ann", "bob"].contains(&person["name"].as_str().expect("a name")), "{person}");
        assert!(person["age"].as_u64().is_some_and(|age| age <= 99), "{person}");
        assert_eq!(person.as_object().map(serde_json::Map::len), Some(2));
    }
    let odd = json!({"name": "x", "schema": {"type": "object", "unevaluatedProperties": {"a": 1}}});
    let odd = json!({"response_format": {"type": "json_schema", "json_schema": odd}});
    for stream in [false, true] {
        let mut body = chat(odd.clone());
        body["stream"] = stream.into();
        let refused = post(node.http(), CHAT, &body);
        assert_eq!(refused.status, 400, "{refused:?}");
        let error = refused.json()["error"].clone();
        assert!(text(&error["message"]).contains("unevaluatedProperties"), "{error}");
    }
}

fn weather() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"enum": ["Bern", "Rome"]}},
        "required": ["city"],
        "additionalProperties": false,
    });
    json!({"name": "weather", "description": "The weather.", "parameters": parameters})
}

fn with_tools(more: Value) -> Value {
    let other = json!({"name": "now", "parameters": {"type": "object", "properties": {}}});
    let tool = |function: Value| json!({"type": "function", "function": function});
    let mut body =
        chat(json!({"tools": [tool(weather()), tool(other)], "parallel_tool_calls": false}));
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

fn city_of(arguments: &Value) -> String {
    let arguments: Value = serde_json::from_str(&text(arguments)).expect("JSON");
    let city = text(&arguments["city"]);
    assert!(["Bern", "Rome"].contains(&city.as_str()), "{arguments}");
    city
}

#[test]
fn a_forced_call_is_valid_whole_and_in_a_stream() {
    let node = Node::serve(&[]);
    let named = json!({"type": "function", "function": {"name": "weather"}});
    let whole = answer(&node, CHAT, &with_tools(json!({"tool_choice": named})));
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{whole}");
    assert_eq!(choice["message"]["content"], Value::Null);
    let calls = choice["message"]["tool_calls"].as_array().expect("calls");
    assert_eq!((calls.len(), &calls[0]["type"]), (1, &json!("function")));
    assert_eq!(calls[0]["function"]["name"], "weather");
    let city = city_of(&calls[0]["function"]["arguments"]);

    let chunks = chunks(&node, CHAT, with_tools(json!({"tool_choice": named})));
    let deltas: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0))
        .collect();
    assert_eq!(
        (&deltas[0]["index"], &deltas[0]["function"]["name"]),
        (&json!(0), &json!("weather"))
    );
    assert!(deltas[1..].iter().all(|delta| delta.get("id").is_none()), "{deltas:?}");
    let arguments: String =
        deltas.iter().map(|delta| text(&delta["function"]["arguments"])).collect();
    assert_eq!(city_of(&arguments.into()), city);
    assert_eq!(
        chunks.last().map(|last| &last["choices"][0]["finish_reason"]),
        Some(&json!("tool_calls"))
    );

    let required = answer(&node, CHAT, &with_tools(json!({"tool_choice": "required"})));
    let calls = required["choices"][0]["message"]["tool_calls"].as_array().expect("calls").clone();
    assert!(["weather", "now"].contains(&text(&calls[0]["function"]["name"]).as_str()));
    // What was called goes back as clients send it, with its answer.
    let messages = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "tool_calls": calls},
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "sunny"},
    ]);
    let none = with_tools(json!({"messages": messages, "tool_choice": "none", "max_tokens": 4}));
    let none = answer(&node, CHAT, &none);
    assert_eq!(none["choices"][0]["message"].get("tool_calls"), None);
}

#[test]
fn old_functions_are_answered_in_their_own_form() {
    let node = Node::serve(&[]);
    let named = json!({"functions": [weather()], "function_call": {"name": "weather"}});
    let whole = answer(&node, CHAT, &chat(named));
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "function_call", "{whole}");
    assert_eq!(choice["message"]["function_call"]["name"], "weather");
    city_of(&choice["message"]["function_call"]["arguments"]);
}

#[test]
fn a_continued_message_goes_on_behind_its_text() {
    let node = Node::serve(&[]);
    let whole = answer(&node, CHAT, &chat(json!({})));
    let said = content(&whole);
    let half = said.char_indices().find(|(at, c)| *at > said.len() / 2 && *c == ' ');
    let (begin, rest) = said.split_at(half.expect("a space").0);
    let messages = json!([
        {"role": "user", "content": "What is SwarmLLM?"},
        {"role": "assistant", "content": begin},
    ]);
    let more = json!({"messages": messages, "continue_final_message": true});
    assert_eq!(content(&answer(&node, CHAT, &chat(more))), rest);
}

#[test]
fn completions_go_on_whole_and_as_a_stream() {
    let node = Node::serve(&[]);
    let whole = answer(&node, COMPLETIONS, &completion(json!({"logprobs": 2, "max_tokens": 10})));
    assert_eq!(whole["object"], "text_completion");
    assert!(text(&whole["id"]).starts_with("cmpl-"));
    let choice = &whole["choices"][0];
    assert_eq!(
        (&whole["usage"]["completion_tokens"], &choice["finish_reason"]),
        (&json!(10), &json!("length"))
    );
    let logprobs = &choice["logprobs"];
    let tokens: String = logprobs["tokens"].as_array().expect("tokens").iter().map(text).collect();
    assert_eq!(tokens.trim_start(), text(&choice["text"]).trim_start());
    for column in ["token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(logprobs[column].as_array().map(Vec::len), Some(10), "{column}");
    }
    let best = logprobs["top_logprobs"][0].as_object().expect("a map");
    assert_eq!(best[&text(&logprobs["tokens"][0])], logprobs["token_logprobs"][0]);

    let options = json!({"include_usage": true});
    let options = json!({"logprobs": 2, "max_tokens": 10, "stream_options": options});
    let chunks = chunks(&node, COMPLETIONS, completion(options));
    let (last, pieces) = chunks.split_last().expect("chunks");
    assert_eq!((&last["usage"], &last["choices"]), (&whole["usage"], &json!([])));
    let streamed: String = pieces.iter().map(|chunk| text(&chunk["choices"][0]["text"])).collect();
    assert_eq!(streamed, text(&choice["text"]));
    let offsets: Vec<Value> = pieces
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["text_offset"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(Value::from(offsets), logprobs["text_offset"]);
}

#[test]
fn completions_take_all_forms_of_prompts_and_echo_them() {
    let node = Node::serve(&[]);
    let plain = answer(&node, COMPLETIONS, &completion(json!({"max_tokens": 8})));
    let echo = answer(&node, COMPLETIONS, &completion(json!({"max_tokens": 8, "echo": true})));
    let goes_on = text(&plain["choices"][0]["text"]);
    assert_eq!(text(&echo["choices"][0]["text"]), format!("A swarm is{goes_on}"));
    let streamed: String =
        chunks(&node, COMPLETIONS, completion(json!({"max_tokens": 8, "echo": true})))
            .iter()
            .map(|chunk| text(&chunk["choices"][0]["text"]))
            .collect();
    assert_eq!(streamed, text(&echo["choices"][0]["text"]));

    let more = json!({"max_tokens": 8, "echo": true, "logprobs": 1});
    let likely = answer(&node, COMPLETIONS, &completion(more))["choices"][0].clone();
    let columns = &likely["logprobs"];
    let tokens: String = columns["tokens"].as_array().expect("tokens").iter().map(text).collect();
    assert!(tokens.starts_with(&text(&likely["text"])), "{likely}");
    assert_eq!(columns["token_logprobs"][0], Value::Null);
    assert!(columns["token_logprobs"].as_array().is_some_and(|all| all.iter().any(Value::is_f64)));

    let ids = plain["swarmllm"]["token_ids"].clone();
    let prompts = json!(["A swarm is", "Once upon"]);
    let two = completion(json!({"prompt": prompts, "n": 2, "max_tokens": 8}));
    let two = answer(&node, COMPLETIONS, &two);
    let choices = two["choices"].as_array().expect("choices");
    assert_eq!(choices.len(), 4);
    assert_eq!((&choices[0]["text"], &choices[1]["text"]), (&json!(goes_on), &json!(goes_on)));
    assert_eq!((&choices[2]["index"], &choices[2]["text"]), (&json!(2), &choices[3]["text"]));
    assert_ne!(choices[2]["text"], choices[0]["text"]);

    let by_ids = completion(json!({"prompt": ids, "max_tokens": 1, "echo": true}));
    let by_ids = answer(&node, COMPLETIONS, &by_ids);
    let shown = text(&by_ids["choices"][0]["text"]);
    assert!(shown.trim_start().starts_with(goes_on.trim()), "{goes_on:?} {shown:?}");
    let lists = completion(json!({"prompt": [ids, [5, 6]], "max_tokens": 1}));
    let lists = answer(&node, COMPLETIONS, &lists);
    assert_eq!(lists["usage"]["prompt_tokens"], 8 + 2);
}

#[test]
fn a_prompt_is_scored_as_its_tokens_were_when_they_were_sampled() {
    let node = Node::serve(&[]);
    let said = completion(json!({"max_tokens": 24, "logprobs": 2, "temperature": 0}));
    let said = answer(&node, COMPLETIONS, &said);
    let prompt = text(&said["choices"][0]["text"]);
    let begun = answer(&node, "/tokenize", &json!({"model": "demo", "content": "A swarm is"}));
    let mut ids = begun["tokens"].as_array().expect("ids").clone();
    let n_begun = ids.len();
    ids.extend(said["swarmllm"]["token_ids"].as_array().expect("ids").iter().cloned());
    let only = json!({"prompt": ids, "echo": true, "logprobs": 2, "max_tokens": 0});
    let echoed = answer(&node, COMPLETIONS, &completion(only));
    let (choice, columns) = (&echoed["choices"][0], &echoed["choices"][0]["logprobs"]);
    assert!(text(&choice["text"]).contains(prompt.trim()), "{echoed}");
    assert_eq!(
        (&choice["finish_reason"], &echoed["usage"]["completion_tokens"]),
        (&json!("length"), &json!(0))
    );
    for (column, first) in [("token_logprobs", json!(null)), ("top_logprobs", json!(null))] {
        let (of_prompt, of_answer) = (&columns[column], &said["choices"][0]["logprobs"][column]);
        let of_prompt = of_prompt.as_array().expect("a column");
        let of_answer = of_answer.as_array().expect("a column");
        assert_eq!((of_prompt.len(), &of_prompt[0]), (ids.len(), &first));
        assert_eq!(of_prompt[n_begun..][..of_answer.len()], of_answer[..], "{column}");
    }
    let unsaid = json!({"prompt": ids, "max_tokens": 0});
    assert_eq!(post(node.http(), COMPLETIONS, &completion(unsaid)).status, 400);
}

#[test]
fn the_best_of_several_completions_is_told() {
    let node = Node::serve(&[]);
    let warm = |more: Value| {
        let mut body = completion(json!({"temperature": 1, "seed": 4, "max_tokens": 6}));
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        answer(&node, COMPLETIONS, &body)
    };
    let all = warm(json!({"n": 4, "logprobs": 0}));
    let mean = |choice: &Value| {
        let tokens = choice["logprobs"]["token_logprobs"].as_array().expect("tokens").clone();
        let sum: f64 = tokens.iter().map(|token| token.as_f64().expect("a number")).sum();
        sum / tokens.len().max(1) as f64
    };
    let choices = all["choices"].as_array().expect("choices");
    let likeliest = choices.iter().max_by(|a, b| mean(a).total_cmp(&mean(b))).expect("one");
    let best = warm(json!({"best_of": 4}));
    assert_eq!(best["choices"].as_array().map(Vec::len), Some(1));
    assert_eq!(best["choices"][0]["text"], likeliest["text"]);
    assert_eq!(best["choices"][0]["logprobs"], Value::Null);
    assert_eq!(best["usage"], all["usage"]);
}

#[test]
fn what_a_completion_can_not_be_is_refused() {
    let node = Node::serve(&[]);
    let long = "hello ".repeat(2_000);
    let cases = [
        (json!({"prompt": long}), "prompt", json!("context_length_exceeded")),
        (json!({"prompt": [4_000_000_000_u32]}), "prompt", Value::Null),
        (json!({"suffix": "the end"}), "suffix", Value::Null),
        (json!({"prompt": {"a": 1}}), "prompt", Value::Null),
        (json!({"best_of": 2, "stream": true}), "best_of", Value::Null),
        (json!({"best_of": 1, "n": 2}), "best_of", Value::Null),
        (json!({"model": "other"}), "model", json!("model_not_found")),
    ];
    for (more, param, code) in cases {
        let refused = post(node.http(), COMPLETIONS, &completion(more));
        let status = if code == "model_not_found" { 404 } else { 400 };
        let error = refused.json()["error"].clone();
        assert_eq!((refused.status, &error["code"]), (status, &code), "{error}");
        assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{error}");
        assert!(refused.headers.contains("x-should-retry: false"), "{}", refused.headers);
    }
    assert_eq!(get(node.http(), COMPLETIONS).status, 405);
    assert_eq!(get(node.http(), EMBEDDINGS).status, 405);
}

#[test]
fn embeddings_are_the_same_as_numbers_and_as_bytes() {
    let node = Node::serve(&[]);
    let embed = |more: Value| {
        let mut body = json!({"model": "demo", "input": ["A swarm.", "A bee."]});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        answer(&node, EMBEDDINGS, &body)
    };
    let floats = embed(json!({}));
    assert_eq!((&floats["object"], &floats["data"][1]["index"]), (&json!("list"), &json!(1)));
    assert_eq!(floats["usage"]["prompt_tokens"], floats["usage"]["total_tokens"]);
    let bytes = embed(json!({"encoding_format": "base64"}));
    let vector = |i: usize| -> Vec<f32> {
        serde_json::from_value(floats["data"][i]["embedding"].clone()).expect("numbers")
    };
    for i in 0..2 {
        let encoded: Vec<u8> = vector(i).iter().flat_map(|value| value.to_le_bytes()).collect();
        let encoded = data_encoding::BASE64.encode(&encoded);
        assert_eq!(bytes["data"][i]["embedding"], encoded);
        let length: f32 = vector(i).iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-3, "{length}");
    }
    assert_ne!(vector(0), vector(1));
    let short = embed(json!({"dimensions": 8, "input": "A swarm."}));
    let short: Vec<f32> =
        serde_json::from_value(short["data"][0]["embedding"].clone()).expect("numbers");
    let length: f32 = short.iter().map(|value| value * value).sum();
    assert!(short.len() == 8 && (length - 1.0).abs() < 1e-3, "{short:?}");
    let same = |a: f32, b: f32| (a / short[0] - b / vector(0)[0]).abs() < 1e-3;
    assert!(short.iter().zip(vector(0)).all(|(a, b)| same(*a, b)), "{short:?}");

    let body = json!({"model": "demo", "input": "a", "dimensions": 1_000_000});
    let longer = post(node.http(), EMBEDDINGS, &body);
    assert_eq!((longer.status, &longer.json()["error"]["param"]), (400, &json!("dimensions")));
    let long = json!({"model": "demo", "input": "hello ".repeat(2_000)});
    let long = post(node.http(), EMBEDDINGS, &long);
    assert_eq!((long.status, &long.json()["error"]["param"]), (400, &json!("input")));
    let (_folder, scripted) = dialogue();
    let no_vectors = json!({"model": "dialogue", "input": "a"});
    assert_eq!(post(scripted.http(), EMBEDDINGS, &no_vectors).status, 400);
    let unknown = post(node.http(), EMBEDDINGS, &json!({"model": "demo", "input": [4_000_000]}));
    assert_eq!((unknown.status, &unknown.json()["error"]["param"]), (400, &json!("input")));
}

#[test]
fn models_are_told_in_the_dialect_that_asks() {
    let node = Node::serve(&[]);
    let meta = get(node.http(), "/v1/models/demo").json()["meta"].clone();
    assert_eq!(meta["n_vocab"], 4096);
    assert!(meta["n_params"].as_u64() > Some(100_000), "{meta}");
    assert!(meta["size"].as_u64().is_some() && meta["quantization"].is_string(), "{meta}");
    let anthropic = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nanthropic-version: 2023-06-01");
        request(node.http(), &head, "")
    };
    let list = anthropic("/v1/models").json();
    assert_eq!((&list["data"][0]["type"], &list["first_id"]), (&json!("model"), &json!("demo")));
    assert_eq!(anthropic("/v1/models/demo").json(), list["data"][0]);
    let missing = anthropic("/v1/models/owner%2Frepo:Q4_K_M");
    assert_eq!((missing.status, &missing.json()["type"]), (404, &json!("error")));
    let message = text(&missing.json()["error"]["message"]);
    assert!(message.contains("owner/repo:Q4_K_M"), "{message}");
}

#[test]
fn every_answer_says_how_long_it_took() {
    let node = Node::serve(&[]);
    let done = post(node.http(), CHAT, &chat(json!({"max_tokens": 2})));
    assert!(done.headers.contains("openai-processing-ms: "), "{}", done.headers);
    let usage = done.json()["usage"].clone();
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 0);
    assert_eq!(usage["completion_tokens_details"]["accepted_prediction_tokens"], 0);
    assert!(usage["prompt_tokens_details"]["cached_tokens"].is_u64(), "{usage}");
    let long = chat(json!({"messages": [{"role": "user", "content": "A swarm. ".repeat(50)}]}));
    let whole = answer(&node, CHAT, &long);
    let (usage, timings) = (&whole["usage"], &whole["timings"]);
    assert!(usage["prompt_tokens_details"]["cache_write_tokens"].as_u64() > Some(0), "{usage}");
    assert_eq!(timings["predicted_n"], usage["completion_tokens"]);
    assert_eq!(timings["prompt_n"], usage["prompt_tokens"]);
    let streamed = chunks(&node, CHAT, long);
    let timings = &streamed.last().expect("a chunk")["timings"];
    // Now its pages are known.
    assert!(timings["cache_n"].as_u64() > Some(0), "{timings}");
}

#[test]
fn hostile_bodies_are_the_caller_s_mistake() {
    let node = Node::serve(&[]);
    let deep = format!("{{\"model\":\"demo\",\"messages\":{}", "[".repeat(100_000));
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let bodies = [
        deep,
        format!(
            "{{\"model\":\"demo\",\"messages\":{nested},\"prompt\":{nested},\"input\":{nested}}}"
        ),
        "{\"model\":\"demo\",\"messages\":[null],\"prompt\":null,\"input\":null}".to_owned(),
        "{\"model\":\"demo\",\"messages\":[{}],\"prompt\":[[]],\"input\":[[]]}".to_owned(),
        "[]".to_owned(),
        "\u{0}".to_owned(),
    ];
    for path in [CHAT, COMPLETIONS, EMBEDDINGS] {
        for body in &bodies {
            let answer = request(node.http(), &format!("POST {path} HTTP/1.1"), body);
            let kind = answer.json()["error"]["type"].clone();
            assert_eq!((answer.status, kind), (400, json!("invalid_request_error")), "{path}");
        }
    }
    assert_eq!(post(node.http(), CHAT, &chat(json!({"max_tokens": 1}))).status, 200);
}
