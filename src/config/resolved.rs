//! The settings a node starts with: each value, and where it comes from.
//!
//! Called by `cli/`. Pure: files, environment and flags are arguments. Order, the later wins:
//! default, files in the given order, environment, flags. A list replaces a list.
//! Units last in names. Errors: [`ConfigError::BadValue`] with the place and what belongs there.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
};

use swarmllm_models::{DeviceChoice, KvType};
use swarmllm_protocol::{
    admission::AdmissionPolicy,
    ids::{LayerRange, NetworkId},
    schedule::Limits,
};

use super::{
    ConfigError, Environment,
    byte_size::ByteSize,
    cloud::CloudSection,
    keys,
    raw::{RawConfig, RawValue},
};

/// Port of the HTTP server unless told otherwise.
const HTTP_PORT: u16 = 8800;
/// Port for peers unless told otherwise.
const PEERS_PORT: u16 = 8810;
/// Seconds that running answers get at shutdown: below systemd's TimeoutStopSec of the unit.
const DRAIN_S: u32 = 10;
/// More threads than any machine has are a typing error.
const MAX_THREADS: u32 = 4096;
/// Requests computed at once unless told otherwise.
const RUNNING: u32 = 128;
/// Requests that wait for a place unless told otherwise.
const WAITING: u32 = 1024;
/// Most of them for one client unless told otherwise.
const WAITING_PER_CLIENT: u32 = 512;
/// Seconds that a request may wait unless told otherwise, and at most: requesters wait no longer.
const WAIT_S: u32 = 600;
/// Aim for the milliseconds between two tokens of an answer unless told otherwise.
const TOKEN_TARGET_MS: u32 = 50;
/// A step has room for a row of each.
const MAX_RUNNING: u32 = 512;
/// A node knows no more sequences at once.
const MAX_SEQUENCES: u32 = 4096;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: built in.
    Default,
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// In this variable.
    Environment(String),
    /// In this flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// A value that remembers where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: Origin,
}

/// Values given as flags.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--network`.
    pub network: Option<String>,
    /// `--http`.
    pub http: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--join`, as often as given.
    pub join: Vec<String>,
    /// `--no-mdns`.
    pub no_mdns: bool,
    /// `--no-peer-exchange`.
    pub no_peer_exchange: bool,
    /// `--offline`.
    pub offline: bool,
    /// `--threads`.
    pub threads: Option<u32>,
    /// `--no-repack`.
    pub no_repack: bool,
    /// `--kv-memory`.
    pub kv_memory: Option<String>,
    /// `--kv`.
    pub kv: Option<String>,
    /// `--device`.
    pub device: Option<String>,
    /// `--model`, as often as given.
    pub models: Vec<String>,
    /// `--layers`.
    pub layers: Option<String>,
}

/// Every setting of a node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Data folder.
    pub data_dir: Setting<PathBuf>,
    /// Name of the swarm.
    pub network: Setting<NetworkId>,
    /// Address of the HTTP server.
    pub http: Setting<SocketAddr>,
    /// Whether whoever reaches it beyond loopback needs no API key.
    pub open: Setting<bool>,
    /// Origins of web pages that may use it; `*` is any.
    pub origins: Setting<Vec<String>>,
    /// Seconds that running answers get at shutdown.
    pub drain_s: Setting<u32>,
    /// Address for peers.
    pub listen: Setting<SocketAddr>,
    /// Invite codes and addresses to start from.
    pub join: Setting<Vec<String>>,
    /// Announce and look for peers on the local network.
    pub mdns: Setting<bool>,
    /// Tell peers of each other, and hear of others from them.
    pub exchange: Setting<bool>,
    /// Stay inside private address ranges.
    pub offline: Setting<bool>,
    /// Whom to let in.
    pub admission: Setting<AdmissionPolicy>,
    /// Compute threads; 0: as many as the machine has.
    pub threads: Setting<u32>,
    /// Compute device.
    pub device: Setting<DeviceChoice>,
    /// Whether weights are laid out anew in memory, or used as they lie in the file.
    pub repack: Setting<bool>,
    /// Memory of the key-value caches; chosen from what is available when absent.
    pub cache_memory: Setting<Option<ByteSize>>,
    /// Type of the key-value caches.
    pub cache_type: Setting<KvType>,
    /// Bounds of the scheduler.
    pub scheduler: SchedulerSettings,
    /// Models to serve.
    pub models: Setting<Vec<String>>,
    /// Layers to hold of each; all of them when absent.
    pub layers: Setting<Option<LayerRange>>,
    /// Providers that may stand in for the swarm.
    pub cloud: CloudSection,
}

/// Settings of the scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerSettings {
    /// Most requests computed at once.
    pub running: Setting<u32>,
    /// Most requests that wait for a place.
    pub waiting: Setting<u32>,
    /// Most of them for one client.
    pub waiting_per_client: Setting<u32>,
    /// Seconds that a request may wait for a place.
    pub wait_s: Setting<u32>,
    /// Aim for the milliseconds between two tokens of an answer.
    pub token_target_ms: Setting<u32>,
}

impl SchedulerSettings {
    fn resolve(sources: &Sources<'_>) -> Result<SchedulerSettings, ConfigError> {
        let pick = |key, value, range: RangeInclusive<u32>| {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            let read = |raw: &RawValue| number(raw, range.clone(), &expected);
            Ok(sources.pick(key, None, read)?.unwrap_or(default(value)))
        };
        Ok(SchedulerSettings {
            running: pick(keys::SCHEDULER_RUNNING, RUNNING, 1..=MAX_RUNNING)?,
            waiting: pick(keys::SCHEDULER_WAITING, WAITING, 1..=MAX_SEQUENCES)?,
            waiting_per_client: pick(
                keys::SCHEDULER_WAITING_PER_CLIENT,
                WAITING_PER_CLIENT,
                1..=MAX_SEQUENCES,
            )?,
            wait_s: pick(keys::SCHEDULER_WAIT_S, WAIT_S, 1..=WAIT_S)?,
            token_target_ms: pick(keys::SCHEDULER_TOKEN_TARGET_MS, TOKEN_TARGET_MS, 1..=10_000)?,
        })
    }

    /// The bounds of every shard's schedule.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            target_us: u64::from(self.token_target_ms.value) * 1000,
            running_max: self.running.value as usize,
            waiting_max: self.waiting.value as usize,
            waiting_per_flow_max: self.waiting_per_client.value as usize,
            wait_max_us: u64::from(self.wait_s.value) * 1_000_000,
            ..Limits::default()
        }
    }
}

/// Decides every setting.
pub fn resolve(
    files: &[RawConfig],
    environment: &Environment,
    flags: &Flags,
) -> Result<Settings, ConfigError> {
    let sources = Sources { files, environment };
    let any_http = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HTTP_PORT);
    let any_peers = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PEERS_PORT);
    let no_mdns = flags.no_mdns.then_some(("--no-mdns", RawValue::Boolean(false)));
    let no_exchange =
        flags.no_peer_exchange.then_some(("--no-peer-exchange", RawValue::Boolean(false)));
    let offline = flags.offline.then_some(("--offline", RawValue::Boolean(true)));
    let no_repack = flags.no_repack.then_some(("--no-repack", RawValue::Boolean(false)));
    let threads = flags.threads.map(|n| ("--threads", RawValue::Integer(n.into())));
    let data_dir = match sources.pick(keys::DATA_DIR, flag_path(flags), folder)? {
        Some(setting) => setting,
        None => Setting {
            value: environment.data_dir().ok_or(ConfigError::NoHome)?,
            origin: Origin::Default,
        },
    };
    let or = |found: Option<Setting<SocketAddr>>, value| found.unwrap_or_else(|| default(value));
    Ok(Settings {
        data_dir,
        network: sources
            .pick(keys::NETWORK, flag("--network", &flags.network), network)?
            .unwrap_or_else(|| default(NetworkId::default())),
        http: or(sources.pick(keys::HTTP_LISTEN, flag("--http", &flags.http), address)?, any_http),
        open: sources.pick(keys::HTTP_OPEN, None, boolean)?.unwrap_or(default(false)),
        origins: sources
            .pick(keys::HTTP_ORIGINS, None, origins)?
            .unwrap_or_else(|| default(Vec::new())),
        drain_s: sources.pick(keys::HTTP_DRAIN_S, None, seconds)?.unwrap_or(default(DRAIN_S)),
        listen: or(
            sources.pick(keys::PEERS_LISTEN, flag("--listen", &flags.listen), address)?,
            any_peers,
        ),
        join: sources
            .pick(keys::PEERS_JOIN, flag_list("--join", &flags.join), texts)?
            .unwrap_or_else(|| default(Vec::new())),
        mdns: sources.pick(keys::PEERS_MDNS, no_mdns, boolean)?.unwrap_or(default(true)),
        exchange: sources
            .pick(keys::PEERS_EXCHANGE, no_exchange, boolean)?
            .unwrap_or(default(true)),
        offline: sources.pick(keys::PEERS_OFFLINE, offline, boolean)?.unwrap_or(default(false)),
        admission: sources
            .pick(keys::PEERS_ADMISSION, None, admission)?
            .unwrap_or_else(|| default(AdmissionPolicy::default())),
        threads: sources.pick(keys::COMPUTE_THREADS, threads, count)?.unwrap_or(default(0)),
        device: sources
            .pick(keys::COMPUTE_DEVICE, flag("--device", &flags.device), device)?
            .unwrap_or_else(|| default(DeviceChoice::Cpu)),
        repack: sources.pick(keys::COMPUTE_REPACK, no_repack, boolean)?.unwrap_or(default(true)),
        cache_memory: sources
            .pick(keys::CACHE_MEMORY, flag("--kv-memory", &flags.kv_memory), size)?
            .unwrap_or_else(|| default(None)),
        cache_type: sources
            .pick(keys::CACHE_TYPE, flag("--kv", &flags.kv), cache_type)?
            .unwrap_or_else(|| default(KvType::default())),
        scheduler: SchedulerSettings::resolve(&sources)?,
        models: sources
            .pick(keys::MODELS_SERVE, flag_list("--model", &flags.models), texts)?
            .unwrap_or_else(|| default(vec!["demo".to_owned()])),
        layers: sources
            .pick(keys::MODELS_LAYERS, flag("--layers", &flags.layers), layers)?
            .unwrap_or_else(|| default(None)),
        cloud: CloudSection::resolve(&sources)?,
    })
}

/// Variables that look like settings of ours and are none: `(name, nearest known)`.
pub fn unknown_variables(environment: &Environment) -> Vec<(String, Option<String>)> {
    let known: Vec<String> = keys::ALL.into_iter().map(keys::environment_name).collect();
    let others = [
        "SWARMLLM_HOME",
        "SWARMLLM_LOG",
        "SWARMLLM_LOG_FORMAT",
        "SWARMLLM_CONFORMANCE",
        "SWARMLLM_API_KEY",
    ];
    environment
        .names()
        .filter(|name| name.starts_with("SWARMLLM_") && !others.contains(name))
        .filter(|name| !known.iter().any(|known| known == name))
        .map(|name| {
            let near = keys::nearest(name, known.iter().map(String::as_str));
            (name.to_owned(), near.map(str::to_owned))
        })
        .collect()
}

type FlagValue = Option<(&'static str, RawValue)>;
/// What a value was found to be instead, and what belongs there.
pub(super) type Mismatch = (String, String);

pub(super) struct Sources<'a> {
    files: &'a [RawConfig],
    environment: &'a Environment,
}

impl Sources<'_> {
    pub(super) fn pick<T>(
        &self,
        key: &'static str,
        flag: FlagValue,
        read: impl Fn(&RawValue) -> Result<T, Mismatch>,
    ) -> Result<Option<Setting<T>>, ConfigError> {
        let Some((raw, origin)) = self.last(key, flag) else { return Ok(None) };
        match read(&raw) {
            Ok(value) => Ok(Some(Setting { value, origin })),
            Err((found, expected)) => {
                Err(ConfigError::BadValue { origin, key: key.to_owned(), found, expected })
            }
        }
    }

    fn last(&self, key: &'static str, flag: FlagValue) -> Option<(RawValue, Origin)> {
        if let Some((name, value)) = flag {
            return Some((value, Origin::Flag(name)));
        }
        let name = keys::environment_name(key);
        if let Some(text) = self.environment.get(&name) {
            return Some((RawValue::Text(text.to_owned()), Origin::Environment(name)));
        }
        self.files.iter().rev().find_map(|file| {
            let (value, line) = file.values.get(key)?;
            Some((value.clone(), Origin::File { path: file.path.clone(), line: *line }))
        })
    }
}

pub(super) fn default<T>(value: T) -> Setting<T> {
    Setting { value, origin: Origin::Default }
}

fn flag(name: &'static str, value: &Option<String>) -> FlagValue {
    value.clone().map(|text| (name, RawValue::Text(text)))
}

fn flag_list(name: &'static str, values: &[String]) -> FlagValue {
    (!values.is_empty()).then(|| (name, RawValue::Texts(values.to_vec())))
}

fn flag_path(flags: &Flags) -> FlagValue {
    let text = flags.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
    flag("--data-dir", &text)
}

fn describe(value: &RawValue) -> String {
    match value {
        RawValue::Text(text) => format!("{text:?}"),
        RawValue::Integer(integer) => integer.to_string(),
        RawValue::Boolean(boolean) => boolean.to_string(),
        RawValue::Texts(texts) => format!("{texts:?}"),
        RawValue::Other(kind) => format!("a value of kind {kind}"),
    }
}

pub(super) fn mismatch(value: &RawValue, expected: &str) -> Mismatch {
    (describe(value), expected.to_owned())
}

fn parsed<T: FromStr>(value: &RawValue, expected: &str) -> Result<T, Mismatch> {
    match value {
        RawValue::Text(text) => text.parse().map_err(|_| mismatch(value, expected)),
        _ => Err(mismatch(value, expected)),
    }
}

fn folder(value: &RawValue) -> Result<PathBuf, Mismatch> {
    match value {
        RawValue::Text(text) if !text.is_empty() => Ok(PathBuf::from(text)),
        _ => Err(mismatch(value, "a folder such as \"/var/lib/swarmllm\"")),
    }
}

fn address(value: &RawValue) -> Result<SocketAddr, Mismatch> {
    parsed(value, "ADDRESS:PORT such as \"127.0.0.1:8800\" (port 0: any free one)")
}

fn network(value: &RawValue) -> Result<NetworkId, Mismatch> {
    parsed(value, "a name of 1 to 32 ASCII characters such as \"main\"")
}

fn admission(value: &RawValue) -> Result<AdmissionPolicy, Mismatch> {
    let expected = "\"open\" or \"members\"";
    match value {
        RawValue::Text(text) => {
            AdmissionPolicy::of_word(text).ok_or_else(|| mismatch(value, expected))
        }
        _ => Err(mismatch(value, expected)),
    }
}

fn layers(value: &RawValue) -> Result<Option<LayerRange>, Mismatch> {
    parsed(value, "FIRST-END, half open, such as \"0-4\" for layers 0, 1, 2 and 3").map(Some)
}

fn device(value: &RawValue) -> Result<DeviceChoice, Mismatch> {
    parsed(value, "\"cpu\", \"cuda\", \"cuda:1\", \"wgpu\" or \"vulkan\"")
}

fn size(value: &RawValue) -> Result<Option<ByteSize>, Mismatch> {
    parsed(value, "a size such as \"512MiB\" or \"2GiB\"").map(Some)
}

fn cache_type(value: &RawValue) -> Result<KvType, Mismatch> {
    parsed(value, "\"f16\", \"q8_0\" or \"f32\"")
}

/// An origin is as a browser writes it: no path, no slash at its end.
fn origins(value: &RawValue) -> Result<Vec<String>, Mismatch> {
    let is_origin = |text: &String| {
        let authority = text.split_once("://").map(|(_, authority)| authority);
        text == "*"
            || authority.is_some_and(|text| {
                !text.is_empty()
                    && !text.contains(['/', '*'])
                    && !text.contains(char::is_whitespace)
            })
    };
    let found = texts(value)?;
    match found.iter().all(is_origin) {
        true => Ok(found),
        false => Err(mismatch(value, "origins such as [\"https://chat.example\"], or [\"*\"]")),
    }
}

fn boolean(value: &RawValue) -> Result<bool, Mismatch> {
    match value {
        RawValue::Boolean(boolean) => Ok(*boolean),
        _ => parsed(value, "true or false"),
    }
}

fn number(value: &RawValue, range: RangeInclusive<u32>, expected: &str) -> Result<u32, Mismatch> {
    let number = match value {
        RawValue::Integer(integer) => u32::try_from(*integer).ok(),
        RawValue::Text(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| range.contains(number)).ok_or_else(|| mismatch(value, expected))
}

fn seconds(value: &RawValue) -> Result<u32, Mismatch> {
    number(value, 0..=3600, "seconds from 0 to 3600")
}

fn count(value: &RawValue) -> Result<u32, Mismatch> {
    number(value, 0..=MAX_THREADS, "a count from 0 (all) to 4096")
}

pub(super) fn texts(value: &RawValue) -> Result<Vec<String>, Mismatch> {
    match value {
        RawValue::Texts(texts) => Ok(texts.clone()),
        // The environment has no arrays; commas separate there.
        RawValue::Text(text) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.map(str::to_owned).collect())
        }
        _ => Err(mismatch(value, "an array of texts such as [\"demo\"]")),
    }
}

#[cfg(test)]
mod tests;
