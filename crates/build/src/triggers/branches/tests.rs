//! What each notation means.

use proptest::prelude::*;

use super::{BranchSpec, MAX_BYTES, glob};

const COMMIT: &str = "0123456789abcdef0123456789ABCDEF01234567";

fn read(spec: &str) -> BranchSpec {
    BranchSpec::new(spec, "origin", |name| match name {
        "BRANCH" => Some(" topic/x ".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

/// Those of these branches that are meant.
fn meant(spec: &str) -> Vec<&'static str> {
    let all = [
        "main",
        "main2",
        "topic/x",
        "topic/x/y",
        "release/1.0",
        "release/1.0/fix",
        "team/main",
        "origin/main",
        "release-2",
        "$HOME",
    ];
    let spec = read(spec);
    all.into_iter()
        .filter(|name| spec.matches(&format!("refs/heads/{name}")))
        .collect()
}

#[test]
fn notations_of_the_git_plugin() {
    let table: [(&str, &[&str]); 24] = [
        ("main", &["main"]),
        (" main\n", &["main"]),
        ("*/main", &["main"]),
        ("**/main", &["main", "team/main", "origin/main"]),
        ("origin/main", &["main"]),
        ("remotes/origin/main", &["main"]),
        ("refs/remotes/origin/main", &["main"]),
        ("refs/remotes/other/main", &[]),
        ("refs/heads/main", &["main"]),
        ("refs/heads/team/main", &["team/main"]),
        ("refs/heads/release/*", &["release/1.0"]),
        ("refs/heads/release/**", &["release/1.0", "release/1.0/fix"]),
        ("topic/x", &["topic/x"]),
        ("release/*", &["release/1.0"]),
        ("origin/release/*", &["release/1.0"]),
        ("*/release/*", &["release/1.0"]),
        ("main*", &["main", "main2"]),
        (
            "release**",
            &["release/1.0", "release/1.0/fix", "release-2"],
        ),
        (
            "origin/release**",
            &["release/1.0", "release/1.0/fix", "release-2"],
        ),
        (":origin/release-\\d", &["release-2"]),
        (":origin/main", &["main"]),
        (":.*/main", &["main", "team/main", "origin/main"]),
        (":refs/heads/(main|topic/.)", &["main", "topic/x"]),
        ("nothing", &[]),
    ];
    for (spec, branches) in table {
        assert_eq!(meant(spec), branches, "{spec}");
    }
    assert_eq!(meant("**").len(), 10);
    assert_eq!(meant("").len(), 10);
    assert_eq!(meant("*").len(), 4);
}

#[test]
fn expressions_may_begin_with_conditions() {
    let table: [(&str, &[&str]); 4] = [
        (
            ":^(?!(origin/release|origin/topic|origin/team)).*",
            &["main", "main2", "origin/main", "$HOME"],
        ),
        (
            ":^(?!origin/main$|origin/[rt]).*",
            &["main2", "origin/main", "$HOME"],
        ),
        (":(?=.*1)(?!.*fix).*", &["release/1.0"]),
        (r":(?!origin/[)(]|.*\().*/x", &["topic/x"]),
    ];
    for (spec, branches) in table {
        assert_eq!(meant(spec), branches, "{spec}");
    }
    for spec in [":(", ":(?!x", ":a(?!b)c", ":[", ":(?P<"] {
        let error = BranchSpec::new(spec, "origin", |_| None).err();
        assert!(error.is_some(), "{spec}");
    }
}

#[test]
fn variables_are_filled_in() {
    assert_eq!(meant("${BRANCH}"), ["topic/x"]);
    assert_eq!(meant("$BRANCH"), ["topic/x"]);
    assert_eq!(meant("refs/heads/${BRANCH}/y"), ["topic/x/y"]);
    assert_eq!(meant("origin/$BRANCH"), ["topic/x"]);
    assert_eq!(meant("${EMPTY}").len(), 10);
    assert_eq!(meant("$HOME"), ["$HOME"]);
    assert_eq!(meant("$$HOME"), ["$HOME"]);
    assert_eq!(read("${UNKNOWN}").text(), "${UNKNOWN}");
    assert_eq!(read("a${").text(), "a${");
    let long = BranchSpec::new("$A$A", "origin", |_| Some("x".repeat(MAX_BYTES)));
    assert!(long.is_err());
}

#[test]
fn commits_and_tags_and_what_is_exact() {
    assert_eq!(
        read(COMMIT).commit(),
        Some(COMMIT.to_ascii_lowercase().as_str())
    );
    assert!(!read(COMMIT).matches(&format!("refs/heads/{COMMIT}")));
    assert_eq!(read("0123456").commit(), None);
    let tags = read("refs/tags/v*");
    assert!(tags.matches("refs/tags/v1") && !tags.matches("refs/heads/v1"));
    assert!(!read("**").matches("refs/tags/v1"));
    assert!(!read(":.*").matches("refs/tags/v1"));
    for (spec, is_exact) in [
        ("main", true),
        ("*/main", true),
        ("origin/main", true),
        ("refs/heads/main", true),
        (COMMIT, true),
        ("release/*", false),
        ("main*", false),
        ("**", false),
        ("", false),
        (":main", false),
        ("refs/tags/*", false),
    ] {
        assert_eq!(read(spec).is_exact(), is_exact, "{spec}");
    }
}

/// What `*` and `**` mean, by trying everything.
fn slowly(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => {
            let rest = match rest.iter().position(|it| *it != b'*') {
                Some(at) => &rest[at..],
                None => &[],
            };
            (0..=text.len()).any(|at| slowly(rest, &text[at..]))
        }
        [b'*', rest @ ..] => (0..=text.len())
            .take_while(|at| *at == 0 || text[at - 1] != b'/')
            .any(|at| slowly(rest, &text[at..])),
        [byte, rest @ ..] => text.first() == Some(byte) && slowly(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn patterns_mean_what_they_should(pattern in "[ab/*]{0,10}", text in "[ab/]{0,10}") {
        prop_assert_eq!(glob(&pattern, &text), slowly(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn a_plain_name_means_itself(name in "[a-z]{1,8}(/[a-z]{1,8}){0,2}", other in "[a-z/]{1,12}") {
        let head = format!("refs/heads/{name}");
        let other = format!("refs/heads/{other}");
        for spec in [name.clone(), format!("origin/{name}"), head.clone()] {
            prop_assert!(read(&spec).matches(&head), "{}", spec);
            prop_assert_eq!(read(&spec).matches(&other), head == other);
        }
    }

    #[test]
    fn whatever_is_written(spec in ".{0,60}", name in ".{0,30}") {
        if let Ok(spec) = BranchSpec::new(&spec, "origin", |name| Some(name.to_owned())) {
            let head = format!("refs/heads/{name}");
            prop_assert!(spec.commit().is_none() || !spec.matches(&head));
            prop_assert!(spec.text().starts_with("refs/") || !spec.matches(&name) || name.starts_with("refs/"));
        }
    }

    #[test]
    fn whatever_is_nearly_an_expression(spec in ":[a-c()?!=^$\\\\|\\[\\].*+{}0-9/]{1,30}") {
        if let Ok(spec) = BranchSpec::new(&spec, "origin", |_| None) {
            prop_assert!(!spec.matches("abc") && !spec.is_exact());
            prop_assert!(spec.commit().is_none() && spec.text().starts_with(':'));
        }
    }
}

/// A hostile pattern takes no longer than a tame one.
#[test]
fn patterns_of_stars_end() {
    let pattern = "*a".repeat(MAX_BYTES / 2 - 10);
    assert!(
        !read(&format!("refs/heads/{pattern}"))
            .matches(&format!("refs/heads/{}b", "a".repeat(4000)))
    );
}
