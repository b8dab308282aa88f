//! Which chain of peers computes one request, and why, in words.
//!
//! Called by the generation actor with what the peers offer; the answer is the order of
//! `OpenStage`s.
//! A stage runs a whole offered range, because a shard computes all of its layers or none: so a
//! route is a chain of offers in which each begins where the one before ends.
//! Units: layers, microseconds. Errors: [`RouteError`], which names the layers that nobody holds.
//! Rule: fewest stages, then fewest on other peers, then the smallest sum of round trips, then the
//! lowest peer ids; so every node that knows the same chooses the same.
//! Absent on purpose: load and trust; they come with the ledger and will enter as costs.

use std::fmt::Write as _;

use crate::{
    ids::{LayerRange, PeerId},
    limits::{LAYERS_MAX, STAGES_MAX},
};

/// One offer of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Who offers.
    pub peer: PeerId,
    /// What is offered.
    pub layers: LayerRange,
    /// Round trip to it; 0 for this node.
    pub rtt_us: u32,
}

/// One stage of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteStage {
    /// Who computes.
    pub peer: PeerId,
    /// What it computes.
    pub layers: LayerRange,
}

/// Why there is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Some layers are nowhere.
    #[error("no peer holds the layers {}; start a node with them", list(.missing))]
    MissingLayers {
        /// The gaps, in order.
        missing: Vec<LayerRange>,
    },
    /// Every layer is somewhere, but the shards do not fit together.
    #[error(
        "all {n_layers} layers are held, but no chain of whole shards covers them: nothing fits \
         behind layer {reached}; cut the shards at the same layers"
    )]
    BordersDoNotMeet {
        /// Layers of the model.
        n_layers: u32,
        /// How far the longest chain from layer 0 goes.
        reached: u32,
    },
    /// More stages than a route may have.
    #[error("the shortest route has {stages} stages, at most {STAGES_MAX} are allowed")]
    TooManyStages {
        /// Stages of the shortest route.
        stages: usize,
    },
    /// A model that cannot be.
    #[error("a model of {n_layers} layers cannot be routed")]
    Layers {
        /// Layers of the model.
        n_layers: u32,
    },
}

fn list(ranges: &[LayerRange]) -> String {
    ranges
        .iter()
        .map(|range| format!("{}-{}", range.start, range.end))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What a chain costs; compared from the first field to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Cost {
    stages: u32,
    remote_stages: u32,
    rtt_us: u64,
}

/// The best way from one layer border to the end of the model.
#[derive(Clone, Copy)]
struct Best<'a> {
    cost: Cost,
    first: Option<&'a Candidate>,
}

/// Plans the chain that computes all `n_layers`, seen from `local`.
pub fn plan_route(
    n_layers: u32,
    local: PeerId,
    candidates: &[Candidate],
) -> Result<Vec<RouteStage>, RouteError> {
    if n_layers == 0 || n_layers > LAYERS_MAX {
        return Err(RouteError::Layers { n_layers });
    }
    let mut usable: Vec<&Candidate> = candidates
        .iter()
        .filter(|offer| !offer.layers.is_empty() && offer.layers.end <= n_layers)
        .collect();
    // The first of equals wins below, so their order must not depend on the caller's.
    usable.sort_by_key(|offer| (offer.layers, offer.peer, offer.rtt_us));
    let mut best: Vec<Option<Best<'_>>> = vec![None; n_layers as usize + 1];
    best[n_layers as usize] = Some(Best { cost: Cost::default(), first: None });
    // From the end to the beginning: an offer's end is decided before its start.
    usable.sort_by_key(|offer| std::cmp::Reverse(offer.layers.start));
    for offer in &usable {
        let Some(after) = best[offer.layers.end as usize] else {
            continue;
        };
        let is_remote = offer.peer != local;
        let cost = Cost {
            stages: after.cost.stages + 1,
            remote_stages: after.cost.remote_stages + u32::from(is_remote),
            rtt_us: after.cost.rtt_us + u64::from(if is_remote { offer.rtt_us } else { 0 }),
        };
        let here = &mut best[offer.layers.start as usize];
        if here.is_none_or(|known| cost < known.cost) {
            *here = Some(Best { cost, first: Some(*offer) });
        }
    }
    if best[0].is_none() {
        return Err(why_not(n_layers, &usable));
    }
    let mut route = Vec::new();
    let mut border = 0;
    while let Some(Best { first: Some(offer), .. }) = best[border] {
        route.push(RouteStage { peer: offer.peer, layers: offer.layers });
        border = offer.layers.end as usize;
    }
    match route.len() {
        stages if stages > usize::from(STAGES_MAX) => Err(RouteError::TooManyStages { stages }),
        _ => Ok(route),
    }
}

/// Tells layers that nobody holds from shards that do not fit together.
fn why_not(n_layers: u32, usable: &[&Candidate]) -> RouteError {
    let mut missing: Vec<LayerRange> = Vec::new();
    for layer in 0..n_layers {
        if usable.iter().any(|offer| offer.layers.contains(layer)) {
            continue;
        }
        match missing.last_mut() {
            Some(gap) if gap.end == layer => gap.end += 1,
            _ => missing.push(LayerRange { start: layer, end: layer + 1 }),
        }
    }
    if !missing.is_empty() {
        return RouteError::MissingLayers { missing };
    }
    let mut is_reached = vec![false; n_layers as usize + 1];
    is_reached[0] = true;
    let mut reached = 0;
    for border in 0..n_layers {
        if !is_reached[border as usize] {
            continue;
        }
        reached = border;
        for offer in usable.iter().filter(|offer| offer.layers.start == border) {
            is_reached[offer.layers.end as usize] = true;
        }
    }
    RouteError::BordersDoNotMeet { n_layers, reached }
}

/// The route in words, for the person who asks why.
#[must_use]
pub fn explain(route: &[RouteStage], local: PeerId) -> String {
    let mut words = match route.len() {
        1 => "1 stage".to_owned(),
        count => format!("{count} stages, the fewest that cover every layer"),
    };
    for (index, stage) in route.iter().enumerate() {
        let who = match stage.peer == local {
            true => "this node".to_owned(),
            false => format!("peer {}", stage.peer.short()),
        };
        let joint = if index == 0 { ": " } else { ", then " };
        // Writing to a String cannot fail.
        let _ = write!(words, "{joint}{who} computes layers {}", stage.layers);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOCAL: PeerId = PeerId([0; 32]);

    fn offer(peer: u8, start: u32, end: u32, rtt_us: u32) -> Candidate {
        Candidate { peer: PeerId([peer; 32]), layers: LayerRange { start, end }, rtt_us }
    }

    fn peers(route: &[RouteStage]) -> Vec<u8> {
        route.iter().map(|stage| stage.peer.0[0]).collect()
    }

    #[test]
    fn the_fewest_stages_win_then_local_then_near() {
        let thirds = [offer(0, 0, 2, 0), offer(1, 2, 4, 9), offer(2, 4, 6, 9)];
        let route = plan_route(6, LOCAL, &thirds).expect("a route");
        assert_eq!(peers(&route), [0, 1, 2]);
        let with_whole = [thirds.as_slice(), &[offer(3, 0, 6, 900)]].concat();
        assert_eq!(peers(&plan_route(6, LOCAL, &with_whole).expect("a route")), [3]);
        let with_own = [with_whole.as_slice(), &[offer(0, 0, 6, 0)]].concat();
        assert_eq!(peers(&plan_route(6, LOCAL, &with_own).expect("a route")), [0]);
        let near = [offer(1, 0, 6, 50), offer(2, 0, 6, 40), offer(3, 0, 6, 40)];
        assert_eq!(peers(&plan_route(6, LOCAL, &near).expect("a route")), [2]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let some = [offer(1, 1, 2, 0), offer(2, 3, 4, 0)];
        let missing = [(0, 1), (2, 3), (4, 6)].map(|(start, end)| LayerRange { start, end });
        let error = plan_route(6, LOCAL, &some).expect_err("gaps");
        assert_eq!(error, RouteError::MissingLayers { missing: missing.to_vec() });
        assert!(error.to_string().contains("0-1, 2-3, 4-6"), "{error}");
        let overlapping = [offer(1, 0, 4, 0), offer(2, 2, 6, 0)];
        let error = plan_route(6, LOCAL, &overlapping).expect_err("no chain");
        assert_eq!(error, RouteError::BordersDoNotMeet { n_layers: 6, reached: 4 });
        assert_eq!(plan_route(0, LOCAL, &[]), Err(RouteError::Layers { n_layers: 0 }));
        // Offers beyond the model are not about this model.
        assert!(plan_route(2, LOCAL, &[offer(1, 0, 3, 0)]).is_err());
    }

    #[test]
    fn it_says_why() {
        let route = [offer(0, 0, 2, 0), offer(7, 2, 4, 9)];
        let route = plan_route(4, LOCAL, &route).expect("a route");
        let words = explain(&route, LOCAL);
        assert!(words.starts_with("2 stages, the fewest"), "{words}");
        assert!(words.contains(": this node computes layers 0..2, then peer "), "{words}");
    }

    proptest! {
        #[test]
        fn routes_are_whole_shortest_and_independent_of_order(
            offers in proptest::collection::vec((0_u8..5, 0_u32..8, 1_u32..5, 0_u32..3), 0..14),
            rotation in 0_usize..14,
        ) {
            let mut offers: Vec<Candidate> = offers
                .into_iter()
                .map(|(peer, start, length, rtt)| offer(peer, start, start + length, rtt))
                .collect();
            let planned = plan_route(8, LOCAL, &offers);
            let middle = rotation % offers.len().max(1);
            offers.rotate_left(middle);
            prop_assert_eq!(&plan_route(8, LOCAL, &offers), &planned);
            // The shortest chain, by counting how far each number of stages reaches.
            let mut borders = std::collections::BTreeSet::from([0]);
            let mut shortest = None;
            for stages in 1..=8 {
                borders = offers
                    .iter()
                    .filter(|offer| borders.contains(&offer.layers.start))
                    .map(|offer| offer.layers.end)
                    .collect();
                if borders.contains(&8) {
                    shortest = Some(stages);
                    break;
                }
            }
            prop_assert_eq!(planned.as_ref().ok().map(Vec::len), shortest);
            if let Ok(route) = planned {
                let mut border = 0;
                for stage in &route {
                    prop_assert_eq!(stage.layers.start, border);
                    border = stage.layers.end;
                }
                prop_assert_eq!(border, 8);
            }
        }
    }
}
