//! The books stay in order whatever is called: keys that lie, numbers that do not exist,
//! positions nobody wrote.

use proptest::prelude::*;

use super::{PageBook, PageKey};

#[derive(Clone, Debug)]
enum Call {
    Attach(u64, u64, Vec<PageKey>, u32),
    Fork(u64, u64, u32),
    Trim(u64, u32),
    Grow(u64, u32, u32),
    Computed(u64, u32),
    Extend(u64, Vec<PageKey>),
    Detach(u64),
}

/// Positions: mostly sensible ones, sometimes the ends of what there is.
fn positions() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 0..400u32, 1 => Just(u32::MAX), 1 => Just(u32::MAX - 31)]
}

fn keys() -> impl Strategy<Value = Vec<PageKey>> {
    prop::collection::vec((0..3u8).prop_map(|key| [key; 16]), 0..30)
}

fn call() -> impl Strategy<Value = Call> {
    let number = || 0..5u64;
    prop_oneof![
        (number(), 0..2u64, keys(), positions()).prop_map(|(s, n, k, p)| Call::Attach(s, n, k, p)),
        (number(), number(), positions()).prop_map(|(s, parent, p)| Call::Fork(s, parent, p)),
        (number(), positions()).prop_map(|(s, p)| Call::Trim(s, p)),
        (number(), positions(), 0..90u32).prop_map(|(s, from, n)| Call::Grow(
            s,
            from,
            from.saturating_add(n)
        )),
        (number(), positions()).prop_map(|(s, p)| Call::Computed(s, p)),
        (number(), keys()).prop_map(|(s, k)| Call::Extend(s, k)),
        number().prop_map(Call::Detach),
    ]
}

fn carry_out(book: &mut PageBook, call: Call) {
    match call {
        Call::Attach(number, namespace, keys, prompt) => {
            let attached = book.attach(number, namespace, &keys, prompt);
            assert!(attached.positions <= prompt.saturating_sub(1));
        }
        Call::Fork(number, parent, positions) => {
            _ = book.fork(number, parent, positions);
        }
        Call::Trim(number, positions) => {
            _ = book.trim(number, positions);
        }
        Call::Grow(number, from, to) => {
            let is_attached = book.table(number).is_some();
            let needed = book.pages_needed(number, from, to);
            let counts = book.counts();
            let fits = needed <= counts.free + counts.cached;
            assert_eq!(book.grow(number, from, to).is_ok(), is_attached && fits);
        }
        Call::Computed(number, positions) => book.computed(number, positions),
        Call::Extend(number, keys) => book.extend(number, &keys),
        Call::Detach(number) => book.detach(number),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 1500,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_call_brings_the_books_out_of_order(
        n_pages in 0..20u32,
        keeps_states: bool,
        calls in prop::collection::vec(call(), 0..60),
    ) {
        let mut book = PageBook::new(n_pages, keeps_states);
        for call in calls {
            carry_out(&mut book, call);
            book.check();
        }
        (0..5).for_each(|number| book.detach(number));
        book.check();
        let counts = book.counts();
        prop_assert_eq!((counts.used, counts.free + counts.cached), (0, n_pages));
    }
}
