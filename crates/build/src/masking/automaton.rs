//! Finds many texts at once in a stream, one step per byte (Aho and Corasick, 1975).
//!
//! A state stands for the longest end of what was read that some text begins with. What a masker has to hold
//! back is the longest such end that is not yet all of a text. The states nearest to the start, where most bytes are spent, have a whole table
//! of followers; the others have their own followers only, and fall back.

/// The state before anything was read.
pub(super) const START: u32 = 0;

/// So many states have a whole table: half a mebibyte.
const WITH_TABLE: usize = 512;

/// No text is shorter, bytes.
const SHORTEST: usize = super::SHORTEST;

/// Bits of [`Beginnings`].
const BEGINNINGS: usize = 1 << 16;

/// Marks a state in which some text ends.
const ENDS: u32 = 1 << 31;

/// Texts, made ready for being found.
pub(super) struct Automaton {
    /// 256 followers of each of the first states, with [`ENDS`].
    table: Vec<u32>,
    states: Vec<State>,
    /// Followers of all states, those of one together.
    edges: Vec<Edge>,
    beginnings: Beginnings,
}

/// Which bytes texts begin with, nearly: at most places of most outputs one look here is all there is to do.
struct Beginnings {
    bits: Vec<u64>,
}

struct State {
    /// Length of what it stands for.
    depth: u32,
    /// Length of the longest end of what it stands for that some text goes on from.
    tail: u32,
    /// Length of the longest text that ends here; 0 if none does.
    longest: u32,
    /// The state of the longest proper end of what it stands for.
    fallback: u32,
    first_edge: u32,
    edges: u32,
}

struct Edge {
    byte: u8,
    to: u32,
}

/// A state while the texts are being taken in.
#[derive(Default)]
struct Node {
    next: Vec<(u8, u32)>,
    depth: u32,
    is_text: bool,
}

impl Automaton {
    /// Finds these texts, none of which is shorter than [`SHORTEST`].
    pub(super) fn new(texts: &[Vec<u8>]) -> Self {
        let trie = trie(texts);
        let (nodes, order) = by_distance(&trie);
        let mut states: Vec<State> = Vec::with_capacity(nodes.len());
        let mut edges = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let first_edge = edges.len() as u32;
            edges.extend(node.next.iter().map(|(byte, to)| Edge {
                byte: *byte,
                to: order.get(*to as usize).copied().unwrap_or(START),
            }));
            states.push(State {
                depth: node.depth,
                tail: if node.next.is_empty() { 0 } else { node.depth },
                longest: if node.is_text { node.depth } else { 0 },
                fallback: START,
                first_edge,
                edges: edges.len() as u32 - first_edge,
            });
        }
        let mut made = Self {
            table: Vec::new(),
            states,
            edges,
            beginnings: Beginnings::of(texts),
        };
        made.fall_back();
        made.fill_table();
        made
    }

    /// Reads `bytes`; tells for each place where texts end (so many bytes of them read) how long the longest
    /// is. Returns the state afterwards.
    pub(super) fn run(&self, state: u32, bytes: &[u8], mut ends: impl FnMut(usize, usize)) -> u32 {
        let (mut state, mut at) = (state, 0);
        let mut feed = |state: &mut u32, at: &mut usize, byte: u8| {
            let next = self.step(*state, byte);
            *state = next & !ENDS;
            *at += 1;
            if next & ENDS != 0 {
                ends(*at, self.state(*state).longest as usize);
            }
        };
        while let Some(byte) = bytes.get(at) {
            let depth = self.state(state).depth as usize;
            if depth >= SHORTEST || depth > at {
                feed(&mut state, &mut at, *byte);
                continue;
            }
            // Hardly anything is a text's beginning: look from where this may be one.
            (state, at) = (START, at - depth);
            let rest = bytes.get(at..).unwrap_or_default();
            let skipped = self.beginnings.find(rest);
            at += skipped;
            // What follows is read whatever it is, so that the next look is further on.
            for byte in rest.iter().skip(skipped).take(SHORTEST) {
                feed(&mut state, &mut at, *byte);
            }
        }
        state
    }

    /// How many of the bytes that were read last may belong to a text whose end was not read.
    pub(super) fn tail(&self, state: u32) -> usize {
        self.state(state).tail as usize
    }

    #[inline]
    fn step(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            let in_table = state as usize * 256 + usize::from(byte);
            if let Some(next) = self.table.get(in_table) {
                return *next;
            }
            if let Some(next) = self.follower(state, byte) {
                return self.marked(next);
            }
            state = self.state(state).fallback;
        }
    }

    fn follower(&self, state: u32, byte: u8) -> Option<u32> {
        let own = self.edges_of(state);
        own.iter()
            .find(|edge| edge.byte == byte)
            .map(|edge| edge.to)
    }

    fn edges_of(&self, state: u32) -> &[Edge] {
        let state = self.state(state);
        let first = state.first_edge as usize;
        self.edges
            .get(first..first + state.edges as usize)
            .unwrap_or_default()
    }

    fn marked(&self, state: u32) -> u32 {
        if self.state(state).longest > 0 {
            state | ENDS
        } else {
            state
        }
    }

    fn state(&self, state: u32) -> &State {
        const NOWHERE: &State = &State {
            depth: 0,
            tail: 0,
            longest: 0,
            fallback: START,
            first_edge: 0,
            edges: 0,
        };
        self.states.get(state as usize).unwrap_or(NOWHERE)
    }

    /// Finds every state's fallback; those nearer to the start have theirs already.
    fn fall_back(&mut self) {
        for at in 0..self.states.len() as u32 {
            let followers: Vec<(u8, u32)> = self
                .edges_of(at)
                .iter()
                .map(|edge| (edge.byte, edge.to))
                .collect();
            for (byte, to) in followers {
                let fallback = if at == START {
                    START
                } else {
                    self.goes_on(self.state(at).fallback, byte)
                };
                let State { longest, tail, .. } = *self.state(fallback);
                if let Some(state) = self.states.get_mut(to as usize) {
                    state.fallback = fallback;
                    state.longest = state.longest.max(longest);
                    state.tail = state.tail.max(tail);
                }
            }
        }
    }

    /// The follower of this state or of the first of its fallbacks that has one.
    fn goes_on(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            if let Some(next) = self.follower(state, byte) {
                return next;
            }
            if state == START {
                return START;
            }
            state = self.state(state).fallback;
        }
    }

    fn fill_table(&mut self) {
        let count = self.states.len().min(WITH_TABLE);
        let mut table: Vec<u32> = Vec::with_capacity(count * 256);
        for at in 0..count as u32 {
            let row = table.len();
            // What a state has no follower for is what its fallback, whose row is there, does.
            let fallback = self.state(at).fallback as usize * 256;
            if at == START {
                table.extend([START; 256]);
            } else {
                table.extend_from_within(fallback..fallback + 256);
            }
            for edge in self.edges_of(at) {
                if let Some(next) = table.get_mut(row + usize::from(edge.byte)) {
                    *next = self.marked(edge.to);
                }
            }
        }
        self.table = table;
    }
}

impl Beginnings {
    fn of(texts: &[Vec<u8>]) -> Self {
        let mut bits = vec![0_u64; BEGINNINGS / 64];
        for first in texts.iter().filter_map(|text| text.first_chunk()) {
            let at = Self::place(*first);
            if let Some(word) = bits.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        }
        Self { bits }
    }

    /// Where in `bytes` the first text may begin; what is too short to tell may be one.
    fn find(&self, bytes: &[u8]) -> usize {
        let may_begin = |window: &[u8]| {
            let at = window.first_chunk().map(|first| Self::place(*first));
            let word = at.and_then(|at| Some((at, self.bits.get(at / 64)?)));
            word.is_none_or(|(at, word)| word >> (at % 64) & 1 == 1)
        };
        let found = bytes.windows(SHORTEST).position(may_begin);
        found.unwrap_or((bytes.len() + 1).saturating_sub(SHORTEST))
    }

    /// Multiplicative hashing: the high bits of a product with 2³² divided by the golden ratio.
    fn place(first: [u8; SHORTEST]) -> usize {
        (u32::from_le_bytes(first).wrapping_mul(0x9E37_79B1) >> 16) as usize
    }
}

fn trie(texts: &[Vec<u8>]) -> Vec<Node> {
    let mut nodes = vec![Node::default()];
    for text in texts {
        let mut at = 0_usize;
        for byte in text {
            let count = nodes.len() as u32;
            let Some(node) = nodes.get_mut(at) else {
                break;
            };
            let known = node.next.iter().find(|(it, _)| it == byte);
            let next = known.map_or(count, |(_, next)| *next);
            if next == count {
                let depth = node.depth + 1;
                node.next.push((*byte, count));
                nodes.push(Node {
                    depth,
                    ..Node::default()
                });
            }
            at = next as usize;
        }
        if let Some(node) = nodes.get_mut(at) {
            node.is_text = true;
        }
    }
    nodes
}

/// The nodes by their distance from the start, and for each of the old numbers the new one.
fn by_distance(nodes: &[Node]) -> (Vec<&Node>, Vec<u32>) {
    let mut numbers: Vec<u32> = (0..nodes.len() as u32).collect();
    let depth = |number: &u32| nodes.get(*number as usize).map_or(0, |node| node.depth);
    numbers.sort_by_key(depth);
    let mut order = vec![START; nodes.len()];
    for (new, old) in numbers.iter().enumerate() {
        if let Some(place) = order.get_mut(*old as usize) {
            *place = new as u32;
        }
    }
    let sorted = numbers.iter().filter_map(|old| nodes.get(*old as usize));
    (sorted.collect(), order)
}
