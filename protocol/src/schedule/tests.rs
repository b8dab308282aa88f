//! What people who share a shard may rely on, shown in simulated time.

use proptest::prelude::*;

use super::{
    Admission, Held, Limits, Newcomer, PageRoom, Schedule, plan_step,
    simulation::{Outcome, Random, Request, Shard, step_us},
};

fn request(at_us: u64, prompt: u32, answer: u32) -> Request {
    Request { at_us, flow: 1, weight: 1, prompt, answer, cancel_after: None }
}

fn run(limits: Limits, pages: u32, requests: Vec<Request>) -> Shard {
    let mut shard = Shard::new(limits, pages, requests);
    shard.run();
    assert!(shard.outcomes.iter().all(|outcome| outcome.is_over), "somebody never ended");
    assert_eq!(shard.schedule.room.available, pages, "pages are missing at the end");
    shard
}

#[test]
fn streams_go_on_while_a_long_prompt_is_read() {
    let streams: Vec<Request> = (0..8).map(|_| request(0, 16, 400)).collect();
    let undisturbed = run(Limits::default(), 1000, streams.clone());
    let gap = |shard: &Shard| {
        shard.outcomes[..8].iter().map(|outcome| outcome.longest_gap_us).max().unwrap_or(0)
    };
    let longest_us = gap(&undisturbed);
    let newcomer = request(8_000_000, 4096, 10);
    let both = run(Limits::default(), 1000, [streams, vec![newcomer]].concat());
    // The first steps still learn what a row costs; steps are measured, not known.
    assert!(gap(&both) <= longest_us * 2, "{} {longest_us}", gap(&both));
    let alone = run(Limits::default(), 1000, vec![request(0, 4096, 10)]);
    let first = |outcome: &Outcome| outcome.first_token_us.expect("a token");
    let (alone_us, beside_us) = (first(&alone.outcomes[0]), first(&both.outcomes[8]));
    assert!(beside_us <= alone_us * 4, "{beside_us} {alone_us}");
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one() {
    let shard =
        run(Limits::default(), 2000, vec![request(0, 16_000, 5), request(1_000_000, 32, 5)]);
    let [long, short] = [0, 1].map(|i| shard.outcomes[i].first_token_us.expect("a token"));
    assert!(short < 1_000_000, "{short}");
    // And the long one loses no more than the short one's rows.
    let alone = run(Limits::default(), 2000, vec![request(0, 16_000, 5)]);
    let alone_us = alone.outcomes[0].first_token_us.expect("a token");
    assert!(long < alone_us + 2_000_000, "{long} {alone_us}");
}

#[test]
fn requesters_share_by_weight_and_not_by_how_much_they_ask() {
    let mut requests: Vec<Request> = (0..60).map(|_| request(0, 600, 2)).collect();
    requests.extend((0..4).map(|_| Request { flow: 2, ..request(0, 600, 2) }));
    let shard = run(Limits::default(), 4000, requests);
    let mut last: Vec<u64> = shard.outcomes.iter().map(|o| o.first_token_us.unwrap()).collect();
    let modest = last.split_off(60).into_iter().max().unwrap();
    // Eight prompts' time for the four: the other requester gets as much and no more.
    assert!(modest < 10 * step_us(600), "{modest}");
    let mut requests: Vec<Request> = (0..8).map(|_| request(0, 600, 1)).collect();
    requests.extend((0..8).map(|_| Request { flow: 2, weight: 4, ..request(0, 600, 1) }));
    let shard = run(Limits::default(), 4000, requests);
    let sum = |range: std::ops::Range<usize>| -> u64 {
        shard.outcomes[range].iter().map(|o| o.first_token_us.unwrap()).sum()
    };
    assert!(sum(8..16) < sum(0..8), "the heavier one is served first");
}

#[test]
fn rows_wait_while_the_next_stage_takes_none() {
    let room = PageRoom { total: 100, available: 100 };
    let mut schedule = Schedule::new(Limits::default(), room);
    for sequence in [1, 2] {
        let newcomer = Newcomer {
            sequence,
            flow: sequence,
            weight: 1,
            prompt: 10,
            stages: 2,
            age: None,
            may_wait: true,
        };
        schedule.enqueue(newcomer, 0).expect("room in the queue");
        schedule.attached(sequence, 0, Held::default(), 0);
        schedule.arrived(sequence, 10);
    }
    let rows = |schedule: &Schedule| -> Vec<u64> {
        plan_step(schedule, 0).rows.iter().map(|share| share.sequence).collect()
    };
    assert_eq!(rows(&schedule), [1, 2]);
    schedule.hold_back(1, true);
    assert_eq!(rows(&schedule), [2]);
    schedule.hold_back(1, false);
    assert_eq!(rows(&schedule), [1, 2]);
}

#[test]
fn the_youngest_gives_way_and_the_oldest_ends_first() {
    let requests: Vec<Request> = (0..6).map(|i| request(i * 1000, 100, 300)).collect();
    let shard = run(Limits::default(), 30, requests);
    let outcomes = &shard.outcomes;
    assert_eq!(outcomes[0].preemptions, 0, "the oldest is never preempted");
    assert!(outcomes.iter().map(|outcome| outcome.preemptions).sum::<u32>() > 0);
    let ends: Vec<u64> = outcomes.iter().map(|outcome| outcome.last_token_us).collect();
    assert!(ends.is_sorted(), "{ends:?}");
}

#[test]
fn a_prompt_that_fits_late_is_not_starved_by_small_ones() {
    let mut requests = vec![request(0, 1000, 100), request(1, 1500, 5)];
    requests.extend((0..400).map(|i| request(2 + i * 50_000, 64, 20)));
    let shard = run(Limits::default(), 60, requests);
    let large_us = shard.outcomes[1].admitted_us;
    let before = shard.outcomes[2..].iter().filter(|small| small.admitted_us < large_us).count();
    assert!((1..=16).contains(&before), "{before} came before it");
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let limits = Limits { waiting_max: 3, waiting_per_flow_max: 2, ..Limits::default() };
    let mut schedule = Schedule::new(limits, PageRoom { total: 8, available: 8 });
    let mut enqueue = |sequence, flow, may_wait| {
        let new = Newcomer { sequence, flow, weight: 1, prompt: 9, stages: 1, age: None, may_wait };
        schedule.enqueue(new, 0)
    };
    assert_eq!([enqueue(1, 1, true), enqueue(2, 1, true)], [Ok(()), Ok(())]);
    let full = enqueue(3, 1, true).expect_err("two of one requester wait");
    assert!(full.retry_after_us >= 500_000 && full.to_string().contains("try again in"));
    assert!(enqueue(4, 2, true).is_ok() && enqueue(5, 3, true).is_err());
}

#[test]
fn who_waits_too_long_is_turned_away() {
    let limits = Limits { wait_max_us: 1000, running_max: 1, ..Limits::default() };
    let mut schedule = Schedule::new(limits, PageRoom { total: 8, available: 8 });
    for sequence in [1, 2] {
        let new = Newcomer {
            sequence,
            flow: 1,
            weight: 1,
            prompt: 9,
            stages: 1,
            age: None,
            may_wait: true,
        };
        schedule.enqueue(new, 0).unwrap();
    }
    let step = plan_step(&schedule, 10);
    assert_eq!(step.admit.len(), 1);
    schedule.begin(&step);
    schedule.attached(step.admit[0].sequence, 0, Held::default(), 10);
    assert_eq!(plan_step(&schedule, 1001).turn_away, [2]);
}

#[test]
fn a_known_prefix_that_is_being_computed_is_waited_for() {
    let mut schedule = Schedule::new(Limits::default(), PageRoom { total: 99, available: 99 });
    for sequence in [1, 2] {
        let (flow, weight, prompt, stages) = (1, 1, 200, 1);
        let new = Newcomer { sequence, flow, weight, prompt, stages, age: None, may_wait: true };
        schedule.enqueue(new, 0).unwrap();
    }
    let step = plan_step(&schedule, 0);
    schedule.begin(&step);
    schedule.attached(1, 0, Held::default(), 0);
    schedule.arrived(1, 200);
    schedule.follows(2, 1, 160);
    assert!(plan_step(&schedule, 0).admit.is_empty());
    // A leader that does not grow is not waited for any longer.
    let late = plan_step(&schedule, 6_000_000).admit;
    assert_eq!(late, [Admission { sequence: 2, pages_max: 92, alone: true }]);
    for now_us in 1.. {
        let step = plan_step(&schedule, now_us);
        if !step.admit.is_empty() {
            assert!(schedule.computed(1) >= 160 && !step.admit[0].alone);
            break;
        }
        schedule.begin(&step);
        schedule.end(&step, Some(1), now_us);
    }
}

#[test]
fn a_sample_waits_for_a_sequence_that_waits_itself() {
    let room = PageRoom { total: 99, available: 99 };
    let mut schedule = Schedule::new(Limits { running_max: 1, ..Limits::default() }, room);
    for sequence in [1, 2, 3] {
        let (flow, weight, prompt, stages) = (1, 1, 20, 1);
        let new = Newcomer { sequence, flow, weight, prompt, stages, age: None, may_wait: true };
        schedule.enqueue(new, 0).unwrap();
    }
    schedule.follows(3, 2, 20);
    let step = plan_step(&schedule, 0);
    assert_eq!(step.admit[0].sequence, 1);
    schedule.begin(&step);
    assert!(plan_step(&schedule, 60_000_000).admit.is_empty());
    schedule.remove(1, 0);
    let step = plan_step(&schedule, 60_000_000);
    assert_eq!(step.admit.iter().map(|admission| admission.sequence).collect::<Vec<_>>(), [2]);
}

#[test]
fn rows_behind_a_prompt_are_no_way_around_the_others_and_a_full_step_preempts_nobody() {
    let limits = Limits { rows_max: 20, ..Limits::default() };
    let mut schedule = Schedule::new(limits, PageRoom { total: 99, available: 99 });
    for sequence in 1..=8 {
        let (flow, weight, prompt, stages) = (sequence, 1, 1, 1);
        let new = Newcomer { sequence, flow, weight, prompt, stages, age: None, may_wait: true };
        schedule.enqueue(new, 0).unwrap();
    }
    schedule.begin(&plan_step(&schedule, 0));
    for sequence in 1..=8 {
        schedule.attached(sequence, 1, Held { pages: 1, copies: false }, 0);
        schedule.arrived(sequence, if sequence == 1 { 4000 } else { 1 });
    }
    let step = plan_step(&schedule, 0);
    let rows: Vec<u32> = step.rows.iter().map(|share| share.rows).collect();
    assert_eq!(rows, [16, 1, 1, 1, 1]);
    assert!(step.preempt.is_empty());
}

/// An hour of everything: chats, long prompts, bulk jobs, people who go away.
fn an_hour(seed: u64) -> Shard {
    let mut random = Random(seed);
    let mut requests = Vec::new();
    let mut at_us = 0;
    while at_us < 3_600_000_000 {
        at_us += random.below(5_500_000);
        let kind = random.below(10);
        let (flow, weight) = (1 + random.below(5), 1 + random.below(3) as u32);
        let (prompt, answer) = match kind {
            0 => (2000 + random.below(6000) as u32, 50 + random.below(100) as u32),
            1..3 => (400 + random.below(400) as u32, 1 + random.below(10) as u32),
            _ => (20 + random.below(300) as u32, 20 + random.below(150) as u32),
        };
        let cancel_after = (random.below(8) == 0).then(|| 1 + random.below(30) as u32);
        requests.push(Request { at_us, flow, weight, prompt, answer, cancel_after });
    }
    run(Limits::default(), 900, requests)
}

#[test]
fn an_hour_of_mixed_traffic_holds_its_promises() {
    let shard = an_hour(7);
    let served = shard.outcomes.len();
    assert!(served > 1000, "{served}");
    // Nobody's stream stalls for longer than a few steps, unless it was preempted.
    let of = |outcome: &&Outcome| outcome.preemptions == 0;
    let mut gaps: Vec<u64> =
        shard.outcomes.iter().filter(of).map(|outcome| outcome.longest_gap_us).collect();
    gaps.sort_unstable();
    let p99 = gaps[gaps.len() * 99 / 100];
    assert!(p99 < 600_000, "{p99}");
    assert_eq!(shard.trace, an_hour(7).trace, "the same seed gives the same trace");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes: everybody ends, no step is over its budget of rows or pages (checked in
    /// every step), and all pages come back.
    #[test]
    fn everybody_ends_and_pages_come_back(seed in 1u64.., pages in 12u32..80, n in 1usize..40) {
        let mut random = Random(seed);
        let context = u64::from(pages) * 32 - 40;
        let requests = (0..n).map(|_| {
            let prompt = 1 + random.below(context * 2 / 3) as u32;
            let answer = 1 + random.below(context / 3) as u32;
            let cancel_after = (random.below(3) == 0).then(|| 1 + random.below(9) as u32);
            let (at_us, flow) = (random.below(3_000_000), random.below(3));
            let weight = 1 + random.below(4) as u32;
            Request { at_us, flow, weight, prompt, answer, cancel_after }
        });
        let limits = Limits { running_max: 9, waiting_max: 20, ..Limits::default() };
        run(limits, pages, requests.collect());
    }
}
