//! Answers that were asked for with `store`: kept for `previous_response_id` and for being fetched.
//!
//! One for all workers of the HTTP server. In memory, so a restart forgets them; at most 1024
//! responses and 64 MiB of JSON text, oldest out; one that is larger than all of that is not kept.
//! Each is counted with the whole conversation it holds, although responses that continue each
//! other share the texts of their items. Ids are random, and who knows one may read it.
//! Errors: none but those of a wrong query.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::input;
use crate::http::errors::ApiError;

/// Most responses.
const RESPONSES_MAX: usize = 1024;
/// Most bytes of all of them.
const BYTES_MAX: usize = 64 << 20;
/// Counted for every text beside its bytes.
const OVERHEAD_BYTES: usize = 64;
/// Items of a page when nothing is said, and at most.
const PAGE: usize = 20;
const PAGE_MAX: usize = 100;

/// An input item as JSON text, so that its bytes are what it takes.
pub(super) type Item = Arc<str>;

/// Responses by their ids.
#[derive(Debug, Clone, Default)]
pub struct ResponseStore {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    responses: HashMap<String, Response>,
    /// Ids, oldest first.
    order: VecDeque<String>,
    bytes: usize,
}

#[derive(Debug)]
struct Response {
    text: Arc<str>,
    /// What the model read, the conversation before included.
    input: Vec<Item>,
    /// What it answered, as input of the next.
    output: Vec<Item>,
    bytes: usize,
}

impl ResponseStore {
    /// Keeps a finished response; the oldest go when there is no room.
    pub(super) fn insert(&self, id: &str, response: &Value, input: Vec<Item>) {
        let output = response["output"].as_array().map_or(&[][..], Vec::as_slice);
        let output: Vec<Item> =
            output.iter().map(|item| input::remembered(item).to_string().into()).collect();
        let text: Arc<str> = response.to_string().into();
        let texts = input.iter().chain(&output).chain([&text]);
        let bytes = texts.map(|text| text.len() + OVERHEAD_BYTES).sum();
        if bytes > BYTES_MAX {
            tracing::debug!(bytes, "a response is too large to be kept");
            return;
        }
        let mut kept = self.lock();
        while kept.order.len() >= RESPONSES_MAX || kept.bytes + bytes > BYTES_MAX {
            let Some(oldest) = kept.order.front().cloned() else { break };
            kept.remove(&oldest);
        }
        kept.bytes += bytes;
        kept.order.push_back(id.to_owned());
        kept.responses.insert(id.to_owned(), Response { text, input, output, bytes });
    }

    /// A response as JSON text.
    pub(super) fn response(&self, id: &str) -> Option<Arc<str>> {
        self.lock().responses.get(id).map(|response| Arc::clone(&response.text))
    }

    /// What its model read.
    pub(super) fn input(&self, id: &str) -> Option<Vec<Item>> {
        self.lock().responses.get(id).map(|response| response.input.clone())
    }

    /// The conversation up to its end.
    pub(super) fn history(&self, id: &str) -> Option<Vec<Item>> {
        let kept = self.lock();
        let response = kept.responses.get(id)?;
        Some(response.input.iter().chain(&response.output).cloned().collect())
    }

    /// An item of an answer by its own id, which tells the response and the item's number.
    pub(super) fn output_item(&self, id: &str) -> Option<Value> {
        let (_, place) = id.split_once('_')?;
        let (suffix, number) = place.rsplit_once('o')?;
        let kept = self.lock();
        let response = kept.responses.get(&format!("resp_{suffix}"))?;
        let item = Arc::clone(response.output.get(number.parse::<usize>().ok()?)?);
        drop(kept);
        let item: Value = serde_json::from_str(&item).ok()?;
        (item["id"] == id).then_some(item)
    }

    /// Forgets one; false when it was not there.
    pub(super) fn remove(&self, id: &str) -> bool {
        self.lock().remove(id)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, id: &str) -> bool {
        let Some(response) = self.responses.remove(id) else { return false };
        self.bytes -= response.bytes;
        self.order.retain(|kept| kept != id);
        true
    }
}

/// A page of input items, as `limit`, `order` and `after` ask for it.
pub(super) fn page(items: &[Item], query: &HashMap<String, String>) -> Result<Value, ApiError> {
    let wrong =
        |what: &str, param| Err(ApiError::invalid(format!("`{param}` {what}"), Some(param)));
    let limit = match query.get("limit").map(|limit| limit.parse()) {
        None => PAGE,
        Some(Ok(limit @ 1..=PAGE_MAX)) => limit,
        Some(_) => return wrong(&format!("must be from 1 to {PAGE_MAX}"), "limit"),
    };
    let mut items: Vec<Value> =
        items.iter().filter_map(|item| serde_json::from_str(item).ok()).collect();
    match query.get("order").map(String::as_str) {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(_) => return wrong("must be `asc` or `desc`", "order"),
    }
    if let Some(after) = query.get("after") {
        match items.iter().position(|item| item["id"] == after.as_str()) {
            Some(at) => drop(items.drain(..=at)),
            None => return wrong("is none of the items' ids", "after"),
        }
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let id = |item: Option<&Value>| item.map_or(json!(""), |item| item["id"].clone());
    Ok(json!({
        "object": "list",
        "first_id": id(items.first()),
        "last_id": id(items.last()),
        "has_more": has_more,
        "data": items,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(text: &str) -> Value {
        json!({"id": "r", "output": [{"type": "message", "id": "msg_o", "text": text}]})
    }

    fn items(n: usize) -> Vec<Item> {
        (0..n).map(|i| json!({"id": format!("msg_{i}")}).to_string().into()).collect()
    }

    #[test]
    fn what_was_kept_is_found_continued_and_forgotten() {
        let store = ResponseStore::default();
        store.clone().insert("r1", &response("a"), items(2));
        assert_eq!(store.response("r1").expect("kept").as_ref(), response("a").to_string());
        assert_eq!(store.input("r1").expect("kept").len(), 2);
        let history = store.history("r1").expect("kept");
        assert!(history[2].contains("msg_o"), "{history:?}");
        assert!(store.remove("r1") && !store.remove("r1"));
        assert!(store.response("r1").is_none() && store.history("r1").is_none());
        assert_eq!(store.lock().bytes, 0);
    }

    #[test]
    fn the_oldest_go_first_by_count_and_by_bytes() {
        let store = ResponseStore::default();
        for i in 0..RESPONSES_MAX + 2 {
            store.insert(&i.to_string(), &response("a"), Vec::new());
        }
        assert!(store.response("1").is_none() && store.response("2").is_some());
        let half = "x".repeat(BYTES_MAX * 2 / 5);
        let large: Item = half.into();
        for id in ["a", "b", "c"] {
            store.insert(id, &json!({"output": []}), vec![Arc::clone(&large)]);
        }
        assert!(store.response("2").is_none() && store.response("a").is_none());
        assert!(store.response("b").is_some() && store.response("c").is_some());
        store.insert("d", &json!({"output": []}), vec![large; 3]);
        assert!(store.response("d").is_none() && store.response("c").is_some());
        assert!(store.lock().bytes <= BYTES_MAX);
    }

    fn paged(pairs: &[(&str, &str)]) -> Result<Value, ApiError> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        page(&items(5), &pairs.iter().map(pair).collect())
    }

    #[test]
    fn pages_follow_each_other_in_either_order() {
        let all = paged(&[]).expect("valid");
        let first_and_last = (&all["first_id"], &all["last_id"]);
        assert_eq!(first_and_last, (&json!("msg_4"), &json!("msg_0")));
        assert_eq!(all["has_more"], false);
        let two = paged(&[("order", "asc"), ("limit", "2")]).expect("valid");
        assert_eq!((&two["last_id"], &two["has_more"]), (&json!("msg_1"), &json!(true)));
        let rest = paged(&[("order", "asc"), ("limit", "3"), ("after", "msg_1")]).expect("valid");
        assert_eq!((&rest["first_id"], &rest["has_more"]), (&json!("msg_2"), &json!(false)));
        let none = paged(&[("after", "msg_0")]).expect("valid");
        assert_eq!(none["data"], json!([]));
    }

    #[test]
    fn a_wrong_query_is_told() {
        for (name, value) in
            [("limit", "0"), ("limit", "101"), ("limit", "x"), ("order", "up"), ("after", "y")]
        {
            assert_eq!(paged(&[(name, value)]).expect_err("refused").param.as_deref(), Some(name));
        }
    }
}
