//! Who is let in, and what nobody may see.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::free_port;

use crate::Result;
use crate::scene::{Said, Scene, world};

/// `ward build` with something on standard input.
fn given(scene: &Scene, words: &[&str], input: &[u8]) -> Result<Said> {
    let conf = scene.conf.to_string_lossy();
    let words = [&["build"], words, &["-c", &conf]].concat();
    let mut command = scene.command(&words);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let written = child.stdin.take().context("no input")?.write_all(input);
    // Who refuses the name does not read what is behind it.
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        return Err(error.into());
    }
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    })
}

#[test]
fn tokens_let_in_as_far_as_their_owner_may_go() -> Result {
    let world = world()?;
    let port = free_port()?;
    let url = format!("http://127.0.0.1:{port}/");
    let mut scene = Scene::new(&world, "", "[job:one]\nscript = true\n")?;
    let text = fs::read_to_string(&scene.conf)?;
    let text = text.replace(
        "listen = unix://%(here)s/site.sock",
        &format!("listen = 127.0.0.1:{port}"),
    );
    fs::write(&scene.conf, text)?;
    scene.serve()?;

    // A server that runs sees what is changed.
    given(
        &scene,
        &["user", "add", "reader", "--role", "read"],
        b"correct horse\n",
    )?
    .expect(0)?;
    given(
        &scene,
        &["user", "add", "builder", "--role", "build", "--no-password"],
        b"",
    )?
    .expect(0)?;
    given(&scene, &["user", "add", "reader"], b"correct horse\n")?.expect(122)?;
    given(&scene, &["user", "passwd", "nobody"], b"correct horse\n")?.expect(121)?;
    given(&scene, &["user", "add", "short"], b"short\n")?.expect(2)?;
    let token = |user: &str| -> Result<String> {
        let said = scene.build(&["token", "new", user, "test"])?.expect(0)?;
        Ok(format!("{user}:{}", said.out.trim()))
    };
    let (reader, builder) = (token("reader")?, token("builder")?);
    let users = scene
        .build(&["user", "list", "--json"])?
        .expect(0)?
        .json()?;
    ensure!(users["users"][0]["name"] == "builder", "{users}");
    ensure!(users["users"][1]["tokens"][0] == "test", "{users}");

    let remote = |words: &[&str], token: Option<&str>| -> Result<Said> {
        let words = [&["build"], words, &["--url", &url]].concat();
        let mut command = scene.command(&words);
        if let Some(token) = token {
            command.env("WARD_BUILD_TOKEN", token);
        }
        Scene::run(&mut command)
    };
    let said = remote(&["list"], None)?;
    ensure!(
        said.code == Some(125) && said.err.contains("hint: set WARD_BUILD_TOKEN"),
        "{said:#?}"
    );
    let said = remote(&["list"], Some("reader:wrong"))?;
    ensure!(said.code == Some(125), "{said:#?}");
    remote(&["list"], Some(&reader))?.expect(0)?;
    let said = remote(&["start", "one"], Some(&reader))?;
    ensure!(said.code == Some(125), "who reads may not build: {said:#?}");
    remote(&["start", "one", "--wait"], Some(&builder))?.expect(0)?;

    // By a file that only its owner may read.
    let config = world.path("config");
    fs::create_dir_all(config.join("ward"))?;
    let file = config.join("ward/build-token");
    fs::write(&file, format!("{reader}\n"))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let by_file = || -> Result<Said> {
        let mut command = scene.command(&["build", "list", "--url", &url]);
        Scene::run(command.env("XDG_CONFIG_HOME", &config))
    };
    by_file()?.expect(0)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640))?;
    let said = by_file()?.expect(2)?;
    ensure!(said.err.contains("hint: chmod 600"), "{said:#?}");

    scene
        .build(&["token", "revoke", "reader", "test"])?
        .expect(0)?;
    let said = remote(&["list"], Some(&reader))?;
    ensure!(said.code == Some(125), "{said:#?}");
    scene.build(&["user", "remove", "builder"])?.expect(0)?;
    let said = remote(&["list"], Some(&builder))?;
    ensure!(said.code == Some(125), "{said:#?}");
    scene.end()
}

#[test]
fn secrets_are_given_to_jobs_and_never_shown() -> Result {
    let world = world()?;
    let jobs = "[job:one]\nsecrets = TOKEN=deploy, KEY@=deploy\nscript =\n    echo \"it is $TOKEN\"\n    test \"$(cat \"$KEY\")\" = \"$TOKEN\"\n    test \"$TOKEN\" = 'hush hush'\n";
    let mut scene = Scene::new(&world, "", jobs)?;
    given(&scene, &["secret", "set", "deploy"], b"hush hush")?.expect(0)?;
    given(&scene, &["secret", "set", "../deploy"], b"x")?.expect(2)?;
    given(&scene, &["secret", "set", "empty"], b"")?.expect(2)?;
    let said = scene.build(&["secret", "list"])?.expect(0)?;
    ensure!(said.out == "deploy\n", "{said:#?}");
    let file = scene.home().join("secrets/deploy");
    ensure!(
        fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600,
        "{file:?}"
    );
    scene.serve()?;
    let said = scene.build(&["start", "one", "-f"])?.expect(0)?;
    ensure!(!said.out.contains("hush hush"), "{said:#?}");
    ensure!(said.out.contains("it is ****"), "{said:#?}");
    scene.build(&["secret", "remove", "deploy"])?.expect(0)?;
    scene.build(&["secret", "remove", "deploy"])?.expect(121)?;
    scene.end()
}
