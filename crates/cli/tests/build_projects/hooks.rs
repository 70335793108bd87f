//! Forges and repositories tell of pushes, over HTTP, with signatures that are right, wrong, missing and sent again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use data_encoding::HEXLOWER;
use ring::hmac;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::{in_path, skipped};

use crate::Result;
use crate::place::{Answer, Place, commit, git, keep};

const SECRET: &str = "what only the forge knows";

/// A repository that is pushed to, and somebody's checkout of it.
struct Forge<'p> {
    place: &'p Place,
    bare: PathBuf,
    checkout: PathBuf,
}

/// How a forge tells.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    GitHub,
    GitLab,
    Gitea,
    Forgejo,
}

impl<'p> Forge<'p> {
    fn new(place: &'p Place) -> Result<Self> {
        let checkout = place.world.path("checkout");
        fs::create_dir(&checkout)?;
        fs::write(checkout.join("file"), "0\n")?;
        keep(&checkout)?;
        let bare = place.world.path("app.git");
        git(&checkout, &["clone", "-q", "--bare", ".", "../app.git"])?;
        git(&checkout, &["remote", "add", "origin", "../app.git"])?;
        Ok(Self {
            place,
            bare,
            checkout,
        })
    }

    /// A job that builds from it.
    fn job(&self, triggers: &str) -> String {
        format!(
            "[job:app]\nrepo = {}\nbranches = main\n{triggers}\nscript = cat file\n",
            self.bare.display()
        )
    }

    /// A commit that is pushed; its name.
    fn push(&self, word: &str) -> Result<String> {
        fs::write(self.checkout.join("file"), format!("{word}\n"))?;
        let name = commit(&self.checkout, word)?;
        git(&self.checkout, &["push", "-q", "--force", "origin", "main"])?;
        Ok(name)
    }

    /// What the forge sends of a push: it says what it likes of the commit.
    fn payload(&self, commit: &str) -> String {
        let url = self.bare.display();
        let addresses = format!(
            "{{\"clone_url\":\"{url}\",\"git_http_url\":\"{url}\",\"full_name\":\"team/app\"}}"
        );
        format!(
            "{{\"ref\":\"refs/heads/main\",\"after\":\"{commit}\",\"repository\":{addresses},\"project\":{addresses}}}"
        )
    }

    /// Sends `body` as `dialect` does, signed for `signed` with `secret`; unsigned without one.
    fn tell(
        &self,
        dialect: Dialect,
        id: &str,
        body: &str,
        secret: Option<(&str, &str)>,
    ) -> Result<Answer> {
        let mut headers = vec![("Content-Type", "application/json")];
        let tag = secret.map(|(secret, signed)| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            HEXLOWER.encode(hmac::sign(&key, signed.as_bytes()).as_ref())
        });
        let prefixed = tag.as_ref().map(|tag| format!("sha256={tag}"));
        let path = match dialect {
            Dialect::GitHub => {
                headers.push(("X-GitHub-Event", "push"));
                headers.push(("X-GitHub-Delivery", id));
                if let Some(value) = &prefixed {
                    headers.push(("X-Hub-Signature-256", value));
                }
                "/github-webhook/"
            }
            Dialect::GitLab => {
                headers.push(("X-Gitlab-Event", "Push Hook"));
                headers.push(("X-Gitlab-Event-UUID", id));
                if let Some((secret, _)) = secret {
                    headers.push(("X-Gitlab-Token", secret));
                }
                "/project/app"
            }
            Dialect::Gitea | Dialect::Forgejo => {
                let is_new = matches!(dialect, Dialect::Forgejo);
                headers.push(("X-Gitea-Event", "push"));
                headers.push(("X-Gitea-Delivery", id));
                if is_new {
                    headers.push(("X-Forgejo-Event", "push"));
                    headers.push(("X-Forgejo-Delivery", id));
                }
                if let Some(value) = &tag {
                    headers.push(("X-Gitea-Signature", value));
                    if is_new {
                        headers.push(("X-Forgejo-Signature", value));
                    }
                }
                "/gitea-webhook/post"
            }
        };
        self.place.send("POST", path, &headers, body)
    }

    /// Whether build `number` is of `commit`, and is the only one since the one before.
    fn is_built(&self, number: u32, commit: &str) -> Result {
        let shown = self.place.over("app", number)?;
        ensure!(
            shown["result"] == "SUCCESS" && shown["commit"] == commit,
            "{shown:#}"
        );
        ensure!(self.place.count("app")? == number as usize);
        Ok(())
    }
}

#[test]
fn what_forges_sign_is_built_once() -> Result {
    let Some(mut place) = Place::new()? else {
        return Ok(());
    };
    place.write("")?;
    let forge = Forge::new(&place)?;
    place.write(&forge.job("webhook = true\nwebhook_secret = hook"))?;
    place.secret("hook", SECRET)?;
    drop(forge);
    place.serve(&[])?;
    let forge = Forge {
        bare: place.world.path("app.git"),
        checkout: place.world.path("checkout"),
        place: &place,
    };
    let dialects = [
        Dialect::GitHub,
        Dialect::GitLab,
        Dialect::Gitea,
        Dialect::Forgejo,
    ];
    let mut number = 0;
    for dialect in dialects {
        number += 1;
        let commit = forge.push(&format!("{dialect:?}"))?;
        // It names a commit that there is not: what is built is what the repository has.
        let body = forge.payload(&"1".repeat(40));
        let id = format!("delivery-{number}");
        let other = body.replace("main", "none");
        let mut wrong = vec![
            None,
            Some(("guess", body.as_str())),
            Some(("", body.as_str())),
        ];
        if !matches!(dialect, Dialect::GitLab) {
            // Signed, and changed on its way.
            wrong.push(Some((SECRET, other.as_str())));
        }
        for secret in wrong {
            let answer = forge.tell(dialect, &id, &body, secret)?;
            ensure!(answer.status == 403, "{dialect:?} {secret:?}: {answer:?}");
            ensure!(!answer.text.contains(SECRET), "{answer:?}");
        }
        let nonsense = forge.tell(dialect, &id, "{\"ref\":", Some((SECRET, "{\"ref\":")))?;
        ensure!(nonsense.status == 400, "{nonsense:?}");
        let answer = forge.tell(dialect, &id, &body, Some((SECRET, body.as_str())))?;
        ensure!(
            answer.status == 200 && answer.text.contains("Scheduled polling of app"),
            "{dialect:?}: {answer:?}"
        );
        // What was refused before has left no build.
        forge.is_built(number, &commit)?;
        let again = forge.tell(dialect, &id, &body, Some((SECRET, body.as_str())))?;
        ensure!(
            again.status == 200 && again.text.contains("came before"),
            "{dialect:?}: {again:?}"
        );
        // Under another name it is looked at, and there is nothing new.
        let other = format!("{id}-again");
        let again = forge.tell(dialect, &other, &body, Some((SECRET, body.as_str())))?;
        ensure!(again.status == 200, "{dialect:?}: {again:?}");
    }
    // Nothing of all that was sent again has become a build.
    number += 1;
    let commit = forge.push("the last")?;
    let body = forge.payload(&commit);
    let answer = forge.tell(Dialect::GitHub, "last", &body, Some((SECRET, &body)))?;
    ensure!(answer.status == 200, "{answer:?}");
    forge.is_built(number, &commit)?;
    let log = place.complaints();
    ensure!(
        log.contains("was not signed as") && !log.contains(SECRET),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_push_tells_of_itself() -> Result {
    let Some(python) = in_path("python3") else {
        skipped("a repository's hook", "needs python3");
        return Ok(());
    };
    let Some(mut place) = Place::new()? else {
        return Ok(());
    };
    place.write("")?;
    let forge = Forge::new(&place)?;
    place.write(&forge.job("poll ="))?;
    place.secret("notify-token", "the word")?;
    hook(&forge, &python, "a guess")?;
    drop(forge);
    place.serve(&[])?;
    let forge = Forge {
        bare: place.world.path("app.git"),
        checkout: place.world.path("checkout"),
        place: &place,
    };
    forge.push("not heard")?;
    let answers = || fs::read_to_string(place.world.path("answers")).unwrap_or_default();
    ensure!(answers().contains("403"), "{}", answers());
    hook(&forge, &python, "the word")?;
    let two = forge.push("heard")?;
    ensure!(
        answers().contains("Scheduled polling of app"),
        "{}",
        answers()
    );
    forge.is_built(1, &two)?;

    // Another history in its place, and what is new in it.
    git(&forge.checkout, &["checkout", "-q", "--orphan", "anew"])?;
    git(&forge.checkout, &["commit", "-q", "-m", "anew"])?;
    git(&forge.checkout, &["branch", "-q", "-M", "anew", "main"])?;
    let three = forge.push("forced")?;
    forge.is_built(2, &three)?;
    let shown = place.over("app", 2)?;
    let changes = shown["changes"].as_array().cloned().unwrap_or_default();
    ensure!(
        changes.len() == 2 && changes[0]["commit"] == three.as_str(),
        "{shown:#}"
    );
    ensure!(place.console("app", 2)?.contains("\nforced\n"));
    // Back to what was built before: nothing is new. The workspace goes, and half of the next one's git.
    git(
        &forge.checkout,
        &["push", "-q", "--force", "origin", &format!("{two}:main")],
    )?;
    fs::remove_dir_all(place.world.path("home/workspaces/app"))?;
    let four = forge.push("without a workspace")?;
    forge.is_built(3, &four)?;
    let workspace = place.world.path("home/workspaces/app");
    fs::write(workspace.join(".git/index.lock"), "")?;
    fs::remove_file(workspace.join(".git/HEAD"))?;
    let five = forge.push("with half of one")?;
    forge.is_built(4, &five)?;
    ensure!(place.console("app", 4)?.contains("broken clone"));
    // A repository that goes away and comes back.
    fs::rename(&forge.bare, place.world.path("away.git"))?;
    place.build(&["start", "app", "--wait"])?.expect(1)?;
    let console = place.console("app", 5)?;
    ensure!(
        console.contains("does not appear to be a git repository"),
        "{console}"
    );
    ensure!(console.contains("hint: "), "{console}");
    fs::rename(place.world.path("away.git"), &forge.bare)?;
    let six = forge.push("back")?;
    wait_until("a build of what was pushed", || {
        place.count("app").is_ok_and(|count| count == 6)
    })?;
    forge.is_built(6, &six)?;
    Ok(())
}

/// Has the repository tell of each push.
fn hook(forge: &Forge<'_>, python: &Path, token: &str) -> Result {
    let hook = forge.bare.join("hooks/post-receive");
    fs::create_dir_all(hook.parent().context("no parent")?)?;
    fs::write(
        &hook,
        format!(
            "#!{}\nimport urllib.error, urllib.parse, urllib.request\n\
             query = urllib.parse.urlencode({{'url': {:?}, 'branches': 'main', 'token': {token:?}}})\n\
             ask = urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open\n\
             try:\n    said = ask('http://127.0.0.1:{}/git/notifyCommit?' + query).read().decode()\n\
             except urllib.error.HTTPError as error:\n    said = str(error)\n\
             open({:?}, 'a').write(said + '\\n')\n",
            python.display(),
            forge.bare,
            forge.place.port,
            forge.place.world.path("answers"),
        ),
    )?;
    fs::set_permissions(&hook, Permissions::from_mode(0o755))?;
    // Somebody who executes it before it is closed everywhere would be told that it is busy.
    Command::new("true").status()?;
    Ok(())
}
