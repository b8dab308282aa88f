//! What the parts of a node count, asked for when somebody reads it.
//!
//! Called by the doors through [`NodeHandle`], and for the node's state. Errors: [`NodeError`]
//! while the tree is being restarted.

use std::iter::Sum;

use swarmllm_actors::batch_scheduler::GetSchedulerUsage;
use swarmllm_actors::dht_router::{DhtStatus, GetDhtStatus};
use swarmllm_actors::dht_socket::{GetSocketCounts, SocketCounts};
use swarmllm_actors::kv_cache_store::GetPageUsage;
use swarmllm_actors::model_store::GetModels;
use swarmllm_actors::peer_directory::GetReachability;

use super::metrics::Now;
use super::{DhtNumbers, NodeError, NodeHandle, SchedulerNumbers, ask};

impl NodeHandle {
    /// What the scheduler and the KV store do for each model, by its name.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn scheduler_numbers(&self) -> Result<Vec<(String, SchedulerNumbers)>, NodeError> {
        let tree = self.tree()?;
        let pages = ask(&tree.kv_cache_store, GetPageUsage).await?;
        let usage = ask(&tree.scheduler, GetSchedulerUsage).await?;
        let models = ask(&tree.model_store, GetModels).await?;
        // A shard for each model, in the same order.
        let shards = models.iter().zip(pages).zip(usage);
        let numbers = shards.map(|((model, pages), usage)| {
            let numbers = SchedulerNumbers {
                running: usage.running,
                waiting: usage.waiting,
                preemptions: usage.preemptions,
                pages_used: pages.used,
                pages_cached: pages.cached,
                pages_total: pages.total,
                prefix_queries: pages.prefix.asked,
                prefix_hits: pages.prefix.hit,
                evictions: pages.prefix.evictions,
                steps: usage.steps,
                rows: usage.rows,
                compute_us: usage.compute_us,
                planning_us: usage.planning_us,
            };
            (model.name.clone(), numbers)
        });
        Ok(numbers.collect())
    }

    /// How the DHT does.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn dht_numbers(&self) -> Result<DhtNumbers, NodeError> {
        let tree = self.tree()?;
        let status = ask(&tree.dht_router, GetDhtStatus).await?;
        Ok(dht_numbers(status, ask(&tree.dht_socket, GetSocketCounts).await?))
    }

    /// Everything that is counted, as OpenMetrics text.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn metrics(&self) -> Result<String, NodeError> {
        Ok(self.shared.metrics.text(&Now {
            scheduler: self.scheduler_numbers().await?,
            peers: self.peers().await?,
            layers: ask(&self.tree()?.directory, GetReachability).await?.layers,
            traffic: self.shared.traffic.read().collect(),
            dht: self.dht_numbers().await?,
            providers: self.shared.cloud.status().providers,
        }))
    }
}

/// Over all models.
impl Sum for SchedulerNumbers {
    fn sum<I: Iterator<Item = SchedulerNumbers>>(all: I) -> SchedulerNumbers {
        all.fold(SchedulerNumbers::default(), |sum, one| SchedulerNumbers {
            running: sum.running + one.running,
            waiting: sum.waiting + one.waiting,
            preemptions: sum.preemptions + one.preemptions,
            pages_used: sum.pages_used + one.pages_used,
            pages_cached: sum.pages_cached + one.pages_cached,
            pages_total: sum.pages_total + one.pages_total,
            prefix_queries: sum.prefix_queries + one.prefix_queries,
            prefix_hits: sum.prefix_hits + one.prefix_hits,
            evictions: sum.evictions + one.evictions,
            steps: sum.steps + one.steps,
            rows: sum.rows + one.rows,
            compute_us: sum.compute_us + one.compute_us,
            planning_us: sum.planning_us + one.planning_us,
        })
    }
}

fn dht_numbers(status: DhtStatus, counts: SocketCounts) -> DhtNumbers {
    DhtNumbers {
        is_server: status.is_server,
        contacts: status.contacts,
        buckets: status.buckets,
        records: status.records,
        answered: status.answered,
        lookups_done: status.lookups_done,
        lookups_failed: status.lookups_failed,
        last_error: status.last_error,
        announced: status.announced,
        holders: status.holders,
        heard: status.heard.into_iter().map(|(ip, times)| (ip.to_string(), times)).collect(),
        observed: status.observed,
        sent_bytes: counts.sent_bytes,
        received_bytes: counts.received_bytes,
        refused: counts.refused,
        over_rate: counts.over_rate,
        unsent: counts.unsent,
    }
}
