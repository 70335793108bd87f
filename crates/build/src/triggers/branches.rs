//! Which branches a job builds, in the notation of Jenkins' git plugin.
//!
//! `main` is `*/main`: that branch of whatever remote. `*` stands for anything without a slash, `**` for
//! anything. `origin/main`, `remotes/origin/main`, `refs/remotes/origin/main` and `refs/heads/main` name one
//! outright, `refs/tags/…` a tag. `:` begins a regular expression that has to match all of `origin/main`. Any
//! other name (`release/*`, `release**`) also means the branch of that name, whatever the remote is called.
//! `${NAME}` and `$NAME` stand for a parameter's value. A full commit name is a commit.

use regex_lite::{Regex, RegexBuilder};

/// No specification is longer, in bytes, with its variables filled in.
pub const MAX_BYTES: usize = 4096;

/// Which branches are built: one specification of a job.
#[derive(Debug, Clone)]
pub struct BranchSpec {
    text: String,
    remote: String,
    meant: Meant,
}

/// What cannot be a specification, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("branch specification `{spec}`: {what}")]
pub struct BranchError {
    /// As it was written.
    pub spec: String,
    /// What is wrong.
    pub what: String,
}

#[derive(Debug, Clone)]
enum Meant {
    Commit(String),
    /// Of the whole name of a reference: a pattern.
    Reference(String),
    /// Of the name with the remote before it; and of the name alone too, if so.
    Name {
        pattern: String,
        alone: bool,
    },
    Regex(Look),
}

/// A regular expression that may begin with conditions, which all must hold at its beginning.
#[derive(Debug, Clone)]
struct Look {
    conditions: Vec<(Regex, bool)>,
    rest: Regex,
    /// It is about whole names of references.
    of_reference: bool,
}

impl BranchSpec {
    /// Reads a specification of a job whose remote is called `remote` (mostly `origin`). `variable` gives
    /// the values of parameters; what it does not know stays as it is written.
    ///
    /// # Errors
    /// It is too long, or a regular expression that is none. Conditions (`(?!…)`, `(?=…)`) are known at the
    /// beginning of an expression only.
    pub fn new(
        spec: &str,
        remote: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BranchError> {
        let fail = |what: String| BranchError {
            spec: spec.chars().take(200).collect(),
            what,
        };
        let text = expand(spec.trim(), &variable)
            .ok_or_else(|| fail(format!("it is longer than {MAX_BYTES} bytes")))?;
        Ok(Self {
            meant: meant(&text, remote).map_err(fail)?,
            text,
            remote: remote.to_owned(),
        })
    }

    /// What was written, with variables filled in.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The commit that it names: 40 or 64 hexadecimal digits.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        match &self.meant {
            Meant::Commit(name) => Some(name),
            Meant::Reference(_) | Meant::Name { .. } | Meant::Regex(_) => None,
        }
    }

    /// Whether it can mean one reference at most, so that there is nothing to choose.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        match &self.meant {
            Meant::Commit(_) => true,
            Meant::Reference(pattern) => !pattern.contains('*'),
            Meant::Name { pattern, .. } => {
                !pattern.strip_prefix("*/").unwrap_or(pattern).contains('*')
            }
            Meant::Regex(_) => false,
        }
    }

    /// Whether it means this reference of the remote repository, by its whole name there:
    /// `refs/heads/main`, `refs/tags/v1`. Only tags that are named as such are meant.
    #[must_use]
    pub fn matches(&self, reference: &str) -> bool {
        let head = reference.strip_prefix("refs/heads/");
        match &self.meant {
            Meant::Commit(_) => false,
            Meant::Reference(pattern) => glob(pattern, reference),
            Meant::Name { pattern, alone } => head.is_some_and(|head| {
                glob(pattern, &format!("{}/{head}", self.remote)) || (*alone && glob(pattern, head))
            }),
            Meant::Regex(look) if look.of_reference => look.holds(reference),
            Meant::Regex(look) => {
                head.is_some_and(|head| look.holds(&format!("{}/{head}", self.remote)))
            }
        }
    }
}

fn meant(text: &str, remote: &str) -> Result<Meant, String> {
    if let Some(pattern) = text.strip_prefix(':').filter(|it| !it.is_empty()) {
        return Ok(Meant::Regex(Look::new(pattern)?));
    }
    if is_commit(text) {
        return Ok(Meant::Commit(text.to_ascii_lowercase()));
    }
    let of_remote = |name: &str| Meant::Name {
        pattern: name.to_owned(),
        alone: false,
    };
    if let Some(name) = text
        .strip_prefix("refs/remotes/")
        .or_else(|| text.strip_prefix("remotes/"))
    {
        return Ok(of_remote(name));
    }
    if text.starts_with("refs/") {
        return Ok(Meant::Reference(text.to_owned()));
    }
    if text.is_empty() {
        return Ok(of_remote("**"));
    }
    if !text.contains('/') && !text.contains("**") {
        return Ok(of_remote(&format!("*/{text}")));
    }
    let names_remote = text
        .strip_prefix(remote)
        .is_some_and(|rest| rest.starts_with('/'));
    Ok(Meant::Name {
        pattern: text.to_owned(),
        alone: !text.starts_with('*') && !names_remote,
    })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `${NAME}` and `$NAME`, as Jenkins fills them in; `$$` is a dollar. Nothing if it gets too long.
fn expand(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, next) = if let Some(braced) = after.strip_prefix('{') {
            match braced.split_once('}') {
                Some((name, next)) => (name, next),
                None => ("", after),
            }
        } else {
            let end = after
                .find(|it: char| !it.is_ascii_alphanumeric() && it != '_')
                .unwrap_or(after.len());
            after.split_at_checked(end).unwrap_or(("", after))
        };
        if let Some(value) = Some(name)
            .filter(|name| !name.is_empty())
            .and_then(variable)
        {
            out.push_str(value.trim());
            rest = next;
        } else {
            out.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
        if out.len() > MAX_BYTES {
            return None;
        }
    }
    out.push_str(rest);
    (out.len() <= MAX_BYTES).then_some(out)
}

/// Whether `pattern`, in which `*` is anything without a slash and `**` is anything, is all of `text`.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // For each place of the pattern so far: which beginnings of the text it can be. One row is enough, so
    // that no pattern takes longer than its length times the text's.
    let mut ends = vec![false; text.len() + 1];
    if let Some(first) = ends.first_mut() {
        *first = true;
    }
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        if *byte != b'*' {
            for end in (0..text.len()).rev() {
                let goes_on = ends.get(end) == Some(&true) && text.get(end) == Some(byte);
                if let Some(next) = ends.get_mut(end + 1) {
                    *next = goes_on;
                }
            }
            if let Some(first) = ends.first_mut() {
                *first = false;
            }
            at += 1;
            continue;
        }
        let stars = pattern
            .get(at..)
            .map_or(0, |rest| rest.iter().take_while(|it| **it == b'*').count());
        at += stars;
        let mut reached = false;
        for end in 0..ends.len() {
            let over_slash = end > 0 && text.get(end - 1) == Some(&b'/');
            if over_slash && stars < 2 {
                reached = false;
            }
            if let Some(here) = ends.get_mut(end) {
                reached = reached || *here;
                *here = reached;
            }
        }
    }
    ends.last() == Some(&true)
}

impl Look {
    fn new(pattern: &str) -> Result<Self, String> {
        let mut rest = pattern.strip_prefix('^').unwrap_or(pattern);
        let mut conditions = Vec::new();
        while let Some((negative, after)) = rest
            .strip_prefix("(?!")
            .map(|after| (true, after))
            .or_else(|| rest.strip_prefix("(?=").map(|after| (false, after)))
        {
            let end = closing(after).ok_or("a parenthesis is not closed")?;
            let inner = after.get(..end).unwrap_or_default();
            conditions.push((compile(&format!("^(?:{inner})"))?, !negative));
            rest = after.get(end + 1..).unwrap_or_default();
        }
        let of_reference = rest.starts_with("refs/");
        Ok(Self {
            conditions,
            rest: compile(&format!("^(?:{rest})$"))?,
            of_reference,
        })
    }

    fn holds(&self, name: &str) -> bool {
        let all = |(regex, wanted): &(Regex, bool)| regex.is_match(name) == *wanted;
        self.conditions.iter().all(all) && self.rest.is_match(name)
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .nest_limit(50)
        .build()
        .map_err(|error| format!("it is no regular expression that is known here: {error}"))
}

/// Where the parenthesis that is open before `text` is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    let mut in_class = false;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'[' => in_class = true,
            b']' => in_class = false,
            b'(' if !in_class => open += 1,
            b')' if !in_class => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
