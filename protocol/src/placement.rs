//! How the layers of a model are divided among nodes of different capacity.
//!
//! Called by `demo` and by whoever places a model over nodes that hold nothing yet.
//! Shapes: bytes per layer in, one contiguous range per node out, in the order of the nodes; every
//! layer is in exactly one range.
//! Units: bytes; capacities in any unit, only their ratios count. Errors: none; every input has an
//! answer.
//! Rule: the most loaded node, relative to its capacity, is loaded as little as possible; among
//! such divisions the evenest.
//! Absent on purpose: measured speed and links; the capacities stand for them until then.

use crate::ids::LayerRange;

/// Divides the layers. A node of capacity 0 gets an empty range, unless every capacity is 0: then
/// all count the same. With more nodes than layers, the nodes of least capacity stay empty.
#[must_use]
pub fn split_layers(layer_bytes: &[u64], capacities: &[u64]) -> Vec<LayerRange> {
    let n_layers = layer_bytes.len();
    let nodes = chosen_nodes(n_layers, capacities);
    if nodes.is_empty() {
        return vec![LayerRange { start: 0, end: 0 }; capacities.len()];
    }
    let all_zero = capacities.iter().all(|capacity| *capacity == 0);
    let capacity = |node: usize| if all_zero { 1.0 } else { capacities[node] as f64 };
    // Layers without bytes still cost a node something, and must not make every division equal.
    let mut prefix = vec![0.0];
    for bytes in layer_bytes {
        prefix.push(prefix[prefix.len() - 1] + (*bytes).max(1) as f64);
    }
    let share = |node: usize, start: usize, end: usize| {
        (prefix[end] - prefix[start]) / capacity(nodes[node])
    };
    let worst = divide(nodes.len(), n_layers, |total: f64, load| total.max(load), share).0;
    // The same search again, for the evenest division that is no worse anywhere.
    let even = |total: f64, load: f64| {
        if load <= worst { total + load * load } else { f64::INFINITY }
    };
    let borders = divide(nodes.len(), n_layers, even, share).1;
    let mut ranges = Vec::with_capacity(capacities.len());
    let (mut start, mut taken) = (0, 0);
    for node in 0..capacities.len() {
        let mut end = start;
        if nodes.get(taken) == Some(&node) {
            end = borders[taken] as u32;
            taken += 1;
        }
        ranges.push(LayerRange { start, end });
        start = end;
    }
    ranges
}

/// Which nodes get layers, in their order: at least one layer each.
fn chosen_nodes(n_layers: usize, capacities: &[u64]) -> Vec<usize> {
    let all_zero = capacities.iter().all(|capacity| *capacity == 0);
    let mut nodes: Vec<usize> =
        (0..capacities.len()).filter(|node| all_zero || capacities[*node] > 0).collect();
    // Stable: among equals the earlier nodes stay.
    nodes.sort_by_key(|node| std::cmp::Reverse(capacities[*node]));
    nodes.truncate(n_layers);
    nodes.sort_unstable();
    nodes
}

/// The cheapest division of the layers among the nodes, at least one layer each, and the border
/// behind each node. `combine` adds one node's load to a total.
fn divide(
    n_nodes: usize,
    n_layers: usize,
    combine: impl Fn(f64, f64) -> f64,
    share: impl Fn(usize, usize, usize) -> f64,
) -> (f64, Vec<usize>) {
    // cost[node][end]: the first `node` nodes hold the layers before `end`.
    let mut cost = vec![vec![f64::INFINITY; n_layers + 1]; n_nodes + 1];
    let mut border_before = vec![vec![0; n_layers + 1]; n_nodes + 1];
    cost[0][0] = 0.0;
    for node in 0..n_nodes {
        for end in node + 1..=n_layers {
            for start in node..end {
                let total = combine(cost[node][start], share(node, start, end));
                // Of equals the latest border: earlier nodes take the larger parts.
                if total.is_finite() && total <= cost[node + 1][end] {
                    cost[node + 1][end] = total;
                    border_before[node + 1][end] = start;
                }
            }
        }
    }
    let mut borders = vec![n_layers; n_nodes];
    for node in (1..n_nodes).rev() {
        borders[node - 1] = border_before[node + 1][borders[node]];
    }
    (cost[n_nodes][n_layers], borders)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lengths(layer_bytes: &[u64], capacities: &[u64]) -> Vec<u32> {
        split_layers(layer_bytes, capacities).iter().map(LayerRange::len).collect()
    }

    #[test]
    fn equal_nodes_get_equal_parts() {
        assert_eq!(lengths(&[10; 6], &[1, 1, 1]), [2, 2, 2]);
        assert_eq!(lengths(&[10; 7], &[5, 5, 5]), [3, 2, 2]);
        assert_eq!(lengths(&[10; 8], &[0, 0, 0]), [3, 3, 2]);
        assert_eq!(lengths(&[0; 4], &[1, 1]), [2, 2]);
    }

    #[test]
    fn capacity_and_weight_count() {
        assert_eq!(lengths(&[10; 8], &[3, 1]), [6, 2]);
        assert_eq!(lengths(&[40, 10, 10, 10, 10], &[1, 1]), [1, 4]);
        assert_eq!(lengths(&[10; 4], &[1, 0, 1]), [2, 0, 2]);
    }

    #[test]
    fn few_layers_and_no_nodes_have_an_answer() {
        assert_eq!(lengths(&[10, 10], &[1, 5, 3]), [0, 1, 1]);
        assert_eq!(lengths(&[], &[1, 1]), [0, 0]);
        assert!(split_layers(&[10], &[]).is_empty());
        assert_eq!(lengths(&[u64::MAX; 3], &[u64::MAX, 1]), [2, 1]);
    }

    proptest! {
        #[test]
        fn every_layer_is_in_exactly_one_range(
            layer_bytes in proptest::collection::vec(0_u64..1000, 0..24),
            capacities in proptest::collection::vec(0_u64..6, 1..8),
        ) {
            let ranges = split_layers(&layer_bytes, &capacities);
            prop_assert_eq!(ranges.len(), capacities.len());
            let mut border = 0;
            for range in &ranges {
                prop_assert_eq!(range.start, border);
                prop_assert!(range.end >= range.start);
                border = range.end;
            }
            prop_assert_eq!(border as usize, layer_bytes.len());
            let able = capacities.iter().filter(|capacity| **capacity > 0).count();
            let able = if able == 0 { capacities.len() } else { able };
            let used = ranges.iter().filter(|range| !range.is_empty()).count();
            prop_assert_eq!(used, able.min(layer_bytes.len()));
        }

        #[test]
        fn the_worst_load_is_the_least_possible(
            layer_bytes in proptest::collection::vec(1_u64..50, 2..9),
            capacities in (1_u64..6, 1_u64..6),
        ) {
            let capacities = [capacities.0, capacities.1];
            let worst = |border: usize| {
                let load =
                    |part: &[u64], capacity| part.iter().sum::<u64>() as f64 / capacity as f64;
                load(&layer_bytes[..border], capacities[0])
                    .max(load(&layer_bytes[border..], capacities[1]))
            };
            let chosen = split_layers(&layer_bytes, &capacities)[0].end as usize;
            for border in 1..layer_bytes.len() {
                prop_assert!(worst(chosen) <= worst(border));
            }
        }
    }
}
