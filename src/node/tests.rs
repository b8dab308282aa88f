//! Tests of a node in this process: what comes back when a part of it ends.

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

fn options(data_dir: &Path) -> NodeOptions {
    let (name, model) = crate::local::open_model("demo").expect("built in");
    let layers = swarmllm_protocol::ids::LayerRange { start: 0, end: 1 };
    NodeOptions {
        data_dir: data_dir.to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        network: NetworkId::default(),
        models: vec![(name, model, Some(layers))],
        join: Vec::new(),
        mdns: false,
        exchange: true,
        offline: true,
        admission: Default::default(),
        shard: swarmllm_models::ShardOptions::default(),
        limits: swarmllm_protocol::schedule::Limits::default(),
        cache_memory: Some(crate::config::byte_size::ByteSize(16 << 20)),
        cloud: Default::default(),
    }
}

#[actix_web::test]
async fn a_dht_that_ends_brings_a_fresh_tree_on_the_same_ports() {
    let folder = std::env::temp_dir().join(format!("swn-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a new folder");
    let node = NodeHandle::start(options(&folder)).await.expect("starts");
    let first = node.tree().expect("runs");
    first.dht.stop();
    let mut trees = node.trees.clone();
    let fresh = trees
        .wait_for(|tree| tree.as_ref().is_some_and(|tree| tree.dht_router != first.dht_router));
    let fresh = tokio::time::timeout(DEADLINE, fresh).await.expect("in time");
    assert!(fresh.expect("published").is_some());
    assert!(node.is_healthy(DEADLINE).await);
    let taken = std::net::UdpSocket::bind(node.listen()).expect_err("the node has it again");
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    node.shutdown().await;
    std::fs::remove_dir_all(&folder).expect("its own folder");
}
