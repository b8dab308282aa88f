//! Tests of what a shard takes and refuses.

use super::*;

#[test]
fn a_shard_can_move_to_its_thread() {
    fn check<T: Send + 'static>() {}
    check::<Shard>();
}
