//! Which values a client wants: so many levels, or a tree of names.

/// Characters of a `tree=` that is read.
const MAX_TREE: usize = 16 << 10;

/// How deep a tree may be.
const MAX_NESTING: usize = 64;

/// How many names a tree may hold.
const MAX_NAMES: usize = 2000;

/// The greatest `depth=` that is told from a greater one: builds lead to builds, twice as many each time.
const MAX_DEPTH: i32 = 5;

/// What a client wants of an object.
#[derive(Debug, Clone, Copy)]
pub(in crate::jenkins) enum Choice<'t> {
    /// Values whose visibility is no less than this; one more for each level further down.
    Level(i32),
    /// Values by name.
    Named(&'t Tree),
}

/// What is wanted by name; an empty one wants nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::jenkins) struct Tree {
    names: Vec<Wanted>,
}

#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    name: String,
    below: Tree,
    range: Range,
}

/// Which elements of a list: from the first to before the last, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::jenkins) struct Range {
    /// The first of them.
    pub(in crate::jenkins) from: usize,
    /// The first after them.
    pub(in crate::jenkins) to: usize,
}

impl Range {
    /// All.
    pub(in crate::jenkins) const ALL: Self = Self {
        from: 0,
        to: usize::MAX,
    };
}

/// Why a `tree=` cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::jenkins) enum BadTree {
    /// It is too long, too deep, or names too much.
    #[error("tree= asks for too much")]
    TooMuch,
    /// A bracket or a range that is none.
    #[error("tree= is broken at character {0}")]
    Broken(usize),
}

impl<'t> Choice<'t> {
    /// So many levels, as `depth=` says.
    pub(in crate::jenkins) fn depth(depth: &str) -> Self {
        let depth = depth.trim().parse().unwrap_or(0);
        Self::Level(1 - i32::clamp(depth, 0, MAX_DEPTH))
    }

    /// Whether a value of this name and visibility is wanted, what of it, and of which elements.
    pub(in crate::jenkins) fn of(self, name: &str, visibility: i32) -> Option<(Self, Range)> {
        match self {
            Self::Level(level) => {
                (visibility >= level).then_some((Self::Level(level + 1), Range::ALL))
            }
            Self::Named(tree) => tree
                .names
                .iter()
                .find(|wanted| wanted.name == name)
                .or_else(|| tree.names.iter().find(|wanted| wanted.name == "*"))
                .map(|wanted| (Self::Named(&wanted.below), wanted.range)),
        }
    }
}

impl Tree {
    /// Reads a `tree=`.
    pub(in crate::jenkins) fn read(text: &str) -> Result<Self, BadTree> {
        if text.len() > MAX_TREE {
            return Err(BadTree::TooMuch);
        }
        let mut reader = Reader {
            text: text.as_bytes(),
            at: 0,
            names: 0,
        };
        let tree = reader.tree(0)?;
        match reader.peek() {
            None => Ok(tree),
            Some(_) => Err(BadTree::Broken(reader.at)),
        }
    }

    /// The same name twice means both.
    fn add(&mut self, wanted: Wanted) {
        match self.names.iter_mut().find(|old| old.name == wanted.name) {
            Some(old) => {
                for below in wanted.below.names {
                    old.below.add(below);
                }
            }
            None => self.names.push(wanted),
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    names: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn tree(&mut self, nesting: usize) -> Result<Tree, BadTree> {
        if nesting > MAX_NESTING {
            return Err(BadTree::TooMuch);
        }
        let mut tree = Tree::default();
        loop {
            let name = self.word(b",[]{}");
            if !name.is_empty() {
                self.names += 1;
                if self.names > MAX_NAMES {
                    return Err(BadTree::TooMuch);
                }
                let mut below = Tree::default();
                if self.take(b'[') {
                    below = self.tree(nesting + 1)?;
                    if !self.take(b']') {
                        return Err(BadTree::Broken(self.at));
                    }
                }
                let range = if self.take(b'{') {
                    self.range()?
                } else {
                    Range::ALL
                };
                tree.add(Wanted { name, below, range });
            }
            if !self.take(b',') {
                return Ok(tree);
            }
        }
    }

    fn word(&mut self, ends: &[u8]) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| ends.contains(byte))
            .unwrap_or(rest.len());
        self.at += length;
        let word = rest.get(..length).unwrap_or_default();
        String::from_utf8_lossy(word).trim().to_owned()
    }

    /// `{N}`, `{N,}`, `{,M}` or `{N,M}`, behind the bracket.
    fn range(&mut self) -> Result<Range, BadTree> {
        let broken = BadTree::Broken(self.at);
        let first = self.word(b",}");
        let number = |text: &str| text.parse::<usize>().map_err(|_| broken);
        let range = if self.take(b',') {
            let last = self.word(b"}");
            Range {
                from: if first.is_empty() { 0 } else { number(&first)? },
                to: if last.is_empty() {
                    usize::MAX
                } else {
                    number(&last)?
                },
            }
        } else {
            let only = number(&first)?;
            Range {
                from: only,
                to: only.saturating_add(1),
            }
        };
        if self.take(b'}') {
            Ok(range)
        } else {
            Err(BadTree::Broken(self.at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BadTree, Choice, Range, Tree};
    use proptest::prelude::*;

    #[test]
    fn a_tree_names_what_is_wanted() {
        let tree = Tree::read("jobs[name,builds[number]{0,5},*],url,jobs[color]").expect("a tree");
        let top = Choice::Named(&tree);
        let (jobs, range) = top.of("jobs", 1).expect("wanted");
        assert_eq!(range, Range::ALL);
        assert!(top.of("description", 1).is_none());
        assert!(jobs.of("name", -2).is_some() && jobs.of("color", 1).is_some());
        let (builds, range) = jobs.of("builds", 1).expect("wanted");
        assert_eq!((range.from, range.to), (0, 5));
        assert!(builds.of("url", 999).is_none());
        let (other, _) = jobs.of("anything", 1).expect("by the asterisk");
        assert!(
            other.of("number", 999).is_none(),
            "nothing below a bare name"
        );
    }

    #[test]
    fn ranges() {
        for (text, from, to) in [
            ("a{3}", 3, 4),
            ("a{3,}", 3, usize::MAX),
            ("a{,7}", 0, 7),
            ("a[b]{2,7}", 2, 7),
        ] {
            let tree = Tree::read(text).expect(text);
            let (_, range) = Choice::Named(&tree).of("a", 1).expect(text);
            assert_eq!((range.from, range.to), (from, to), "{text}");
        }
    }

    #[test]
    fn broken_ones_are_refused() {
        for text in ["a[", "a[b", "a]", "a{", "a{x}", "a{1,2", "a{-1}", "a[b]]"] {
            assert!(
                matches!(Tree::read(text), Err(BadTree::Broken(_))),
                "{text}"
            );
        }
        assert_eq!(Tree::read(&"a[".repeat(100)), Err(BadTree::TooMuch));
        assert_eq!(Tree::read(&"a,".repeat(3000)), Err(BadTree::TooMuch));
        assert_eq!(Tree::read(&"a".repeat(20_000)), Err(BadTree::TooMuch));
    }

    #[test]
    fn levels_hide_what_is_less_visible_further_down() {
        let top = Choice::depth("0");
        let (nested, _) = top.of("builds", 1).expect("on the first level");
        assert!(nested.of("result", 1).is_none() && nested.of("number", 2).is_some());
        assert!(top.of("allBuilds", -2).is_none());
        let (deeper, _) = Choice::depth("1").of("builds", 1).expect("there");
        assert!(deeper.of("result", 1).is_some());
        assert!(matches!(Choice::depth("nonsense"), Choice::Level(1)));
        assert!(matches!(Choice::depth("99999999999"), Choice::Level(1)));
        assert!(matches!(Choice::depth("9999"), Choice::Level(-4)));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[a-c,\\[\\]{}0-9*]{0,60}") {
            let _ = Tree::read(&text);
        }
    }
}
