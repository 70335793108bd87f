//! Any job survives being written and read; no document makes the reader panic.

use std::time::Duration;

use proptest::prelude::*;
use ward_build::jenkins::{edit_description, edit_disabled, parse, parse_view, write};
use ward_config::job::{
    Artifacts, Clean, Downstream, Job, Junit, Keep, Notify, Parameter, ParameterKind,
    SecretBinding, Source, Step, Triggers, UNLIMITED,
};
use ward_model::build::BuildResult;

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9._-]{0,8}[a-z0-9]"
}

/// Anything that can be in a script.
fn text() -> impl Strategy<Value = String> {
    "([ -~\n\t]|é|\u{1}|\u{85}|\u{2028}|]]>|&amp;){0,24}"
}

/// Something of one line, with no blanks at its ends.
fn line() -> impl Strategy<Value = String> {
    "[!-~é]([ -~é]{0,12}[!-~é])?"
}

/// What stands between commas.
fn item() -> impl Strategy<Value = String> {
    "[!-+\\--~é]{1,12}"
}

fn some<T: std::fmt::Debug + Clone + 'static>(
    of: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(of)
}

fn many<T: std::fmt::Debug + Clone + 'static>(
    of: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(of, 0..3)
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1_u64..500).prop_map(|minutes| Duration::from_secs(minutes * 60)),
        (1_u64..100_000).prop_map(Duration::from_secs),
        (1_u64..100_000_000).prop_map(Duration::from_millis),
    ]
}

fn result() -> impl Strategy<Value = BuildResult> {
    prop::sample::select(BuildResult::ALL.to_vec())
}

fn source() -> impl Strategy<Value = Source> {
    let first = (
        line(),
        word(),
        some(line()),
        proptest::collection::vec(line(), 1..3),
        some(word()),
        some(1_u32..9),
    );
    let second = (
        any::<[bool; 5]>(),
        some(line()),
        time(),
        some(word()),
        some(line()),
    );
    (first, second).prop_map(
        |(
            (url, remote, refspec, branches, credentials, depth),
            (
                [no_tags, submodules, recursive, no_cache, prune],
                reference,
                timeout,
                directory,
                local_branch,
            ),
        )| Source {
            url,
            remote,
            refspec,
            branches,
            credentials,
            depth,
            no_tags,
            reference,
            timeout,
            submodules,
            recursive_submodules: submodules && recursive,
            directory,
            local_branch,
            no_cache,
            prune,
        },
    )
}

fn other() -> impl Strategy<Value = Downstream> {
    (word(), result()).prop_map(|(job, threshold)| Downstream { job, threshold })
}

fn parameter() -> impl Strategy<Value = Parameter> {
    let kind = prop_oneof![
        (text(), any::<bool>()).prop_map(|(default, trim)| ParameterKind::Text { default, trim }),
        text().prop_map(|default| ParameterKind::Lines { default }),
        any::<bool>().prop_map(|default| ParameterKind::Boolean { default }),
        proptest::collection::vec(text(), 1..4)
            .prop_map(|choices| ParameterKind::Choice { choices }),
        text().prop_map(|default| ParameterKind::Password { default }),
    ];
    (word(), text(), kind).prop_map(|(name, description, kind)| Parameter {
        name,
        description,
        kind,
    })
}

fn step() -> impl Strategy<Value = Step> {
    (
        some(line()),
        text(),
        some(line()),
        any::<[bool; 2]>(),
        some(1_u8..),
    )
        .prop_map(
            |(name, script, shell, [prelude, always], unstable_status)| Step {
                name,
                script,
                shell,
                prelude,
                unstable_status,
                always,
            },
        )
}

fn artifacts() -> impl Strategy<Value = Artifacts> {
    (many(item()), many(item()), any::<[bool; 5]>()).prop_map(
        |(include, exclude, [a, b, c, d, e])| Artifacts {
            include,
            exclude,
            default_excludes: a,
            case_sensitive: b,
            allow_empty: c,
            only_if_successful: d,
            follow_symlinks: e,
        },
    )
}

fn junit() -> impl Strategy<Value = Junit> {
    (many(item()), any::<[bool; 3]>()).prop_map(
        |(include, [allow_empty, skip_old, keep_long_output])| Junit {
            include,
            allow_empty,
            skip_old,
            keep_long_output,
        },
    )
}

fn triggers() -> impl Strategy<Value = Triggers> {
    (
        some("[H*@a-z][ -~]{0,8}[!-~]"),
        some("([H*@a-z][ -~]{0,8}[!-~])?"),
        any::<[bool; 2]>(),
        some(word()),
        many(other()),
    )
        .prop_map(
            |(timer, poll, [ignores_notify, webhook], webhook_secret, upstream)| Triggers {
                timer,
                poll,
                ignores_notify,
                webhook,
                webhook_secret,
                upstream,
            },
        )
}

fn notify() -> impl Strategy<Value = Notify> {
    (
        many("[a-z]{1,5}@[a-z]{1,5}"),
        any::<[bool; 2]>(),
        many("https://[a-z]{1,5}/"),
    )
        .prop_map(|(mail, [a, b], webhooks)| Notify {
            mail,
            mail_culprits: a,
            mail_first_unstable_only: b,
            webhooks,
            commands: Vec::new(),
        })
}

fn job() -> impl Strategy<Value = Job> {
    let secret =
        ("[A-Z_][A-Z0-9_]{0,5}", word(), any::<bool>()).prop_map(|(variable, secret, as_file)| {
            SecretBinding {
                variable,
                secret,
                as_file,
            }
        });
    let count = || some(1_u32..100);
    let keep = (count(), count(), count(), count()).prop_map(
        |(builds, days, artifact_builds, artifact_days)| Keep {
            builds,
            days,
            artifact_builds,
            artifact_days,
        },
    );
    let concurrent = prop_oneof![Just(1_u32), 2_u32..9, Just(UNLIMITED)];
    let clean = prop::sample::select(vec![Clean::No, Clean::Before, Clean::After, Clean::Wipe]);
    let about = (
        some(line()),
        text(),
        some(line()),
        some(line()),
        some(line()),
        some("[a-z]{1,5}(/[a-z]{1,5})?"),
    );
    let what = (
        some(source()),
        triggers(),
        many(parameter()),
        many(step()),
        many(secret),
        many((word(), text())),
    );
    let limits = (
        some(time()),
        some(time()),
        any::<bool>(),
        time(),
        time(),
        some(time()),
    );
    let rest = (
        many(line()),
        keep,
        many(artifacts()),
        many(junit()),
        notify(),
        many(other()),
        some(line()),
    );
    (
        about,
        what,
        limits,
        rest,
        (any::<[bool; 4]>(), concurrent, clean),
    )
        .prop_map(
            |(about, what, limits, rest, (flags, concurrent, clean))| Job {
                name: "x".into(),
                display_name: about.0,
                description: about.1,
                disabled: flags[0],
                // Without a repository there is nothing that git could know.
                clean: match clean {
                    Clean::Before | Clean::After if what.0.is_none() => Clean::No,
                    clean => clean,
                },
                triggers: Triggers {
                    ignores_notify: what.1.ignores_notify
                        && (what.1.poll.is_some() || what.0.is_some()),
                    ..what.1
                },
                source: what.0,
                from_repository: about.5,
                parameters: what.2,
                steps: what.3,
                environment: what.5,
                secrets: what.4,
                user: None,
                workspace: about.2,
                timeout: limits.0,
                idle_timeout: limits.1,
                timeout_result: if limits.2 {
                    BuildResult::Failure
                } else {
                    BuildResult::Aborted
                },
                grace: limits.3,
                leftover_grace: limits.4,
                spare: flags[1],
                locks: rest.0,
                concurrent,
                blocked_by_upstream: flags[2],
                blocked_by_downstream: flags[3],
                quiet_period: limits.5,
                keep: rest.1,
                artifacts: rest.2,
                junit: rest.3,
                notify: rest.4,
                downstream: rest.5,
                token: about.3,
                label: about.4,
                build_name: rest.6,
            },
        )
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "<[a-z.]{1,8}( class='[a-z.]{0,5}')?/?>",
        "</[a-z.]{1,8}>",
        "&[a-z#0-9]{0,4};?",
        "(?s).{0,6}",
        Just("<![CDATA[".to_owned()),
        Just("]]>".to_owned()),
        Just("<!--".to_owned()),
        Just("<!DOCTYPE a [".to_owned()),
        Just("<?xml version='1.1'?>".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(job in job()) {
        let document = write(&job);
        let parsed = parse("x", &document).map_err(|error| TestCaseError::fail(format!("{error}\n{}", String::from_utf8_lossy(&document))))?;
        prop_assert_eq!(&parsed.unknown, &[]);
        prop_assert_eq!(&parsed.job, &job);
        let toggled = edit_disabled(&document, !job.disabled).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let toggled = parse("x", &toggled).map_err(|error| TestCaseError::fail(error.to_string()))?.job;
        prop_assert_eq!(toggled, Job { disabled: !job.disabled, ..job });
    }

    #[test]
    fn what_only_the_file_says_stays_there(job in job(), user in word(), command in line()) {
        let mut told = job.clone();
        told.user = Some(user);
        told.notify.commands.push(command);
        prop_assert_eq!(write(&told), write(&job));
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse("x", &bytes);
        let _ = parse_view(&bytes);
        let _ = edit_disabled(&bytes, true);
    }

    #[test]
    fn a_document_with_something_else_in_it(
        job in job(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..30, piece()), 1..6)
    ) {
        let text = String::from_utf8(write(&job)).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut text: Vec<char> = text.chars().collect();
        for (place, gone, piece) in edits {
            let at = place.index(text.len().max(1));
            let end = (at + gone).min(text.len());
            text.splice(at.min(end)..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        let _ = parse("x", text.as_bytes());
        if let Ok(edited) = edit_description(text.as_bytes(), "<d>") {
            let again = edit_description(&edited, "<d>").map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(again, edited);
        }
    }
}
