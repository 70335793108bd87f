//! Event listeners for the tests: one that writes down what it gets, and what it wrote down.

use ward_testkit::supervisor::daemon::Daemon;

use crate::{Result, Stage};

/// Writes every event into the file that is its argument: the header, the payload, `--`.
/// It reads letters, as the listeners that are written in Python do.
pub(super) const RECORDER: &str = r#"
import io, os, sys
out = open(sys.argv[1], "ab", 0)
events = io.TextIOWrapper(os.fdopen(0, "rb"), encoding="utf-8", newline="")
while True:
    os.write(1, b"READY\n")
    line = events.readline()
    if not line:
        break
    length = int(dict(word.split(":", 1) for word in line.split())["len"])
    payload = events.read(length)
    out.write((line + payload + "\n--\n").encode())
    os.write(1, b"RESULT 2\nOK")
"#;

/// An event as it was written down.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) line: String,
    pub(super) payload: String,
}

impl Event {
    /// A field of the header.
    pub(super) fn field(&self, name: &str) -> String {
        let mut words = self.line.split(' ').filter_map(|word| word.split_once(':'));
        let found = words.find(|(found, _)| *found == name);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    }
}

/// What was written down so far.
pub(super) fn events(s: &Stage, listener: &str) -> Vec<Event> {
    let text = s.read(&format!("{listener}.events"));
    let whole = text.rfind("\n--\n").map_or("", |end| &text[..end]);
    whole
        .split("\n--\n")
        .filter_map(|event| {
            let (line, payload) = event.split_once('\n')?;
            Some(Event {
                line: line.to_owned(),
                payload: payload.to_owned(),
            })
        })
        .collect()
}

/// The first event whose name contains `name` and whose payload contains `text`.
pub(super) fn await_event(
    d: &Daemon,
    s: &Stage,
    listener: &str,
    name: &str,
    text: &str,
) -> Result<Event> {
    let found = d.await_some(&format!("{name} with `{text}`"), || {
        events(s, listener)
            .into_iter()
            .find(|event| event.field("eventname").contains(name) && event.payload.contains(text))
    });
    found.map_err(|error| error.context(format!("{:#?}", events(s, listener))))
}
