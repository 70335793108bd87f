use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Parsed {
    parse(text.as_bytes(), "file.xml", false, &mut Budget::default())
}

/// `suite | class | name | status | message` of every case.
fn lines(parsed: &Parsed) -> Vec<String> {
    let mut out = Vec::new();
    for suite in &parsed.suites {
        for case in &suite.cases {
            let message = case.message.as_deref().unwrap_or("-");
            out.push(format!(
                "{} | {} | {} | {:?} | {message}",
                suite.name, case.class, case.name, case.status
            ));
        }
    }
    out
}

fn whole(text: &str) -> Vec<String> {
    let parsed = read(text);
    assert_eq!(parsed.broken, None);
    lines(&parsed)
}

#[test]
fn pytest() {
    let text = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.056" timestamp="2024-01-01T00:00:00" hostname="h"><testcase classname="t.test_a" name="test_ok[a&lt;b]" time="0.001" /><testcase classname="t.test_a" name="test_bad" time="0.001"><failure message="assert 1 == 2&#10; +  where 1">def test_bad():
&gt;       assert 1 == 2
E       assert 1 == 2</failure></testcase><testcase classname="t.test_a" name="test_skip" time="0.000"><skipped type="pytest.skip" message="not here">t.py:9: not here</skipped></testcase><testcase classname="t.test_a" name="test_error" time="0.001"><error message="failed on setup with &quot;x&quot;">fixture 'nope' not found</error></testcase></testsuite></testsuites>"#;
    assert_eq!(
        whole(text),
        [
            "pytest | t.test_a | test_ok[a<b] | Passed | -",
            "pytest | t.test_a | test_bad | Failed | assert 1 == 2\n +  where 1",
            "pytest | t.test_a | test_skip | Skipped | not here",
            "pytest | t.test_a | test_error | Failed | failed on setup with \"x\"",
        ]
    );
    let parsed = read(text);
    let details = parsed.suites[0].cases[1].details.as_deref();
    assert!(details.is_some_and(|details| details.contains(">       assert 1 == 2\nE ")));
    assert!((parsed.suites[0].duration - 0.056).abs() < 1e-9);
}

#[test]
fn maven_tells_of_runs_that_were_not_the_last() {
    let text = r#"<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" name="com.x.FooTest" time="1,234.5" tests="2">
<properties><property name="java.home" value="x"/></properties>
<testcase name="flaky" classname="com.x.FooTest" time="0.1"><flakyFailure message="once" type="A"><stackTrace>at x</stackTrace></flakyFailure></testcase>
<testcase name="bad" classname="com.x.FooTest" time="0.1"><failure message="no" type="A"><![CDATA[stack <1>]]></failure><rerunFailure message="no again" type="A">stack 2</rerunFailure><system-out>out</system-out></testcase>
</testsuite>"#;
    assert_eq!(
        whole(text),
        [
            "com.x.FooTest | com.x.FooTest | flaky | Passed | -",
            "com.x.FooTest | com.x.FooTest | bad | Failed | no",
        ]
    );
    let suite = &read(text).suites[0];
    assert!((suite.duration - 1234.5).abs() < 1e-9);
    assert_eq!(
        suite.cases[1].details.as_deref(),
        Some("stack <1>\n\nrerunFailure: no again\n\nstack 2")
    );
    assert_eq!(suite.cases[1].stdout.as_deref(), Some("out"));
}

#[test]
fn ant_has_packages_and_output_of_whole_suites() {
    let text = r#"<testsuites><testsuite id="0" name="FooTest" package="com.x" time="2"><testcase classname="com.x.FooTest" name="a" time="0.5"/><testcase classname="com.x.FooTest" name="b"><error type="java.lang.Exception">trace</error></testcase><system-out>all of it</system-out><system-err><![CDATA[  ]]></system-err></testsuite></testsuites>"#;
    assert_eq!(
        whole(text),
        [
            "com.x.FooTest | com.x.FooTest | a | Passed | -",
            "com.x.FooTest | com.x.FooTest | b | Failed | java.lang.Exception",
        ]
    );
    let cases = &read(text).suites[0].cases;
    assert_eq!(cases[0].stdout, None);
    assert_eq!(cases[1].stdout.as_deref(), Some("all of it"));
    assert_eq!(cases[1].stderr, None);
    assert_eq!(cases[1].details.as_deref(), Some("trace"));
}

#[test]
fn googletest_has_what_was_not_run_and_several_failures() {
    let text = r#"<testsuites tests="3" name="AllTests"><testsuite name="S" tests="3"><testcase name="One" status="run" result="completed" time="0." classname="S"><failure message="f.cc:1&#x0A;Expected" type=""><![CDATA[f.cc:1]]></failure><failure message="f.cc:2&#x0A;Expected" type=""><![CDATA[f.cc:2]]></failure></testcase><testcase name="DISABLED_Two" status="notrun" result="suppressed" time="0." classname="S" /><testcase name="Three" status="run" result="skipped" classname="S"><skipped message="why"/></testcase></testsuite></testsuites>"#;
    assert_eq!(
        whole(text),
        [
            "S | S | One | Failed | f.cc:1\nExpected",
            "S | S | DISABLED_Two | Skipped | -",
            "S | S | Three | Skipped | why",
        ]
    );
    let details = read(text).suites[0].cases[0].details.clone();
    assert_eq!(
        details.as_deref(),
        Some("f.cc:1\n\nf.cc:2\nExpected\n\nf.cc:2")
    );
}

#[test]
fn phpunit_nests_suites() {
    let text = r#"<testsuites><testsuite name="" tests="2"><testsuite name="Unit" tests="2"><testsuite name="FooTest" file="FooTest.php"><testcase name="testA" class="FooTest" classname="FooTest" file="x" line="5" assertions="1" time="0.1"/><testsuite name="FooTest::testB"><testcase name="testB with data set #0" time="0.2"/></testsuite></testsuite></testsuite></testsuite></testsuites>"#;
    assert_eq!(
        whole(text),
        [
            "FooTest | FooTest | testA | Passed | -",
            "FooTest::testB | FooTest::testB | testB with data set #0 | Passed | -",
        ]
    );
}

#[test]
fn nextest_go_and_others() {
    let nextest = r#"<testsuites name="nextest-run" uuid="x"><testsuite name="ward::cli" tests="1" disabled="0"><testcase name="a::b" classname="ward::cli" timestamp="x" time="0.017"><failure type="test failure with exit code 101">thread 'a::b' panicked at x</failure><system-out>
running 1 test</system-out><system-err>thread</system-err></testcase></testsuite></testsuites>"#;
    assert_eq!(
        whole(nextest),
        ["ward::cli | ward::cli | a::b | Failed | test failure with exit code 101"]
    );
    let go = r#"<testsuites><testsuite tests="1" failures="1" time="0.002" name="example.com/m"><properties/><testcase classname="m" name="TestX" time="0.00"><failure message="Failed" type="">x_test.go:5: no&#xA;</failure></testcase></testsuite></testsuites>"#;
    assert_eq!(whole(go), ["example.com/m | m | TestX | Failed | Failed"]);
    let bare = r#"<testcase name="alone"/>"#;
    assert_eq!(whole(bare), ["file.xml | file.xml | alone | Passed | -"]);
    let init = r#"<testsuite name="s"><error message="could not begin"/></testsuite>"#;
    assert_eq!(whole(init), ["s | s | <init> | Failed | could not begin"]);
}

#[test]
fn characters_that_no_xml_may_have() {
    let text = "<testsuite name='s'><testcase name='a\u{1b}[1m'><failure message='x&#x1b;y'>\u{0}&#27;&#0;&nosuch; & b</failure></testcase></testsuite>";
    let parsed = read(text);
    assert_eq!(parsed.broken, None);
    let case = &parsed.suites[0].cases[0];
    assert_eq!(case.status, TestStatus::Failed);
    let details = case.details.as_deref().unwrap_or_default();
    assert!(
        details.contains("&nosuch;") && details.contains("& b"),
        "{details:?}"
    );
}

#[test]
fn a_broken_file_keeps_what_was_whole() {
    let text = "<testsuites><testsuite name='s'><testcase name='a'/><testcase name='b'><failure>x";
    let parsed = read(text);
    assert_eq!(lines(&parsed), ["s | s | a | Passed | -"]);
    assert_eq!(
        parsed.broken,
        Some(Broken::Unfinished("failure".to_owned()))
    );
    for (text, is_it) in [
        ("", Broken::Empty),
        ("<?xml version='1.0'?>\n", Broken::Empty),
        (
            "<html><testcase/></html>",
            Broken::SomethingElse("html".to_owned()),
        ),
        (
            "<!DOCTYPE a [<!ENTITY x 'y'>]><testsuite/>",
            Broken::DocumentType,
        ),
    ] {
        assert_eq!(read(text).broken, Some(is_it), "{text}");
    }
    for text in [
        "no xml",
        "<testsuite></other>",
        "<testsuite name='s'><testcase",
    ] {
        assert!(read(text).broken.is_some(), "{text}");
    }
    let deep = "<testsuite name='s'>".repeat(200);
    assert_eq!(read(&deep).broken, Some(Broken::TooDeep));
}

#[test]
fn there_is_an_end_to_everything() {
    let case = format!(
        "<testcase name='{}'><system-out>{}</system-out></testcase>",
        "n".repeat(9000),
        "x".repeat(9000)
    );
    let text = format!("<testsuite name='s'>{}</testsuite>", case.repeat(5));
    let short = read(&text);
    let first = &short.suites[0].cases[0];
    assert!(first.name.len() < 1100 && first.stdout.as_ref().is_some_and(|text| text.len() < 1100));
    let long = parse(text.as_bytes(), "f", true, &mut Budget::default());
    assert_eq!(
        long.suites[0].cases[0].stdout.as_ref().map(String::len),
        Some(9000)
    );
    let mut few = Budget {
        cases: 3,
        text: 1500,
    };
    let parsed = parse(text.as_bytes(), "f", false, &mut few);
    assert_eq!(
        (parsed.suites[0].cases.len(), parsed.broken),
        (3, Some(Broken::TooMany))
    );
    assert!(parsed.suites[0].cases[1].stdout.as_deref() == Some("[left out: too much text]"));
}

proptest! {
    #[test]
    fn anything_can_be_read(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(text.as_slice(), "f", false, &mut Budget::default());
    }

    #[test]
    fn any_elements_can_be_read(parts in proptest::collection::vec(
        prop_oneof![
            Just("<testsuites>"), Just("</testsuites>"), Just("<testsuite name='a'>"), Just("</testsuite>"),
            Just("<testcase name='c'>"), Just("</testcase>"), Just("<failure>"), Just("</failure>"),
            Just("<skipped/>"), Just("<system-out>"), Just("</system-out>"), Just("&#x;"), Just("<![CDATA["),
            Just("]]>"), Just("text"), Just("<!--"), Just("-->"), Just("<x"), Just(">"),
        ], 0..40)) {
        let _ = parse(parts.concat().as_bytes(), "f", false, &mut Budget::default());
    }

    #[test]
    fn any_beginning_of_a_file_can_be_read(end in 0usize..400) {
        let text = "<testsuites><testsuite name='ä'><testcase name='a' time='1'><failure message='m'>x &amp; y</failure></testcase><testcase name='b'><skipped/></testcase><system-out><![CDATA[z]]></system-out></testsuite></testsuites>";
        let end = text.floor_char_boundary(end.min(text.len()));
        let parsed = read(&text[..end]);
        prop_assert_eq!(parsed.broken.is_none(), end == text.len());
    }
}
