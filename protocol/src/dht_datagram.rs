//! One request and one response, a datagram each, sealed for the node they are meant for.
//!
//! Called by the actor that owns the UDP socket; `kademlia` says what the bodies mean. Noise NK:
//! the recipient's static key is its identity (`identity.rs`), so a peer id and an address are
//! enough to ask, only that node can read or answer, and the asking node stays nameless.
//!
//! Every datagram has one of the lengths of [`SizeClass`], and an answer is never longer than its
//! question, so that a forged source address gains nobody anything. Layouts:
//! - request: tag 16 | ephemeral key 32 | sealed (reply id 16 | body) | AEAD tag 16;
//! - response: reply id 16 | ephemeral key 32 | sealed (body) | AEAD tag 16;
//! - challenge: the question's tag 16 | cookie 16 | zeros, [`DATAGRAM_PROBE_BYTES`] in all;
//! - body: `u16` LE length, bytes, zeros up to the size class.
//!
//! The tag is BLAKE3 keyed by the recipient's peer id and the network over the rest: whoever scans
//! blindly is refused for a hash, before any curve arithmetic. The reply id is random and travels
//! sealed, so only the node that was asked can name the question that an answer belongs to.
//! A node with too many questions answers one with a challenge, which costs it another hash and is
//! no longer than any question. The same question comes again with a tag in which the cookie is
//! hashed too, so a cookie takes no room. Only who saw a question can challenge it.
//! The prologue binds version, network and recipient.
//! Replay: a request that is sent again opens again and repeats a question; what changes something
//! carries a token of the node that is asked, bound to the asking address.
//! Units: bytes. Errors: [`DatagramError`]; whoever receives one drops the datagram silently.
//! Absent on purpose: retries and timeouts (the lookup's), rates (`source_limit.rs`).

use bytes::BytesMut;
use zeroize::Zeroizing;

use crate::{
    cookie::{COOKIE_BYTES, Cookie},
    identity::{self, Identity, IdentityError},
    ids::{NetworkId, PeerId},
    limits::{DATAGRAM_LONG_BYTES, DATAGRAM_PROBE_BYTES, DATAGRAM_SHORT_BYTES, PROTOCOL_VERSION},
    noise::{Handshake, HandshakeKeys, KEY_BYTES, NK, NoiseError, Role},
};

/// Bytes of a request's tag and of a reply id: what every datagram begins with.
pub const REPLY_ID_BYTES: usize = 16;

/// Random bytes that a request is made of.
pub const REQUEST_ENTROPY_BYTES: usize = KEY_BYTES + REPLY_ID_BYTES;

/// Names the question that an answer belongs to.
pub type ReplyId = [u8; REPLY_ID_BYTES];

const PROLOGUE_DOMAIN: &[u8] = b"swarmllm/1 dht datagram";
const TAG_CONTEXT: &str = "swarmllm 2026-11 dht datagram tag";

/// Bytes of the tag or reply id, the ephemeral key and the AEAD tag.
const OVERHEAD_BYTES: usize = REPLY_ID_BYTES + KEY_BYTES + crate::limits::TAG_BYTES;
/// Bytes of a body's length.
const LENGTH_BYTES: usize = 2;

/// Why a datagram is not made or not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Of no size class.
    #[error("a datagram of {length} bytes has none of the lengths in use")]
    Length {
        /// Its length.
        length: usize,
    },
    /// Not meant for this node in this network.
    #[error("a datagram for another node, network or version, or for nobody")]
    Tag,
    /// A body that its size class does not hold.
    #[error("a body of {length} bytes does not fit the {room} there are")]
    Body {
        /// Its length.
        length: usize,
        /// Most bytes of it.
        room: usize,
    },
    /// Anything but zeros behind the body.
    #[error("a datagram's padding holds something else than zeros")]
    Padding,
    /// The peer id can't be asked.
    #[error(transparent)]
    Peer(#[from] IdentityError),
    /// It does not open.
    #[error(transparent)]
    Noise(#[from] NoiseError),
}

/// The lengths that datagrams have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SizeClass {
    /// Whether somebody is there, and how far.
    Probe,
    /// A question whose answer is a few fields.
    Short,
    /// A question whose answer is a list, or a record.
    Long,
}

impl SizeClass {
    const ALL: [SizeClass; 3] = [SizeClass::Probe, SizeClass::Short, SizeClass::Long];

    /// Bytes of a datagram.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            SizeClass::Probe => DATAGRAM_PROBE_BYTES,
            SizeClass::Short => DATAGRAM_SHORT_BYTES,
            SizeClass::Long => DATAGRAM_LONG_BYTES,
        }
    }

    /// The class of a datagram of this length.
    #[must_use]
    pub fn of(length: usize) -> Option<SizeClass> {
        SizeClass::ALL.into_iter().find(|class| class.bytes() == length)
    }

    /// Most bytes of a request's body.
    #[must_use]
    pub const fn request_room(self) -> usize {
        self.response_room() - REPLY_ID_BYTES
    }

    /// Most bytes of a response's body.
    #[must_use]
    pub const fn response_room(self) -> usize {
        self.bytes() - OVERHEAD_BYTES - LENGTH_BYTES
    }

    /// The smallest class for a question of `question` bytes whose answer has up to `answer`.
    #[must_use]
    pub fn for_request(question: usize, answer: usize) -> Option<SizeClass> {
        let holds =
            |class: &SizeClass| question <= class.request_room() && answer <= class.response_room();
        SizeClass::ALL.into_iter().find(holds)
    }

    /// The smallest class whose responses hold so many bytes.
    fn for_response(length: usize) -> Option<SizeClass> {
        SizeClass::ALL.into_iter().find(|class| length <= class.response_room())
    }
}

/// What this node opens requests with.
pub struct DatagramKeys {
    network: NetworkId,
    secret: Zeroizing<[u8; KEY_BYTES]>,
    tag_key: [u8; KEY_BYTES],
    prologue: Vec<u8>,
}

impl DatagramKeys {
    /// The keys of a node in a network.
    #[must_use]
    pub fn new(identity: &Identity, network: NetworkId) -> Self {
        let local = identity.peer_id();
        let (tag_key, prologue) = (tag_key(&local, &network), prologue(&local, &network));
        Self { network, secret: identity.x25519_secret(), tag_key, prologue }
    }

    /// Seals a question for a peer; the answer may be as long as `class` says.
    pub fn request(
        &self,
        to: &PeerId,
        class: SizeClass,
        body: &[u8],
        entropy: [u8; REQUEST_ENTROPY_BYTES],
    ) -> Result<(Vec<u8>, PendingRequest), DatagramError> {
        let entropy = Zeroizing::new(entropy);
        let (ephemeral, reply_id) = entropy.split_at(KEY_BYTES);
        let reply_id = ReplyId::try_from(reply_id).expect("split at the length of a key");
        let keys = HandshakeKeys {
            ephemeral_private: Some(key_of(ephemeral)),
            remote_static: Some(identity::x25519_public(to)?),
            ..HandshakeKeys::default()
        };
        let mut noise = Handshake::new(NK, Role::Initiator, &prologue(to, &self.network), keys)?;
        let mut payload = reply_id.to_vec();
        pad(body, class.request_room(), &mut payload)?;
        let mut datagram = BytesMut::zeroed(REPLY_ID_BYTES);
        noise.write_message(&payload, &mut datagram)?;
        let (start, rest) = datagram.split_at_mut(REPLY_ID_BYTES);
        let tag_key = tag_key(to, &self.network);
        start.copy_from_slice(&tag_of(&digest_of(&tag_key, rest)));
        let datagram = datagram.to_vec();
        let pending =
            PendingRequest { noise, reply_id, class, tag_key, datagram: Some(datagram.clone()) };
        Ok((datagram, pending))
    }

    /// Whether a datagram is a request for this node, and whether it comes from where one of these
    /// cookies is good: costs a hash, and two small ones for each cookie if it is not without one.
    pub fn check_tag<'a>(
        &self,
        datagram: &'a [u8],
        cookies: impl IntoIterator<Item = Cookie>,
    ) -> Result<Checked<'a>, DatagramError> {
        let length = datagram.len();
        let class = SizeClass::of(length).ok_or(DatagramError::Length { length })?;
        let (tag, sealed) = datagram.split_at(REPLY_ID_BYTES);
        let digest = digest_of(&self.tag_key, sealed);
        let has_cookie = tag_of(&digest) != tag;
        let fits = |cookie| tag_with_cookie(&self.tag_key, &digest, &cookie) == tag;
        if has_cookie && !cookies.into_iter().any(fits) {
            return Err(DatagramError::Tag);
        }
        Ok(Checked { sealed, class, has_cookie })
    }

    /// Opens a request; its body, and the way to answer it.
    pub fn open_request(
        &self,
        checked: Checked<'_>,
        ephemeral: [u8; KEY_BYTES],
    ) -> Result<(Vec<u8>, Reply), DatagramError> {
        let Checked { sealed, class, .. } = checked;
        let keys = HandshakeKeys {
            static_private: Some(self.secret.clone()),
            ephemeral_private: Some(Zeroizing::new(ephemeral)),
            ..HandshakeKeys::default()
        };
        let mut noise = Handshake::new(NK, Role::Responder, &self.prologue, keys)?;
        let payload = noise.read_message(sealed)?;
        let (reply_id, body) = payload
            .split_first_chunk::<REPLY_ID_BYTES>()
            .ok_or(NoiseError::Truncated { length: sealed.len() })?;
        Ok((unpad(body)?, Reply { noise, reply_id: *reply_id, class }))
    }
}

/// A request for this node, by its tag.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    sealed: &'a [u8],
    class: SizeClass,
    has_cookie: bool,
}

impl Checked<'_> {
    /// Whether who asks has shown that it is answered where it says it is.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.has_cookie
    }
}

/// Answers a question, whatever it is, with a cookie.
#[must_use]
pub fn challenge(question: &[u8], cookie: &Cookie) -> Vec<u8> {
    let mut challenge = question[..REPLY_ID_BYTES.min(question.len())].to_vec();
    challenge.extend_from_slice(cookie);
    challenge.resize(DATAGRAM_PROBE_BYTES, 0);
    challenge
}

/// A question that was sent.
pub struct PendingRequest {
    noise: Handshake,
    reply_id: ReplyId,
    class: SizeClass,
    tag_key: [u8; KEY_BYTES],
    /// As it was sent; `None` once it was sent with a cookie.
    datagram: Option<Vec<u8>>,
}

impl PendingRequest {
    /// What its answer begins with.
    #[must_use]
    pub fn reply_id(&self) -> ReplyId {
        self.reply_id
    }

    /// What a challenge to it begins with; `None` when there was one.
    #[must_use]
    pub fn tag(&self) -> Option<ReplyId> {
        self.datagram.as_ref()?.first_chunk().copied()
    }

    /// The same question with the cookie that was asked for; `None` for what is no challenge to it,
    /// or a second one.
    pub fn with_cookie(&mut self, challenge: &[u8]) -> Option<Vec<u8>> {
        let (tag, rest) = challenge.split_first_chunk::<REPLY_ID_BYTES>()?;
        let (cookie, padding) = rest.split_first_chunk::<COOKIE_BYTES>()?;
        let is_one = challenge.len() == DATAGRAM_PROBE_BYTES
            && self.tag().as_ref() == Some(tag)
            && padding.iter().all(|byte| *byte == 0);
        let mut datagram = self.datagram.take_if(|_| is_one)?;
        let (start, sealed) = datagram.split_at_mut(REPLY_ID_BYTES);
        let digest = digest_of(&self.tag_key, sealed);
        start.copy_from_slice(&tag_with_cookie(&self.tag_key, &digest, cookie));
        Some(datagram)
    }

    /// Opens the answer. Only the node that was asked knew the reply id, so one that does not open
    /// ends the question.
    pub fn open(mut self, datagram: &[u8]) -> Result<Vec<u8>, DatagramError> {
        let length = datagram.len();
        match SizeClass::of(length) {
            Some(class) if class <= self.class => {}
            _ => return Err(DatagramError::Length { length }),
        }
        let (reply_id, message) = datagram.split_at(REPLY_ID_BYTES);
        if reply_id != self.reply_id {
            return Err(DatagramError::Tag);
        }
        unpad(&self.noise.read_message(message)?)
    }
}

/// The way to answer a request.
pub struct Reply {
    noise: Handshake,
    reply_id: ReplyId,
    class: SizeClass,
}

impl Reply {
    /// Most bytes that the answer's body may have.
    #[must_use]
    pub fn room(&self) -> usize {
        self.class.response_room()
    }

    /// Seals the answer, in the smallest class that holds it and never above the question's.
    pub fn seal(mut self, body: &[u8]) -> Result<Vec<u8>, DatagramError> {
        let too_long = DatagramError::Body { length: body.len(), room: self.room() };
        let class = SizeClass::for_response(body.len())
            .filter(|class| *class <= self.class)
            .ok_or(too_long)?;
        let mut payload = Vec::new();
        pad(body, class.response_room(), &mut payload)?;
        let mut datagram = BytesMut::from(&self.reply_id[..]);
        self.noise.write_message(&payload, &mut datagram)?;
        Ok(datagram.to_vec())
    }
}

fn key_of(bytes: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.copy_from_slice(bytes);
    key
}

/// Appends length, body and zeros: `LENGTH_BYTES + room` bytes.
fn pad(body: &[u8], room: usize, out: &mut Vec<u8>) -> Result<(), DatagramError> {
    let too_long = DatagramError::Body { length: body.len(), room };
    let padding = room.checked_sub(body.len()).ok_or(too_long)?;
    // At most the longest datagram by the check before.
    out.extend_from_slice(&(body.len() as u16).to_le_bytes());
    out.extend_from_slice(body);
    out.resize(out.len() + padding, 0);
    Ok(())
}

fn unpad(padded: &[u8]) -> Result<Vec<u8>, DatagramError> {
    let truncated = NoiseError::Truncated { length: padded.len() };
    let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>().ok_or(truncated)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let too_long = DatagramError::Body { length, room: rest.len() };
    let (body, padding) = rest.split_at_checked(length).ok_or(too_long)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(DatagramError::Padding);
    }
    Ok(body.to_vec())
}

fn network_and_peer(peer: &PeerId, network: &NetworkId, out: &mut Vec<u8>) {
    let name = network.as_str().as_bytes();
    out.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    // At most 32 bytes long by its own rules.
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(peer.as_bytes());
}

fn prologue(peer: &PeerId, network: &NetworkId) -> Vec<u8> {
    let mut prologue = PROLOGUE_DOMAIN.to_vec();
    network_and_peer(peer, network, &mut prologue);
    prologue
}

fn tag_key(peer: &PeerId, network: &NetworkId) -> [u8; KEY_BYTES] {
    let mut material = Vec::new();
    network_and_peer(peer, network, &mut material);
    blake3::derive_key(TAG_CONTEXT, &material)
}

fn digest_of(key: &[u8; KEY_BYTES], rest: &[u8]) -> [u8; KEY_BYTES] {
    *blake3::keyed_hash(key, rest).as_bytes()
}

fn tag_of(digest: &[u8; KEY_BYTES]) -> ReplyId {
    *digest.first_chunk().expect("a hash is longer than a tag")
}

fn tag_with_cookie(key: &[u8; KEY_BYTES], digest: &[u8; KEY_BYTES], cookie: &Cookie) -> ReplyId {
    let mut material = [0; KEY_BYTES + COOKIE_BYTES];
    material[..KEY_BYTES].copy_from_slice(digest);
    material[KEY_BYTES..].copy_from_slice(cookie);
    tag_of(&digest_of(key, &material))
}

#[cfg(test)]
#[path = "dht_datagram_tests.rs"]
mod tests;
