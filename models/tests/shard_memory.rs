//! A node's memory is its layers': loading a quarter of a file leaves the rest on disk.
//!
//! One test alone in its process, because it reads the process's resident memory.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;

#[cfg(target_os = "linux")]
#[test]
fn a_shard_keeps_only_its_layers_in_memory() {
    use common::{Shape, random_file};
    use swarmllm_models::{Model, Shard, ShardOptions, gguf::TensorType};

    let shape = Shape {
        hidden: 512,
        n_heads: 8,
        n_kv_heads: 8,
        head_dim: 64,
        feed_forward: 1536,
        n_layers: 8,
        vocab: 1000,
        kind: TensorType::Q8_0,
        tied: false,
    };
    let path = std::env::temp_dir().join(format!("swarmllm-memory-{}.gguf", std::process::id()));
    std::fs::write(&path, random_file(&shape, 1)).unwrap();
    // What is resident of the file and of memory without a file: how much of the program's own code
    // ran is another matter.
    let resident = || {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let (mut counts, mut sum) = (false, 0);
        for line in maps.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields[..] {
                ["Rss:", kibibytes, _] if counts => sum += kibibytes.parse::<u64>().unwrap() * 1024,
                [range, _, _, _, inode, ..] if range.contains('-') && !range.ends_with(':') => {
                    counts = inode == "0" || line.contains(path.to_str().unwrap());
                }
                _ => {}
            }
        }
        sum
    };
    let options = ShardOptions { threads: 1, ..ShardOptions::default() };
    let start = resident();
    let model = Model::open(&path).unwrap();
    model.content_id();
    let opened = resident().saturating_sub(start);
    let shard = Shard::load(&model, 2..4, &options).unwrap();
    let loaded = resident().saturating_sub(start);
    std::fs::remove_file(&path).unwrap();
    let whole = model.summary().weight_bytes;
    assert!(shard.weight_bytes() < whole / 4, "two of eight layers");
    // A megabyte for the allocator.
    assert!(opened < (1 << 20), "opening and hashing left {opened} bytes in memory");
    let bound = shard.weight_bytes() + shard.weight_bytes() / 8 + (1 << 20);
    assert!(loaded < bound, "{loaded} bytes for {} of weights", shard.weight_bytes());
    eprintln!("file {whole}, shard {}, resident {loaded} bytes", shard.weight_bytes());
}
