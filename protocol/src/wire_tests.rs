//! Tests of `wire.rs`: pinned bytes, every rule, and arbitrary input.

use proptest::prelude::*;

use super::*;
use crate::limits::{HIDDEN_MAX, ROWS_MAX};

const REQUEST: RequestId = RequestId([7; 16]);
const PEER: PeerId = PeerId([1; 32]);
const MODEL: ModelId = ModelId([2; 32]);

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn offer() -> ShardOffer {
    let layers = LayerRange { start: 0, end: 2 };
    ShardOffer { model: MODEL, model_name: "demo".into(), n_layers: 6, layers }
}

fn known(text: &str) -> PeerAddress {
    PeerAddress { peer: PEER, addresses: vec![address(text)] }
}

fn sampling() -> Sampling {
    Sampling {
        temperature: 0.7,
        top_k: 40,
        top_p: 0.95,
        min_p: 0.05,
        seed: u64::MAX,
        ..Sampling::default()
    }
}

fn open_stage() -> OpenStage {
    OpenStage {
        request: REQUEST,
        model: MODEL,
        layers: LayerRange { start: 4, end: 6 },
        stage: 2,
        stages: 3,
        profile: Profile::F16,
        cache: CacheType::F16,
        lineage: Lineage::Resumes(REQUEST),
        next: NextHop::Requester,
        wanted: Some(Wanted::Tokens(sampling())),
        named_pages: 3,
        prompt: 100,
        max_positions: 512,
    }
}

fn rows() -> Rows {
    Rows {
        request: REQUEST,
        first_position: 3,
        n_rows: 2,
        hidden: 4,
        encoding: RowEncoding::F16,
        sample: true,
        trace: vec![StageTrace { stage: 1, compute_us: 300, ..StageTrace::default() }],
    }
}

/// One valid message of every kind, in the order of their tags.
fn every_message() -> Vec<Message> {
    let listen = vec![address("0.0.0.0:4001"), address("[2001:db8::1]:4001")];
    let (agent, observed) = ("swarmllm/0.1.0".to_owned(), address("192.0.2.9:50000"));
    let detail = "caf\u{e9}: no free pages".to_owned();
    let trace = rows().trace;
    let bodies = vec![
        Body::Hello { version: 1, agent, listen, record: vec![9; 84], observed },
        Body::Inventory { offers: vec![offer()] },
        Body::PeerExchange { added: vec![vec![9; 84]], dropped: vec![PEER] },
        Body::Ping { nonce: 1 },
        Body::Pong { nonce: u64::MAX },
        Body::OpenStage(open_stage()),
        Body::StageOpened { request: REQUEST, known: 64 },
        Body::StageRefused {
            request: REQUEST,
            reason: RefusalReason::Busy,
            detail: detail.clone(),
            retry_after_ms: 900,
        },
        Body::CloseStage { request: REQUEST, named_pages: 3 },
        Body::StageFailed { request: REQUEST, stage: 1, detail },
        Body::Rows(rows()),
        Body::TokenSampled(TokenSampled {
            request: REQUEST,
            position: 9,
            token: 70_000,
            trace,
            log_probabilities: Some(LogProbabilities { chosen: -0.5, top: vec![(70_000, -0.5)] }),
        }),
        Body::StageQueued { request: REQUEST, waiting: 3 },
        Body::StagePreempted { request: REQUEST },
        Body::Present { certificates: vec![vec![1; 90]; CERTIFICATES_MAX] },
        Body::Admitted { certificate: vec![2; CERTIFICATE_MAX_BYTES] },
        Body::NotAdmitted { reason: NotAdmitted::InviteUsedUp },
        Body::Revocations { list: vec![3; REVOCATION_LIST_MAX_BYTES] },
        Body::Embedded { request: REQUEST, hidden: 4, trace: rows().trace },
        Body::Scored { request: REQUEST, tokens: 2, top: 1, trace: rows().trace },
    ];
    bodies.into_iter().map(with_payload).collect()
}

/// A message with the payload that its header speaks of.
fn with_payload(body: Body) -> Message {
    match body {
        Body::Rows(rows) => Message::rows(rows, vec![5; 16].into()),
        Body::Embedded { .. } => Message { body, payload: vec![5; 16].into() },
        Body::Scored { .. } => Message { body, payload: vec![5; 24].into() },
        Body::OpenStage(_) | Body::CloseStage { .. } => {
            Message::with_keys(body, vec![7; 48].into())
        }
        body => Message::new(body),
    }
}

fn bytes_of(message: &Message) -> Bytes {
    let mut bytes = message.encode_header().expect("encodes");
    bytes.extend_from_slice(&message.payload);
    bytes.into()
}

#[test]
fn every_message_keeps_its_tag_and_reads_back() {
    for (tag, message) in every_message().into_iter().enumerate() {
        let bytes = bytes_of(&message);
        assert_eq!(bytes[0], WIRE_VERSION);
        assert_eq!(usize::from(bytes[MESSAGE_PREFIX_BYTES]), tag, "{message:?}");
        assert_eq!(Message::decode(bytes), Ok(message));
    }
}

#[test]
fn the_bytes_of_a_message_are_pinned() {
    let bytes = bytes_of(&Message::new(Body::TokenSampled(TokenSampled {
        request: REQUEST,
        position: 9,
        token: 70_000,
        trace: vec![StageTrace { stage: 1, compute_us: 300, ..StageTrace::default() }],
        log_probabilities: None,
    })));
    // Version, body length, tag, request, position, token (marker 252: u32), one entry.
    let mut expected = vec![WIRE_VERSION, 32, 0, 11];
    expected.extend_from_slice(&[7; 16]);
    expected.extend_from_slice(&[9, 252, 0x70, 0x11, 1, 0, 1, 1, 251, 0x2c, 1, 0, 0, 0]);
    // No log-probabilities.
    expected.push(0);
    expected[1] = (expected.len() - 3) as u8;
    assert_eq!(bytes, expected);
}

#[test]
fn payloads_are_as_long_as_said_and_small_ones_are_urgent() {
    for mut message in every_message() {
        let is_rows = matches!(message.body, Body::Rows(_));
        assert_eq!(message.lane() == Lane::Control, !is_rows);
        message.validate().expect("valid");
        message.payload = vec![0; 15].into();
        assert!(matches!(message.validate(), Err(WireError::PayloadLength { got: 15, .. })));
    }
    let names = |named_pages: u32| {
        let payload = vec![0; named_pages as usize * 16].into();
        let (prompt, max_positions) = (POSITIONS_MAX, POSITIONS_MAX);
        let open = OpenStage { named_pages, prompt, max_positions, ..open_stage() };
        let message = Message::with_keys(Body::OpenStage(open), payload);
        message.validate().map(|()| message.lane())
    };
    assert_eq!(names(512), Ok(Lane::Control));
    assert_eq!(names(513), Ok(Lane::Bulk));
    assert!(names(PREFIX_KEYS_MAX as u32 + 1).is_err());
    let wide = |n_rows: u32, hidden| {
        let header = Rows { n_rows, hidden, encoding: RowEncoding::F32, ..rows() };
        let payload = vec![0; header.row_bytes() * n_rows as usize];
        let message = Message::rows(header, payload.into());
        message.validate().expect("valid");
        message.lane()
    };
    assert_eq!(wide(1, HIDDEN_MAX), Lane::Tensor);
    assert_eq!(wide(2, HIDDEN_MAX), Lane::Bulk);
    assert_eq!(wide(ROWS_MAX, 512), Lane::Bulk);
}

#[test]
fn a_row_of_8192_halves_is_one_fragment() {
    let trace = (0..32).map(|stage| StageTrace {
        stage,
        compute_us: u32::MAX,
        residence_us: u32::MAX,
        bytes_out: u32::MAX,
        link_rtt_us: u32::MAX,
    });
    let header = Rows { n_rows: 1, hidden: 8_192, trace: trace.collect(), ..rows() };
    let message = Message::rows(header, vec![0; 16_384].into());
    assert!(bytes_of(&message).len() <= crate::limits::FRAGMENT_DATA_MAX_BYTES);
}

/// Every message here breaks exactly one rule.
fn refused_bodies() -> Vec<Body> {
    let observed = address("192.0.2.9:1");
    let hello = |agent: &str, listen| Body::Hello {
        version: 1,
        agent: agent.into(),
        listen,
        record: Vec::new(),
        observed,
    };
    let seen_at = |text, record| {
        let (agent, observed) = (String::new(), address(text));
        Body::Hello { version: 1, agent, listen: Vec::new(), record, observed }
    };
    let offer = |change: fn(&mut ShardOffer)| {
        let mut offer = offer();
        change(&mut offer);
        Body::Inventory { offers: vec![offer] }
    };
    let open = |change: fn(&mut OpenStage)| {
        let mut open = open_stage();
        change(&mut open);
        Body::OpenStage(open)
    };
    let sampled = |change: fn(&mut Sampling)| {
        let mut sampling = sampling();
        change(&mut sampling);
        Body::OpenStage(OpenStage { wanted: Some(Wanted::Tokens(sampling)), ..open_stage() })
    };
    let next = |text| {
        let (next, wanted) = (NextHop::Stage(known(text)), None);
        Body::OpenStage(OpenStage { next, wanted, ..open_stage() })
    };
    let exchange = |added, dropped| Body::PeerExchange { added, dropped };
    let failed = |stage, detail: String| Body::StageFailed { request: REQUEST, stage, detail };
    let told = |position, trace, log_probabilities| {
        let (request, token) = (REQUEST, 0);
        Body::TokenSampled(TokenSampled { request, position, token, trace, log_probabilities })
    };
    let token = |position, trace| told(position, trace, None);
    let likely = |chosen, top| told(0, Vec::new(), Some(LogProbabilities { chosen, top }));
    vec![
        hello(&"x".repeat(AGENT_MAX_BYTES + 1), Vec::new()),
        hello("two\nlines", Vec::new()),
        hello("x", vec![address("192.0.2.1:1"); ADDRESSES_MAX + 1]),
        hello("x", vec![address("192.0.2.1:0")]),
        Body::Inventory { offers: vec![self::offer(); OFFERS_MAX + 1] },
        offer(|offer| offer.model_name = "\u{7}".into()),
        offer(|offer| offer.model_name = "x".repeat(MODEL_NAME_MAX_BYTES + 1)),
        offer(|offer| offer.n_layers = LAYERS_MAX + 1),
        offer(|offer| offer.layers.end = 7),
        offer(|offer| offer.layers.end = 0),
        offer(|offer| offer.layers.start = u32::MAX),
        seen_at("0.0.0.0:1", Vec::new()),
        seen_at("192.0.2.1:0", Vec::new()),
        seen_at("192.0.2.1:1", vec![0; NODE_RECORD_MAX_BYTES + 1]),
        exchange(vec![vec![9; 84]; EXCHANGE_MAX + 1], Vec::new()),
        exchange(vec![vec![0; NODE_RECORD_MAX_BYTES + 1]], Vec::new()),
        exchange(Vec::new(), vec![PEER; EXCHANGE_MAX + 1]),
        next("0.0.0.0:1"),
        next("224.0.0.1:1"),
        next("255.255.255.255:1"),
        next("[ff02::1]:1"),
        open(|open| open.layers.start = 6),
        open(|open| open.layers.end = LAYERS_MAX + 1),
        open(|open| open.stage = STAGES_MAX),
        open(|open| open.stages = 2),
        open(|open| open.stages = STAGES_MAX + 1),
        open(|open| open.prompt = 95),
        open(|open| open.prompt = 0),
        open(|open| open.prompt = 513),
        open(|open| open.max_positions = 0),
        Body::StageOpened { request: REQUEST, known: POSITIONS_MAX },
        Body::Present { certificates: vec![Vec::new(); CERTIFICATES_MAX + 1] },
        Body::Present { certificates: vec![vec![0; CERTIFICATE_MAX_BYTES + 1]] },
        Body::Admitted { certificate: vec![0; CERTIFICATE_MAX_BYTES + 1] },
        Body::Revocations { list: vec![0; REVOCATION_LIST_MAX_BYTES + 1] },
        open(|open| open.max_positions = POSITIONS_MAX + 1),
        open(|open| open.wanted = None),
        open(|open| open.next = NextHop::Stage(known("192.0.2.1:1"))),
        sampled(|sampling| sampling.temperature = f32::NAN),
        sampled(|sampling| sampling.temperature = f32::INFINITY),
        sampled(|sampling| sampling.temperature = -0.1),
        sampled(|sampling| sampling.top_p = 1.1),
        sampled(|sampling| sampling.min_p = f32::NEG_INFINITY),
        failed(STAGES_MAX, String::new()),
        failed(0, "x".repeat(DETAIL_MAX_BYTES + 1)),
        token(POSITIONS_MAX, Vec::new()),
        token(0, vec![StageTrace::default(); usize::from(STAGES_MAX) + 1]),
        token(0, vec![StageTrace { stage: STAGES_MAX, ..StageTrace::default() }]),
        likely(f32::NAN, vec![]),
        likely(0.5, vec![]),
        likely(-0.5, vec![(1, -0.5), (2, f32::NAN)]),
        likely(-0.5, vec![(1, -0.5); usize::from(LOG_PROBABILITIES_MAX) + 1]),
    ]
}

#[test]
fn messages_that_break_a_rule_are_refused_on_both_sides() {
    for body in refused_bodies() {
        let message = with_payload(body);
        let refused = message.validate().expect_err(&format!("{message:?}"));
        assert!(!matches!(refused, WireError::PayloadLength { .. }), "{refused}: {message:?}");
        if message.encode_header().is_ok() {
            assert_eq!(Message::decode(bytes_of(&message)), Err(refused));
        }
    }
}

#[test]
fn the_largest_lists_are_control_messages() {
    let added = vec![vec![9; NODE_RECORD_MAX_BYTES]; EXCHANGE_MAX];
    let name = "x".repeat(MODEL_NAME_MAX_BYTES);
    let layers = LayerRange { start: LAYERS_MAX - 1, end: LAYERS_MAX };
    let offer = ShardOffer { model: MODEL, model_name: name, n_layers: LAYERS_MAX, layers };
    for body in [
        Body::PeerExchange { added, dropped: vec![PEER; EXCHANGE_MAX] },
        Body::Inventory { offers: vec![offer; OFFERS_MAX] },
    ] {
        let message = Message::new(body);
        message.validate().expect("within every bound");
        let bytes = bytes_of(&message);
        assert!(bytes.len() <= Lane::Control.message_limit(), "{}", bytes.len());
        assert_eq!(Message::decode(bytes), Ok(message));
    }
}

#[test]
fn other_versions_and_short_messages_are_told() {
    let bytes = bytes_of(&Message::new(Body::Ping { nonce: 3 }));
    let mut other = bytes.to_vec();
    other[0] = 9;
    assert_eq!(Message::decode(other.into()), Err(WireError::Version { theirs: 9 }));
    for length in 0..bytes.len() {
        assert!(Message::decode(bytes.slice(..length)).is_err());
    }
    let mut longer = bytes.to_vec();
    longer[1] += 1;
    longer.push(0);
    let trailing = Message::decode(longer.into());
    assert_eq!(trailing, Err(CodecError::Trailing { trailing: 1 }.into()));
}

#[test]
fn details_are_cut_to_what_a_message_carries() {
    assert_eq!(detail("one\ntwo"), "one two");
    let cut = detail(&"\u{20ac}".repeat(400));
    assert!(cut.len() <= DETAIL_MAX_BYTES && cut.len() > DETAIL_MAX_BYTES - 3);
    let body = Body::StageFailed { request: REQUEST, stage: 0, detail: cut };
    assert_eq!(Message::new(body).validate(), Ok(()));
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400), known_version: bool,
    ) {
        if known_version && bytes.len() > 3 {
            // Past the prefix, so that the decoder behind it is reached.
            let length = (bytes.len() - 3) as u16;
            bytes[0] = WIRE_VERSION;
            bytes[1..3].copy_from_slice(&length.to_le_bytes());
            bytes[3] %= every_message().len() as u8;
        }
        if let Ok(message) = Message::decode(bytes.into()) {
            prop_assert_eq!(message.validate(), Ok(()));
        }
    }

    #[test]
    fn altered_messages_are_refused_or_valid(which: u16, bit: u16, cut: u16) {
        let messages = every_message();
        let bytes = bytes_of(&messages[usize::from(which) % messages.len()]);
        let mut flipped = bytes.to_vec();
        let bit = usize::from(bit) % (8 * flipped.len());
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(message) = Message::decode(flipped.into()) {
            prop_assert_eq!(message.validate(), Ok(()));
        }
        let cut = usize::from(cut) % bytes.len();
        prop_assert!(Message::decode(bytes.slice(..cut)).is_err());
    }

    #[test]
    fn sampling_values_are_finite_and_in_range(
        temperature: f32, top_p: f32, min_p: f32, top_k: u32, seed: u64,
    ) {
        let sampling = Sampling { temperature, top_k, top_p, min_p, seed, ..Sampling::default() };
        if sampling.validate().is_ok() {
            prop_assert!([temperature, top_p, min_p].iter().all(|value| value.is_finite()));
            prop_assert!(top_p <= 1.0 && min_p <= 1.0 && temperature >= 0.0);
        }
    }
}
