//! What is given for a job's parameters, checked against what may be given.

use ward_config::job::{Job, ParameterKind};

use crate::api::Refusal;
use crate::plan::ParameterValue;

/// No value is longer, bytes: with all of a process's environment it has to fit execve(2)'s limit for one
/// string (128 KiB on Linux), with its name.
const LONGEST: usize = 120 << 10;

/// The values of all parameters of a job, in its order: what was given, or the default.
///
/// # Errors
/// [`Refusal::BadInput`]: a value that may not be given.
pub fn resolve(job: &Job, given: &[(String, String)]) -> Result<Vec<ParameterValue>, Refusal> {
    job.parameters
        .iter()
        .map(|parameter| {
            let name = &parameter.name;
            let given = given
                .iter()
                .rev()
                .find(|(given, _)| given == name)
                .map(|(_, value)| value.as_str());
            let value = match &parameter.kind {
                ParameterKind::Text { default, trim } => {
                    let text = given.unwrap_or(default);
                    if *trim { text.trim() } else { text }.to_owned()
                }
                ParameterKind::Lines { default } => given.unwrap_or(default).to_owned(),
                ParameterKind::Password { default } => given.unwrap_or(default).to_owned(),
                ParameterKind::Boolean { default } => match given {
                    None => *default,
                    Some(text) => flag(text).ok_or_else(|| {
                        Refusal::BadInput(format!("parameter `{name}` is `true` or `false`"))
                    })?,
                }
                .to_string(),
                ParameterKind::Choice { choices } => match given {
                    None => choices.first().cloned().unwrap_or_default(),
                    Some(text) if choices.iter().any(|choice| choice == text) => text.to_owned(),
                    Some(text) => {
                        return Err(Refusal::BadInput(format!(
                            "Illegal choice for parameter {name}: {}",
                            shortened(text)
                        )));
                    }
                },
            };
            if value.contains('\0') || value.len() > LONGEST {
                return Err(Refusal::BadInput(format!(
                    "the value of parameter `{name}` holds a null byte, or is longer than {LONGEST} bytes"
                )));
            }
            Ok(ParameterValue {
                name: name.clone(),
                value,
                secret: matches!(parameter.kind, ParameterKind::Password { .. }),
            })
        })
        .collect()
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" | "" => Some(false),
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use ward_config::job::{Job, Parameter, ParameterKind};

    use super::resolve;

    fn job() -> Job {
        let parameter = |name: &str, kind| Parameter {
            name: name.to_owned(),
            description: String::new(),
            kind,
        };
        Job {
            parameters: vec![
                parameter(
                    "T",
                    ParameterKind::Text {
                        default: "x".into(),
                        trim: true,
                    },
                ),
                parameter(
                    "L",
                    ParameterKind::Lines {
                        default: "a\nb".into(),
                    },
                ),
                parameter("B", ParameterKind::Boolean { default: true }),
                parameter(
                    "C",
                    ParameterKind::Choice {
                        choices: vec!["one".into(), "two".into()],
                    },
                ),
                parameter(
                    "P",
                    ParameterKind::Password {
                        default: "s3cret".into(),
                    },
                ),
            ],
            ..Job::default()
        }
    }

    fn values(given: &[(&str, &str)]) -> Option<Vec<String>> {
        let given: Vec<_> = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let values = resolve(&job(), &given).ok()?;
        assert!(
            values
                .iter()
                .all(|value| value.secret == (value.name == "P"))
        );
        Some(values.into_iter().map(|value| value.value).collect())
    }

    #[test]
    fn defaults_and_what_is_given() {
        assert_eq!(
            values(&[]).expect("defaults"),
            ["x", "a\nb", "true", "one", "s3cret"]
        );
        let given = [
            ("C", "two"),
            ("T", " y "),
            ("B", "FALSE"),
            ("nobody", "knows"),
            ("P", ""),
        ];
        assert_eq!(
            values(&given).expect("good"),
            ["y", "a\nb", "false", "two", ""]
        );
        assert_eq!(
            values(&[("T", "1"), ("T", "2")]).expect("the last counts")[0],
            "2"
        );
    }

    #[test]
    fn what_may_not_be_given_is_refused() {
        for bad in [("C", "three"), ("B", "maybe"), ("T", "a\0b")] {
            assert_eq!(values(&[bad]), None, "{bad:?}");
        }
        assert_eq!(values(&[("L", &"x".repeat(200_000))]), None);
    }
}
