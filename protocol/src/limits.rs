//! Every bound of the protocol, with its unit and its reason, checked against each other.
//!
//! Used by every module here and by the actors for their mailboxes and timers.
//! Units are the last word of each name: bytes, milliseconds, layers, rows, tokens.
//! Rule: what a peer declares is compared with one of these before anything is allocated for it.
//! Absent on purpose: settings. A bound that two nodes could disagree about is no bound.

use crate::node_record::NODE_RECORD_MAX_BYTES;

/// Version of everything on the wire. It is part of the handshake's prologue.
pub const PROTOCOL_VERSION: u16 = 6;

/// Bytes of a record's length prefix, little endian.
pub const RECORD_LENGTH_BYTES: usize = 2;

/// Most bytes of a record behind its prefix: what the prefix can say, and Noise's own limit.
pub const RECORD_MAX_BYTES: usize = 65_535;

/// Bytes of the authentication tag at the end of every sealed record.
pub const TAG_BYTES: usize = 16;

/// Bytes of every handshake message: fixed, so that lengths tell an observer nothing and nothing
/// is allocated by a stranger's word. Message 2 needs 32 + 48 + 96 + 16.
pub const HANDSHAKE_MESSAGE_BYTES: usize = 256;

/// How long a handshake may take, milliseconds: its three messages pass a satellite link that loses
/// some of them, and a stalling stranger holds a socket no longer than this.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 5_000;

/// Bytes of a datagram that asks whether somebody is there, and of the answer.
pub const DATAGRAM_PROBE_BYTES: usize = 128;

/// Bytes of a datagram whose content is one record.
pub const DATAGRAM_SHORT_BYTES: usize = 512;

/// Bytes of the longest datagram: with IPv6 and UDP headers it passes where 1280 bytes do, which is
/// everywhere.
pub const DATAGRAM_LONG_BYTES: usize = 1_200;

/// Age of a key at which the side that dialled makes new ones by another handshake, milliseconds:
/// whoever steals a key reads two minutes of a connection.
pub const REKEY_AFTER_MS: u64 = 120_000;

/// How long the other side waits for that before it does so itself, milliseconds.
pub const REKEY_GRACE_MS: u64 = 15_000;

/// Age before which a peer has no reason to ask for new keys, milliseconds: each costs arithmetic.
pub const REKEY_EARLIEST_MS: u64 = 60_000;

/// Age at which a key opens and seals no more, milliseconds: new keys were due a minute ago.
pub const KEY_LIFETIME_MAX_MS: u64 = 180_000;

/// Records of one key after which new ones are made.
pub const REKEY_AFTER_RECORDS: u64 = 1 << 32;

/// Bytes of one key after which new ones are made.
pub const REKEY_AFTER_BYTES: u64 = 64 << 30;

/// Records that one key ever seals. Noise allows 2^64 - 1; this is far from wrapping, and twice as
/// many as a peer that keeps to the rules sends.
pub const RECORDS_PER_KEY_MAX: u64 = 2 * REKEY_AFTER_RECORDS;

/// Bytes of a fragment's header: lane and flags, and on a first fragment the total length.
pub const FRAGMENT_HEADER_MAX_BYTES: usize = 5;

/// Message bytes in one fragment: a 16 KiB activation with its header fits one, and at 10 Mbit/s a
/// fragment keeps the line busy for 14 ms, which is the longest a control message waits.
pub const FRAGMENT_DATA_MAX_BYTES: usize = 17 * 1024;

/// Most bytes of a sealed record that this version sends or accepts.
pub const SEALED_RECORD_MAX_BYTES: usize =
    FRAGMENT_HEADER_MAX_BYTES + FRAGMENT_DATA_MAX_BYTES + TAG_BYTES;

/// Most bytes of one control message: 50 records or 64 offers fit, nothing larger is control.
pub const CONTROL_MESSAGE_MAX_BYTES: usize = 16 * 1024;

/// Most bytes of one message on the tensor lane: 8 fragments, so that one widest row in f32 fits.
pub const TENSOR_MESSAGE_MAX_BYTES: usize = 8 * FRAGMENT_DATA_MAX_BYTES;

/// Most bytes of one message on the bulk lane: the largest payload and its header.
pub const BULK_MESSAGE_MAX_BYTES: usize = ROWS_PAYLOAD_MAX_BYTES + MESSAGE_HEADER_MAX_BYTES;

/// Most bytes of a message before its payload (version, length, body).
pub const MESSAGE_HEADER_MAX_BYTES: usize = CONTROL_MESSAGE_MAX_BYTES;

/// Messages waiting in one lane before `send` answers full.
pub const LANE_QUEUE_MAX_MESSAGES: usize = 1_024;

/// Bytes waiting in the control lane before `send` answers full.
pub const CONTROL_QUEUE_MAX_BYTES: usize = 256 * 1024;

/// Bytes waiting in the tensor lane before `send` answers full.
pub const TENSOR_QUEUE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Bytes waiting in the bulk lane before `send` answers full: two largest messages.
pub const BULK_QUEUE_MAX_BYTES: usize = 2 * BULK_MESSAGE_MAX_BYTES;

/// Bytes that each side may send on the tensor and the bulk lane before it is granted more: what
/// any stranger may make a node hold, so as little as lets a first message begin.
pub const WINDOW_START_BYTES: usize = 64 * 1024;

/// Bytes of a window in use by a peer that takes part in a generation: a step of 32 rows of 8 KiB.
pub const WINDOW_USED_BYTES: usize = 256 * 1024;

/// A lane with nothing to send for so long gives back what it was granted beyond the first window,
/// milliseconds: longer than the pauses of one generation.
pub const FORGO_AFTER_MS: u64 = 10_000;

/// A peer that does not go on with a message, or keeps a wide window without using it, has so long,
/// milliseconds: a fragment needs 14 s at 10 kbit/s.
pub const STALL_MS: u64 = 60_000;

/// What a message takes of a window beside its bytes: about what it costs to hold one.
pub const MESSAGE_CREDIT_BYTES: usize = 256;

/// Most bytes of the tensor lane that a receiver keeps room for: 128 activations of 16 KiB.
pub const TENSOR_WINDOW_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Most bytes of the bulk lane that a receiver keeps room for: two steps of 512 rows of 16 KiB, so
/// that one is on the way while the other is computed, and 1 Gbit/s over a round trip of 130 ms.
pub const BULK_WINDOW_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Most layers of a model. The deepest known models have a little over a hundred.
pub const LAYERS_MAX: u32 = 1_024;

/// Most stages of a route. Each adds a hop to every token.
pub const STAGES_MAX: u16 = 64;

/// Most positions of one generation, prompt included.
pub const POSITIONS_MAX: u32 = 1 << 20;

/// Positions of one page of a cache, which prefixes are named by.
pub const PAGE_TOKENS: u32 = 32;

/// Most pages of one generation that are named.
pub const PREFIX_KEYS_MAX: usize = (POSITIONS_MAX / PAGE_TOKENS) as usize;

/// Most bytes of names that go by the control lane: those of 16,384 tokens.
pub const PREFIX_CONTROL_MAX_BYTES: usize = 8 * 1024;

/// Most tokens whose logits a request changes.
pub const BIASES_MAX: usize = 4_096;

/// Longest grammar of an answer, bytes: a few dozen tools with their schemas.
pub const GRAMMAR_MAX_BYTES: usize = 256 * 1024;

/// Most bytes that guide the choice of tokens: biases, a grammar, and the longest answer so far.
pub const GUIDE_MAX_BYTES: usize =
    8 + 8 * BIASES_MAX + GRAMMAR_MAX_BYTES + 4 * POSITIONS_MAX as usize;

/// Most tokens beside the chosen one whose log-probabilities are told; the OpenAI API's bound.
pub const LOG_PROBABILITIES_MAX: u8 = 20;

/// Most tokens of a prompt that are scored: all with the likeliest beside them fit a message.
pub const SCORED_MAX: u32 = 65_536;

/// Longest time after which a refused requester is asked to come back, milliseconds.
pub const RETRY_AFTER_MAX_MS: u32 = 600_000;

/// Widest hidden state, elements.
pub const HIDDEN_MAX: u32 = 32_768;

/// Most rows in one message: a prefill chunk is far smaller.
pub const ROWS_MAX: u32 = 8_192;

/// Most bytes of rows in one message: 512 rows of 8192 in f32.
pub const ROWS_PAYLOAD_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes before the payload of a message of rows: a trace of every stage included.
pub const ROWS_HEADER_MAX_BYTES: usize = 2 * 1024;

/// Longest network name, bytes.
pub const NETWORK_ID_MAX_BYTES: usize = 32;

/// Longest name of a program in `Hello`, bytes.
pub const AGENT_MAX_BYTES: usize = 64;

/// Longest name of a model, bytes.
pub const MODEL_NAME_MAX_BYTES: usize = 128;

/// Longest explanation of a refusal or failure, bytes.
pub const DETAIL_MAX_BYTES: usize = 512;

/// Longest time a node's record is good for, seconds: a day.
pub const NODE_RECORD_LIFETIME_MAX_S: u64 = 24 * 3600;

/// Most bytes of a question or answer of the DHT: with its seal it fits one datagram on any path.
pub const DHT_MESSAGE_MAX_BYTES: usize = 1_100;

/// Most contacts in one answer of the DHT: a bucket.
pub const DHT_CONTACTS_MAX: usize = 20;

/// Most addresses of a provider record; the provider's node record has them all.
pub const PROVIDER_ADDRESSES_MAX: usize = 4;

/// Longest time a provider record is good for, seconds: three chances to announce it again.
pub const PROVIDER_RECORD_LIFETIME_MAX_S: u64 = 3_600;
/// How long a member certificate is good for, seconds: a week, so that an expelled member of a
/// network nobody could tell is out by then; and a node that was off for a weekend is still in.
pub const CERTIFICATE_LIFETIME_S: u64 = 7 * 24 * 3600;

/// How far clocks of two machines may differ, seconds.
pub const CLOCK_SKEW_S: u64 = 600;

/// Most expelled invites in one revocation list; it fits a control message.
pub const REVOCATIONS_MAX: usize = 256;

/// Most certificates a node shows: one per inviter.
pub const CERTIFICATES_MAX: usize = 4;

/// Most invites that a node keeps in mind.
pub const INVITES_MAX: usize = 256;

/// Most uses of an invite that are counted.
pub const INVITE_USES_MAX: u32 = 1_024;

/// Most redemptions that a node keeps in mind, of all its invites.
pub const REDEMPTIONS_MAX: usize = 4_096;

/// How long a node remembers an invite that nobody used after its expiry, seconds: whoever comes
/// late is told that it expired.
pub const INVITE_MEMORY_S: u64 = 7 * 24 * 3600;

/// Most addresses of one peer: a host has a few interfaces and two families.
pub const ADDRESSES_MAX: usize = 8;

/// Most records, and most departures, in one exchange of peers; as BEP 11 has it.
pub const EXCHANGE_MAX: usize = 50;

/// Most offers in one inventory.
pub const OFFERS_MAX: usize = 64;

/// Longest text of an invite code, characters: all addresses, the longest network, base32.
pub const INVITE_MAX_CHARS: usize = 640;

/// Highest temperature that still means something.
pub const TEMPERATURE_MAX: f32 = 100.0;

const _: () = {
    assert!(SEALED_RECORD_MAX_BYTES <= RECORD_MAX_BYTES);
    assert!(HANDSHAKE_MESSAGE_BYTES <= SEALED_RECORD_MAX_BYTES);
    // Any question of the DHT fits a datagram: 16 of tag, 32 of key, 16 of seal, 16 of reply id,
    // 2 of length.
    assert!(DHT_MESSAGE_MAX_BYTES + 82 <= DATAGRAM_LONG_BYTES);
    // A 16 KiB activation, its header and a trace of 40 stages fit one fragment.
    assert!(16 * 1024 + 1_000 <= FRAGMENT_DATA_MAX_BYTES);
    assert!(CONTROL_MESSAGE_MAX_BYTES <= FRAGMENT_DATA_MAX_BYTES);
    // The widest row fits the tensor lane, so that decoding never waits in the bulk lane.
    assert!(HIDDEN_MAX as usize * 4 + ROWS_HEADER_MAX_BYTES <= TENSOR_MESSAGE_MAX_BYTES);
    // Per trace entry 3 bytes of stage and 4 times 5 of numbers, before them under 64.
    assert!(64 + STAGES_MAX as usize * 23 <= ROWS_HEADER_MAX_BYTES);
    assert!(ROWS_HEADER_MAX_BYTES <= MESSAGE_HEADER_MAX_BYTES);
    assert!(TENSOR_MESSAGE_MAX_BYTES < BULK_MESSAGE_MAX_BYTES);
    // A message's length must fit the four bytes a first fragment has for it.
    assert!(BULK_MESSAGE_MAX_BYTES <= u32::MAX as usize);
    // A body's length must fit the two bytes a message has for it.
    assert!(MESSAGE_HEADER_MAX_BYTES <= u16::MAX as usize);
    assert!(
        SCORED_MAX as usize * (4 + 8 * LOG_PROBABILITIES_MAX as usize) <= ROWS_PAYLOAD_MAX_BYTES
    );
    assert!(PREFIX_KEYS_MAX * 16 + GUIDE_MAX_BYTES <= ROWS_PAYLOAD_MAX_BYTES);
    // Every queue takes at least one message of its lane.
    assert!(CONTROL_QUEUE_MAX_BYTES >= CONTROL_MESSAGE_MAX_BYTES);
    assert!(TENSOR_QUEUE_MAX_BYTES >= TENSOR_MESSAGE_MAX_BYTES);
    assert!(BULK_QUEUE_MAX_BYTES >= BULK_MESSAGE_MAX_BYTES);
    // The largest lists fit a control message: per record a length of 3 bytes, per peer 32.
    assert!(8 + EXCHANGE_MAX * (3 + NODE_RECORD_MAX_BYTES + 32) <= CONTROL_MESSAGE_MAX_BYTES);
    // A whole fragment fits the first window, a whole message of the tensor lane one in use.
    assert!(FRAGMENT_DATA_MAX_BYTES + MESSAGE_CREDIT_BYTES <= WINDOW_START_BYTES);
    assert!(TENSOR_MESSAGE_MAX_BYTES + MESSAGE_CREDIT_BYTES <= WINDOW_USED_BYTES);
    assert!(WINDOW_START_BYTES < WINDOW_USED_BYTES);
    assert!(WINDOW_USED_BYTES <= TENSOR_WINDOW_MAX_BYTES);
    assert!(FORGO_AFTER_MS < STALL_MS);
    assert!(TENSOR_WINDOW_MAX_BYTES <= BULK_WINDOW_MAX_BYTES);
    assert!(REKEY_EARLIEST_MS < REKEY_AFTER_MS);
    assert!(REKEY_AFTER_MS + REKEY_GRACE_MS < KEY_LIFETIME_MAX_MS);
    assert!(REKEY_AFTER_RECORDS < RECORDS_PER_KEY_MAX);
    assert!(OFFERS_MAX * (32 + MODEL_NAME_MAX_BYTES + 12) <= CONTROL_MESSAGE_MAX_BYTES);
};
