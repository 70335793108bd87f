//! No text makes the reader panic, and every script comes back.

use proptest::prelude::*;
use ward_config::diagnostics::Severity;
use ward_config::job::Job;
use ward_config::keys;
use ward_config::load::load_builds;

use super::repository::of_repository;
use super::{Two, host, job};

/// A piece of a job, or of nothing.
fn piece() -> impl Strategy<Value = String> {
    let key = prop::sample::select(
        keys::JOB
            .keys()
            .chain(keys::BUILD.keys())
            .map(|key| key.name)
            .collect::<Vec<_>>(),
    );
    prop_oneof![
        4 => (key, "[ -~\n]{0,20}").prop_map(|(key, value)| format!("{key} = {value}\n")),
        1 => "[\\[\\]=:;#%|?!+ \t\n\"'(),@a-z0-9]{0,24}",
        1 => "(?s).{0,8}",
        1 => Just("script.a = x\nsteps = a,b\n  c\n".to_owned()),
        1 => Just("\n[job:y/z]\n".to_owned()),
        1 => Just("\n[build]\n".to_owned()),
        1 => Just("\n  ".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_it_panic(pieces in prop::collection::vec(piece(), 0..24)) {
        let text = format!("[job:x]\n{}", pieces.concat());
        let loaded = load_builds("ward.conf", &host(), &Two(&text, &text));
        let errors = loaded.diagnostics.iter().any(|d| d.severity == Severity::Error);
        prop_assert_eq!(errors, loaded.builds.is_none());
        for found in &loaded.diagnostics {
            let file = loaded.sources.file(found.span.file);
            let lines = file.map_or(0, |file| file.lines().len());
            prop_assert!((found.span.line as usize) <= lines.max(1), "{:?}", found);
        }
        let (job, found) = of_repository(&text.replace("[job:x]", "[job]"), &Job::default());
        prop_assert_eq!(job.is_none(), found.iter().any(|d| d.severity == Severity::Error));
    }

    /// Whatever a script is, it comes back as it was, but for blanks in lines that have nothing else.
    #[test]
    fn any_script(body in prop::collection::vec("[ -~\t]{0,30}", 1..12)) {
        let body: Vec<String> = body.into_iter().map(|line| line.trim_end().to_owned()).collect();
        prop_assume!(!body[0].is_empty() && !body[0].starts_with(' ') && !body[0].starts_with('\t'));
        let indented: String = body.iter().map(|line| format!("   {line}\n")).collect();
        let job = job(&format!("script =\n{indented}user = ci\n"));
        let expected = format!("{}\n", body.join("\n").trim_end_matches('\n'));
        prop_assert_eq!(&job.steps[0].script, &expected);
    }
}
