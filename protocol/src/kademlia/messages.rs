//! What nodes of the table ask each other, and how it becomes one datagram.
//!
//! Every request and every answer fits [`DHT_MESSAGE_MAX_BYTES`], so nothing is ever split. Sealing
//! to the recipient's key is `dht_datagram`'s.
//! Layout of a request: flags `u8` (bit 0: the asker names itself) | peer 32 if so | tag `u8` |
//! fields. Of a response: address the asker was seen at | tag `u8` | fields. Keys 32, tokens 16,
//! counts `u8`, other numbers `u16` LE, records with a length `u16` LE.
//! Errors: [`MessageError`]; every count is held against its bound before anything is read, and
//! nothing may follow. Absent on purpose: signatures; only records are signed.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{
    address::{self, take},
    ids::PeerId,
    kademlia::{contact::Contact, key::DhtKey, record::PROVIDER_RECORD_MAX_BYTES},
    limits::{DHT_CONTACTS_MAX, DHT_MESSAGE_MAX_BYTES},
};

/// Bytes of a write token.
pub const TOKEN_BYTES: usize = 16;

/// Proof that somebody asked from an address a while ago, which a write from there must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriteToken(pub [u8; TOKEN_BYTES]);

/// Bytes that are no message, or a message too long for a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes that are no {what} of the table, or more than {DHT_MESSAGE_MAX_BYTES}")]
pub struct MessageError {
    /// Which kind was expected.
    pub what: &'static str,
    /// How many bytes.
    pub length: usize,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks, if it takes questions at the address it asks from. A node behind a NAT, and one
    /// that does not want to be known, says nothing.
    pub server: Option<PeerId>,
    /// What it asks.
    pub question: Question,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Are you there?
    Ping,
    /// Who is near this point?
    FindNode {
        /// The point.
        key: DhtKey,
    },
    /// Who provides this, and who is near it?
    FindProviders {
        /// What.
        key: DhtKey,
        /// How many records to leave out, because an earlier answer had them. With any left out
        /// the answer brings no contacts.
        skip: u16,
    },
    /// Keep this record.
    Store {
        /// Where it belongs.
        key: DhtKey,
        /// From an answer to a question about the same key.
        token: WriteToken,
        /// The signed record.
        record: Bytes,
    },
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Where the question came from, as the one who answers saw it.
    pub observed: SocketAddr,
    /// What it answers.
    pub answer: Answer,
}

/// What can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Here.
    Pong,
    /// To `FindNode`: the nearest nodes that answered the one who answers.
    Nodes {
        /// To store something at the point that was asked for.
        token: WriteToken,
        /// At most [`DHT_CONTACTS_MAX`], nearest first.
        contacts: Vec<Contact>,
    },
    /// To `FindProviders`: as many records as fit, of many different places, then near nodes.
    Providers {
        /// To store something at the point that was asked for.
        token: WriteToken,
        /// How many records there are; more can be had by leaving these out.
        total: u16,
        /// Signed records, not checked.
        records: Vec<Bytes>,
        /// At most [`DHT_CONTACTS_MAX`], nearest first.
        contacts: Vec<Contact>,
    },
    /// To `Store`: kept.
    Stored,
    /// To `Store`: not kept.
    Refused {
        /// Why.
        reason: RefusalReason,
    },
}

/// Why a record was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The token is too old or of another address or key: ask again and use the new one.
    Token,
    /// The record is none, forged, expired, or of another key.
    Record,
    /// A newer record of the same peer is kept.
    Older,
    /// Its peer or its corner of the network has its share already, or there is no room.
    Quota,
    /// The key is far from the one who was asked.
    NotNear,
}

impl Request {
    /// The message.
    ///
    /// # Errors
    /// When it is longer than a datagram.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        let mut out = vec![u8::from(self.server.is_some())];
        if let Some(peer) = &self.server {
            out.extend_from_slice(peer.as_bytes());
        }
        match &self.question {
            Question::Ping => out.push(0),
            Question::FindNode { key } => {
                out.push(1);
                out.extend_from_slice(&key.0);
            }
            Question::FindProviders { key, skip } => {
                out.push(2);
                out.extend_from_slice(&key.0);
                out.extend_from_slice(&skip.to_le_bytes());
            }
            Question::Store { key, token, record } => {
                out.push(3);
                out.extend_from_slice(&key.0);
                out.extend_from_slice(&token.0);
                write_record(record, &mut out)?;
            }
        }
        bounded("request", out)
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        decode_all("request", bytes, read_request)
    }
}

impl Response {
    /// The message.
    ///
    /// # Errors
    /// When it is longer than a datagram.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        let mut out = Vec::with_capacity(DHT_MESSAGE_MAX_BYTES);
        address::write(&self.observed, &mut out);
        match &self.answer {
            Answer::Pong => out.push(0),
            Answer::Nodes { token, contacts } => {
                out.push(1);
                out.extend_from_slice(&token.0);
                write_contacts(contacts, &mut out)?;
            }
            Answer::Providers { token, total, records, contacts } => {
                out.push(2);
                out.extend_from_slice(&token.0);
                out.extend_from_slice(&total.to_le_bytes());
                out.push(count("response", records.len())?);
                for record in records {
                    write_record(record, &mut out)?;
                }
                write_contacts(contacts, &mut out)?;
            }
            Answer::Stored => out.push(3),
            Answer::Refused { reason } => out.extend_from_slice(&[4, *reason as u8]),
        }
        bounded("response", out)
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        decode_all("response", bytes, read_response)
    }
}

fn bounded(what: &'static str, out: Vec<u8>) -> Result<Vec<u8>, MessageError> {
    match out.len() {
        length if length > DHT_MESSAGE_MAX_BYTES => Err(MessageError { what, length }),
        _ => Ok(out),
    }
}

fn count(what: &'static str, length: usize) -> Result<u8, MessageError> {
    u8::try_from(length).map_err(|_| MessageError { what, length })
}

fn write_record(record: &Bytes, out: &mut Vec<u8>) -> Result<(), MessageError> {
    let length = record.len();
    if length > PROVIDER_RECORD_MAX_BYTES {
        return Err(MessageError { what: "record", length });
    }
    out.extend_from_slice(&(length as u16).to_le_bytes());
    out.extend_from_slice(record);
    Ok(())
}

fn write_contacts(contacts: &[Contact], out: &mut Vec<u8>) -> Result<(), MessageError> {
    out.push(count("response", contacts.len())?);
    contacts.iter().for_each(|contact| contact.write(out));
    Ok(())
}

fn decode_all<T>(
    what: &'static str,
    bytes: &[u8],
    read: impl Fn(&mut &[u8]) -> Option<T>,
) -> Result<T, MessageError> {
    let length = bytes.len();
    let mut rest = bytes;
    let message = (length <= DHT_MESSAGE_MAX_BYTES).then(|| read(&mut rest)).flatten();
    message.filter(|_| rest.is_empty()).ok_or(MessageError { what, length })
}

fn read_request(bytes: &mut &[u8]) -> Option<Request> {
    let server = match take::<1>(bytes)?[0] {
        0 => None,
        1 => Some(PeerId(take(bytes)?)),
        _ => return None,
    };
    let question = match take::<1>(bytes)?[0] {
        0 => Question::Ping,
        1 => Question::FindNode { key: DhtKey(take(bytes)?) },
        2 => {
            let key = DhtKey(take(bytes)?);
            Question::FindProviders { key, skip: u16::from_le_bytes(take(bytes)?) }
        }
        3 => {
            let (key, token) = (DhtKey(take(bytes)?), WriteToken(take(bytes)?));
            Question::Store { key, token, record: read_record(bytes)? }
        }
        _ => return None,
    };
    Some(Request { server, question })
}

fn read_response(bytes: &mut &[u8]) -> Option<Response> {
    let observed = address::read(bytes)?;
    let answer = match take::<1>(bytes)?[0] {
        0 => Answer::Pong,
        1 => Answer::Nodes { token: WriteToken(take(bytes)?), contacts: read_contacts(bytes)? },
        2 => {
            let token = WriteToken(take(bytes)?);
            let total = u16::from_le_bytes(take(bytes)?);
            let count = usize::from(take::<1>(bytes)?[0]);
            if count * 2 > bytes.len() {
                return None;
            }
            let records = (0..count).map(|_| read_record(bytes)).collect::<Option<_>>()?;
            Answer::Providers { token, total, records, contacts: read_contacts(bytes)? }
        }
        3 => Answer::Stored,
        4 => Answer::Refused { reason: RefusalReason::read(take::<1>(bytes)?[0])? },
        _ => return None,
    };
    Some(Response { observed, answer })
}

impl RefusalReason {
    fn read(byte: u8) -> Option<Self> {
        [Self::Token, Self::Record, Self::Older, Self::Quota, Self::NotNear]
            .into_iter()
            .find(|reason| *reason as u8 == byte)
    }
}

fn read_record(bytes: &mut &[u8]) -> Option<Bytes> {
    let length = usize::from(u16::from_le_bytes(take(bytes)?));
    if length > PROVIDER_RECORD_MAX_BYTES {
        return None;
    }
    let (record, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Bytes::copy_from_slice(record))
}

fn read_contacts(bytes: &mut &[u8]) -> Option<Vec<Contact>> {
    let count = usize::from(take::<1>(bytes)?[0]);
    if count > DHT_CONTACTS_MAX {
        return None;
    }
    (0..count).map(|_| Contact::read(bytes)).collect()
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
