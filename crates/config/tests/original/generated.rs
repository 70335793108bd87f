//! Files that nobody would write: sections and keys of the table with values of every kind, some
//! of them wrong, laid out in every way that the dialect has.

use ward_config::keys::{Kind, SECTIONS, SectionKind};

/// Numbers that only look random: the same for the same seed (xorshift, G. Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % sides as u64).unwrap_or(0)
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// Values that are right, and such that may be wrong.
fn values(kind: Kind) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        // Only in sections that the original does not have.
        Kind::Duration
        | Kind::Word(_)
        | Kind::Items
        | Kind::Notation(_)
        | Kind::Cron
        | Kind::Script
        | Kind::Parameters => (&["1"], &["x"]),
        Kind::Text => (
            &[
                "word",
                "two words",
                "größe",
                "a;b#c",
                "%(ENV_PORT)s",
                "%(here)s/x",
                "50%%",
                "\"quoted\"",
                "x\n y",
                "x ; cut",
            ],
            &[
                "%(nope)s",
                "%(program_name)s",
                "%(process_num)03d",
                "%",
                "%(ENV_NOPE)s",
                "%(group_name)-12s|",
                "%(numprocs)x",
            ],
        ),
        Kind::Boolean => (
            &["true", "False", "YES", "no", "on", "0", "1"],
            &["", "2", "t", "\"true\"", "%(ENV_EMPTY)s"],
        ),
        Kind::Integer => (
            &["1", "0", "10", "007", "+3", "1_0", "%(ENV_PORT)s"],
            &["-1", "", "x", "1.5", "1__0", "%(process_num)d", "%(here)s"],
        ),
        Kind::ByteSize => (
            &["0", "10", "1KB", "50MB", "2 gb", "%(ENV_PORT)skb"],
            &["50M", "MB", "-5", "1.5MB", "", "10B"],
        ),
        Kind::Octal => (
            &["022", "0", "0o77", "777", "0_7"],
            &["8", "x", "0x7", "", "-7"],
        ),
        Kind::Signal => (
            &["TERM", "sigint", "9", "Usr1", "QUIT", "RTMIN", "CLD", "0"],
            &["FOO", "99", "", "-9", "SIG", "35"],
        ),
        Kind::ExitCodes => (
            &["0", "0,2", " 1 , 3", "", "255"],
            &["256", ",", "x", "0;1", "-1"],
        ),
        Kind::Autorestart => (
            &["true", "false", "unexpected", "Unexpected"],
            &["always", "", "un expected"],
        ),
        Kind::LogLevel => (
            &["info", "DEBUG", "warn", "critical", "blather"],
            &["warning", "", "verbose"],
        ),
        Kind::File => (
            &["logs/x", "x.log", "~/x", "/tmp/%(ENV_PORT)s"],
            &["/nowhere/x", "nowhere/x", "~nope/x", "\"logs/x\""],
        ),
        Kind::Directory => (
            &["logs", "/tmp", "~", "%(here)s"],
            &["/nowhere", "", "~nope"],
        ),
        Kind::LogFile => (
            &[
                "AUTO",
                "none",
                "off",
                "logs/x.log",
                "/dev/stdout",
                "syslog",
                "logs/%(program_name)s",
                "/tmp/%%%%",
            ],
            &[
                "nowhere/x",
                "",
                "logs/%%",
                "logs/%(process_num)02d",
                "%(nope)s",
            ],
        ),
        Kind::User => (
            &["root", "0", "nobody"],
            &["nobody-of-this-name", "", "99999999", "root:root", "-1"],
        ),
        Kind::Owner => (
            &["root", "root:root", "0:0", "nobody"],
            &["root:nope-of-this-name", ":", "", "a:b:c"],
        ),
        Kind::Environment => (
            &[
                "A=1",
                "A=\"1\",B='2'",
                "PORT=\"%(ENV_PORT)s\",",
                "A=\"x,y\",\n B=\"z\"",
                "",
                "A=\"%%\"",
                "A=1;B=2",
                "A=\"a ;b\"",
                "A='it''s'",
            ],
            &[
                "A",
                "A=",
                "A=b=c",
                "A=u@h",
                "A=\"1",
                "A=1 B=2",
                "A=%(process_num)d",
                "A=#1",
                "A=x#1\n y",
                "=",
                "A=%",
            ],
        ),
        Kind::List => (&["a", "b", "a,b"], &["", "a,", "nope", "a b", " a , c "]),
        Kind::Address => (
            &["9001", ":9001", "*:80", "Host:%(ENV_PORT)s"],
            &["x", "", "h:", "0", "70000", "a:b:1", "%(here)s"],
        ),
        Kind::Socket => (
            &[
                "tcp://h:9000",
                "unix:///tmp/x.sock",
                "unix:///tmp/../%(program_name)s",
            ],
            &[
                "tcp://h",
                "unix://x",
                "",
                "h:1",
                "tcp://:1",
                "tcp://a b:1",
                "tcp://H:070",
            ],
        ),
        Kind::Factory => (
            &["supervisor.rpcinterface:make_main_rpcinterface"],
            &["no.such:thing"],
        ),
        Kind::Contain => (&["tree"], &["process"]),
        Kind::Globs => (
            &["inc/*.conf", "nope*", "inc/deep/?.ini"],
            &[
                "inc/broken",
                "%(ENV_NOPE)s",
                "",
                "inc/b.conf %(here)s/inc/a.conf",
            ],
        ),
    }
}

const LAYOUT: &[&str] = &["=", " = ", ":", " : ", "=  ", "\t=\t"];

/// The file of this seed.
pub(crate) fn file(seed: u64) -> String {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // Half of the files have nothing in them that may be wrong.
    let oddity = if seed.is_multiple_of(2) { 0 } else { 12 };
    // Those behind it are ours, and it is a plugin.
    let theirs = SECTIONS.iter().position(|kind| kind.word == "ctlplugin");
    let theirs = theirs.unwrap_or(SECTIONS.len());
    let mut sections: Vec<(String, &SectionKind)> = vec![("supervisord".into(), SECTIONS[0])];
    for _ in 0..1 + dice.roll(5) {
        let kind = SECTIONS[1 + dice.roll(theirs - 1)];
        let name = dice.pick(&["a", "b", "c"]);
        let title = match kind.word {
            "include" | "supervisorctl" => kind.word.to_owned(),
            "unix_http_server" | "inet_http_server" if dice.one_in(2) => kind.word.to_owned(),
            word => format!("{word}:{name}"),
        };
        sections.push((title, kind));
    }
    let grouped = sections
        .iter()
        .any(|(title, _)| title.starts_with("group:"));
    for name in ["a", "b"] {
        if grouped
            && !sections
                .iter()
                .any(|(title, _)| title.ends_with(&format!("program:{name}")))
        {
            sections.push((format!("program:{name}"), SECTIONS[4]));
        }
    }
    let mut text = String::new();
    for (title, kind) in sections {
        text.push_str(&format!("[{title}]\n"));
        section(kind, oddity, &mut dice, &mut text);
        if dice.one_in(4) {
            text.push_str(dice.pick(&["\n", "; comment\n", "  # comment\n", "\t\n"]));
        }
    }
    if dice.one_in(5) {
        text = text.replace('\n', "\r\n");
    }
    text
}

fn section(kind: &SectionKind, oddity: usize, dice: &mut Dice, text: &mut String) {
    let indent = dice.pick(&["", "", "", "  "]);
    let several = kind.key("numprocs").is_some() && dice.one_in(4);
    for key in kind.keys() {
        let wanted = key.fallback == ward_config::keys::Fallback::Required
            && !(oddity > 0 && dice.one_in(20));
        let mut chance = 5;
        // What would make both differ on purpose, or is none of theirs.
        if key.ours {
            continue;
        }
        if kind.word == "fcgi-program" && key.name.starts_with("socket_") {
            chance = 12;
        }
        if ["username", "password", "redirect_stderr", "killasgroup"].contains(&key.name) {
            chance = 12;
        }
        if !wanted && !dice.one_in(chance) {
            continue;
        }
        let (right, perhaps_wrong) = values(key.kind);
        let odd = oddity > 0 && dice.one_in(oddity);
        let mut value = dice
            .pick(if odd { perhaps_wrong } else { right })
            .to_owned();
        match key.name {
            "numprocs" | "numprocs_start" | "process_name" if several => continue,
            "process_name" => value = "%(program_name)s-%(process_num)s".into(),
            "numprocs" if !odd => value = "1".into(),
            "numprocs" if value == "%(here)s" => {}
            "events" => {
                value = dice
                    .pick(&["EVENT", "tick_5,PROCESS_STATE", " process_log "])
                    .into();
            }
            "result_handler" => value = "supervisor.dispatchers:default_handler".into(),
            "buffer_size" if value.starts_with('0') && !odd => value = "5".into(),
            "socket_backlog" if !odd => value = "128".into(),
            _ => {}
        }
        let name = if dice.one_in(10) {
            key.name.to_uppercase()
        } else {
            key.name.to_owned()
        };
        let comment = if dice.one_in(12) { "  ; why" } else { "" };
        let delimiter = dice.pick(LAYOUT);
        text.push_str(&format!(
            "{indent}{name}{delimiter}{}{comment}\n",
            value.replace('\n', &format!("\n  {indent}"))
        ));
    }
    if several {
        let start = dice.roll(12);
        let count = 1 + dice.roll(12);
        text.push_str(&format!(
            "{indent}numprocs={count}\n{indent}numprocs_start={start}\n{indent}process_name={}\n",
            dice.pick(&[
                "%(program_name)s_%(process_num)02d",
                "%(group_name)s-%(process_num)d",
                "p%(process_num)s"
            ])
        ));
    }
}
