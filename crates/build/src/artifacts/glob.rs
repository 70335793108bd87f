//! Ant's notation for files: `**/*.log, dist/`, and what it leaves out by default.
//!
//! `?` is any character of a name, `*` any number of them, a part `**` any number of directories, a slash at
//! the end means everything below. Lists are parted by commas and ends of lines; blanks within stay, as
//! names may have them. Matching takes time in proportion to pattern and name, whatever either is.

/// A pattern has at most so many parts.
const MAX_PARTS: usize = 60;
/// A list of patterns is at most so long, bytes, and has at most so many.
const MAX_LIST: usize = 64 << 10;
const MAX_PATTERNS: usize = 500;

/// What Ant leaves out unless it is told not to: what editors and version control leave behind.
const DEFAULT_EXCLUDES: &str = "**/*~,**/#*#,**/.#*,**/%*%,**/._*,**/CVS,**/CVS/**,**/.cvsignore,\
**/SCCS,**/SCCS/**,**/vssver.scc,**/.svn,**/.svn/**,**/.DS_Store,**/.git,**/.git/**,**/.gitattributes,\
**/.gitignore,**/.gitmodules,**/.hg,**/.hg/**,**/.hgignore,**/.hgsub,**/.hgsubstate,**/.hgtags,**/.bzr,\
**/.bzr/**,**/.bzrignore";

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern `{pattern}` cannot be used: {why}")]
pub struct BadPattern {
    /// As it was written, cut.
    pub pattern: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Which files are meant.
#[derive(Debug, Clone)]
pub struct Patterns {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    is_case_sensitive: bool,
}

/// How far each pattern has come on the way down to a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    include: Vec<u64>,
    exclude: Vec<u64>,
}

impl Patterns {
    /// Reads lists of patterns. Without `include`, nothing is meant.
    ///
    /// # Errors
    /// [`BadPattern`]: one that leads out of the workspace, or that is too long.
    pub fn read(
        include: &[String],
        exclude: &[String],
        default_excludes: bool,
        is_case_sensitive: bool,
    ) -> Result<Self, BadPattern> {
        let mut exclude = read_all(exclude, is_case_sensitive)?;
        if default_excludes {
            exclude.extend(read_all(&[DEFAULT_EXCLUDES.to_owned()], is_case_sensitive)?);
        }
        Ok(Self {
            include: read_all(include, is_case_sensitive)?,
            exclude,
            is_case_sensitive,
        })
    }

    /// The directory that all patterns are about.
    #[must_use]
    pub fn top(&self) -> Place {
        let begin = |patterns: &[Pattern]| patterns.iter().map(Pattern::begin).collect();
        Place {
            include: begin(&self.include),
            exclude: begin(&self.exclude),
        }
    }

    /// Something of that name in the directory `place`.
    #[must_use]
    pub fn step(&self, place: &Place, name: &[u8]) -> Place {
        let name = folded(name, self.is_case_sensitive);
        let step = |patterns: &[Pattern], states: &[u64]| {
            let pairs = patterns.iter().zip(states);
            pairs
                .map(|(each, state)| each.step(*state, &name))
                .collect()
        };
        Place {
            include: step(&self.include, &place.include),
            exclude: step(&self.exclude, &place.exclude),
        }
    }

    /// Whether a file there is meant.
    #[must_use]
    pub fn is_meant(&self, place: &Place) -> bool {
        let is_any = |patterns: &[Pattern], states: &[u64]| {
            let mut pairs = patterns.iter().zip(states);
            pairs.any(|(each, state)| each.is_at_end(*state))
        };
        is_any(&self.include, &place.include) && !is_any(&self.exclude, &place.exclude)
    }

    /// Whether anything below a directory there can be meant.
    #[must_use]
    pub fn may_be_below(&self, place: &Place) -> bool {
        let mut includes = self.include.iter().zip(&place.include);
        let mut excludes = self.exclude.iter().zip(&place.exclude);
        includes.any(|(each, state)| each.goes_on(*state))
            && !excludes.any(|(each, state)| each.has_all_below(*state))
    }

    /// Whether the file at `path`, parts parted by `/`, is meant.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut place = self.top();
        for name in path.split(|byte| *byte == b'/') {
            place = self.step(&place, name);
        }
        self.is_meant(&place)
    }
}

#[derive(Debug, Clone)]
struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`
    Any,
    /// A name with `*` and `?`.
    Name(Vec<u8>),
}

fn read_all(lists: &[String], is_case_sensitive: bool) -> Result<Vec<Pattern>, BadPattern> {
    let mut all = Vec::new();
    for list in lists {
        if list.len() > MAX_LIST {
            return Err(bad(list, "the list is too long"));
        }
        for text in list.split([',', '\n', '\r']).map(str::trim) {
            if text.is_empty() {
                continue;
            }
            all.push(Pattern::read(text, is_case_sensitive)?);
            if all.len() > MAX_PATTERNS {
                return Err(bad(list, "there are too many"));
            }
        }
    }
    Ok(all)
}

fn bad(pattern: &str, why: &'static str) -> BadPattern {
    BadPattern {
        pattern: pattern.chars().take(200).collect(),
        why,
    }
}

fn folded(name: &[u8], is_case_sensitive: bool) -> Vec<u8> {
    if is_case_sensitive {
        return name.to_owned();
    }
    match std::str::from_utf8(name) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => name.to_ascii_lowercase(),
    }
}

impl Pattern {
    fn read(text: &str, is_case_sensitive: bool) -> Result<Self, BadPattern> {
        let slashed = text.replace('\\', "/");
        if slashed.starts_with('/') {
            return Err(bad(
                text,
                "it begins with a slash; paths begin at the workspace",
            ));
        }
        let mut parts = Vec::new();
        for part in slashed.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(bad(text, "it leads out of the workspace")),
                "**" if parts.last() == Some(&Part::Any) => {}
                "**" => parts.push(Part::Any),
                name => parts.push(Part::Name(folded(name.as_bytes(), is_case_sensitive))),
            }
        }
        if slashed.ends_with('/') && parts.last() != Some(&Part::Any) {
            parts.push(Part::Any);
        }
        if parts.len() > MAX_PARTS {
            return Err(bad(text, "it has too many parts"));
        }
        Ok(Self { parts })
    }

    // A state is a set of places in the pattern: bit n is set if the first n parts may have been used up.

    fn begin(&self) -> u64 {
        self.over_any(1)
    }

    /// With what `**` may stand for nothing.
    fn over_any(&self, mut state: u64) -> u64 {
        for (index, part) in self.parts.iter().enumerate() {
            if *part == Part::Any && state & (1 << index) != 0 {
                state |= 1 << (index + 1);
            }
        }
        state
    }

    fn step(&self, state: u64, name: &[u8]) -> u64 {
        let mut next = 0;
        for (index, part) in self.parts.iter().enumerate() {
            if state & (1 << index) == 0 {
                continue;
            }
            match part {
                Part::Any => next |= 1 << index,
                Part::Name(pattern) if is_name(pattern, name) => next |= 1 << (index + 1),
                Part::Name(_) => {}
            }
        }
        self.over_any(next)
    }

    fn end(&self) -> u64 {
        1 << self.parts.len()
    }

    fn is_at_end(&self, state: u64) -> bool {
        !self.parts.is_empty() && state & self.end() != 0
    }

    fn goes_on(&self, state: u64) -> bool {
        state & (self.end() - 1) != 0
    }

    /// Whether everything below is meant: a last `**` has been reached.
    fn has_all_below(&self, state: u64) -> bool {
        self.parts.last() == Some(&Part::Any) && state & (self.end() >> 1) != 0
    }
}

/// Whether `pattern` is all of `name`; `?` is a character of UTF-8, or a byte that is none.
fn is_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    // The last star, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = name.get(of) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
                continue;
            }
            Some(b'?') => {
                at += 1;
                of += length_of_character(name.get(of..).unwrap_or_default());
                continue;
            }
            Some(&wanted) if wanted == byte => {
                at += 1;
                of += 1;
                continue;
            }
            Some(_) | None => {}
        }
        let Some((star_at, taken)) = star else {
            return false;
        };
        star = Some((star_at, taken + 1));
        at = star_at + 1;
        of = taken + 1;
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

fn length_of_character(bytes: &[u8]) -> usize {
    let length = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        Some(_) | None => 1,
    };
    let is_whole = bytes
        .get(..length)
        .is_some_and(|whole| std::str::from_utf8(whole).is_ok());
    if is_whole { length } else { 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(include: &str, exclude: &str, default: bool, case: bool) -> Patterns {
        Patterns::read(&[include.to_owned()], &[exclude.to_owned()], default, case)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn files_are_meant_as_in_ant() {
        let cases = [
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("**/*.txt", "a.txt", true),
            ("**/*.txt", "d/e/a.txt", true),
            ("d/**", "d/e/a", true),
            ("d/**", "e/d/a", false),
            ("d/", "d/e/a", true),
            ("d", "d/e", false),
            ("d/**/a", "d/a", true),
            ("d/**/a", "d/b/c/a", true),
            ("d/**/e/**/a", "d/e/x/e/a", true),
            ("**", "a/b/c", true),
            ("a?c", "abc", true),
            ("a?c", "aäc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbXbc", true),
            ("a**c", "abc", true),
            ("a, b c ,\nd", "b c", true),
            ("a, b c ,\nd", "d", true),
            ("./x/./y", "x/y", true),
            ("x\\*.o", "x/a.o", true),
            ("", "a", false),
            ("", "", false),
        ];
        for (pattern, path, is_meant) in cases {
            let all = patterns(pattern, "", true, true);
            assert_eq!(all.matches(path.as_bytes()), is_meant, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_excluded_is_not_meant() {
        let all = patterns("**", "**/t/**,*.o", true, true);
        for (path, is_meant) in [
            ("a", true),
            ("a.o", false),
            ("d/a.o", true),
            ("d/t/a", false),
            ("t", false),
            ("d/.git/config", false),
            ("d/.gitignore", false),
            ("x~", false),
        ] {
            assert_eq!(all.matches(path.as_bytes()), is_meant, "{path}");
        }
        assert!(patterns("**", "", false, true).matches(b".git/config"));
        let below = all.step(&all.top(), b"t");
        assert!(!all.may_be_below(&below));
    }

    #[test]
    fn case_may_not_matter() {
        assert!(patterns("**/*.TXT", "", true, false).matches("D/ä.txt".as_bytes()));
        assert!(patterns("Ä", "", true, false).matches("ä".as_bytes()));
        assert!(!patterns("*.TXT", "", true, true).matches(b"a.txt"));
    }

    #[test]
    fn what_leads_out_is_refused() {
        let long = "a/".repeat(70);
        for pattern in ["../x", "a/../../x", "/etc/passwd", "a/..", long.as_str()] {
            let read = Patterns::read(&[pattern.to_owned()], &[], true, true);
            assert!(read.is_err(), "{pattern}");
        }
    }

    /// What matching means, without any care for time.
    fn slow(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((&"**", rest)), None) => slow(rest, path),
            (Some((&"**", rest)), Some((_, below))) => slow(rest, path) || slow(pattern, below),
            (Some(_), None) => false,
            (Some((name, rest)), Some((first, below))) => {
                let (name, first): (Vec<_>, Vec<_>) =
                    (name.chars().collect(), first.chars().collect());
                slow_name(&name, &first) && slow(rest, below)
            }
        }
    }

    fn slow_name(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((&'*', rest)), None) => slow_name(rest, name),
            (Some((&'*', rest)), Some((_, behind))) => {
                slow_name(rest, name) || slow_name(pattern, behind)
            }
            (Some((&'?', rest)), Some((_, behind))) => slow_name(rest, behind),
            (Some((one, rest)), Some((other, behind))) => one == other && slow_name(rest, behind),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn quick_is_as_slow(
            pattern in proptest::collection::vec("[ab*?]{1,4}|\\*\\*", 1..5),
            path in proptest::collection::vec("[ab]{1,4}", 1..6),
        ) {
            let (pattern, path): (Vec<_>, Vec<_>) = (
                pattern.iter().map(String::as_str).collect(),
                path.iter().map(String::as_str).collect(),
            );
            let quick = patterns(&pattern.join("/"), "", false, true);
            prop_assert_eq!(quick.matches(path.join("/").as_bytes()), slow(&pattern, &path));
            // Nothing that is meant is missed on the way down.
            let mut place = quick.top();
            let meant = quick.matches(path.join("/").as_bytes());
            for name in &path {
                prop_assert!(!meant || quick.may_be_below(&place));
                place = quick.step(&place, name.as_bytes());
            }
        }

        #[test]
        fn anything_can_be_read(text in ".{0,80}", path in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(all) = Patterns::read(std::slice::from_ref(&text), std::slice::from_ref(&text), true, false) {
                let _ = all.matches(&path);
            }
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200);
        let name = "a".repeat(100_000) + "b";
        assert!(!is_name(pattern.as_bytes(), name.as_bytes()));
    }
}
