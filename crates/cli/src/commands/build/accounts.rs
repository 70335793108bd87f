//! `ward build user` and `ward build token`: who is let in.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use serde_json::json;
use ward_build::access::{AccessError, Accounts, TokenLine, UserLine};
use ward_build::api::Role;
use ward_engine::chain;
use ward_model::exit_code;

use super::place::for_changes;
use super::words::{moment, print, print_json, table};
use crate::args::{RoleArg, TokenDeed, UserDeed, Whose};
use crate::failure::Failure;
use crate::hidden::Hidden;

/// Bytes of a password, and of its end of line.
const LONGEST: u64 = 1026;

/// Changes or lists accounts.
pub(super) fn users(deed: &UserDeed) -> Result<ExitCode, Failure> {
    match deed {
        UserDeed::Add {
            name,
            role,
            no_password,
            whose,
        } => {
            let accounts = open(whose)?;
            let password = if *no_password {
                None
            } else {
                Some(password()?)
            };
            accounts
                .add_user(name, role_of(*role), password.as_deref())
                .map_err(|error| refused(&error))?;
            print(&format!("{name}: added\n"))?;
        }
        UserDeed::Passwd { name, whose } => {
            let accounts = open(whose)?;
            let password = password()?;
            accounts
                .set_password(name, &password)
                .map_err(|error| refused(&error))?;
            print(&format!("{name}: has another password\n"))?;
        }
        UserDeed::Remove { name, whose } => {
            open(whose)?.remove(name).map_err(|error| refused(&error))?;
            print(&format!("{name}: removed\n"))?;
        }
        UserDeed::List { json, whose } => {
            let lines = open(whose)?.list().map_err(|error| refused(&error))?;
            list(&lines, *json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes or lists tokens.
pub(super) fn tokens(deed: &TokenDeed) -> Result<ExitCode, Failure> {
    match deed {
        TokenDeed::New { user, label, whose } => {
            let token = open(whose)?
                .new_token(user, label)
                .map_err(|error| refused(&error))?;
            // Standard output has it alone, for scripts.
            print(&format!("{token}\n"))?;
        }
        TokenDeed::Revoke { user, label, whose } => {
            open(whose)?
                .revoke_token(user, label)
                .map_err(|error| refused(&error))?;
            print(&format!("{label}: lets nobody in any more\n"))?;
        }
        TokenDeed::List { user, whose } => {
            let lines = open(whose)?.list().map_err(|error| refused(&error))?;
            let Some(line) = lines.iter().find(|line| line.name == *user) else {
                return Err(Failure::with_code(
                    format!("there is no account `{user}`"),
                    None,
                    exit_code::UNKNOWN_NAME,
                ));
            };
            print(&token_table(&line.tokens))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(whose: &Whose) -> Result<Accounts, Failure> {
    let (home, _) = for_changes(whose)?;
    Accounts::open(&home, None).map_err(|error| refused(&error))
}

fn refused(error: &AccessError) -> Failure {
    let code = match error {
        AccessError::BadName(_) | AccessError::BadPassword | AccessError::BadLabel => {
            exit_code::USAGE
        }
        AccessError::Exists { .. } | AccessError::TooMany(_) => exit_code::TAKEN,
        AccessError::Nothing { .. } => exit_code::UNKNOWN_NAME,
        AccessError::File { .. }
        | AccessError::Damaged { .. }
        | AccessError::Open(_)
        | AccessError::NoRandomness => exit_code::WARD_FAILED,
    };
    Failure::with_code(chain(error), None, code)
}

fn role_of(role: RoleArg) -> Role {
    match role {
        RoleArg::Read => Role::Read,
        RoleArg::Build => Role::Build,
        RoleArg::Admin => Role::Admin,
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Build => "build",
        Role::Admin => "admin",
    }
}

fn list(lines: &[UserLine], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let users: Vec<_> = lines
            .iter()
            .map(|line| {
                let labels: Vec<&str> = line.tokens.iter().map(|t| t.label.as_str()).collect();
                json!({
                    "name": line.name,
                    "role": role_word(line.role),
                    "has_password": line.has_password,
                    "tokens": labels,
                })
            })
            .collect();
        return print_json(&json!({ "users": users }));
    }
    let head = ["NAME", "ROLE", "PASSWORD", "TOKENS"].map(str::to_owned);
    let rows = lines.iter().map(|line| {
        [
            line.name.clone(),
            role_word(line.role).to_owned(),
            if line.has_password { "yes" } else { "no" }.to_owned(),
            line.tokens.len().to_string(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    print(&table(&rows, rows.len()))
}

fn token_table(tokens: &[TokenLine]) -> String {
    let head = ["SINCE", "LABEL"].map(str::to_owned);
    let rows = tokens.iter().map(|token| {
        [
            moment(token.created_at.saturating_mul(1000)),
            token.label.clone(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows, rows.len())
}

/// A line of standard input; at a terminal twice, and not shown.
fn password() -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line(stdin.lock());
    }
    let failed = |error: io::Error| Failure::ours("cannot read the password", &error);
    let terminal = stdin.as_fd().try_clone_to_owned().map_err(failed)?;
    let _hidden = Hidden::new(terminal.into()).map_err(failed)?;
    let ask = |prompt: &str| {
        // Whoever cannot read the question may still answer it.
        let _ = io::stderr().write_all(prompt.as_bytes());
        let answer = line(stdin.lock());
        let _ = io::stderr().write_all(b"\n");
        answer
    };
    let first = ask("Password: ")?;
    if ask("Again: ")? != first {
        return Err(Failure::usage(
            "the two are not the same",
            "nothing was changed",
        ));
    }
    Ok(first)
}

fn line(from: impl io::BufRead) -> Result<String, Failure> {
    let mut text = Vec::new();
    from.take(LONGEST)
        .read_until(b'\n', &mut text)
        .map_err(|error| Failure::ours("cannot read the password", &error))?;
    let text = String::from_utf8(text).map_err(|_| {
        Failure::usage(
            "the password is not UTF-8",
            "it is a line of standard input",
        )
    })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
