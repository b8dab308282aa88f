//! What users of the books notice, case by case.

use super::{Attached, Behind, BookError, PageBook, PageCopy, PageCounts, PageKey};

/// Keys of `n` full pages that are found nowhere else.
fn keys(text: u8, n: usize) -> Vec<PageKey> {
    (0..n).map(|page| [[text; 8], [page as u8; 8]].concat().try_into().unwrap()).collect()
}

/// Attaches, computes the prompt and detaches; how many positions were there already.
fn visit(book: &mut PageBook, sequence: u64, chain: &[PageKey], prompt: u32) -> u32 {
    let Attached { positions, .. } = book.attach(sequence, 0, chain, prompt);
    book.grow(sequence, positions, prompt).unwrap();
    book.computed(sequence, prompt);
    book.detach(sequence);
    positions
}

fn table(book: &PageBook, sequence: u64) -> Vec<u32> {
    book.table(sequence).unwrap().to_vec()
}

#[test]
fn pages_are_given_lowest_first_and_last_released_first() {
    let mut book = PageBook::new(5, false);
    for sequence in 0..2 {
        book.attach(sequence, 0, &[], 40);
        book.grow(sequence, 0, 40).unwrap();
    }
    assert_eq!((table(&book, 0), table(&book, 1)), (vec![0, 1], vec![2, 3]));
    book.detach(0);
    book.grow(1, 40, 100).unwrap();
    assert_eq!(table(&book, 1), [2, 3, 0, 1]);
    let error = BookError::OutOfPages { wanted: 2, available: 1, total: 5 };
    assert_eq!(book.grow(1, 100, 180), Err(error));
    assert_eq!(book.counts(), PageCounts { total: 5, free: 1, cached: 0, used: 4 });
    assert_eq!(book.grow(7, 0, 1), Err(BookError::UnknownSequence { sequence: 7 }));
    assert!(book.table(7).is_none());
}

#[test]
fn a_table_is_built_only_when_it_changed() {
    let mut book = PageBook::new(5, false);
    book.attach(1, 0, &[], 40);
    book.grow(1, 0, 40).unwrap();
    let first = book.table(1).unwrap();
    book.grow(1, 40, 41).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &book.table(1).unwrap()));
    book.grow(1, 41, 65).unwrap();
    assert_eq!((first.len(), book.table(1).unwrap().len()), (2, 3));
}

#[test]
fn the_second_turn_of_a_chat_reuses_prompt_and_answer() {
    let mut book = PageBook::new(16, true);
    let chat = keys(1, 6);
    // 70 tokens asked, 60 answered, of which the last one was never computed.
    assert_eq!(book.attach(1, 0, &chat[..2], 70), Attached { positions: 0, behind: None });
    book.grow(1, 0, 70).unwrap();
    book.computed(1, 70);
    for position in 70..129 {
        book.grow(1, position, position + 1).unwrap();
        book.computed(1, position + 1);
    }
    book.extend(1, &chat[2..4]);
    book.detach(1);
    assert_eq!(book.counts(), PageCounts { total: 16, free: 12, cached: 4, used: 0 });
    let again = book.attach(2, 0, &chat, 200);
    assert_eq!(again, Attached { positions: 128, behind: None });
    assert_eq!(table(&book, 2), [0, 1, 2, 3]);
    assert_eq!(book.attach(3, 1, &chat, 200).positions, 0, "another requester finds nothing");
    book.grow(2, 128, 200).unwrap();
    let statistics = book.statistics();
    assert_eq!((statistics.asked, statistics.hit, statistics.evictions), (270, 128, 0));
}

#[test]
fn the_last_token_of_a_prompt_is_always_computed() {
    let mut book = PageBook::new(8, false);
    let chain = keys(1, 2);
    visit(&mut book, 1, &chain, 64);
    assert_eq!(book.attach(2, 0, &chain, 64).positions, 32);
    book.grow(2, 32, 64).unwrap();
    let own = table(&book, 2)[1];
    book.computed(2, 64);
    assert_ne!(table(&book, 2)[1], own, "it lets go of what is known meanwhile");
    assert_eq!(book.counts().used, 2);
    assert_eq!(book.attach(3, 0, &chain, 65).positions, 64);
    assert_eq!(book.attach(4, 0, &chain, 0).positions, 0);
}

#[test]
fn a_fork_shares_a_partial_page_until_either_writes() {
    for writer in [1, 2] {
        let mut book = PageBook::new(8, false);
        book.attach(1, 0, &keys(1, 1), 40);
        book.grow(1, 0, 40).unwrap();
        book.computed(1, 40);
        assert_eq!(book.fork(2, 1, 40), Ok(40));
        assert_eq!(table(&book, 2), [0, 1]);
        assert_eq!(book.counts().used, 2);
        assert_eq!(book.pages_needed(writer, 40, 41), 1);
        assert_eq!(book.grow(writer, 40, 41), Ok(Some(PageCopy { from: 1, to: 2 })));
        assert_eq!(table(&book, writer), [0, 2]);
        assert_eq!(book.grow(3 - writer, 40, 41), Ok(None), "the other one is alone now");
        assert_eq!(table(&book, 3 - writer), [0, 1]);
    }
}

#[test]
fn a_fork_can_begin_at_the_last_token_of_a_full_page() {
    let mut book = PageBook::new(8, false);
    book.attach(1, 0, &keys(1, 2), 64);
    book.grow(1, 0, 64).unwrap();
    book.computed(1, 64);
    assert_eq!(book.fork(2, 1, 63), Ok(63));
    assert_eq!(book.grow(2, 63, 64), Ok(Some(PageCopy { from: 1, to: 2 })));
    book.computed(2, 64);
    assert_eq!(table(&book, 2), [0, 1], "the same content again");
    let error = BookError::NotComputed { wanted: 65, computed: 64 };
    assert_eq!(book.fork(3, 1, 65), Err(error));
    assert_eq!(book.fork(2, 1, 64), Err(BookError::AlreadyAttached { sequence: 2 }));
    assert_eq!(book.fork(3, 9, 0), Err(BookError::UnknownSequence { sequence: 9 }));
}

#[test]
fn states_are_shared_at_page_ends_only() {
    let mut book = PageBook::new(8, true);
    book.attach(1, 0, &keys(1, 1), 40);
    book.grow(1, 0, 40).unwrap();
    book.computed(1, 40);
    assert_eq!(book.fork(2, 1, 40), Ok(32));
    assert_eq!(book.grow(2, 32, 40), Ok(None));
    assert_eq!(table(&book, 2), [0, 2]);
    assert_eq!(book.fork(3, 1, 40).and_then(|_| book.trim(3, 31)), Ok(0));
}

#[test]
fn a_trimmed_sequence_keeps_what_the_other_stage_has() {
    let mut book = PageBook::new(8, false);
    let chain = keys(1, 3);
    visit(&mut book, 1, &chain, 100);
    assert_eq!(book.attach(2, 0, &chain, 100).positions, 96);
    assert_eq!(book.trim(2, 64), Ok(64));
    assert_eq!(book.trim(2, 96), Ok(64), "what was given back is gone");
    assert_eq!(book.counts().used, 2);
    book.grow(2, 64, 100).unwrap();
    assert_eq!(book.statistics().hit, 64);
    assert_eq!(book.trim(2, 0), Err(BookError::AlreadyStarted { sequence: 2 }));
    assert_eq!(book.trim(3, 0), Err(BookError::UnknownSequence { sequence: 3 }));
}

#[test]
fn followers_wait_for_one_leader_and_never_for_each_other() {
    let mut book = PageBook::new(32, false);
    let chain = keys(1, 4);
    let behind = |leader| Attached { positions: 0, behind: Some(Behind { leader, positions: 96 }) };
    let first = Attached { positions: 0, behind: None };
    assert_eq!(book.attach(1, 0, &chain[..3], 100), first);
    assert_eq!(book.attach(2, 0, &chain, 140), behind(1));
    assert_eq!(book.attach(3, 0, &chain, 140), behind(1));
    assert_eq!(book.attach(4, 1, &chain, 140), first, "requesters do not see each other");
    assert_eq!(book.attach(5, 0, &chain, 32), first, "nothing to wait for");
    // Halfway, what is known is used and the rest still awaited.
    book.grow(1, 0, 100).unwrap();
    book.computed(1, 40);
    let rest = Some(Behind { leader: 1, positions: 96 });
    assert_eq!(book.attach(2, 0, &chain, 140), Attached { positions: 32, behind: rest });
    // The leader is there: one of the followers goes on, the other waits for that one.
    book.computed(1, 100);
    assert_eq!(book.attach(3, 0, &chain, 140), Attached { positions: 96, behind: None });
    let rest = Some(Behind { leader: 3, positions: 128 });
    assert_eq!(book.attach(2, 0, &chain, 140), Attached { positions: 96, behind: rest });
    // It gives up: the one that waited does not stand in its own way.
    book.detach(3);
    assert_eq!(book.attach(2, 0, &chain, 140), Attached { positions: 96, behind: None });
}

#[test]
fn pages_computed_twice_are_kept_once() {
    let mut book = PageBook::new(16, false);
    let chain = keys(1, 3);
    for sequence in [1, 2] {
        book.attach(sequence, 0, &chain, 100);
        book.grow(sequence, 0, 100).unwrap();
    }
    assert_eq!(book.counts().used, 8);
    book.computed(1, 100);
    book.computed(2, 100);
    assert_eq!(table(&book, 2)[..3], table(&book, 1)[..3]);
    assert_ne!(table(&book, 2)[3], table(&book, 1)[3]);
    assert_eq!(book.counts().used, 5);
}

#[test]
fn going_back_into_what_others_may_read_takes_new_pages() {
    let mut book = PageBook::new(16, false);
    let chain = keys(1, 3);
    book.attach(1, 0, &chain, 96);
    book.grow(1, 0, 96).unwrap();
    book.computed(1, 96);
    assert_eq!(book.pages_needed(1, 40, 41), 2);
    assert_eq!(book.grow(1, 40, 41), Ok(Some(PageCopy { from: 1, to: 3 })));
    assert_eq!(table(&book, 1), [0, 3, 4], "what followed page 1 does not follow its copy");
    assert_eq!(book.attach(2, 0, &chain, 97).positions, 96, "what was known still is");
}

#[test]
fn the_oldest_goes_first_and_ends_before_beginnings() {
    let mut book = PageBook::new(6, false);
    let (old, new) = (keys(1, 3), keys(2, 3));
    visit(&mut book, 1, &old, 96);
    visit(&mut book, 2, &new, 96);
    assert_eq!(book.counts().cached, 6);
    let left = |book: &mut PageBook| {
        let [old, new] = [&old, &new].map(|chain| book.attach(8, 0, chain, 97).positions / 32);
        book.detach(8);
        (old, new)
    };
    book.attach(3, 0, &[], 200);
    for (pages, expected) in [(1, (2, 3)), (3, (0, 3)), (4, (0, 2)), (6, (0, 0))] {
        book.grow(3, 0, pages * 32).unwrap();
        // Looking does not count as use, but it does as age: look at the old one first.
        assert_eq!(left(&mut book), expected);
    }
    assert!(book.grow(3, 192, 193).is_err(), "held pages are never evicted");
    assert_eq!(book.statistics().evictions, 6);
}

#[test]
fn prompts_that_come_once_do_not_flush_a_popular_prefix() {
    let mut book = PageBook::new(64, false);
    let popular = keys(0, 8);
    for sequence in 0..5 {
        visit(&mut book, sequence, &popular, 257);
    }
    let mut scans = (1..=255u8).map(|text| keys(text, 16));
    // Three times the cache by prompts that come once.
    for chain in scans.by_ref().take(12) {
        assert_eq!(visit(&mut book, 100, &chain, 512), 0);
    }
    assert_eq!(visit(&mut book, 6, &popular, 257), 256, "popular pages stay");
    // Nobody asks again: it ages and goes, so that it cannot block the cache for ever.
    for chain in scans.take(100) {
        visit(&mut book, 100, &chain, 512);
    }
    assert_eq!(visit(&mut book, 7, &popular, 257), 0, "forgotten at last");
}
