//! Locks as people write them: `db/main=shared,licences=2/4,port=pool:a:b`.

use ward_model::lock::Mode;

use crate::error::LockError;
use crate::request::Wanted;

/// How a lock is written.
pub const NOTATION: &str = "a lock is NAME, NAME=MODE (NL CR CW PR PW EX shared exclusive), NAME=TAKE/SLOTS or \
                            NAME=pool:THING:THING";

/// Why a text is no list of locks.
#[derive(Debug, thiserror::Error)]
pub enum WordsError {
    /// How it is wanted cannot be understood. [`NOTATION`] helps.
    #[error("`{text}` is no lock: {why}")]
    Notation {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A thing of a pool is named twice.
    #[error("`{thing}` is twice in the pool `{lock}`")]
    Twice {
        /// Which.
        thing: String,
        /// Of which lock.
        lock: String,
    },
    /// There is no such lock.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Several, separated by commas.
///
/// # Errors
/// [`WordsError`], for the first that is none.
pub fn parse(text: &str) -> Result<Vec<Wanted>, WordsError> {
    text.split(',').map(one).collect()
}

fn one(text: &str) -> Result<Wanted, WordsError> {
    let refused = |why: String| WordsError::Notation {
        text: text.to_owned(),
        why,
    };
    let Some((name, how)) = text.rsplit_once('=') else {
        return Ok(Wanted::new(text)?);
    };
    let wanted = Wanted::new(name)?;
    if let Some(things) = how.strip_prefix("pool:") {
        return self::things(wanted, 1, things.split(':').map(str::to_owned).collect());
    }
    if let Some((take, slots)) = how.split_once('/') {
        let number = |text: &str| {
            let number = text.parse::<u32>().ok().filter(|it| *it > 0);
            number.ok_or_else(|| refused(format!("`{text}` is no number of slots")))
        };
        return Ok(wanted.slots(number(take)?, number(slots)?)?);
    }
    let mode: Mode = how.parse().map_err(|error| refused(format!("{error}")))?;
    Ok(wanted.mode(mode))
}

/// So many of these things, each of which is named once.
///
/// # Errors
/// [`WordsError::Twice`], and as [`Wanted::things`].
pub fn things(wanted: Wanted, take: u32, things: Vec<String>) -> Result<Wanted, WordsError> {
    let mut sorted: Vec<&String> = things.iter().collect();
    sorted.sort_unstable();
    let twice = sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .find(|(a, b)| a == b);
    if let Some((thing, _)) = twice {
        return Err(WordsError::Twice {
            thing: (*thing).clone(),
            lock: wanted.name().to_owned(),
        });
    }
    Ok(wanted.things(take, things)?)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn locks() {
        let names = |text: &str| {
            let wanted = parse(text).expect(text);
            let names = wanted
                .iter()
                .map(|it| format!("{} {}", it.name(), it.wanted_mode()));
            names.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(names("db"), "db EX");
        assert_eq!(names("db/main=shared,cache=cw"), "db/main PR, cache CW");
        assert_eq!(names("licences=2/4,port=pool:1:2"), "licences EX, port EX");
        for bad in [
            "",
            "a,,b",
            "a=",
            "a=XX",
            "a=3/2",
            "a=0/2",
            "a=x/2",
            "a=pool:",
            "a=pool:1:1",
            "=EX",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
