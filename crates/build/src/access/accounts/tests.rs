use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Few rounds: it is not the hash function that is tested.
fn quick(home: &Path, anonymous: Option<Role>) -> anyhow::Result<Accounts> {
    let mut accounts = Accounts::open(home, anonymous)?;
    accounts.rounds = 10;
    Ok(accounts)
}

#[test]
fn passwords_and_tokens_let_in_and_nothing_else_does() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let accounts = quick(home.path(), None)?;
    assert!(!accounts.has_accounts());
    accounts.add_user("alice", Role::Admin, Some("correct horse"))?;
    accounts.add_user("robot", Role::Build, None)?;
    assert!(accounts.has_accounts());
    let token = accounts.new_token("robot", "ci")?;
    let alice = accounts.sign_in("alice", "correct horse").expect("let in");
    assert_eq!((alice.role, alice.by_token), (Role::Admin, false));
    let robot = accounts.sign_in("robot", &token).expect("let in");
    assert_eq!((robot.role, robot.by_token), (Role::Build, true));
    for (user, secret) in [
        ("alice", "correct horse "),
        ("alice", ""),
        ("alice", token.as_str()),
        ("robot", ""),
        ("robot", "ward_"),
        ("nobody", "correct horse"),
        ("", ""),
    ] {
        assert!(accounts.sign_in(user, secret).is_none(), "{user} {secret}");
    }
    accounts.revoke_token("robot", "ci")?;
    assert!(accounts.sign_in("robot", &token).is_none());
    assert!(accounts.revoke_token("robot", "ci").is_err());
    Ok(())
}

#[test]
fn the_file_is_private_and_holds_no_secret() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let accounts = quick(home.path(), None)?;
    accounts.add_user("alice", Role::Read, Some("correct horse"))?;
    let token = accounts.new_token("alice", "ci")?;
    let path = home.path().join("accounts.json");
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path)?;
    assert!(
        !text.contains("correct horse") && !text.contains(&token),
        "{text}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
    let error = quick(home.path(), None).expect_err("others may read it");
    assert!(error.to_string().contains("chmod 600"), "{error}");
    Ok(())
}

#[test]
fn what_a_command_changes_is_seen_at_once() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let server = quick(home.path(), Some(Role::Read))?;
    let command = quick(home.path(), None)?;
    command.add_user("alice", Role::Build, Some("first password"))?;
    let account = server.sign_in("alice", "first password").expect("seen");
    let cookie = server.begin_session(&account);
    let in_session = server.session(&cookie).expect("begun");
    assert_eq!(in_session.session.as_deref(), Some(cookie.as_str()));
    command.set_role("alice", Role::Admin)?;
    assert_eq!(server.session(&cookie).map(|it| it.role), Some(Role::Admin));
    command.set_password("alice", "second password")?;
    assert!(
        server.session(&cookie).is_none(),
        "it ended with the password"
    );
    let account = server.sign_in("alice", "second password").expect("changed");
    let cookie = server.begin_session(&account);
    command.remove("alice")?;
    assert!(server.session(&cookie).is_none());
    assert!(server.sign_in("alice", "second password").is_none());
    assert_eq!(server.anonymous(), Some(Role::Read));
    Ok(())
}

#[test]
fn of_a_damaged_file_nobody_is_let_in_and_it_stays_as_it_is() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let accounts = quick(home.path(), None)?;
    accounts.add_user("alice", Role::Build, Some("some password"))?;
    let path = home.path().join("accounts.json");
    let whole = fs::read(&path)?;
    fs::write(&path, "{\"users\": [")?;
    assert!(accounts.sign_in("alice", "some password").is_none());
    assert!(accounts.has_accounts(), "it is not open to everybody");
    assert!(accounts.add_user("bob", Role::Admin, None).is_err());
    assert!(quick(home.path(), None).is_err());
    assert_eq!(fs::read(&path)?, b"{\"users\": [");
    fs::write(&path, whole)?;
    assert!(accounts.sign_in("alice", "some password").is_some());
    Ok(())
}

#[test]
fn crumbs_belong_to_a_session_or_a_user() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let accounts = quick(home.path(), None)?;
    accounts.add_user("alice", Role::Build, Some("some password"))?;
    let plain = accounts.sign_in("alice", "some password").expect("let in");
    let cookies = [
        accounts.begin_session(&plain),
        accounts.begin_session(&plain),
    ];
    let mut all: Vec<_> = cookies
        .iter()
        .map(|cookie| accounts.session(cookie).expect("begun"))
        .collect();
    all.push(plain);
    for (at, account) in all.iter().enumerate() {
        for (other_at, other) in all.iter().enumerate() {
            let fits = accounts.is_crumb(account, &accounts.crumb(other));
            assert_eq!(fits, at == other_at);
        }
        assert!(!accounts.is_crumb(account, ""));
    }
    accounts.end_session(&cookies[0]);
    assert!(accounts.session(&cookies[0]).is_none());
    assert!(accounts.session(&cookies[1]).is_some());
    assert!(accounts.session("").is_none());
    Ok(())
}

#[test]
fn names_passwords_and_labels_are_checked() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let accounts = quick(home.path(), None)?;
    for name in [
        "",
        "-a",
        "a b",
        "a/b",
        "anonymous",
        "Anonymous",
        "a\n",
        &"x".repeat(65),
    ] {
        assert!(
            accounts.add_user(name, Role::Read, None).is_err(),
            "{name:?}"
        );
    }
    for name in ["a", "a.b@c.example", "Jürgen", &"x".repeat(64)] {
        accounts.add_user(name, Role::Read, None)?;
    }
    assert!(accounts.add_user("a", Role::Read, None).is_err());
    assert!(accounts.set_password("a", "short").is_err());
    assert!(accounts.set_password("nobody", "long enough").is_err());
    assert!(accounts.new_token("a", "").is_err());
    assert!(accounts.new_token("a", "x\ny").is_err());
    accounts.new_token("a", "x")?;
    assert!(accounts.new_token("a", "x").is_err());
    let list = accounts.list()?;
    assert_eq!(list.len(), 4);
    let names: Vec<_> = list.iter().map(|user| user.name.as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let tokens = list
        .iter()
        .find(|user| user.name == "a")
        .map(|user| user.tokens.len());
    assert_eq!(tokens, Some(1));
    Ok(())
}

#[test]
fn changes_at_the_same_time_are_all_kept() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let home = home.path();
            scope.spawn(move || {
                let accounts = quick(home, None).expect("opened");
                for number in 0..10 {
                    accounts
                        .add_user(&format!("u{thread}.{number}"), Role::Read, None)
                        .expect("added");
                }
            });
        }
    });
    assert_eq!(quick(home.path(), None)?.list()?.len(), 40);
    Ok(())
}
