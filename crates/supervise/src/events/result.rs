//! What becomes of the result that a listener answers with.

use ward_config::group::ResultHandler;

/// Whether an event is done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Accepted {
        /// To be written to the supervisor's standard output; may be empty.
        print: Vec<u8>,
    },
    /// It is to be told again.
    Rejected,
}

/// At most so many bytes are printed for one result with every line named; in a longer one only the
/// first is.
pub const LONGEST_PRINT: usize = 4 * 1024 * 1024;

/// Judges a result.
#[must_use]
pub fn judge(handler: ResultHandler, result: &[u8]) -> Verdict {
    match handler {
        ResultHandler::Default if result == b"OK" => Verdict::Accepted { print: Vec::new() },
        ResultHandler::Default => Verdict::Rejected,
        ResultHandler::Print => Verdict::Accepted {
            print: printed(result).unwrap_or_default(),
        },
    }
}

/// `NAME CHANNEL | line` for each line of the payload of a `PROCESS_LOG` event that the listener has
/// given back; `None` for what is no such payload.
fn printed(result: &[u8]) -> Option<Vec<u8>> {
    let end = result.iter().position(|byte| *byte == b'\n')?;
    let (head, data) = result.split_at(end);
    let data = data.get(1..)?;
    let mut prefix = value(head, b"processname:")?.to_vec();
    prefix.push(b' ');
    prefix.extend_from_slice(value(head, b"channel:")?);
    prefix.extend_from_slice(b" | ");

    let data = data.strip_suffix(b"\n").unwrap_or(data);
    let lines = data.split(|byte| *byte == b'\n');
    let named = prefix.len().saturating_mul(lines.clone().count());
    let mut print = Vec::new();
    if named.saturating_add(data.len()) < LONGEST_PRINT {
        for line in lines {
            print.extend_from_slice(&prefix);
            print.extend_from_slice(line);
            print.push(b'\n');
        }
    } else {
        print.extend_from_slice(&prefix);
        print.extend_from_slice(data);
        print.push(b'\n');
    }
    Some(print)
}

fn value<'a>(head: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    head.split(u8::is_ascii_whitespace)
        .find_map(|word| word.strip_prefix(key))
}
