//! `%(name)s`: names in values, and what they stand for.
//!
//! The rules are those of Python's `%` operator with a dictionary (Python Library Reference,
//! "printf-style String Formatting"): every flag, width, precision and type that applies to text
//! and integers. Floating-point types (`e f g`) are refused.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::repr::repr;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// Text.
    Text(String),
    /// An integer, to which every integer type applies.
    Number(i64),
}

/// The names that are known somewhere: some of their own, and `ENV_X` for each variable.
#[derive(Debug, Clone, Default)]
pub struct Names {
    environment: Rc<BTreeMap<String, String>>,
    own: BTreeMap<String, Replacement>,
}

impl Names {
    /// `ENV_X` for every variable X.
    #[must_use]
    pub fn of_environment(environment: &Rc<BTreeMap<String, String>>) -> Self {
        Self {
            environment: Rc::clone(environment),
            own: BTreeMap::new(),
        }
    }

    /// One more name.
    #[must_use]
    pub fn with(mut self, name: &str, text: &str) -> Self {
        self.set(name, Replacement::Text(text.to_owned()));
        self
    }

    /// Sets a name.
    pub fn set(&mut self, name: &str, replacement: Replacement) {
        self.own.insert(name.to_owned(), replacement);
    }

    /// Sets `ENV_X`.
    pub fn set_variable(&mut self, variable: &str, text: &str) {
        self.set(
            &format!("ENV_{variable}"),
            Replacement::Text(text.to_owned()),
        );
    }

    /// Takes back what hides a variable of the environment.
    pub fn uncover_environment(&mut self) {
        let environment = Rc::clone(&self.environment);
        self.own.retain(|name, _| {
            !name
                .strip_prefix("ENV_")
                .is_some_and(|variable| environment.contains_key(variable))
        });
    }

    /// What a name stands for.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Replacement> {
        self.own.get(name).cloned().or_else(|| {
            let variable = self.environment.get(name.strip_prefix("ENV_")?)?;
            Some(Replacement::Text(variable.clone()))
        })
    }

    /// Every name but those of variables, which may be secrets.
    pub fn plain(&self) -> impl Iterator<Item = &str> {
        self.own
            .keys()
            .map(String::as_str)
            .filter(|name| !name.starts_with("ENV_"))
    }
}

/// Why a text cannot be expanded, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFormat {
    /// In bytes.
    pub at: Range<usize>,
    /// Why.
    pub why: Why,
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The name is not known here.
    Unknown(String),
    /// `%` is not followed by what has to follow it.
    Malformed(String),
}

/// A text whose names are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// A `%s` without a name is in it, kept as it is written. (The original puts all names and
    /// values there are in its place, secrets of the environment included.)
    pub bare: bool,
}

/// A field is not made wider, and a number not longer, than this many characters: a slip of the
/// pen shall not cost the memory of the host.
pub const WIDEST: usize = 4096;

/// Replaces every name in `text`.
///
/// # Errors
/// When a name is not known, or `%` is followed by what the rules do not have.
pub fn expand(text: &str, names: &Names) -> Result<Expanded, BadFormat> {
    let mut expanded = Expanded {
        text: String::with_capacity(text.len()),
        bare: false,
    };
    let mut rest = text;
    // Whether a conversion without a name can take something: the whole dictionary, once.
    let mut spent = false;
    while let Some(at) = rest.find('%') {
        expanded.text.push_str(&rest[..at]);
        let start = text.len() - rest.len() + at;
        let mut field = Field::new(&text[start..]);
        let outcome = field.read(names, &mut spent);
        let end = text.len() - field.rest.len();
        match outcome {
            Ok(Some(replaced)) => expanded.text.push_str(&replaced),
            Ok(None) => {
                expanded.bare = true;
                expanded.text.push_str(&text[start..end]);
            }
            Err(why) => {
                return Err(BadFormat {
                    at: start..end,
                    why,
                });
            }
        }
        rest = &text[end..];
    }
    expanded.text.push_str(rest);
    Ok(expanded)
}

#[derive(Debug, Default)]
struct Flags {
    left: bool,
    sign: bool,
    blank: bool,
    alternate: bool,
    zero: bool,
}

/// One `%…`, being read.
struct Field<'a> {
    rest: &'a str,
    flags: Flags,
    width: Option<usize>,
    precision: Option<usize>,
}

impl<'a> Field<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: &text[1..],
            flags: Flags::default(),
            width: None,
            precision: None,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// The text of the field; `None` for a `%s` without a name.
    fn read(&mut self, names: &Names, spent: &mut bool) -> Result<Option<String>, Why> {
        if self.peek() == Some('%') {
            self.next();
            return Ok(Some("%".into()));
        }
        let mut value = None;
        if self.peek() == Some('(') {
            let name = self.name()?;
            value = Some(
                names
                    .get(name)
                    .ok_or_else(|| Why::Unknown(name.to_owned()))?,
            );
            *spent = false;
        }
        self.flags();
        self.width = self.number()?;
        if self.peek() == Some('.') {
            self.next();
            self.precision = Some(self.number()?.unwrap_or(0));
        }
        if matches!(self.peek(), Some('h' | 'l' | 'L')) {
            self.next();
        }
        let Some(kind) = self.next() else {
            return Err(Why::Malformed("the text ends in the middle of it".into()));
        };
        if !"srcadiouxXeEfFgG".contains(kind) {
            return Err(Why::Malformed(format!("`{kind}` is no type")));
        }
        if std::mem::replace(spent, true) {
            return Err(Why::Malformed("there is no name in parentheses".into()));
        }
        let Some(value) = value else {
            return match kind {
                's' | 'r' | 'a' => Ok(None),
                _ => Err(Why::Malformed("there is no name in parentheses".into())),
            };
        };
        self.convert(kind, &value).map(Some)
    }

    /// `(name)`, in which parentheses nest.
    fn name(&mut self) -> Result<&'a str, Why> {
        let text = self.rest;
        let mut depth = 0_usize;
        for (at, c) in text.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.rest = &text[at + 1..];
                return Ok(&text[1..at]);
            }
        }
        self.rest = "";
        Err(Why::Malformed("the name's `)` is missing".into()))
    }

    fn flags(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                '-' => self.flags.left = true,
                '+' => self.flags.sign = true,
                ' ' => self.flags.blank = true,
                '#' => self.flags.alternate = true,
                '0' => self.flags.zero = true,
                _ => return,
            }
            self.next();
        }
    }

    fn number(&mut self) -> Result<Option<usize>, Why> {
        if self.peek() == Some('*') {
            self.next();
            return Err(Why::Malformed("a width of `*` has nothing to take".into()));
        }
        let mut number = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            self.next();
            let grown = number.unwrap_or(0_usize).saturating_mul(10);
            number = Some(grown.saturating_add(digit as usize));
        }
        if number.is_some_and(|number| number > WIDEST) {
            return Err(Why::Malformed(format!(
                "no field is wider than {WIDEST} characters"
            )));
        }
        Ok(number)
    }

    fn convert(&self, kind: char, value: &Replacement) -> Result<String, Why> {
        let refused = || {
            Err(Why::Malformed(format!(
                "the type `{kind}` does not apply to what it stands for; `s` always does"
            )))
        };
        let text = match (kind, value) {
            ('s', Replacement::Text(text)) => text.clone(),
            ('r', Replacement::Text(text)) => repr(text, false),
            ('a', Replacement::Text(text)) => repr(text, true),
            ('s' | 'r' | 'a', Replacement::Number(number)) => number.to_string(),
            ('c', Replacement::Text(text)) if text.chars().count() == 1 => {
                return Ok(self.padded(text.clone()));
            }
            ('c', Replacement::Number(number)) => {
                let c = u32::try_from(*number).ok().and_then(char::from_u32);
                return match c {
                    Some(c) => Ok(self.padded(c.into())),
                    None => refused(),
                };
            }
            ('d' | 'i' | 'u' | 'o' | 'x' | 'X', Replacement::Number(number)) => {
                return Ok(self.integer(kind, *number));
            }
            _ => return refused(),
        };
        let kept = match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text,
        };
        Ok(self.padded(kept))
    }

    fn integer(&self, kind: char, number: i64) -> String {
        let size = number.unsigned_abs();
        let digits = match kind {
            'o' => format!("{size:o}"),
            'x' => format!("{size:x}"),
            'X' => format!("{size:X}"),
            _ => size.to_string(),
        };
        let prefix = match kind {
            'o' if self.flags.alternate => "0o",
            'x' if self.flags.alternate => "0x",
            'X' if self.flags.alternate => "0X",
            _ => "",
        };
        let sign = match (number < 0, self.flags.sign, self.flags.blank) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        let mut wanted = self.precision.unwrap_or(0);
        if self.flags.zero && !self.flags.left {
            let taken = sign.len() + prefix.len();
            wanted = wanted.max(self.width.unwrap_or(0).saturating_sub(taken));
        }
        self.padded(format!("{sign}{prefix}{digits:0>wanted$}"))
    }

    fn padded(&self, text: String) -> String {
        match self.width {
            Some(width) if self.flags.left => format!("{text:<width$}"),
            Some(width) => format!("{text:>width$}"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let environment = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
        let mut names = Names::of_environment(&Rc::new(environment)).with("a", "x");
        names.set("n", Replacement::Number(7));
        names.set("m", Replacement::Number(-5));
        names
    }

    #[test]
    fn every_form_that_the_original_has() {
        for (format, expected) in [
            ("100%%", "100%"),
            ("%(a)s-%(a)s", "x-x"),
            ("%(ENV_HOME)s/b", "/root/b"),
            ("%(n)02d", "07"),
            ("%(n)s", "7"),
            ("%(n)05.3d", "00007"),
            ("%(n)-05d|", "7    |"),
            ("%(n)+d", "+7"),
            ("%(n)+05d", "+0007"),
            ("%(n) d", " 7"),
            ("%(m)#x", "-0x5"),
            ("%(m)03d", "-05"),
            ("%(n)#o", "0o7"),
            ("%(n)#.5x", "0x00007"),
            ("%(n)hs", "7"),
            ("%(n)u", "7"),
            ("%(a)5s|%(a)-5s|%(a)05s", "    x|x    |    x"),
            ("%(ENV_HOME).3s", "/ro"),
            ("%(a)r", "'x'"),
            ("%(a)c", "x"),
            ("%(a)s%%", "x%"),
        ] {
            assert_eq!(expand(format, &names()).unwrap().text, expected, "{format}");
        }
    }

    #[test]
    fn what_is_refused() {
        for format in [
            "%(nope)s",
            "%()s",
            "%(a",
            "%(a)",
            "%",
            "100%",
            "%z",
            "%(a)z",
            "%5%",
            "%(a)%",
            "%(a)d",
            "%(n)*d",
            "%d",
            "%s %s",
            "%(a)s %s",
            "%(n)hhs",
            "%(n)f",
            "%(n)9999999999s",
            "%(ENV_HOME)c",
        ] {
            assert!(expand(format, &names()).is_err(), "{format}");
        }
    }

    #[test]
    fn a_conversion_without_a_name_stays_as_it_is() {
        let expanded = expand("date +%s", &names()).unwrap();
        assert_eq!(expanded.text, "date +%s");
        assert!(expanded.bare);
    }

    #[test]
    fn the_place_is_that_of_the_field() {
        let bad = expand("ab %(nope)s c", &names()).unwrap_err();
        assert_eq!(bad.at, 3..10);
        assert_eq!(bad.why, Why::Unknown("nope".into()));
    }
}
