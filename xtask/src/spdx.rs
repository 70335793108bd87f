//! Licence expressions: parsing, and whether a list of licences satisfies one.
//!
//! Grammar after SPDX 2.3, Annex D: `OR` binds weaker than `AND`, `AND` weaker than `WITH`.
//! Cargo's old `MIT/Apache-2.0` is read as `OR`.

use std::fmt;

/// A licence expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// One licence, with its exception if it has one.
    Licence {
        id: String,
        exception: Option<String>,
    },
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
}

/// Why a text is not a licence expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a licence expression: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    And,
    Or,
    With,
    Word(&'a str),
}

impl Expression {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens: &tokens,
            text,
        };
        let expression = parser.or()?;
        match parser.tokens.first() {
            None => Ok(expression),
            Some(_) => Err(parser.malformed("something is left over")),
        }
    }

    /// Whether somebody who accepts just the licences that `accepts` takes can use the work.
    /// A licence with an exception is asked for as `ID WITH EXCEPTION`.
    pub(crate) fn is_satisfied(&self, accepts: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Licence {
                id,
                exception: None,
            } => accepts(id),
            Self::Licence {
                id,
                exception: Some(exception),
            } => accepts(&format!("{id} WITH {exception}")),
            Self::And(left, right) => left.is_satisfied(accepts) && right.is_satisfied(accepts),
            Self::Or(left, right) => left.is_satisfied(accepts) || right.is_satisfied(accepts),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Malformed> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' | '/' => 1,
            _ => rest
                .find(|c: char| c.is_whitespace() || "()/".contains(c))
                .unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(length);
        tokens.push(match word {
            "(" => Token::Open,
            ")" => Token::Close,
            "/" | "OR" | "or" => Token::Or,
            "AND" | "and" => Token::And,
            "WITH" | "with" => Token::With,
            _ if word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-.+:".contains(c)) =>
            {
                Token::Word(word)
            }
            _ => return Err(Malformed(format!("`{word}` in `{text}`"))),
        });
        rest = after.trim_start();
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
    text: &'t str,
}

impl Parser<'_> {
    fn malformed(&self, why: &str) -> Malformed {
        Malformed(format!("{why} in `{}`", self.text))
    }

    fn take(&mut self, token: Token<'_>) -> bool {
        let taken = self.tokens.first() == Some(&token);
        if taken {
            self.tokens = &self.tokens[1..];
        }
        taken
    }

    fn word(&mut self) -> Result<String, Malformed> {
        match self.tokens {
            [Token::Word(word), rest @ ..] => {
                self.tokens = rest;
                Ok((*word).to_owned())
            }
            _ => Err(self.malformed("a name is missing")),
        }
    }

    fn or(&mut self) -> Result<Expression, Malformed> {
        let mut left = self.and()?;
        while self.take(Token::Or) {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, Malformed> {
        let mut left = self.licence()?;
        while self.take(Token::And) {
            left = Expression::And(Box::new(left), Box::new(self.licence()?));
        }
        Ok(left)
    }

    fn licence(&mut self) -> Result<Expression, Malformed> {
        if self.take(Token::Open) {
            let inner = self.or()?;
            if !self.take(Token::Close) {
                return Err(self.malformed("`)` is missing"));
            }
            return Ok(inner);
        }
        let id = self.word()?;
        let exception = if self.take(Token::With) {
            Some(self.word()?)
        } else {
            None
        };
        Ok(Expression::Licence { id, exception })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `text` is satisfied by exactly the licences of `accepted`.
    fn satisfied(text: &str, accepted: &[&str]) -> bool {
        Expression::parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .is_satisfied(&|licence| accepted.contains(&licence))
    }

    #[test]
    fn and_asks_for_both_sides_or_for_one() {
        assert!(satisfied("MIT OR GPL-3.0-only", &["MIT"]));
        assert!(satisfied("GPL-3.0-only OR MIT", &["MIT"]));
        assert!(!satisfied("MIT AND GPL-3.0-only", &["MIT"]));
        assert!(satisfied("MIT AND ISC", &["MIT", "ISC"]));
        assert!(!satisfied("GPL-3.0-only", &["MIT"]));
    }

    #[test]
    fn and_binds_stronger_than_or() {
        let text = "ISC OR MIT AND Zlib";
        assert!(satisfied(text, &["ISC"]));
        assert!(satisfied(text, &["MIT", "Zlib"]));
        assert!(!satisfied(text, &["MIT"]));
        assert!(!satisfied(text, &["Zlib"]));
    }

    #[test]
    fn parentheses_bind_strongest() {
        let text = "(ISC OR MIT) AND Zlib";
        assert!(!satisfied(text, &["ISC"]));
        assert!(satisfied(text, &["ISC", "Zlib"]));
        let nested = "((MIT))AND(ISC OR(Zlib))";
        assert!(satisfied(nested, &["MIT", "Zlib"]));
        assert!(!satisfied(nested, &["MIT"]));
    }

    #[test]
    fn an_exception_makes_another_licence_of_it() {
        let text = "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only";
        assert!(satisfied(text, &["Apache-2.0 WITH LLVM-exception"]));
        assert!(!satisfied(text, &["Apache-2.0"]));
        assert!(!satisfied(
            "Apache-2.0",
            &["Apache-2.0 WITH LLVM-exception"]
        ));
    }

    #[test]
    fn the_old_slash_is_or() {
        assert!(satisfied("MIT/Apache-2.0", &["Apache-2.0"]));
        assert!(satisfied("MIT / Apache-2.0", &["MIT"]));
        assert!(!satisfied("GPL-2.0/LGPL-2.1", &["MIT"]));
    }

    #[test]
    fn real_expressions_are_read() {
        let ours = ["MIT", "Apache-2.0", "Unicode-3.0"];
        for (text, expected) in [
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("Unlicense OR MIT", true),
            ("BSD-2-Clause OR Apache-2.0 OR MIT", true),
            ("MPL-2.0", false),
            ("MIT AND (MPL-2.0 OR LGPL-3.0+)", false),
        ] {
            assert_eq!(satisfied(text, &ours), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            " ",
            "MIT OR",
            "OR MIT",
            "MIT ISC",
            "(MIT",
            "MIT)",
            "()",
            "MIT WITH",
            "MIT WITH (X)",
            "MIT, ISC",
            "MIT AND AND ISC",
        ] {
            assert!(Expression::parse(text).is_err(), "{text:?}");
        }
    }
}
