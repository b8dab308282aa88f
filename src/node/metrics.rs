//! What the node counts, and how that is written for a monitoring system.
//!
//! Requests are counted where every door's answers pass (`node/answer.rs`, through
//! [`RequestMeter`]); the scheduler's and the directory's numbers are asked for when somebody reads
//! (`NodeHandle::metrics`). Names are those that vLLM gives its metrics, with our prefix, so that
//! dashboards need a new prefix only. Form: OpenMetrics 1.0 text, which Prometheus reads.
//! Units: seconds, tokens and bytes; usage from 0 to 1. Bounds: one set of counters for each model
//! held; no label comes from a request or a peer.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use swarmllm_actors::peer_directory::{LayerReport, Via};
use swarmllm_actors::peer_session::Direction;
use swarmllm_protocol::tensor_frame::RowEncoding;

use super::types::{DhtNumbers, PeerStatus, SchedulerNumbers};
use crate::cloud::ProviderStatus;
use crate::generate::{FinishReason, Summary};

const PREFIX: &str = "swarmllm";
/// Bounds of every histogram, seconds: from a token of a small model to a long answer of a large
/// one.
const BUCKETS_S: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0,
    100.0, 250.0, 500.0, 1000.0,
];

/// Bounds of the histograms of tokens: powers of four up to a million.
const BUCKETS_TOKENS: [f64; 11] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];
/// States of a peer.
const STATES: [&str; 3] = ["connected", "connecting", "known"];

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Everything that is counted over requests.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    prompt_tokens: Counters,
    generation_tokens: Counters,
    successes: Counters,
    first_token: Histograms,
    inter_token: Histograms,
    whole: Histograms,
    queue: Histograms,
    prefill: Histograms,
    decode: Histograms,
    request_prompt: Histograms,
    request_generation: Histograms,
    stage_compute: Histograms,
    stage_hop: Histograms,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut registry = Registry::with_prefix(PREFIX);
        let mut counters = |name: &str, help: &str| {
            let family = Counters::default();
            registry.register(name, help, family.clone());
            family
        };
        let prompt_tokens = counters("prompt_tokens", "Prompt tokens of requests that answered");
        let generation_tokens = counters("generation_tokens", "Tokens sampled");
        let successes = counters("request_success", "Requests by how they ended");
        let mut token_histograms = |name: &str, help: &str| {
            let family = Histograms::new_with_constructor(|| Histogram::new(BUCKETS_TOKENS));
            registry.register(name, help, family.clone());
            family
        };
        let request_prompt =
            token_histograms("request_prompt_tokens", "Prompt tokens of an answer");
        let request_generation =
            token_histograms("request_generation_tokens", "Sampled tokens of an answer");
        let mut histograms = |name: &str, help: &str| {
            let family = Histograms::new_with_constructor(|| Histogram::new(BUCKETS_S));
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
            family
        };
        Metrics {
            first_token: histograms("time_to_first_token", "From the request to its first token"),
            inter_token: histograms("inter_token_latency", "Between two tokens of an answer"),
            whole: histograms("e2e_request_latency", "From the request to its end"),
            queue: histograms("request_queue_time", "Until every stage had room"),
            prefill: histograms("request_prefill_time", "From there to the first token"),
            decode: histograms("request_decode_time", "From the first token to the last"),
            stage_compute: histograms("stage_compute", "Computing of one stage for an answer"),
            stage_hop: histograms("stage_hop", "On the way behind one stage for an answer"),
            request_prompt,
            request_generation,
            prompt_tokens,
            generation_tokens,
            successes,
            registry,
        }
    }

    /// Measures one request for `model`, which is held here, from now on.
    pub(super) fn request(&self, model: &str, began: Instant) -> RequestMeter {
        let labels = vec![("model", model.to_owned())];
        RequestMeter {
            prompt_tokens: self.prompt_tokens.get_or_create_owned(&labels),
            generation_tokens: self.generation_tokens.get_or_create_owned(&labels),
            first_token: self.first_token.get_or_create_owned(&labels),
            inter_token: self.inter_token.get_or_create_owned(&labels),
            whole: self.whole.get_or_create_owned(&labels),
            queue: self.queue.get_or_create_owned(&labels),
            prefill: self.prefill.get_or_create_owned(&labels),
            decode: self.decode.get_or_create_owned(&labels),
            request_prompt: self.request_prompt.get_or_create_owned(&labels),
            request_generation: self.request_generation.get_or_create_owned(&labels),
            stage_compute: self.stage_compute.get_or_create_owned(&labels),
            stage_hop: self.stage_hop.get_or_create_owned(&labels),
            successes: self.successes.clone(),
            labels,
            began,
            first_token_at: None,
            last_token_at: None,
            has_ended: false,
        }
    }

    /// All of it and the numbers of this moment, as text.
    pub(super) fn text(&self, now: &Now) -> String {
        let mut text = String::new();
        let encoded = text::encode_registry(&mut text, &self.registry)
            .and_then(|()| text::encode(&mut text, &now.registry()));
        // Only the writer can fail, and a String takes everything.
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        text
    }
}

/// What is asked for at each reading.
#[derive(Debug, Default)]
pub(super) struct Now {
    /// For each model, by its name.
    pub(super) scheduler: Vec<(String, SchedulerNumbers)>,
    pub(super) peers: Vec<PeerStatus>,
    /// What every way of finding peers has brought.
    pub(super) layers: Vec<LayerReport>,
    /// Bytes of rows.
    pub(super) traffic: Vec<(Direction, RowEncoding, u64)>,
    pub(super) dht: DhtNumbers,
    pub(super) providers: Vec<ProviderStatus>,
}

impl Now {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        add_scheduler(&mut registry, &self.scheduler);
        add_peers(&mut registry, &self.peers);
        add_discovery(&mut registry, &self.layers);
        add_traffic(&mut registry, &self.traffic);
        add_dht(&mut registry, &self.dht);
        add_process(&mut registry);
        add_providers(&mut registry, &self.providers);
        registry
    }
}

fn add_scheduler(registry: &mut Registry, models: &[(String, SchedulerNumbers)]) {
    let labels = |model: &String| vec![("model", model.clone())];
    let mut gauge = |name: &str, help: &str, value: fn(&SchedulerNumbers) -> f64| {
        let family = Gauges::default();
        for (model, numbers) in models {
            family.get_or_create(&labels(model)).set(value(numbers));
        }
        registry.register(name, help, family);
    };
    gauge("num_requests_running", "Sequences open at this node", |of| of.running as f64);
    gauge("num_requests_waiting", "Sequences that wait for room at this node", |of| {
        of.waiting as f64
    });
    gauge("kv_cache_usage_perc", "Share of the cache pages in use; 1 is all", |of| {
        f64::from(of.pages_used) / f64::from(of.pages_total.max(1))
    });
    gauge("kv_cache_pages", "Cache pages", |of| of.pages_total.into());
    gauge("kv_cache_pages_cached", "Cache pages kept for requests to come", |of| {
        of.pages_cached.into()
    });
    let mut counter = |name: &str, help: &str, value: fn(&SchedulerNumbers) -> u64| {
        let family = Counters::default();
        for (model, numbers) in models {
            family.get_or_create(&labels(model)).inc_by(value(numbers));
        }
        registry.register(name, help, family);
    };
    counter("prefix_cache_queries", "Prompt tokens looked up in the cache", |of| of.prefix_queries);
    counter("prefix_cache_hits", "Prompt tokens found there", |of| of.prefix_hits);
    counter("num_preemptions", "Sequences that had to give way", |of| of.preemptions);
    counter("kv_cache_evictions", "Kept pages that were given up for others", |of| of.evictions);
}

fn add_discovery(registry: &mut Registry, layers: &[LayerReport]) {
    let first = Gauges::default();
    for layer in layers {
        if let Some(first_ms) = layer.connected_first_ms {
            let labels = vec![("via", layer.via.word().to_owned())];
            first.get_or_create(&labels).set(first_ms as f64 / 1e3);
        }
    }
    let help = "From the start to the first peer, by how it was found";
    registry.register_with_unit("discovery", help, Unit::Seconds, first);
}

fn add_traffic(registry: &mut Registry, traffic: &[(Direction, RowEncoding, u64)]) {
    let hops = Counters::default();
    for (direction, encoding, bytes) in traffic {
        let direction = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        let encoding = match encoding {
            RowEncoding::Tokens => "tokens",
            RowEncoding::F32 => "f32",
            RowEncoding::F16 => "f16",
        };
        let labels = vec![("direction", direction.to_owned()), ("encoding", encoding.to_owned())];
        hops.get_or_create(&labels).inc_by(*bytes);
    }
    registry.register("hop_bytes", "Rows that came from other nodes and went to them", hops);
}

fn add_peers(registry: &mut Registry, peers: &[PeerStatus]) {
    let known = Family::<Labels, Gauge>::default();
    let labels =
        |state: &str, via: &str| vec![("state", state.to_owned()), ("via", via.to_owned())];
    for state in STATES {
        for via in Via::ALL {
            known.get_or_create(&labels(state, via.word())).set(0);
        }
    }
    for peer in peers {
        known.get_or_create(&labels(&peer.state, &peer.via)).inc();
    }
    registry.register("peers", "Peers by state and by how they were found", known);
    let mut rtt_s: Vec<f64> = peers.iter().filter_map(|peer| Some(peer.rtt_ms? / 1e3)).collect();
    rtt_s.sort_by(f64::total_cmp);
    let hops = Gauges::default();
    let places =
        [("nearest", 0), ("median", rtt_s.len() / 2), ("farthest", rtt_s.len().max(1) - 1)];
    for (name, at) in places {
        if let Some(rtt_s) = rtt_s.get(at) {
            hops.get_or_create(&vec![("peer", name.to_owned())]).set(*rtt_s);
        }
    }
    let help = "Round trips to the connected peers of this moment";
    registry.register_with_unit("hop_rtt", help, Unit::Seconds, hops);
}

fn add_process(registry: &mut Registry) {
    let rss = ConstGauge::new(crate::service::resident_bytes() as f64);
    registry.register_with_unit("resident_memory", "Memory of the process", Unit::Bytes, rss);
    let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "Which program this is", version);
}

fn add_dht(registry: &mut Registry, dht: &DhtNumbers) {
    let mut gauge = |name: &str, help: &str, value: usize| {
        registry.register(name, help, ConstGauge::new(value as f64));
    };
    gauge("dht_contacts", "Nodes of the DHT that answered lately", dht.contacts);
    gauge("dht_buckets", "Buckets of its table that hold any", dht.buckets);
    gauge("dht_records", "Provider records kept for others", dht.records);
    gauge("dht_holders", "Nodes that keep this node's own records", dht.holders);
    let mut counter = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstCounter::new(value));
    };
    counter("dht_lookups_done", "Lookups that found what they were for", dht.lookups_done);
    counter("dht_lookups_failed", "Lookups that did not", dht.lookups_failed);
    counter("dht_answered", "Questions answered for others", dht.answered);
    counter("dht_sent_bytes", "Bytes sent in datagrams", dht.sent_bytes);
    counter("dht_received_bytes", "Bytes received in datagrams", dht.received_bytes);
    counter("dht_refused", "Datagrams for nobody, or altered", dht.refused);
    counter("dht_over_rate", "Questions beyond the rate", dht.over_rate);
}

/// Providers that were asked since the start.
fn add_providers(registry: &mut Registry, providers: &[ProviderStatus]) {
    let (requests, errors) = (Counters::default(), Counters::default());
    let cost = Family::<Labels, Counter<f64, AtomicU64>>::default();
    for ProviderStatus { id, ledger, .. } in providers {
        let label = ("provider", id.clone());
        for (reason, n) in &ledger.requests {
            let labels = vec![label.clone(), ("reason", (*reason).to_owned())];
            requests.get_or_create(&labels).inc_by(*n);
        }
        if !ledger.requests.is_empty() {
            errors.get_or_create(&vec![label.clone()]).inc_by(ledger.errors);
            cost.get_or_create(&vec![label]).inc_by(ledger.cost_usd);
        }
    }
    let help = "Requests that a provider in the cloud was asked for, by why";
    registry.register("fallback_requests", help, requests);
    registry.register("fallback_errors", "Those that it did not answer", errors);
    registry.register("fallback_cost_usd", "What they cost, about, in US dollars", cost);
}

/// One request; dropped before its end it counts as given up.
#[derive(Debug)]
pub(super) struct RequestMeter {
    labels: Labels,
    prompt_tokens: Counter,
    generation_tokens: Counter,
    successes: Counters,
    first_token: Histogram,
    inter_token: Histogram,
    whole: Histogram,
    queue: Histogram,
    prefill: Histogram,
    decode: Histogram,
    request_prompt: Histogram,
    request_generation: Histogram,
    stage_compute: Histogram,
    stage_hop: Histogram,
    began: Instant,
    first_token_at: Option<Instant>,
    last_token_at: Option<Instant>,
    has_ended: bool,
}

impl RequestMeter {
    /// A token was sampled; with the first one the prompt has been read.
    pub(super) fn token(&mut self, prompt_tokens: u32) {
        let now = Instant::now();
        let (histogram, since) = match self.last_token_at.replace(now) {
            Some(last) => (&self.inter_token, last),
            None => {
                self.first_token_at = Some(now);
                self.prompt_tokens.inc_by(prompt_tokens.into());
                (&self.first_token, self.began)
            }
        };
        histogram.observe((now - since).as_secs_f64());
        self.generation_tokens.inc();
    }

    /// The answer is complete.
    pub(super) fn finished(&mut self, summary: &Summary) {
        self.end(match summary.finish_reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
        });
        let queue_s = summary.queue_ms / 1000.0;
        self.queue.observe(queue_s);
        self.whole.observe(self.began.elapsed().as_secs_f64());
        if let (Some(first), Some(last)) = (self.first_token_at, self.last_token_at) {
            self.prefill.observe(((first - self.began).as_secs_f64() - queue_s).max(0.0));
            self.decode.observe((last - first).as_secs_f64());
        }
        self.request_prompt.observe(summary.prompt_tokens.into());
        self.request_generation.observe(summary.token_ids.len() as f64);
        for stage in &summary.route {
            self.stage_compute.observe(stage.compute_ms / 1000.0);
            self.stage_hop.observe(stage.hop_ms / 1000.0);
        }
    }

    /// There is an embedding, or scores of the prompt: no tokens.
    pub(super) fn embedded(&mut self, prompt_tokens: u32) {
        self.end("stop");
        self.prompt_tokens.inc_by(prompt_tokens.into());
        self.request_prompt.observe(prompt_tokens.into());
        self.whole.observe(self.began.elapsed().as_secs_f64());
    }

    /// The answer failed.
    pub(super) fn failed(&mut self) {
        self.end("error");
    }

    fn end(&mut self, reason: &'static str) {
        self.has_ended = true;
        let mut labels = self.labels.clone();
        labels.push(("finished_reason", reason.to_owned()));
        self.successes.get_or_create(&labels).inc();
    }
}

impl Drop for RequestMeter {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end("abort");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::RouteStage;

    fn summary() -> Summary {
        let stage = RouteStage {
            peer: String::new(),
            layers: [0, 1],
            compute_ms: 250.0,
            hop_ms: 125.0,
            bytes_out: 64,
        };
        Summary {
            finish_reason: FinishReason::Length,
            prompt_tokens: 7,
            token_ids: vec![1, 2],
            reasoning_tokens: 0,
            stop_text: None,
            route: vec![stage],
            cached_tokens: 0,
            preemptions: 0,
            cache: "f16".to_owned(),
            queue_ms: 0.0,
            ttft_ms: 1.0,
            decode_tok_s: 2.0,
            cloud: None,
        }
    }

    fn peer() -> PeerStatus {
        PeerStatus {
            peer_id: "p".to_owned(),
            state: "connected".to_owned(),
            addresses: Vec::new(),
            via: "mdns".to_owned(),
            rtt_ms: Some(500.0),
            offers: Vec::new(),
        }
    }

    #[test]
    fn every_name_is_there_before_the_first_request_has_ended() {
        let metrics = Metrics::new();
        let mut meter = metrics.request("m", Instant::now());
        meter.token(7);
        meter.token(7);
        meter.finished(&summary());
        drop(meter);
        drop(metrics.request("m", Instant::now()));
        metrics.request("vectors", Instant::now()).embedded(3);
        let scheduler = SchedulerNumbers {
            running: 3,
            pages_used: 1,
            pages_total: 4,
            prefix_hits: 5,
            ..SchedulerNumbers::default()
        };
        let found = LayerReport {
            via: Via::Mdns,
            found: 1,
            connected: 1,
            connected_first_ms: Some(250),
            found_at_unix_s: None,
            last_error: None,
        };
        let text = metrics.text(&Now {
            scheduler: vec![("m".to_owned(), scheduler)],
            peers: vec![peer()],
            layers: vec![found],
            traffic: vec![(Direction::Out, RowEncoding::F16, 64)],
            dht: DhtNumbers { contacts: 9, lookups_done: 2, ..DhtNumbers::default() },
            providers: Vec::new(),
        });
        for line in [
            "swarmllm_prompt_tokens_total{model=\"m\"} 7",
            "swarmllm_request_prompt_tokens_sum{model=\"m\"} 7.0",
            "swarmllm_request_generation_tokens_bucket{le=\"4.0\",model=\"m\"} 1",
            "swarmllm_request_prefill_time_seconds_count{model=\"m\"} 1",
            "swarmllm_request_decode_time_seconds_count{model=\"m\"} 1",
            "swarmllm_stage_compute_seconds_sum{model=\"m\"} 0.25",
            "swarmllm_stage_hop_seconds_sum{model=\"m\"} 0.125",
            "swarmllm_hop_bytes_total{direction=\"out\",encoding=\"f16\"} 64",
            "swarmllm_discovery_seconds{via=\"mdns\"} 0.25",
            "swarmllm_request_success_total{model=\"vectors\",finished_reason=\"stop\"} 1",
            "swarmllm_prompt_tokens_total{model=\"vectors\"} 3",
            "swarmllm_build_info{version=\"0.1.0\"} 1",
            "swarmllm_hop_rtt_seconds{peer=\"nearest\"} 0.5",
            "swarmllm_hop_rtt_seconds{peer=\"median\"} 0.5",
            "swarmllm_hop_rtt_seconds{peer=\"farthest\"} 0.5",
            "swarmllm_generation_tokens_total{model=\"m\"} 2",
            "swarmllm_request_success_total{model=\"m\",finished_reason=\"length\"} 1",
            "swarmllm_request_success_total{model=\"m\",finished_reason=\"abort\"} 1",
            "swarmllm_time_to_first_token_seconds_count{model=\"m\"} 1",
            "swarmllm_inter_token_latency_seconds_count{model=\"m\"} 1",
            "swarmllm_e2e_request_latency_seconds_count{model=\"m\"} 1",
            "swarmllm_request_queue_time_seconds_count{model=\"m\"} 1",
            "swarmllm_num_requests_running{model=\"m\"} 3.0",
            "swarmllm_num_requests_waiting{model=\"m\"} 0.0",
            "swarmllm_kv_cache_usage_perc{model=\"m\"} 0.25",
            "swarmllm_prefix_cache_queries_total{model=\"m\"} 0",
            "swarmllm_prefix_cache_hits_total{model=\"m\"} 5",
            "swarmllm_num_preemptions_total{model=\"m\"} 0",
            "swarmllm_kv_cache_evictions_total{model=\"m\"} 0",
            "swarmllm_peers{state=\"connected\",via=\"mdns\"} 1",
            "swarmllm_peers{state=\"known\",via=\"dht\"} 0",
            "swarmllm_dht_contacts 9.0",
            "swarmllm_dht_lookups_done_total 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
