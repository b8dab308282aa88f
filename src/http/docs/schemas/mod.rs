//! The shapes of bodies, for the documentation: the fields that matter, with their types.
//!
//! Read by `operations.rs` through their schemas; nothing is made of these types. Handlers read
//! bodies field by field, so that a mistake is named; more fields are read than are listed here.
#![allow(dead_code, reason = "only the derived schemas are used")]

pub(super) mod anthropic;
pub(super) mod mcp;
pub(super) mod node;
pub(super) mod ollama;
pub(super) mod openai;
pub(super) mod responses;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A text or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(in super::super) enum TextOrTexts {
    One(String),
    Several(Vec<String>),
}

/// A text, or objects that it consists of.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(in super::super) enum TextOrObjects {
    Text(String),
    Objects(Vec<BTreeMap<String, Value>>),
}

/// A text, several, or the same as token ids.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(in super::super) enum TextsOrTokens {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    SeveralTokens(Vec<Vec<u32>>),
}
