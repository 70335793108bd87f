//! Locks as they are written on a command line: `db/main=shared,licences=2/4,port=pool:a:b`.

use ward_lock::Wanted;
use ward_model::lock::Mode;

use crate::failure::Failure;

const HINT: &str = "a lock is NAME, NAME=MODE (NL CR CW PR PW EX shared exclusive), NAME=TAKE/SLOTS or \
                    NAME=pool:THING:THING";

/// Several, separated by commas.
pub(super) fn parse(text: &str) -> Result<Vec<Wanted>, Failure> {
    text.split(',').map(one).collect()
}

fn one(text: &str) -> Result<Wanted, Failure> {
    let refused = |why: String| Failure::usage(format!("`{text}` is no lock: {why}"), HINT);
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
pub(super) fn things(wanted: Wanted, take: u32, things: Vec<String>) -> Result<Wanted, Failure> {
    let mut sorted: Vec<&String> = things.iter().collect();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Failure::usage(
            format!("`{}` is twice in the pool `{}`", twice[0], wanted.name()),
            "name each thing once",
        ));
    }
    Ok(wanted.things(take, things)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
