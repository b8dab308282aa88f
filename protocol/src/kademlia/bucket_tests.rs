//! Tests of a bucket: who is listed, who is not, and that its limits hold whatever it hears.

use proptest::{collection::vec, prelude::*};

use super::*;

/// A contact whose address is anywhere else than those of other numbers.
fn contact(number: u16) -> Contact {
    let [high, low] = number.to_be_bytes();
    let mut peer = [7; 32];
    (peer[0], peer[1]) = (high, low);
    let address = ([60 + high, low, 1, 1], 4001).into();
    Contact { peer: PeerId(peer), address }
}

fn outputs(bucket: &mut Bucket) -> Vec<BucketOutput> {
    std::iter::from_fn(|| bucket.poll_output()).collect()
}

fn answered(contact: Contact) -> BucketNews {
    BucketNews::Answered { contact, rtt_ms: 50 }
}

/// A bucket full of nodes that answer.
fn full() -> Bucket {
    let mut bucket = Bucket::new(&DhtSettings::default());
    (0..20).for_each(|number| bucket.handle(0, answered(contact(number))));
    assert_eq!(outputs(&mut bucket).len(), 20);
    bucket
}

#[test]
fn who_is_merely_named_is_asked_and_listed_when_it_answers() {
    let mut bucket = Bucket::new(&DhtSettings::default());
    bucket.handle(0, BucketNews::Seen(contact(1)));
    assert_eq!(outputs(&mut bucket), [BucketOutput::Ping(contact(1))]);
    assert_eq!(bucket.listed().count(), 0);
    // Naming it again asks nobody twice.
    bucket.handle(1, BucketNews::Seen(contact(1)));
    assert_eq!(outputs(&mut bucket), []);
    bucket.handle(50, answered(contact(1)));
    assert_eq!(outputs(&mut bucket), [BucketOutput::Listed { contact: contact(1), rtt_ms: 50 }]);
    // Nobody moves a contact that answers by naming it elsewhere.
    let elsewhere = Contact { address: contact(2).address, ..contact(1) };
    bucket.handle(60, BucketNews::Seen(elsewhere));
    assert_eq!(outputs(&mut bucket), []);
    assert!(bucket.listed().eq([&contact(1)]));
}

#[test]
fn old_nodes_that_answer_are_displaced_by_nobody() {
    let mut bucket = full();
    for number in 100..200 {
        bucket.handle(1, BucketNews::Seen(contact(number)));
        bucket.handle(1, answered(contact(number)));
    }
    assert_eq!(outputs(&mut bucket), []);
    assert!(bucket.listed().eq((0..20).map(contact).collect::<Vec<_>>().iter()));
}

#[test]
fn a_silent_contact_is_told_to_nobody_and_replaced_by_one_that_answers() {
    let mut bucket = full();
    let (silent, newcomer) = (contact(3), contact(100));
    bucket.handle(1, BucketNews::Seen(newcomer));
    bucket.handle(2, BucketNews::Failed(silent.peer));
    let said = outputs(&mut bucket);
    assert_eq!(said, [BucketOutput::Unlisted(silent.peer), BucketOutput::Ping(newcomer)]);
    assert_eq!(bucket.listed().count(), 19);
    // It gets a second chance a little later.
    let retry_ms = bucket.next_wakeup_ms().expect("it will be asked again");
    bucket.handle_wakeup(retry_ms);
    assert_eq!(outputs(&mut bucket), [BucketOutput::Ping(silent)]);
    bucket.handle(retry_ms, answered(newcomer));
    let listed = BucketOutput::Listed { contact: newcomer, rtt_ms: 50 };
    assert_eq!(outputs(&mut bucket), [listed]);
    bucket.handle(retry_ms, answered(silent));
    assert_eq!(outputs(&mut bucket), [], "its place is taken");
}

#[test]
fn one_that_only_hiccuped_is_listed_again() {
    let mut bucket = full();
    bucket.handle(1, BucketNews::Failed(contact(3).peer));
    bucket.handle(2, answered(contact(3)));
    let back = BucketOutput::Listed { contact: contact(3), rtt_ms: 50 };
    assert_eq!(outputs(&mut bucket), [BucketOutput::Unlisted(contact(3).peer), back]);
    assert_eq!(bucket.next_wakeup_ms(), None);
}

#[test]
fn one_that_stays_silent_loses_its_place_even_without_a_successor() {
    let mut bucket = full();
    for _ in 0..3 {
        bucket.handle(1, BucketNews::Failed(contact(3).peer));
    }
    assert_eq!(bucket.next_wakeup_ms(), None);
    bucket.handle(2, answered(contact(100)));
    assert!(bucket.listed().any(|listed| *listed == contact(100)));
}

#[test]
fn the_one_silent_for_longest_is_checked() {
    let mut bucket = full();
    (0..20).filter(|number| *number != 5).for_each(|number| {
        bucket.handle(9, answered(contact(number)));
    });
    bucket.handle(10, BucketNews::Revalidate);
    assert_eq!(outputs(&mut bucket), [BucketOutput::Ping(contact(5))]);
}

#[test]
fn a_group_of_neighbours_gets_two_places_and_a_local_network_as_many_as_there_are() {
    let on = |network: [u8; 3], host: u8| Contact {
        peer: PeerId([host; 32]),
        address: ([network[0], network[1], network[2], host], 4001).into(),
    };
    let mut bucket = Bucket::new(&DhtSettings::default());
    (1..15).for_each(|host| bucket.handle(0, answered(on([60, 1, 1], host))));
    assert_eq!(bucket.listed().count(), 2);
    let mut bucket = Bucket::new(&DhtSettings::default());
    (1..15).for_each(|host| bucket.handle(0, answered(on([10, 1, 1], host))));
    assert_eq!(bucket.listed().count(), 14);
}

proptest! {
    #[test]
    fn limits_hold_whatever_it_hears(
        news in vec((0_u8..6, 0_u8..40, 0_u8..4, 0_u64..3_000), 1..300)
    ) {
        let mut bucket = Bucket::new(&DhtSettings::default());
        let mut listed = std::collections::BTreeMap::new();
        let mut now_ms = 0;
        for (kind, peer, network, later_ms) in news {
            now_ms += later_ms;
            let address = ([60, 1, network, peer], 4001).into();
            let contact = Contact { peer: PeerId([peer; 32]), address };
            match kind {
                0 => bucket.handle(now_ms, BucketNews::Seen(contact)),
                1 | 2 => bucket.handle(now_ms, answered(contact)),
                3 => bucket.handle(now_ms, BucketNews::Failed(contact.peer)),
                4 => bucket.handle(now_ms, BucketNews::Revalidate),
                _ => bucket.handle_wakeup(now_ms),
            }
            for output in outputs(&mut bucket) {
                match output {
                    BucketOutput::Listed { contact, .. } => {
                        listed.insert(contact.peer, contact);
                    }
                    BucketOutput::Unlisted(peer) => {
                        prop_assert!(listed.remove(&peer).is_some(), "it was listed");
                    }
                    BucketOutput::Ping(_) => {}
                }
            }
            // What it said is what it holds, and of each network at most two.
            prop_assert_eq!(bucket.listed().count(), listed.len());
            prop_assert!(bucket.listed().all(|held| listed.get(&held.peer) == Some(held)));
            for network in 0..4 {
                let address = ([60, 1, network, 0], 1).into();
                let group = Contact { peer: PeerId([0; 32]), address }.group();
                let of_group = bucket.listed().filter(|held| held.group() == group);
                prop_assert!(of_group.count() <= 2);
            }
            prop_assert!(bucket.places.len() <= 20 && bucket.replacements.len() <= 10);
            prop_assert!(bucket.probes.len() <= PROBES_MAX);
        }
    }
}
