//! Our own commands and a server behind TLS.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use ward_testkit::programs::{in_path, skipped};

use crate::Result;
use crate::site::Site;

/// TLS in front of a site.
struct Front {
    child: Child,
    said: BufReader<ChildStdout>,
    port: u16,
}

impl Front {
    fn new(python: &Path, authority: &Authority, to: u16, mode: &str) -> Result<Self> {
        let script = authority.directory.join("tls.py");
        fs::write(&script, include_str!("tls.py"))?;
        let mut child = Command::new(python)
            .arg(&script)
            .arg(authority.directory.join("server.pem"))
            .arg(authority.directory.join("server.key"))
            .args([&to.to_string(), mode])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| line.clone())?;
        Ok(Self { child, said, port })
    }

    /// The first line of the request that came next.
    fn asked(&mut self) -> Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, and what it has signed for `localhost`.
struct Authority {
    directory: PathBuf,
}

impl Authority {
    fn new(openssl: &Path, directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)?;
        fs::write(
            directory.join("names"),
            "subjectAltName = DNS:localhost\nbasicConstraints = CA:FALSE\n",
        )?;
        let run = |words: &[&str]| {
            let output = Command::new(openssl)
                .args(words)
                .current_dir(&directory)
                .stdin(Stdio::null())
                .output()?;
            ensure!(output.status.success(), "{words:?}: {output:?}");
            Ok(())
        };
        let curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let whole = |words: &[&'static str]| [words, &curve].concat();
        run(&whole(&[
            "req",
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=an authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]))?;
        run(&whole(&[
            "req",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ]))?;
        run(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.pem",
        ])?;
        Ok(Self { directory })
    }

    fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }
}

/// `ward build WORDS` with this address; what it said.
fn ask(site: &Site, url: &str, words: &[&str], ca: &[(&str, &Path)]) -> Result<Output> {
    let mut command = site.command(&["build"]);
    command.args(words).args(["--url", url]);
    command.env("WARD_BUILD_TOKEN", format!("admin:{}", site.token));
    for (how, path) in ca {
        match *how {
            "--ca" => command.arg(how).arg(path),
            variable => command.env(variable, path),
        };
    }
    Ok(command.output()?)
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_server_behind_tls_has_to_show_who_it_is() -> Result {
    let (Some(openssl), Some(python)) = (in_path("openssl"), in_path("python3")) else {
        skipped("TLS", "needs openssl and python3");
        return Ok(());
    };
    let site = Site::new()?;
    let right = Authority::new(&openssl, site.world.path("right"))?;
    let other = Authority::new(&openssl, site.world.path("other"))?;
    let behind: u16 = site.url.rsplit(':').next().context("no port")?.parse()?;
    let mut front = Front::new(&python, &right, behind, "pass")?;
    let url = format!("https://localhost:{}/", front.port);

    // It is who it should be, by the command line, or by the environment.
    let (ours, others) = (right.ca(), other.ca());
    for ca in [
        &[("--ca", ours.as_path())][..],
        &[("WARD_CA", &ours)],
        &[("--ca", &ours), ("WARD_CA", &others)],
        &[("SSL_CERT_FILE", &ours)],
        &[("WARD_CA", &ours), ("SSL_CERT_FILE", &others)],
    ] {
        let output = ask(&site, &url, &["list"], ca)?;
        ensure!(output.status.success(), "{ca:?}: {output:?}");
        ensure!(said(&output).contains("of-file"), "{output:?}");
        ensure!(front.asked()?.starts_with("GET "));
    }
    let trusted = [("--ca", ours.as_path())];
    let built = ask(&site, &url, &["start", "of-file", "--wait", "-f"], &trusted)?;
    ensure!(built.status.success(), "{built:?}");
    ensure!(said(&built).contains("from the file"), "{built:?}");
    let log = ask(&site, &url, &["log", "of-file"], &trusted)?;
    ensure!(said(&log).contains("Finished: SUCCESS"), "{log:?}");

    // Nobody that we trust has signed it, or it is for another name: nothing is said to it.
    let mut front = Front::new(&python, &right, behind, "pass")?;
    let url = format!("https://localhost:{}/", front.port);
    let by_address = format!("https://127.0.0.1:{}/", front.port);
    for (url, ca, why, hint) in [
        (
            &url,
            ("--ca", others.as_path()),
            "nobody who is trusted here has signed it",
            "--ca FILE",
        ),
        (
            &url,
            ("SSL_CERT_FILE", &others),
            "nobody who is trusted here has signed it",
            "--ca FILE",
        ),
        (&by_address, ("--ca", &ours), "it is for another name", ""),
    ] {
        let output = ask(&site, url, &["list"], &[ca])?;
        let text = said(&output);
        ensure!(output.status.code() == Some(125), "{output:?}");
        ensure!(text.contains(why) && text.contains(hint), "{text}");
        ensure!(!text.contains(&site.token), "{text}");
    }
    ask(&site, &url, &["list"], &trusted)?;
    let first = front.asked()?;
    ensure!(first.starts_with("GET "), "{first}");

    // What is no file of authorities; who speaks no TLS; who speaks nothing else.
    let empty = site.world.path("empty.pem");
    File::create(&empty)?;
    let missing = site.world.path("missing.pem");
    let plain = format!("https://localhost:{behind}/");
    let not_plain = format!("http://localhost:{}/", front.port);
    for (url, ca, why) in [
        (&url, ("--ca", empty.as_path()), "holds no certificate"),
        (
            &url,
            ("WARD_CA", &missing),
            "cannot read the authorities in",
        ),
        (&plain, ("--ca", &ours), "it does not speak TLS"),
        (&not_plain, ("--ca", &ours), "does not answer"),
    ] {
        let output = ask(&site, url, &["list"], &[ca])?;
        let text = said(&output);
        ensure!(
            !output.status.success() && text.contains(why),
            "{why}: {text}"
        );
    }

    // A wire that is cut is no end of a log.
    let front = Front::new(&python, &right, behind, "cut")?;
    let url = format!("https://localhost:{}/", front.port);
    let output = ask(&site, &url, &["log", "of-file"], &trusted)?;
    ensure!(output.status.code() == Some(118), "{output:?}");
    ensure!(said(&output).contains("the connection broke"), "{output:?}");
    Ok(())
}
