//! What a resource is called, which says of what kind it is, and which locks that means.

use ward_lock::{Gives, LockError, Wanted};
use ward_model::lock::Mode;

use super::refusal::Refusal;
use super::strftime;

/// The resource of who names none.
pub(super) const DEFAULT: &str = "_RESOURCE";

/// Everything that sets hand out: one pool for all, so that no two sets hand out one thing at a
/// time. Neither FLoM nor `ward lock` has a name like that.
const SETS: &str = "_sets";

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Simple,
    Numeric(u32),
    Set(Vec<String>),
    Hierarchy,
    Sequence { slots: u32, transactional: bool },
    Timestamp { slots: u32, format: String },
}

impl Default for Resource {
    fn default() -> Self {
        Self {
            name: DEFAULT.to_owned(),
            kind: Kind::Simple,
        }
    }
}

const SYNTAX: &str = "\
a resource is NAME, NAME[N], NAME.NAME, /LEVEL/LEVEL, _s_NAME[N], _S_NAME[N] or _t_FORMAT[N], \
where a NAME is letters and digits behind a letter";

impl Resource {
    /// Reads a name. The first form that fits decides.
    pub(super) fn parse(name: &str) -> Result<Self, Refusal> {
        let refused = |why: &str| Refusal::name(name, why);
        if name == DEFAULT {
            return Err(refused("this is what is locked where no name is given"));
        }
        // FLoM looks at each line by itself, and takes what has one that fits.
        if name.contains('\n') {
            return Err(refused("a name has no line break in it"));
        }
        let kind = if is_simple(name) {
            Kind::Simple
        } else if let Some((_, slots)) = counted(name).filter(|(first, _)| is_simple(first)) {
            Kind::Numeric(number(slots).ok_or_else(|| refused(TOO_BIG))?)
        } else if name.contains('.') && name.split('.').all(is_simple) {
            let elements: Vec<String> = name.split('.').map(str::to_owned).collect();
            if let Some(twice) = first_repeated(&elements) {
                return Err(refused(&format!(
                    "`{twice}` is in it twice: two would have it at a time"
                )));
            }
            Kind::Set(elements)
        } else if let Some(levels) = name.strip_prefix('/') {
            if levels.split('/').any(str::is_empty) {
                return Err(refused("no level of a path is empty"));
            }
            Kind::Hierarchy
        } else {
            Kind::special(name, &refused)?.ok_or_else(|| refused(SYNTAX))?
        };
        let name = name.to_owned();
        Ok(Self { name, kind })
    }

    /// As it is written.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the command learns what it got, as its last argument.
    pub(crate) fn hands_out(&self) -> bool {
        match self.kind {
            Kind::Set(_) | Kind::Sequence { .. } | Kind::Timestamp { .. } => true,
            Kind::Simple | Kind::Numeric(_) | Kind::Hierarchy => false,
        }
    }

    /// The locks that it is, the one that the command is told of first. Unless it may be created,
    /// somebody must use it already.
    pub(super) fn wanted(
        &self,
        mode: Mode,
        quantity: u32,
        create: bool,
    ) -> Result<Vec<Wanted>, Refusal> {
        let mut wanted = self.locks(mode, quantity)?;
        // Whether a set exists its own lock says: things may be in use that other sets hand out.
        if let Some(itself) = wanted.pop() {
            wanted.push(if create {
                itself
            } else {
                itself.only_if_used()
            });
        }
        Ok(wanted)
    }

    fn locks(&self, mode: Mode, quantity: u32) -> Result<Vec<Wanted>, Refusal> {
        let (root, path) = match &self.kind {
            Kind::Hierarchy => self.levels(),
            _ => (self.name.as_str(), ""),
        };
        let exact = |root: &str, path: &str| {
            Wanted::exact(root, path).map_err(|_| Refusal::name(&self.name, "it is too long"))
        };
        let slots = |wanted: Wanted, take: u32, of: u32| {
            let wanted = wanted.slots(take, of);
            wanted.map_err(|_| Refusal::impossible(of, take))
        };
        Ok(match &self.kind {
            Kind::Simple | Kind::Hierarchy => vec![exact(root, path)?.mode(mode)],
            Kind::Numeric(of) => vec![slots(exact(root, path)?, quantity, *of)?],
            Kind::Set(elements) => {
                let pool = exact(SETS, "")?.things(1, elements.clone());
                let refused = |error: LockError| Refusal::of_lock(&error, &self.name, 0);
                // The second one is nobody's obstacle: it says that this set exists.
                let itself = exact(&format!("{SETS}:{}", self.name), "")?.mode(Mode::NL);
                vec![pool.map_err(refused)?, itself]
            }
            Kind::Sequence {
                slots: of,
                transactional,
            } => {
                let gives = Gives::Sequence {
                    transactional: *transactional,
                };
                vec![slots(exact(root, path)?, 1, *of)?.giving(gives)]
            }
            Kind::Timestamp { slots: of, format } => {
                let gives = Gives::Timestamp {
                    format: format.clone(),
                };
                vec![slots(exact(root, path)?, 1, *of)?.giving(gives)]
            }
        })
    }

    /// The first level with the slash before it, which no other name has, and what is below.
    fn levels(&self) -> (&str, &str) {
        let below = self.name.get(1..).and_then(|rest| rest.find('/'));
        match below {
            Some(at) => (&self.name[..=at], &self.name[at + 2..]),
            None => (&self.name, ""),
        }
    }
}

const TOO_BIG: &str = "the number in brackets is at most 2147483647";

impl Kind {
    fn special(name: &str, refused: &dyn Fn(&str) -> Refusal) -> Result<Option<Self>, Refusal> {
        let Some((first, digits)) = counted(name) else {
            return Ok(None);
        };
        let slots = || number(digits).ok_or_else(|| refused(TOO_BIG));
        for (prefix, transactional) in [("_s_", false), ("_S_", true)] {
            if first.strip_prefix(prefix).is_some_and(is_simple) {
                return Ok(Some(Self::Sequence {
                    slots: slots()?,
                    transactional,
                }));
            }
        }
        let Some(format) = first.strip_prefix("_t_").filter(|it| is_format(it)) else {
            return Ok(None);
        };
        Ok(Some(Self::Timestamp {
            slots: slots()?,
            format: strftime::plain(format),
        }))
    }
}

fn is_simple(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_format(format: &str) -> bool {
    let first = |c: char| c == '%' || c == '#' || c.is_ascii_alphabetic();
    format.starts_with(first)
        && format
            .bytes()
            .all(|byte| b"%#.:".contains(&byte) || byte.is_ascii_alphanumeric())
}

/// `FIRST[DIGITS]`, taken apart.
fn counted(name: &str) -> Option<(&str, &str)> {
    let (first, digits) = name.strip_suffix(']')?.rsplit_once('[')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((first, digits))
}

/// None where FLoM's number would have become another one.
fn number(digits: &str) -> Option<u32> {
    let number: i32 = digits.parse().ok()?;
    u32::try_from(number).ok()
}

fn first_repeated(elements: &[String]) -> Option<&String> {
    let mut rest = elements;
    while let [first, others @ ..] = rest {
        if others.contains(first) {
            return Some(first);
        }
        rest = others;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(elements: &[&str]) -> Kind {
        Kind::Set(elements.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn every_form() {
        let sequence = |slots, transactional| Kind::Sequence {
            slots,
            transactional,
        };
        let timestamp = |slots, format: &str| Kind::Timestamp {
            slots,
            format: format.to_owned(),
        };
        for (name, kind) in [
            ("R", Kind::Simple),
            ("RA123", Kind::Simple),
            ("foo[12]", Kind::Numeric(12)),
            ("N[0]", Kind::Numeric(0)),
            ("N[007]", Kind::Numeric(7)),
            ("N[2147483647]", Kind::Numeric(2_147_483_647)),
            ("red.green", set(&["red", "green"])),
            ("a.B.c9", set(&["a", "B", "c9"])),
            ("a.A", set(&["a", "A"])),
            ("/a", Kind::Hierarchy),
            ("/a/b c/d.e[1]", Kind::Hierarchy),
            ("/ä/%20", Kind::Hierarchy),
            ("_s_a[1]", sequence(1, false)),
            ("_S_a1[3]", sequence(3, true)),
            ("_s_a[0]", sequence(0, false)),
            ("_t_%H%M%S#fff[4]", timestamp(4, "%H%M%S#fff")),
            ("_t_stamp.%T:x[1]", timestamp(1, "stamp.%T:x")),
        ] {
            let resource = Resource::parse(name).expect(name);
            assert_eq!(resource.kind, kind, "{name}");
            assert_eq!(resource.name(), name);
        }
    }

    #[test]
    fn what_is_no_name() {
        for name in [
            "",
            "1a",
            "a b",
            "a_b",
            "a-b",
            "ä",
            "bad name!\nabc",
            "abc\n",
            "/a\nb",
            "_RESOURCE",
            "_x",
            "a.",
            ".a",
            "a..b",
            "a.1",
            "a.a",
            "a.b.a",
            "/",
            "//",
            "/a/",
            "/a//b",
            "a[",
            "a[]",
            "a[x]",
            "a[-1]",
            "a[1",
            "a[1]b",
            "[1]",
            "a.b[1]",
            "N[2147483648]",
            "N[4294967297]",
            "N[99999999999999999999999]",
            "_s_[1]",
            "_s_a",
            "_s_a_b[1]",
            "_S_1[1]",
            "_s_a[4294967297]",
            "_t_[1]",
            "_t_1[1]",
            "_t_%H-%M[1]",
            "_t_%H",
            "_T_%H[1]",
        ] {
            assert!(Resource::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn which_locks_they_are() {
        let of = |name: &str, quantity| {
            let resource = Resource::parse(name).expect(name);
            let wanted = resource.wanted(Mode::PR, quantity, true);
            wanted.map(|all| {
                all.iter()
                    .map(|it| format!("{} {}", it.name(), it.wanted_mode()))
                    .collect::<Vec<_>>()
            })
        };
        for (name, quantity, locks) in [
            ("db", 1, &["db PR"][..]),
            // Not with that of `ward lock db`.
            ("db[3]", 3, &["db[3] EX"]),
            ("a.b", 1, &["_sets EX", "_sets:a.b NL"]),
            ("/a", 1, &["/a PR"]),
            ("/a/b/c", 1, &["/a/b/c PR"]),
            ("_S_a[2]", 9, &["_S_a[2] EX"]),
            ("_t_%S[2]", 9, &["_t_%S[2] EX"]),
        ] {
            assert_eq!(of(name, quantity).expect(name), locks, "{name}");
        }
        for (name, quantity, there_are) in [("N[0]", 1, 0), ("N[2]", 3, 2), ("_s_a[0]", 9, 0)] {
            let take = if name.starts_with('N') { quantity } else { 1 };
            let refused = of(name, quantity).expect_err(name);
            assert_eq!(refused, Refusal::impossible(there_are, take), "{name}");
        }
        let resource = Resource::parse("/a/b c/d").expect("a path");
        assert_eq!(resource.levels(), ("/a", "b c/d"));
        let resource = Resource::parse("/ä").expect("a path");
        assert_eq!(resource.levels(), ("/ä", ""));
        assert!(of(&format!("/{}", "ä".repeat(60)), 1).is_err());
    }
}
