//! Tests of resolved settings.

use std::path::Path;

use super::*;
use crate::config::raw::parse;

fn file(name: &str, text: &str) -> RawConfig {
    parse(Path::new(name), text).expect("valid file")
}

fn home() -> Environment {
    Environment::of([("HOME", "/home/a")])
}

#[test]
fn nothing_given_means_defaults() {
    let settings = resolve(&[], &home(), &Flags::default()).expect("defaults");
    assert_eq!(settings.http.value.to_string(), "127.0.0.1:8800");
    assert_eq!(settings.models.value, ["demo"]);
    assert_eq!(settings.mdns, Setting { value: true, origin: Origin::Default });
    assert_eq!(settings.layers.value, None);
    assert_eq!(settings.scheduler.limits(), Limits::default());
}

#[test]
fn the_example_file_says_the_defaults() {
    let example = include_str!("../../../scripts/packaging/swarmllm.toml");
    let files = [file("example", example)];
    let written = resolve(&files, &home(), &Flags::default()).expect("valid");
    let defaults = resolve(&[], &home(), &Flags::default()).expect("defaults");
    let network = |settings: &Settings| {
        let s = settings;
        let http = (s.http.value, s.open.value, s.origins.value.clone());
        (s.network.value.clone(), http, s.listen.value, s.join.value.clone())
    };
    let rest = |settings: &Settings| {
        let s = settings;
        let compute = (s.threads.value, s.device.value, s.repack.value);
        let cache = (s.cache_memory.value, s.cache_type.value);
        let scheduler = s.scheduler.limits();
        let finding = (s.mdns.value, s.exchange.value, s.offline.value, s.admission.value);
        (s.drain_s.value, finding, compute, cache, scheduler)
    };
    assert_eq!(network(&written), network(&defaults));
    assert_eq!(rest(&written), rest(&defaults));
    assert_eq!(written.models.value, defaults.models.value);
    assert_eq!(written.cloud.settings(), defaults.cloud.settings());
    let commented = ["data_dir", "memory", "layers"];
    let uncommented = commented.iter().fold(example.to_owned(), |text, key| {
        text.replace(&format!("# {key} ="), &format!("{key} ="))
    });
    assert_eq!(file("all", &uncommented).values.len(), keys::ALL.len());
}

#[test]
fn flag_beats_environment_beats_later_file_beats_earlier() {
    let files = [
        file("system", "[http]\nlisten = \"127.0.0.1:1\"\n[peers]\nmdns = false\n"),
        file("user", "[http]\nlisten = \"127.0.0.1:2\"\n"),
    ];
    let with = Environment::of([("HOME", "/h"), ("SWARMLLM_HTTP__LISTEN", "127.0.0.1:3")]);
    let flags = Flags { http: Some("127.0.0.1:4".into()), ..Flags::default() };
    let port = |environment: &Environment, flags: &Flags| {
        let settings = resolve(&files, environment, flags).expect("valid");
        (settings.http.value.port(), settings.http.origin.to_string())
    };
    assert_eq!(port(&with, &flags), (4, "--http".into()));
    assert_eq!(port(&with, &Flags::default()), (3, "environment SWARMLLM_HTTP__LISTEN".into()));
    assert_eq!(port(&home(), &Flags::default()), (2, "user:2".into()));
    let mdns = resolve(&files, &home(), &Flags::default()).expect("valid").mdns;
    assert_eq!((mdns.value, mdns.origin.to_string()), (false, "system:4".into()));
}

#[test]
fn a_bad_value_names_its_place_and_what_belongs_there() {
    let files = [file("f.toml", "[compute]\nthreads = -1\n")];
    let error = resolve(&files, &home(), &Flags::default()).expect_err("negative");
    assert_eq!(
        error.to_string(),
        "f.toml:2: `compute.threads` is -1, expected a count from 0 (all) to 4096"
    );
    let flags = Flags { layers: Some("4-2".into()), ..Flags::default() };
    let error = resolve(&[], &home(), &flags).expect_err("reversed");
    assert!(error.to_string().starts_with("--layers: `models.layers` is \"4-2\""), "{error}");
}

#[test]
fn the_cache_has_a_size_and_a_type() {
    let files = [file("f.toml", "[cache]\nmemory = \"2GiB\"\ntype = \"q8_0\"\n")];
    let settings = resolve(&files, &home(), &Flags::default()).expect("valid");
    assert_eq!(settings.cache_memory.value, Some(ByteSize(2 << 30)));
    assert_eq!(settings.cache_type.value, KvType::Q8_0);
    let flags = Flags { kv_memory: Some("2 apples".into()), ..Flags::default() };
    let error = resolve(&files, &home(), &flags).expect_err("no size").to_string();
    assert!(error.contains("--kv-memory: `cache.memory` is \"2 apples\""), "{error}");
    assert!(error.ends_with("expected a size such as \"512MiB\" or \"2GiB\""), "{error}");
}

#[test]
fn the_scheduler_has_bounds_and_they_are_bounded() {
    let text = "running = 2\nwaiting = 3\nwaiting_per_client = 1\nwait_s = 5\n";
    let files = [file("f.toml", &format!("[scheduler]\n{text}token_target_ms = 20\n"))];
    let settings = resolve(&files, &home(), &Flags::default()).expect("valid");
    let limits = Limits {
        running_max: 2,
        waiting_max: 3,
        waiting_per_flow_max: 1,
        wait_max_us: 5_000_000,
        target_us: 20_000,
        ..Limits::default()
    };
    assert_eq!(settings.scheduler.limits(), limits);
    let with = Environment::of([("HOME", "/h"), ("SWARMLLM_SCHEDULER__RUNNING", "0")]);
    let error = resolve(&files, &with, &Flags::default()).expect_err("nobody").to_string();
    assert!(error.ends_with("is \"0\", expected a whole number from 1 to 512"), "{error}");
}

#[test]
fn lists_come_with_commas_from_the_environment() {
    let with = Environment::of([("HOME", "/h"), ("SWARMLLM_PEERS__JOIN", "a:1, b:2")]);
    let settings = resolve(&[], &with, &Flags::default()).expect("valid");
    assert_eq!(settings.join.value, ["a:1", "b:2"]);
}

#[test]
fn origins_are_written_as_browsers_do() {
    let resolved = |origins: &str| {
        let with = Environment::of([("HOME", "/h"), ("SWARMLLM_HTTP__ORIGINS", origins)]);
        resolve(&[], &with, &Flags::default()).map(|settings| settings.origins.value)
    };
    let two = ["https://a.example", "http://b.example:3000"];
    assert_eq!(resolved(&two.join(",")).expect("valid"), two);
    assert_eq!(resolved("*").expect("any"), ["*"]);
    for bad in ["a.example", "https://a.example/", "https://*.example", "https://", "null"] {
        let error = resolved(bad).expect_err(bad).to_string();
        assert!(error.contains("expected origins such as"), "{error}");
    }
}

#[test]
fn misspelt_variables_are_found() {
    let with = Environment::of([("SWARMLLM_HTTP__LISEN", "x"), ("SWARMLLM_HOME", "/s")]);
    let found = unknown_variables(&with);
    assert_eq!(found, [("SWARMLLM_HTTP__LISEN".into(), Some("SWARMLLM_HTTP__LISTEN".to_string()))]);
}
