//! The small notations of a job's keys, and which names there may be.

use ward_model::build::BuildResult;

use super::{Downstream, Notify, SecretBinding};
use crate::ini::document::strip;
use crate::ini::words::arguments;
use crate::value::Complaint;

/// No file name that is made of a job's name is longer, in bytes: room is left for what is put behind it.
const LONGEST_NAME: usize = 200;

/// No job is in more folders: what jenkins-job-builder looks through.
const DEEPEST: usize = 10;

/// What Jenkins does not take in a name.
const FORBIDDEN: &str = "?*/\\%!@#$^&|<>[]:;";

/// Whether a job or folder may have this full name: parts with `/` between them.
///
/// # Errors
/// It is empty or too long, or one of its parts is empty, `.`, `..`, begins or ends with a blank, ends with a dot, or has
/// one of ``?*\%!@#$^&|<>[]:;`` or a control character in it: Jenkins' rules.
pub fn check_name(name: &str) -> Result<(), Complaint> {
    let refused = |why: String| {
        Err(Complaint::new(
            format!("`{name}` is no name of a job: {why}"),
            "use letters, digits, `-`, `_` and `.`",
        ))
    };
    // Every `/` of it becomes three bytes of a file's name.
    let parts = name.split('/').count();
    if name.len() + 2 * (parts - 1) > LONGEST_NAME {
        return refused(format!("it is longer than {LONGEST_NAME} bytes"));
    }
    if parts > DEEPEST {
        return refused(format!("it is in more than {} folders", DEEPEST - 1));
    }
    for part in name.split('/') {
        if let Some(c) = part
            .chars()
            .find(|c| c.is_control() || FORBIDDEN.contains(*c))
        {
            return refused(format!("`{}` may not be in it", c.escape_default()));
        }
        if part.is_empty() {
            return refused("there is nothing where a name should be".to_owned());
        }
        if part != strip(part) {
            return refused("a name does not begin or end with a blank".to_owned());
        }
        if part.ends_with('.') {
            return refused("a name does not end with a dot".to_owned());
        }
    }
    Ok(())
}

/// Whether a secret may have this name: it is a file's name, of letters, digits, `-`, `_` and `.`, which it does not begin
/// with, and at most 128 bytes.
#[must_use]
pub fn is_secret_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether a shell can use it as a variable: letters, digits and `_`, and no digit first.
#[must_use]
pub fn is_variable(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Several, with commas between them or one per line, stripped. One for which `takes_line` holds takes the rest of
/// its line, commas and all.
pub(super) fn items(text: &str, takes_line: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut rest = strip(line);
        while !rest.is_empty() {
            let (part, after) = match rest.split_once(',') {
                Some((part, after)) if !takes_line(rest) => (strip(part), strip(after)),
                _ => (rest, ""),
            };
            if !part.is_empty() {
                found.push(part.to_owned());
            }
            rest = after;
        }
    }
    found
}

/// `job`, or `job:THRESHOLD`.
pub(super) fn other_job(text: &str) -> Result<Downstream, Complaint> {
    let (job, word) = text.split_once(':').unwrap_or((text, "stable"));
    let job = strip(job);
    check_name(job)?;
    let threshold = match strip(word).to_lowercase().as_str() {
        "stable" | "success" => BuildResult::Success,
        "unstable" => BuildResult::Unstable,
        "failed" | "failure" => BuildResult::Failure,
        "always" => BuildResult::Aborted,
        other => {
            return Err(Complaint::new(
                format!("`{other}` is no result"),
                "write stable, unstable, failed or always behind the colon",
            ));
        }
    };
    Ok(Downstream {
        job: job.to_owned(),
        threshold,
    })
}

/// `VARIABLE=secret`, or `VARIABLE@=secret`.
pub(super) fn secret(text: &str) -> Result<SecretBinding, Complaint> {
    let bad = |what: String| {
        Complaint::new(
            what,
            "write VARIABLE=secret, or VARIABLE@=secret for a file",
        )
    };
    let (variable, secret) = text
        .split_once('=')
        .ok_or_else(|| bad(format!("`{text}` is not VARIABLE=secret")))?;
    let (variable, as_file) = match variable.trim_end().strip_suffix('@') {
        Some(variable) => (strip(variable), true),
        None => (strip(variable), false),
    };
    let secret = strip(secret);
    if !is_variable(variable) {
        return Err(bad(format!("`{variable}` is no variable")));
    }
    if !is_secret_name(secret) {
        return Err(bad(format!("`{secret}` is no name of a secret")));
    }
    Ok(SecretBinding {
        variable: variable.to_owned(),
        secret: secret.to_owned(),
        as_file,
    })
}

/// Whether one of the recipients takes the rest of its line.
pub(super) fn is_long_recipient(text: &str) -> bool {
    text.starts_with("command:") || text.starts_with("webhook:")
}

/// Adds one recipient.
pub(super) fn recipient(text: &str, notify: &mut Notify) -> Result<(), Complaint> {
    let (kind, what) = text.split_once(':').unwrap_or((text, ""));
    let what = strip(what);
    let bad = |what: String| {
        Err(Complaint::new(
            what,
            "write mail:ADDRESS, webhook:URL, command:COMMAND, culprits or first-unstable-only",
        ))
    };
    match strip(kind) {
        "mail" if is_address(what) => notify.mail.push(what.to_owned()),
        "mail" => return bad(format!("`{what}` is no address")),
        "webhook" if what.starts_with("http://") || what.starts_with("https://") => {
            notify.webhooks.push(what.to_owned());
        }
        "webhook" => return bad(format!("`{what}` is neither http:// nor https://")),
        "command" if arguments(what).is_ok_and(|words| !words.is_empty()) => {
            notify.commands.push(what.to_owned());
        }
        "command" => return bad(format!("`{what}` is no command")),
        "culprits" if what.is_empty() => notify.mail_culprits = true,
        "first-unstable-only" if what.is_empty() => notify.mail_first_unstable_only = true,
        other => return bad(format!("`{other}` is nobody who could be told")),
    }
    Ok(())
}

/// Whether mail can be sent there: something with an `@` in it that cannot be taken for more than one address, or for an
/// option of a program.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '<' | '>' | '"');
    !text.starts_with(['@', '-'])
        && !text.ends_with('@')
        && text.contains('@')
        && !text.contains(odd)
}

/// A path in the repository: relative, and not out of it.
pub(super) fn inner_path(text: &str) -> Result<String, Complaint> {
    let sound = !text.is_empty()
        && !text.starts_with(['/', '~', '-'])
        && !text.contains(char::is_control)
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if sound {
        Ok(text.to_owned())
    } else {
        Err(Complaint::new(
            format!("`{text}` is no path inside the repository"),
            "write a relative path without `..`, such as .ward.conf",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "lib", "team a/lib-1.2_x", "größe", "a.b", "...a"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        let deep = ["a"; DEEPEST + 1].join("/");
        for name in [
            "", ".", "..", "a/..", "a/", "/a", "a//b", "a.", " a", "a ", "a/ b", "a:b", "a*",
            "a\\b", "a%2f", "a\nb", "a\u{7f}", "[a]", "a;b", &long, &deep,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn secrets_are_names_of_files() {
        for name in ["deploy-key", "a.b_c", "3f0c"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".a",
            "a/b",
            "a b",
            "ä",
            "a\0",
            &"a".repeat(129),
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
        let file = secret(" KEY @= deploy-key ").unwrap();
        assert!(file.as_file && file.variable == "KEY" && file.secret == "deploy-key");
        for bad in ["KEY", "=x", "1A=x", "A=../x", "A=", "A-B=x"] {
            assert!(secret(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn several() {
        let plain = |text| items(text, |rest| rest.starts_with(':'));
        assert_eq!(plain("a, b,,c\n d \n\n,e,"), ["a", "b", "c", "d", "e"]);
        assert_eq!(plain("main, :^(a,b)$\nx"), ["main", ":^(a,b)$", "x"]);
        assert!(plain(" \n").is_empty());
    }

    #[test]
    fn jobs_and_recipients() {
        let next = other_job("lib/a : Unstable").unwrap();
        assert_eq!(
            (next.job.as_str(), next.threshold),
            ("lib/a", BuildResult::Unstable)
        );
        for bad in ["", ":stable", "a:b", "a:stable:x"] {
            assert!(other_job(bad).is_err(), "{bad}");
        }
        let mut notify = Notify::default();
        for good in [
            "mail:a@b",
            "webhook:https://x/?a,b",
            "command:/bin/tell 'a b'",
            "culprits",
            "first-unstable-only",
        ] {
            recipient(good, &mut notify).expect(good);
        }
        assert_eq!(notify.mail, ["a@b"]);
        assert!(notify.mail_culprits && notify.mail_first_unstable_only);
        for bad in [
            "mail:",
            "mail:a",
            "mail:-oQ@x",
            "mail:a@b c",
            "webhook:ftp://x",
            "command:",
            "command:'x",
            "culprits:x",
            "x",
        ] {
            assert!(recipient(bad, &mut notify).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_inside() {
        assert!(inner_path("ci/ward.conf").is_ok());
        for bad in [
            "", "/a", "../a", "a/../b", "a//b", "~/a", "./a", "-a", "a\n",
        ] {
            assert!(inner_path(bad).is_err(), "{bad}");
        }
    }
}
