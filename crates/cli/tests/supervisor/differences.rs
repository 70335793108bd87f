//! Where ours differs from the original on purpose. Both lists may only become shorter, or a new
//! line says why.

use ward_testkit::supervisor::kit::Subject;

/// Asked for by tests that hold both subjects to what is right for each: key, reason.
pub(super) const DIFFERENCES: &[(&str, &str)] = &[
    (
        "capture-tail",
        "what is held back as it might begin a mark is written when the program has ended",
    ),
    (
        "clear-stopped",
        "clearProcessLogs of a process that does not run says that it is done, and is",
    ),
    (
        "control-characters",
        "what XML has no place for is replaced, so that clients can read the rest",
    ),
    (
        "cut-letters",
        "a piece of a log that begins or ends within a letter is no internal error",
    ),
    ("fcgi-in-group", "an fcgi-program in a group has its socket"),
    (
        "hangup-broken-file",
        "a file that cannot be read leaves everything as it is, and running",
    ),
    (
        "messages-of-mistakes",
        "all mistakes of a file are told at once, each with its place, in our own words",
    ),
    (
        "page-deeds",
        "following a link changes nothing: the page has buttons, which other pages cannot press",
    ),
    (
        "rotated-devices",
        "a log that cannot be rotated is not rotated, and not lost",
    ),
    (
        "truncated-logs",
        "who follows a log that is truncated is told, and goes on",
    ),
];

/// Tests that must fail with ours: `room::test`, reason. One that does not is a failure.
pub(super) const EXPECTED_DIFFERENCES: &[(&str, &str)] = &[];

/// Why a test must fail, if it must.
pub(super) fn expected_to_fail(daemon: Subject, room: &str, test: &str) -> Option<&'static str> {
    let name = format!("{room}::{test}");
    let (_, reason) = EXPECTED_DIFFERENCES
        .iter()
        .find(|(listed, _)| daemon == Subject::Ward && *listed == name)?;
    Some(reason)
}

/// Every key is asked for, and every listed test is there.
pub(super) fn all_are_used() -> Result<(), String> {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/supervisor");
    let mut sources = String::new();
    for entry in std::fs::read_dir(place).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            sources += &std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        }
    }
    let unused = DIFFERENCES
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| !sources.contains(&format!("differs(\"{key}\")")));
    let missing = EXPECTED_DIFFERENCES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| {
            let (room, test) = name.split_once("::").unwrap_or_default();
            !super::ROOMS.iter().any(|(known, tests, _)| {
                *known == room && tests.iter().any(|listed| listed.name == test)
            })
        });
    let stale: Vec<&str> = unused.chain(missing).collect();
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("nothing asks for: {}", stale.join(", ")))
    }
}
