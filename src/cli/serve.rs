//! `swarmllm serve`: a node until it is told to end.
//!
//! Called by `cli/mod.rs`, by systemd, and by `demo/` for its children. Order: settings, data
//! folder, models, HTTP address, node, HTTP server, control socket, `ready.json`, `READY=1`; the
//! way back is the reverse. The first SIGINT, SIGTERM, SIGHUP, `shutdown` or (when asked) end of
//! stdin drains: new requests are refused, running answers get `http.drain_s` seconds; the next one
//! cuts them. The watchdog is fed only while the actors answer. Exit code 0 after any orderly end.
//! Absent on purpose: what the node does; `node.rs` knows.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use actix_web::dev::ServerHandle;
use swarmllm_models::{Model, Repack, ShardOptions};
use swarmllm_protocol::ids::LayerRange;
use tokio::sync::mpsc;

use super::{CliError, log, reach};
use crate::{
    cloud::{CloudOptions, key::ProviderKeys},
    config::{self, Environment, Flags, Settings, paths::CONTROL_SOCKET, resolved},
    control::{methods::ControlState, server::ControlServer},
    http::{
        Gate,
        health::HEALTH_DEADLINE,
        keys::{self, KeyStore},
        server::{Door, HttpOptions},
    },
    node::{self, NodeHandle, NodeOptions},
    service::{
        data_folder::DataFolder,
        notify::ServiceManager,
        ready_file::{Ready, ReadyFile},
        signals::EndSignals,
    },
};

/// How often a draining node looks whether its answers are finished.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// Flags of `serve`.
#[derive(Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// Configuration file, instead of the system's and the user's.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the node keeps its identity and its peers.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Address of the HTTP server [default: 127.0.0.1:8800].
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<String>,
    /// Address for peers [default: [::]:8810, both IPv6 and IPv4].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Model to serve: a GGUF file or a built-in one; repeatable [default: demo].
    #[arg(long, value_name = "REF_OR_FILE")]
    model: Vec<String>,
    /// Layers to hold, half open [default: all].
    #[arg(long, value_name = "A-B")]
    layers: Option<String>,
    /// Invite code or address of a node to start from; repeatable.
    #[arg(long, value_name = "CODE_OR_ADDR")]
    join: Vec<String>,
    /// Neither announce nor look for peers on the local network.
    #[arg(long)]
    no_mdns: bool,
    /// Neither tell peers of each other nor hear of others from them.
    #[arg(long)]
    no_peer_exchange: bool,
    /// Stay inside private address ranges.
    #[arg(long)]
    offline: bool,
    /// Name of the swarm [default: main].
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Compute threads [default: as many as the machine has].
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// Compute device: cpu, cuda, wgpu or vulkan [default: cpu].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Use weights as they lie in the file, for machines short of memory; slower.
    #[arg(long)]
    no_repack: bool,
    /// Memory of the key-value caches, such as 2GiB [default: a quarter of what is available].
    #[arg(long, value_name = "SIZE")]
    kv_memory: Option<String>,
    /// Type of the key-value caches: f16, q8_0 or f32 [default: f16].
    #[arg(long, value_name = "TYPE")]
    kv: Option<String>,
    /// End when stdin ends: a parent that dies takes its children along.
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl ServeArgs {
    fn flags(&self) -> Flags {
        Flags {
            data_dir: self.data_dir.clone(),
            network: self.network.clone(),
            http: self.http.clone(),
            listen: self.listen.clone(),
            join: self.join.clone(),
            no_mdns: self.no_mdns,
            no_peer_exchange: self.no_peer_exchange,
            offline: self.offline,
            threads: self.threads,
            device: self.device.clone(),
            no_repack: self.no_repack,
            kv_memory: self.kv_memory.clone(),
            kv: self.kv.clone(),
            models: self.model.clone(),
            layers: self.layers.clone(),
        }
    }
}

/// Runs the command.
pub fn run(args: ServeArgs) -> Result<(), CliError> {
    let environment = Environment::of_process();
    log::start(&environment, "info,actix_server=warn");
    for (name, nearest) in resolved::unknown_variables(&environment) {
        let nearest = nearest.map_or(String::new(), |name| format!("; did you mean {name}?"));
        tracing::warn!("{name} is set but names no setting{nearest}");
    }
    let files = reach::read_files(args.config.as_ref(), &environment)?;
    let settings = config::resolve(&files, &environment, &args.flags()).map_err(CliError::usage)?;
    let folder = DataFolder::take(&settings.data_dir.value).map_err(CliError::failed)?;
    // The folder itself may be a link (systemd's private state), its configured name is not.
    let control_dir = environment.control_dir(&settings.data_dir.value);
    let control_dir = control_dir.unwrap_or_else(|| folder.path().to_owned());
    let secret = node::derive_secret(folder.path(), keys::PURPOSE).map_err(CliError::failed)?;
    let keys = KeyStore::open(folder.path(), secret).map_err(CliError::failed)?;
    let plan = Plan {
        keys: Arc::new(keys),
        options: node_options(&settings, &folder, &environment)?,
        manager: ServiceManager::from_environment(&environment),
        until_stdin_closes: args.until_stdin_closes,
        settings,
        control: control_dir.join(CONTROL_SOCKET),
        folder,
    };
    actix::System::new().block_on(serve(plan))
}

struct Plan {
    settings: Settings,
    keys: Arc<KeyStore>,
    options: NodeOptions,
    folder: DataFolder,
    control: PathBuf,
    manager: ServiceManager,
    until_stdin_closes: bool,
}

fn node_options(
    settings: &Settings,
    folder: &DataFolder,
    environment: &Environment,
) -> Result<NodeOptions, CliError> {
    let layers = settings.layers.value;
    let models = settings.models.value.iter().map(|reference| {
        let (name, model) = crate::local::open_model(reference)?;
        check_layers(&name, &model, layers, &settings.layers.origin)?;
        Ok((name, model, layers))
    });
    let repack = if settings.repack.value { Repack::Always } else { Repack::Never };
    let (device, kv) = (settings.device.value, settings.cache_type.value);
    let mut shard = ShardOptions { device, kv, repack, ..Default::default() };
    if settings.threads.value > 0 {
        shard.threads = settings.threads.value as usize;
    }
    Ok(NodeOptions {
        limits: settings.scheduler.limits(),
        data_dir: folder.path().to_owned(),
        listen: settings.listen.value,
        network: settings.network.value.clone(),
        models: models.collect::<Result<Vec<_>, CliError>>()?,
        join: settings.join.value.clone(),
        mdns: settings.mdns.value,
        exchange: settings.exchange.value,
        offline: settings.offline.value,
        admission: settings.admission.value,
        shard,
        cache_memory: settings.cache_memory.value,
        cloud: CloudOptions {
            keys: ProviderKeys::new(folder.path(), &settings.cloud.providers.value, environment),
            settings: settings.cloud.settings(),
        },
    })
}

fn check_layers(
    name: &str,
    model: &Model,
    layers: Option<LayerRange>,
    origin: &config::Origin,
) -> Result<(), CliError> {
    let n_layers = model.config().n_layers;
    match layers {
        Some(range) if range.end > n_layers => Err(CliError::usage(format!(
            "{origin}: layers {}-{} are asked for, but `{name}` has the layers 0-{n_layers}",
            range.start, range.end
        ))),
        _ => Ok(()),
    }
}

/// The parts of a serving node, in the order they were started.
struct Serving {
    node: NodeHandle,
    http: ServerHandle,
    gate: Gate,
    // Removed in the order of the fields when the node ends.
    ready_file: ReadyFile,
    control: ControlServer,
}

async fn serve(plan: Plan) -> Result<(), CliError> {
    let mut signals = EndSignals::listen(plan.until_stdin_closes)?;
    let door = http_door(&plan).await?;
    let node = tokio::select! {
        started = NodeHandle::start(plan.options.clone()) => started.map_err(CliError::failed)?,
        reason = signals.wait() => {
            tracing::info!(reason, "ended before it served");
            return Ok(());
        }
    };
    let (end, mut end_asked) = mpsc::channel(1);
    let serving = match open_doors(&plan, door, &node, end).await {
        Ok(serving) => serving,
        Err(error) => {
            node.shutdown().await;
            return Err(error);
        }
    };
    plan.manager.notify("READY=1");
    let reason = tokio::select! {
        reason = signals.wait() => reason,
        _ = end_asked.recv() => "shutdown over the control socket",
        () = feed_watchdog(&plan.manager, &serving.node) => "watchdog",
    };
    tracing::info!(reason, "ending");
    plan.manager.notify("STOPPING=1");
    close_doors(serving, &mut signals, plan.settings.drain_s.value).await;
    drop(plan.folder);
    Ok(())
}

async fn http_door(plan: &Plan) -> Result<Door, CliError> {
    let Settings { http, open, origins, .. } = &plan.settings;
    let (listen, origins) = (http.value, origins.value.clone());
    let options = HttpOptions { listen, open: open.value, origins };
    Door::open(options, Arc::clone(&plan.keys)).await.map_err(|error| cannot_serve(plan, &error))
}

fn cannot_serve(plan: &Plan, error: &io::Error) -> CliError {
    let listen = plan.settings.http.value;
    CliError::failed(format!(
        "cannot serve HTTP at {listen}: {error}; or choose another address with --http"
    ))
}

async fn open_doors(
    plan: &Plan,
    door: Door,
    node: &NodeHandle,
    end: mpsc::Sender<()>,
) -> Result<Serving, CliError> {
    let served = door.serve(node.clone()).await;
    let (server, http, gate) = served.map_err(|error| cannot_serve(plan, &error))?;
    let handle = server.handle();
    actix_rt::spawn(server);
    let state = ControlState { node: node.clone(), keys: Arc::clone(&plan.keys), end };
    let control = ControlServer::bind(&plan.control, state).map_err(|error| {
        let path = plan.control.display();
        CliError::failed(format!("cannot open the control socket {path}: {error}"))
    })?;
    let ready = Ready {
        http,
        listen: node.listen(),
        control: plan.control.clone(),
        peer_id: node.peer_id().to_string(),
        pid: std::process::id(),
    };
    let ready_file = ReadyFile::write(plan.folder.path(), &ready)?;
    tracing::info!(
        peer_id = %ready.peer_id, %http, listen = %ready.listen,
        data_dir = %plan.folder.path().display(), "ready: OpenAI API at http://{http}/v1"
    );
    Ok(Serving { node: node.clone(), http: handle, gate, ready_file, control })
}

/// Never returns; without a watchdog it only waits.
async fn feed_watchdog(manager: &ServiceManager, node: &NodeHandle) {
    let Some(period) = manager.watchdog_period() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        if node.is_healthy(HEALTH_DEADLINE).await {
            manager.notify("WATCHDOG=1");
        } else {
            tracing::error!("a part of the node does not answer; the watchdog is not fed");
        }
    }
}

async fn close_doors(serving: Serving, signals: &mut EndSignals, drain_s: u32) {
    // Nobody new finds the node; who is inside gets an answer or a refusal.
    drop(serving.ready_file);
    serving.gate.close();
    tokio::select! {
        () = answers_finished(&serving.node) => {}
        () = tokio::time::sleep(Duration::from_secs(drain_s.into())) => {
            tracing::warn!(drain_s, "answers were still running and are cut");
        }
        reason = signals.wait() => tracing::warn!(reason, "asked again: answers are cut"),
    }
    serving.node.shutdown().await;
    serving.http.stop(true).await;
    drop(serving.control);
}

async fn answers_finished(node: &NodeHandle) {
    while node.status().await.is_ok_and(|status| status.n_active > 0) {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}
