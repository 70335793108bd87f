//! What is new about test results: compared with those of an older build.

use std::collections::{HashMap, VecDeque};

use crate::outcome::{TestCase, TestStatus, TestSuite};

/// The tests of a suite by class and name, those of the same name in their order.
type Cases<'a> = HashMap<&'a str, HashMap<&'a str, VecDeque<&'a TestCase>>>;

/// Sets what only a comparison can tell: what was fixed, what is a regression, since when and how often
/// something has failed. `previous` are the compared results of the build before that had any; `number` is the
/// build that `now` is of.
///
/// Tests are the same if suite, class and name are; of several that are, the first is compared with the
/// first. A test that was not there before, or was skipped, and fails, has failed for the first time: it is
/// a regression only if it passed or was skipped before.
pub fn compare(previous: &[TestSuite], now: &mut [TestSuite], number: u32) {
    let mut before: HashMap<&str, Cases<'_>> = HashMap::new();
    for suite in previous {
        let cases = before.entry(&suite.name).or_default();
        for case in &suite.cases {
            let class = cases.entry(&case.class).or_default();
            class.entry(&case.name).or_default().push_back(case);
        }
    }
    for suite in now {
        let mut cases = before.get_mut(suite.name.as_str());
        for case in &mut suite.cases {
            let class = cases
                .as_mut()
                .and_then(|cases| cases.get_mut(case.class.as_str()));
            let old = class
                .and_then(|class| class.get_mut(case.name.as_str()))
                .and_then(VecDeque::pop_front);
            judge(case, old, number);
        }
    }
}

fn judge(case: &mut TestCase, old: Option<&TestCase>, number: u32) {
    let failed_before = old.filter(|old| old.status.is_failure());
    match case.status {
        TestStatus::Failed | TestStatus::Regression => match (failed_before, old) {
            (Some(old), _) => {
                case.status = TestStatus::Failed;
                case.age = old.age.saturating_add(1);
                case.failed_since = if old.failed_since == 0 {
                    number
                } else {
                    old.failed_since
                };
            }
            (None, old) => {
                case.status = if old.is_some() {
                    TestStatus::Regression
                } else {
                    TestStatus::Failed
                };
                case.age = 1;
                case.failed_since = number;
            }
        },
        TestStatus::Passed | TestStatus::Fixed => {
            case.status = if failed_before.is_some() {
                TestStatus::Fixed
            } else {
                TestStatus::Passed
            };
            case.age = 0;
            case.failed_since = 0;
        }
        TestStatus::Skipped => {
            case.age = 0;
            case.failed_since = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, status: TestStatus) -> TestCase {
        TestCase {
            class: "c".to_owned(),
            name: name.to_owned(),
            duration: 0.0,
            status,
            message: None,
            details: None,
            stdout: None,
            stderr: None,
            age: 0,
            failed_since: 0,
        }
    }

    fn suites(cases: &[(&str, TestStatus)]) -> Vec<TestSuite> {
        vec![TestSuite {
            name: "s".to_owned(),
            duration: 0.0,
            cases: cases
                .iter()
                .map(|(name, status)| case(name, *status))
                .collect(),
        }]
    }

    #[test]
    fn a_history() {
        use TestStatus::{Failed, Fixed, Passed, Regression, Skipped};
        // What happens, and what it comes to: status, age, since.
        let story = [
            (Failed, (Failed, 1, 1)),
            (Failed, (Failed, 2, 1)),
            (Passed, (Fixed, 0, 0)),
            (Passed, (Passed, 0, 0)),
            (Failed, (Regression, 1, 5)),
            (Failed, (Failed, 2, 5)),
            (Skipped, (Skipped, 0, 0)),
            (Passed, (Passed, 0, 0)),
            (Skipped, (Skipped, 0, 0)),
            (Failed, (Regression, 1, 10)),
        ];
        let mut previous = Vec::new();
        for (number, (status, wanted)) in (1..).zip(story) {
            let mut now = suites(&[("a", status)]);
            compare(&previous, &mut now, number);
            let case = &now[0].cases[0];
            assert_eq!(
                (case.status, case.age, case.failed_since),
                wanted,
                "{number}"
            );
            previous = now;
        }
    }

    #[test]
    fn of_the_same_name_each_has_its_own() {
        use TestStatus::{Failed, Fixed, Passed};
        let mut before = suites(&[("a", Passed), ("a", Failed)]);
        compare(&[], &mut before, 1);
        let mut now = suites(&[("a", Passed), ("a", Passed), ("a", Failed)]);
        compare(&before, &mut now, 2);
        let statuses: Vec<_> = now[0].cases.iter().map(|case| case.status).collect();
        assert_eq!(statuses, [Passed, Fixed, Failed]);
    }
}
