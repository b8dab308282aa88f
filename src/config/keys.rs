//! Every key of the configuration, named once, and the nearest one to a misspelt name.
//!
//! Called by `raw.rs` and `resolved.rs`. A key `http.listen` is `listen` in table `[http]` of the
//! file and `SWARMLLM_HTTP__LISTEN` in the environment (two underscores between the levels).
//! Absent on purpose: defaults and meaning of values, which `resolved.rs` knows.

/// Where peers and models keep their files.
pub const DATA_DIR: &str = "data_dir";
/// Name of the swarm.
pub const NETWORK: &str = "network";
/// Address of the HTTP server.
pub const HTTP_LISTEN: &str = "http.listen";
/// Whether whoever reaches the HTTP server beyond loopback needs no key.
pub const HTTP_OPEN: &str = "http.open";
/// Origins of web pages that may use it.
pub const HTTP_ORIGINS: &str = "http.origins";
/// Seconds that running answers get at shutdown.
pub const HTTP_DRAIN_S: &str = "http.drain_s";
/// Address for peers.
pub const PEERS_LISTEN: &str = "peers.listen";
/// Invite codes and addresses to start from.
pub const PEERS_JOIN: &str = "peers.join";
/// Whether to announce and look for peers on the local network.
pub const PEERS_MDNS: &str = "peers.mdns";
/// Whether to tell peers of each other, and to hear of others from them.
pub const PEERS_EXCHANGE: &str = "peers.exchange";
/// Whether to stay inside private address ranges.
pub const PEERS_OFFLINE: &str = "peers.offline";
/// Whom to let in.
pub const PEERS_ADMISSION: &str = "peers.admission";
/// Compute threads.
pub const COMPUTE_THREADS: &str = "compute.threads";
/// Compute device.
pub const COMPUTE_DEVICE: &str = "compute.device";
/// Whether weights are laid out anew in memory.
pub const COMPUTE_REPACK: &str = "compute.repack";
/// Memory of the key-value caches.
pub const CACHE_MEMORY: &str = "cache.memory";
/// Type of the key-value caches.
pub const CACHE_TYPE: &str = "cache.type";
/// Most requests computed at once.
pub const SCHEDULER_RUNNING: &str = "scheduler.running";
/// Most requests that wait for a place.
pub const SCHEDULER_WAITING: &str = "scheduler.waiting";
/// Most of them for one client.
pub const SCHEDULER_WAITING_PER_CLIENT: &str = "scheduler.waiting_per_client";
/// How long a request may wait for a place.
pub const SCHEDULER_WAIT_S: &str = "scheduler.wait_s";
/// Aim for the time between two tokens of an answer.
pub const SCHEDULER_TOKEN_TARGET_MS: &str = "scheduler.token_target_ms";
/// Models to serve.
pub const MODELS_SERVE: &str = "models.serve";
/// Layers to hold of each.
pub const MODELS_LAYERS: &str = "models.layers";
/// When requests may leave the swarm.
pub const CLOUD_POLICY: &str = "cloud.policy";
/// Which model of a provider stands in for which of the swarm.
pub const CLOUD_MODELS: &str = "cloud.models";
/// Changes and additions to the known providers.
pub const CLOUD_PROVIDERS: &str = "cloud.providers";

/// All of them, in the order of the example file.
pub const ALL: [&str; 27] = [
    DATA_DIR,
    NETWORK,
    HTTP_LISTEN,
    HTTP_OPEN,
    HTTP_ORIGINS,
    HTTP_DRAIN_S,
    PEERS_LISTEN,
    PEERS_JOIN,
    PEERS_MDNS,
    PEERS_EXCHANGE,
    PEERS_OFFLINE,
    PEERS_ADMISSION,
    COMPUTE_THREADS,
    COMPUTE_DEVICE,
    COMPUTE_REPACK,
    CACHE_MEMORY,
    CACHE_TYPE,
    SCHEDULER_RUNNING,
    SCHEDULER_WAITING,
    SCHEDULER_WAITING_PER_CLIENT,
    SCHEDULER_WAIT_S,
    SCHEDULER_TOKEN_TARGET_MS,
    MODELS_SERVE,
    MODELS_LAYERS,
    CLOUD_POLICY,
    CLOUD_MODELS,
    CLOUD_PROVIDERS,
];

/// Name of a key in the environment.
pub fn environment_name(key: &str) -> String {
    format!("SWARMLLM_{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Names known inside a table (`None`: at the top), tables included.
pub fn known_in(table: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for key in ALL {
        let name = match (table, key.split_once('.')) {
            (Some(table), Some((parent, name))) if parent == table => name,
            (None, Some((parent, _))) => parent,
            (None, None) => key,
            _ => continue,
        };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Whether the name is a table at the top.
pub fn is_table(name: &str) -> bool {
    ALL.iter().any(|key| key.split_once('.').is_some_and(|(parent, _)| parent == name))
}

/// The known name with the fewest edits, when it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = 1 + name.chars().count() / 3;
    known
        .into_iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Least number of inserted, removed, replaced or swapped neighbouring characters
/// (optimal string alignment).
fn edit_distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let same = usize::from(from[i - 1] != to[j - 1]);
            let mut best = (above[j - 1] + same).min(above[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
            if swapped {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_edits() {
        let cases = [("", "", 0), ("a", "", 1), ("listen", "lisetn", 1), ("kitten", "sitting", 3)];
        for (from, to, distance) in cases {
            assert_eq!(edit_distance(from, to), distance, "{from} {to}");
            assert_eq!(edit_distance(to, from), distance, "{to} {from}");
        }
    }

    #[test]
    fn the_nearest_name_is_offered_and_a_stranger_is_not() {
        let known = known_in(Some("http"));
        assert_eq!(nearest("lisen", known.iter().map(String::as_str)), Some("listen"));
        assert_eq!(nearest("colour", known.iter().map(String::as_str)), None);
    }

    #[test]
    fn tables_and_keys_are_known_at_the_top() {
        let top = known_in(None);
        assert!(top.contains(&"http".to_owned()) && top.contains(&"data_dir".to_owned()));
        assert!(is_table("peers") && !is_table("data_dir"));
        assert_eq!(environment_name(HTTP_LISTEN), "SWARMLLM_HTTP__LISTEN");
    }
}
