//! The books against pages that really hold something: each slot the hash of the tokens up to its
//! position, each page the state behind its last one, as `kv::state_pages` keeps it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;

use super::{Attached, BookError, PAGE_TOKENS, PageBook, PageKey};

const TOKENS: usize = PAGE_TOKENS as usize;
const N_SEQUENCES: u64 = 6;

fn digest(tokens: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    tokens.hash(&mut hasher);
    hasher.finish()
}

/// Keys of the full pages of a text.
fn chain(tokens: &[u8]) -> Vec<PageKey> {
    let full = 1..=tokens.len() / TOKENS;
    full.map(|n| u128::from(digest(&tokens[..n * TOKENS])).to_le_bytes()).collect()
}

#[derive(Clone, Debug)]
enum Call {
    /// Number, namespace, prompt.
    Attach(u64, u64, Vec<u8>),
    /// Number, parent, how far behind its end.
    Fork(u64, u64, usize),
    /// Number, by how much.
    Trim(u64, usize),
    /// Number, how far back first, positions computed and granted beyond, token written.
    Compute(u64, usize, (usize, usize), u8),
    Extend(u64),
    Detach(u64),
}

/// Texts of few different blocks, so that prefixes meet.
fn prompt() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(0..2u8, 0..5), 0..TOKENS).prop_map(|(blocks, cut)| {
        let mut tokens: Vec<u8> = blocks.iter().flat_map(|block| [*block; TOKENS]).collect();
        tokens.truncate(tokens.len() - cut.min(tokens.len()) * usize::from(cut % 3 == 0));
        tokens
    })
}

fn call() -> impl Strategy<Value = Call> {
    let number = || 0..N_SEQUENCES;
    let back = || prop_oneof![3 => Just(0usize), 1 => 0..100usize];
    let n = prop_oneof![3 => 1..6usize, 2 => 1..140usize];
    prop_oneof![
        4 => (number(), 0..2u64, prompt()).prop_map(|(s, n, p)| Call::Attach(s, n, p)),
        2 => (number(), number(), back()).prop_map(|(s, parent, b)| Call::Fork(s, parent, b)),
        1 => (number(), back()).prop_map(|(s, b)| Call::Trim(s, b)),
        8 => (number(), back(), (n, back()), 0..2u8)
            .prop_map(|(s, b, n, token)| Call::Compute(s, b, n, token)),
        2 => number().prop_map(Call::Extend),
        2 => number().prop_map(Call::Detach),
    ]
}

/// A sequence as its owner sees it.
#[derive(Clone, Debug)]
struct Sequence {
    namespace: u64,
    tokens: Vec<u8>,
    prompt: usize,
    computed: usize,
    /// Keys the books were told.
    n_keys: usize,
    /// From which page on it is going to compute its prompt, if others may count on it.
    leads_from: Option<usize>,
    has_started: bool,
}

/// The books, the owner's view, and what the pages hold.
struct Model {
    book: PageBook,
    keeps_states: bool,
    sequences: BTreeMap<u64, Sequence>,
    slots: Vec<[u64; TOKENS]>,
    states: Vec<(usize, u64)>,
    evictions: u64,
}

impl Model {
    fn new(n_pages: u32, keeps_states: bool) -> Self {
        Self {
            book: PageBook::new(n_pages, keeps_states),
            keeps_states,
            sequences: BTreeMap::new(),
            slots: vec![[0; TOKENS]; n_pages as usize],
            states: vec![(0, 0); n_pages as usize],
            evictions: 0,
        }
    }

    fn carry_out(&mut self, call: Call) {
        match call {
            Call::Attach(number, namespace, tokens) => self.attach(number, namespace, tokens),
            Call::Fork(number, parent, back) => self.fork(number, parent, back),
            Call::Trim(number, back) => self.trim(number, back),
            Call::Compute(number, back, n, token) => self.compute(number, back, n, token),
            Call::Extend(number) => self.extend(number),
            Call::Detach(number) => {
                self.sequences.remove(&number);
                self.book.detach(number);
            }
        }
    }

    fn attach(&mut self, number: u64, namespace: u64, tokens: Vec<u8>) {
        self.sequences.remove(&number);
        self.book.detach(number);
        let (prompt, keys) = (tokens.len(), chain(&tokens));
        let reusable = prompt.saturating_sub(1) / TOKENS;
        let known = self.book.known();
        let is_known = |n: &usize| known.contains_key(&(namespace, keys[..*n].to_vec()));
        let found = (1..=reusable.min(keys.len())).take_while(is_known).count();
        let Attached { positions, behind } =
            self.book.attach(number, namespace, &keys, prompt as u32);
        assert_eq!(positions as usize, found * TOKENS);
        let computes = |other: &Sequence| {
            let end = other.prompt.min(prompt).min((found + 1) * TOKENS);
            end == (found + 1) * TOKENS
                && found < reusable
                && other.namespace == namespace
                && other.leads_from.is_some_and(|from| from <= found)
                && other.tokens[..end] == tokens[..end]
        };
        let leader = self.sequences.iter().find(|(_, other)| computes(other));
        assert_eq!(behind.map(|behind| behind.leader), leader.map(|(number, _)| *number));
        if let (Some(behind), Some((_, leader))) = (behind, leader) {
            let end = behind.positions as usize;
            assert!(end > found * TOKENS && end <= reusable * TOKENS && end <= leader.prompt);
            assert_eq!(leader.tokens[..end], tokens[..end]);
        }
        let leads_from = behind.is_none().then_some(found);
        let n_keys = keys.len().min(self.slots.len());
        let computed = positions as usize;
        let has_started = false;
        let sequence =
            Sequence { namespace, tokens, prompt, computed, n_keys, leads_from, has_started };
        self.sequences.insert(number, sequence);
    }

    fn fork(&mut self, number: u64, parent: u64, back: usize) {
        let wanted =
            self.sequences.get(&parent).map_or(0, |other| other.computed.saturating_sub(back));
        let result = self.book.fork(number, parent, wanted as u32);
        if self.sequences.contains_key(&number) {
            assert_eq!(result, Err(BookError::AlreadyAttached { sequence: number }));
            return;
        }
        let Some(mut child) = self.sequences.get(&parent).cloned() else {
            assert_eq!(result, Err(BookError::UnknownSequence { sequence: parent }));
            return;
        };
        let positions = result.unwrap() as usize;
        let kept = if self.keeps_states { wanted / TOKENS * TOKENS } else { wanted };
        assert_eq!(positions, kept);
        let too_far = self.book.fork(99, parent, child.computed as u32 + 1);
        assert!(matches!(too_far, Err(BookError::NotComputed { .. })));
        child.tokens.truncate(child.prompt.max(positions));
        child.computed = positions;
        child.n_keys = child.n_keys.min(child.prompt / TOKENS);
        (child.leads_from, child.has_started) = (None, false);
        self.sequences.insert(number, child);
    }

    fn trim(&mut self, number: u64, back: usize) {
        let Some(sequence) = self.sequences.get_mut(&number) else { return };
        let wanted = sequence.computed.saturating_sub(back);
        let result = self.book.trim(number, wanted as u32);
        if sequence.has_started {
            assert_eq!(result, Err(BookError::AlreadyStarted { sequence: number }));
            return;
        }
        sequence.computed = if self.keeps_states { wanted / TOKENS * TOKENS } else { wanted };
        sequence.tokens.truncate(sequence.prompt.max(sequence.computed));
        assert_eq!(result, Ok(sequence.computed as u32));
        let pages = self.book.table(number).unwrap().len();
        assert_eq!(pages, sequence.computed.div_ceil(TOKENS));
    }

    /// Goes back, then grows and writes part of what it was granted.
    fn compute(&mut self, number: u64, back: usize, (n, ahead): (usize, usize), token: u8) {
        let Some(sequence) = self.sequences.get(&number) else { return };
        let mut from = sequence.computed.saturating_sub(back);
        if self.keeps_states && from != sequence.computed {
            from = from / TOKENS * TOKENS;
        }
        let to = from + n;
        if !self.grow(number, from, to + ahead) {
            return;
        }
        let table = self.book.table(number).unwrap();
        let sequence = self.sequences.get_mut(&number).unwrap();
        if from < sequence.computed {
            sequence.tokens.truncate(sequence.prompt.max(from));
            sequence.n_keys = sequence.n_keys.min((sequence.prompt / TOKENS).max(from / TOKENS));
        }
        if !sequence.has_started {
            sequence.leads_from = Some(from / TOKENS);
            sequence.has_started = true;
        }
        let length = sequence.tokens.len().max(to);
        sequence.tokens.resize(length, token);
        for position in from..to {
            let before = digest(&sequence.tokens[..position]);
            if self.keeps_states && position > 0 {
                let last = table[(position - 1) / TOKENS] as usize;
                assert_eq!(self.states[last], (position, before), "no state to continue from");
            }
            let value = digest(&sequence.tokens[..=position]);
            let page = table[position / TOKENS] as usize;
            self.slots[page][position % TOKENS] = value;
            self.states[page] = (position + 1, value);
        }
        sequence.computed = to;
        sequence.leads_from = sequence.leads_from.map(|from| from.max(to / TOKENS));
        self.book.computed(number, to as u32);
        self.check_published(number);
    }

    /// Grows by what the books say is needed, or not at all; copies what is to be copied.
    fn grow(&mut self, number: u64, from: usize, to: usize) -> bool {
        let before = self.book.table(number).unwrap();
        let (counts, known) = (self.book.counts(), self.book.known());
        let order: Vec<u32> = self.book.pool.cached.in_order().collect();
        let needed = self.book.pages_needed(number, from as u32, to as u32);
        let result = self.book.grow(number, from as u32, to as u32);
        let available = counts.free + counts.cached;
        if needed > available {
            let total = counts.total;
            assert_eq!(result, Err(BookError::OutOfPages { wanted: needed, available, total }));
            assert_eq!((self.book.counts(), self.book.known()), (counts, known));
            assert_eq!(self.book.table(number).unwrap(), before);
            return false;
        }
        if let Some(copy) = result.unwrap() {
            self.slots[copy.to as usize] = self.slots[copy.from as usize];
            self.states[copy.to as usize] = self.states[copy.from as usize];
        }
        let table = self.book.table(number).unwrap();
        let taken = table.iter().filter(|page| !before.contains(page)).count();
        assert_eq!(taken, needed as usize);
        assert_eq!(table[..from / TOKENS], before[..from / TOKENS]);
        let holders = self.book.holders();
        for page in &table[from / TOKENS..to.div_ceil(TOKENS)] {
            assert!(holders[*page as usize] == 1 && self.book.path(*page).is_none());
        }
        let evicted = needed.saturating_sub(counts.free) as usize;
        let left = self.book.known();
        let gone = known.iter().filter(|(path, _)| !left.contains_key(*path));
        let mut gone: Vec<u32> = gone.map(|(_, page)| *page).collect();
        let mut expected = order[..evicted].to_vec();
        gone.sort_unstable();
        expected.sort_unstable();
        assert_eq!(gone, expected);
        self.evictions += evicted as u64;
        true
    }

    fn extend(&mut self, number: u64) {
        let Some(sequence) = self.sequences.get_mut(&number) else { return };
        let keys = chain(&sequence.tokens[..sequence.computed]);
        if keys.len() > sequence.n_keys && sequence.n_keys >= sequence.prompt / TOKENS {
            self.book.extend(number, &keys[sequence.n_keys..]);
            sequence.n_keys = keys.len();
            self.check_published(number);
        }
    }

    /// Full pages with a key can be found, up to the first that a fork shares.
    fn check_published(&self, number: u64) {
        let sequence = &self.sequences[&number];
        let (known, holders) = (self.book.known(), self.book.holders());
        let keys = chain(&sequence.tokens[..sequence.computed]);
        for n in 1..=keys.len().min(sequence.n_keys) {
            let page = self.book.table(number).unwrap()[n - 1];
            let found = known.get(&(sequence.namespace, keys[..n].to_vec()));
            if found.is_none() && holders[page as usize] > 1 {
                return;
            }
            assert_eq!(found, Some(&page));
        }
    }

    /// Every position that counts as computed holds what its tokens say, known pages as well.
    fn check(&self) {
        self.book.check();
        let mut namespaces = BTreeMap::new();
        for (number, sequence) in &self.sequences {
            let table = self.book.table(*number).unwrap();
            for position in 0..sequence.computed {
                let slot = self.slots[table[position / TOKENS] as usize][position % TOKENS];
                assert_eq!(slot, digest(&sequence.tokens[..=position]), "at {position}");
            }
            for page in table.iter() {
                let other = *namespaces.entry(*page).or_insert(sequence.namespace);
                assert_eq!(other, sequence.namespace, "a page in two namespaces");
            }
        }
        for ((_, keys), page) in self.book.known() {
            let last = self.slots[page as usize][TOKENS - 1];
            assert_eq!(keys.last(), Some(&u128::from(last).to_le_bytes()));
            assert!(!self.keeps_states || self.states[page as usize].0 == keys.len() * TOKENS);
        }
        assert_eq!(self.book.statistics().evictions, self.evictions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 2000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn pages_hold_what_the_books_say(
        n_pages in 3..24u32,
        keeps_states: bool,
        calls in prop::collection::vec(call(), 0..60),
    ) {
        let mut model = Model::new(n_pages, keeps_states);
        for call in calls {
            model.carry_out(call);
            model.check();
        }
        (0..N_SEQUENCES).for_each(|number| model.book.detach(number));
        model.book.check();
        let counts = model.book.counts();
        prop_assert_eq!((counts.used, counts.free + counts.cached), (0, n_pages));
    }
}
