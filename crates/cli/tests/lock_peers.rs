//! What becomes of a lock, and of the command under it, when things go wrong: `ward lock`, and,
//! measured in the same way, the other programs that run a command under a lock. Of those it is
//! known what they do; that it is found so says that the measuring is right.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::daemons::{Answer, Ask, Asked, Member};
use ward_testkit::patience::{LIMIT, wait_until};
use ward_testkit::processes::look;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Who, World};

/// The program under test.
const OURS: &str = "ward";

/// How long a lock is watched that is to stay held.
const A_WHILE: Duration = Duration::from_millis(150);

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Code(i32),
    Signal(i32),
}

/// Whether the lock could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    Held,
    Free,
}

/// Of a wrapper that was killed while the command works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next one waits for the command's end.
    Blocked,
    /// Two are inside.
    Enters,
    /// There is no wrapper: it became the command.
    SameProcess,
}

/// Of a wrapper that was told to end while the command works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It ended the command first, and then itself.
    Ended(End),
    /// The command goes on without it.
    Orphan(Lock),
    /// It became the command, which is told.
    SameProcess(End),
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// The command ends with 42.
    passed: End,
    /// The command is killed by KILL.
    killed: End,
    /// There is no such command.
    not_found: End,
    /// The lock is held, and it is not waited for.
    busy: End,
    /// The wrapper is killed by KILL.
    wrapper_killed: Next,
    /// The wrapper is sent TERM.
    wrapper_told: Told,
    /// The command has ended and left a child that knows nothing of the lock.
    child_left: Lock,
}

/// A way to run a command under a lock.
struct Tool {
    name: &'static str,
    /// None is the world's own ward.
    program: Option<PathBuf>,
    words: Vec<String>,
    /// The words of one that does not wait.
    at_once: Vec<String>,
    known: Line,
}

impl Tool {
    fn run(&self, world: &World, script: &str) -> anyhow::Result<Asked> {
        self.ask(world, &self.words)
            .words(["/bin/sh", "-c", script, world.mark()])
            .start()
    }

    fn ask<'w>(&self, world: &'w World, words: &[String]) -> Ask<'w> {
        // Each world has a file of its own.
        let place = |word: &String| match word.as_str() {
            "LOCK" => text(world.path("lock")),
            word => word.to_owned(),
        };
        let program = self.program.as_deref().unwrap_or(world.ward_program());
        Ask::of(world, Who::Myself, program.as_os_str())
            .variable("WARD_LOCK_DIR", world.path("locks"))
            .variable("WARD_LOCKS_HELD", "")
            .words(words.iter().map(place))
    }

    /// Somebody else who does not want to wait.
    fn another(&self, world: &World) -> anyhow::Result<Answer> {
        self.ask(world, &self.at_once)
            .words(["/bin/sh", "-c", "exit 0", world.mark()])
            .answer()
    }

    /// Whether the lock can be had: now, or, where it should be, soon.
    fn lock(&self, world: &World, expected: Lock) -> anyhow::Result<Lock> {
        let started = Instant::now();
        let patience = match expected {
            Lock::Held => A_WHILE,
            Lock::Free => LIMIT,
        };
        loop {
            let answer = self.another(world)?;
            if end(&answer) == End::Code(0) {
                return Ok(Lock::Free);
            }
            ensure!(end(&answer) == self.known.busy, "{answer:#?}");
            if started.elapsed() > patience {
                return Ok(Lock::Held);
            }
        }
    }

    fn measured(&self) -> anyhow::Result<Line> {
        Ok(Line {
            passed: self.ends("exit 42")?,
            killed: self.ends("kill -KILL $$")?,
            not_found: self.not_found()?,
            busy: self.busy()?,
            wrapper_killed: self.wrapper_killed()?,
            wrapper_told: self.wrapper_told()?,
            child_left: self.child_left()?,
        })
    }

    fn ends(&self, script: &str) -> anyhow::Result<End> {
        let world = world!()?;
        let answer = self.run(&world, script)?.answer()?;
        self.is_free_at_last(&world)?;
        Ok(end(&answer))
    }

    fn not_found(&self) -> anyhow::Result<End> {
        let world = world!()?;
        let missing = text(world.path("no-such-program"));
        let answer = self.ask(&world, &self.words).words([missing]).answer()?;
        self.is_free_at_last(&world)?;
        Ok(end(&answer))
    }

    fn busy(&self) -> anyhow::Result<End> {
        let world = world!()?;
        let first = self.run(&world, &format!("{} {}", sign(&world), gated(&world)))?;
        signed(&world)?;
        let answer = self.another(&world)?;
        open(&world)?;
        ensure!(end(&first.answer()?) == End::Code(0));
        self.is_free_at_last(&world)?;
        Ok(end(&answer))
    }

    fn wrapper_killed(&self) -> anyhow::Result<Next> {
        let world = world!()?;
        let script = format!("trap '' TERM HUP; {} {}", sign(&world), gated(&world));
        let mut wrapper = self.run(&world, &script)?;
        let command = signed(&world)?;
        if command.pid == wrapper.pid() {
            return Ok(Next::SameProcess);
        }
        wrapper.signal(Signal::KILL)?;
        wait_until("the wrapper's end", || wrapper.is_over())?;
        let expected = match self.known.wrapper_killed {
            Next::Blocked => Lock::Held,
            Next::Enters | Next::SameProcess => Lock::Free,
        };
        let lock = self.lock(&world, expected)?;
        ensure!(command.is_alive(), "it should go on until the gate opens");
        open(&world)?;
        wait_until("the command's end", || !command.is_alive())?;
        wrapper.answer()?;
        self.is_free_at_last(&world)?;
        Ok(match lock {
            Lock::Held => Next::Blocked,
            Lock::Free => Next::Enters,
        })
    }

    fn wrapper_told(&self) -> anyhow::Result<Told> {
        let world = world!()?;
        let over = world.path("over");
        let script = format!("{} {} : >{}", sign(&world), gated(&world), text(&over));
        let mut wrapper = self.run(&world, &script)?;
        let command = signed(&world)?;
        let same = command.pid == wrapper.pid();
        wrapper.signal(Signal::TERM)?;
        wait_until("the wrapper's end", || wrapper.is_over())?;
        let expected = match self.known.wrapper_told {
            Told::Orphan(lock) => lock,
            Told::Ended(_) | Told::SameProcess(_) => Lock::Free,
        };
        let lock = self.lock(&world, expected)?;
        // Only who still lives comes to its end by itself.
        open(&world)?;
        wait_until("the command's end", || !command.is_alive())?;
        let answer = wrapper.answer()?;
        self.is_free_at_last(&world)?;
        Ok(match (same, over.exists()) {
            (true, _) => Told::SameProcess(end(&answer)),
            (false, true) => Told::Orphan(lock),
            (false, false) => Told::Ended(end(&answer)),
        })
    }

    fn child_left(&self) -> anyhow::Result<Lock> {
        let world = world!()?;
        let script = format!(
            "({}) </dev/null >/dev/null 2>&1 & {} exit 0",
            gated(&world),
            sign(&world)
        );
        let wrapper = self.run(&world, &script)?;
        let pid = sign_of(&world)?;
        wait_until("the command's end", || {
            look(pid).is_none_or(|seen| seen.is_zombie())
        })?;
        let lock = self.lock(&world, self.known.child_left)?;
        open(&world)?;
        ensure!(end(&wrapper.answer()?) == End::Code(0));
        self.is_free_at_last(&world)?;
        Ok(lock)
    }

    fn is_free_at_last(&self, world: &World) -> anyhow::Result<()> {
        ensure!(self.lock(world, Lock::Free)? == Lock::Free, "it stays held");
        Ok(())
    }
}

fn end(answer: &Answer) -> End {
    match answer.status.signal() {
        Some(signal) => End::Signal(signal),
        None => End::Code(answer.code()),
    }
}

/// For a shell: to wait until the gate is opened.
fn gated(world: &World) -> String {
    let gate = text(world.path("gate"));
    format!("n=0; while [ ! -e {gate} ] && [ $n -lt 4000 ]; do n=$((n+1)); sleep 0.02; done;")
}

fn open(world: &World) -> anyhow::Result<()> {
    Ok(fs::write(world.path("gate"), "")?)
}

/// For a shell: to say that it is there.
fn sign(world: &World) -> String {
    let file = text(world.path("command"));
    format!("echo $$ >{file}.new; mv {file}.new {file};")
}

/// The number of the command, which may have ended.
fn sign_of(world: &World) -> anyhow::Result<i32> {
    wait_until("the command", || world.path("command").exists())?;
    let number = fs::read_to_string(world.path("command"))?;
    Ok(number.trim().parse()?)
}

fn signed(world: &World) -> anyhow::Result<Member> {
    Member::now(sign_of(world)?)
}

/// A program of that name, if there is one, and what is known of it.
fn tool(name: &'static str, words: &[&str], at_once: &[&str], known: Line) -> Option<Tool> {
    let owned = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
    let program = in_path(words[0]);
    if program.is_none() && words[0] != OURS {
        skipped(name, "it is not installed");
        return None;
    }
    Some(Tool {
        name,
        program: program.filter(|_| words[0] != OURS),
        words: owned(&words[1..]),
        at_once: owned(&at_once[1..]),
        known,
    })
}

/// What is right in every column.
fn right() -> Line {
    Line {
        passed: End::Code(42),
        killed: End::Code(128 + 9),
        not_found: End::Code(127),
        busy: End::Code(122),
        wrapper_killed: Next::Blocked,
        wrapper_told: Told::Ended(End::Code(123)),
        child_left: Lock::Free,
    }
}

/// Where there is no wrapper, of which this may be asked for.
fn without_wrapper() -> Line {
    Line {
        killed: End::Signal(9),
        wrapper_killed: Next::SameProcess,
        wrapper_told: Told::SameProcess(End::Signal(15)),
        child_left: Lock::Held,
        ..right()
    }
}

/// `ward lock`, in each of its ways.
fn ours() -> Vec<Tool> {
    const AT_ONCE: [&str; 4] = [OURS, "lock", "it", "--no-wait"];
    // Time enough for those who take their time to be seen.
    let patient = ["--grace", "50s", "--leftover-grace", "50s", "--"];
    let words = |options: &[&'static str]| [&[OURS, "lock", "it"], options].concat();
    let tree = Line {
        child_left: Lock::Held,
        ..right()
    };
    [
        tool("ward lock", &words(&patient), &AT_ONCE, right()),
        tool(
            "ward lock --hold tree",
            &words(&[&["--hold", "tree"], &patient[..]].concat()),
            &AT_ONCE,
            tree,
        ),
        tool(
            "ward lock --exec",
            &words(&["--exec", "--"]),
            &AT_ONCE,
            without_wrapper(),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The others, as they are known.
fn peers() -> Vec<Tool> {
    let flock = Line {
        not_found: End::Code(69),
        busy: End::Code(1),
        wrapper_told: Told::Orphan(Lock::Held),
        child_left: Lock::Held,
        ..right()
    };
    let flock_closing = Line {
        not_found: End::Code(69),
        busy: End::Code(1),
        wrapper_killed: Next::Enters,
        wrapper_told: Told::Orphan(Lock::Free),
        ..right()
    };
    let flock_without_wrapper = Line {
        not_found: End::Code(69),
        busy: End::Code(1),
        ..without_wrapper()
    };
    let setlock = Line {
        not_found: End::Code(111),
        busy: End::Code(111),
        ..without_wrapper()
    };
    let lckdo = Line {
        killed: End::Code(70),
        not_found: End::Code(71),
        busy: End::Code(75),
        wrapper_killed: Next::Enters,
        wrapper_told: Told::Orphan(Lock::Free),
        ..right()
    };
    let sem = Line {
        busy: End::Code(1),
        wrapper_killed: Next::Enters,
        wrapper_told: Told::Ended(End::Code(255)),
        ..right()
    };
    let semaphore = ["sem", "--will-cite", "--fg", "--id", "it"];
    let words = |more: &[&'static str]| [&semaphore[..], more, &["-q"]].concat();
    [
        tool("flock", &["flock", "LOCK"], &["flock", "-n", "LOCK"], flock),
        tool(
            "flock -o",
            &["flock", "-o", "LOCK"],
            &["flock", "-o", "-n", "LOCK"],
            flock_closing,
        ),
        tool(
            "flock -F",
            &["flock", "-F", "LOCK"],
            &["flock", "-F", "-n", "LOCK"],
            flock_without_wrapper,
        ),
        tool(
            "setlock",
            &["setlock", "LOCK"],
            &["setlock", "-n", "LOCK"],
            setlock,
        ),
        tool("lckdo", &["lckdo", "-w", "LOCK"], &["lckdo", "LOCK"], lckdo),
        tool("sem --fg", &words(&[]), &words(&["--st", "-1"]), sem),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn when_things_go_wrong() -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for tool in ours().into_iter().chain(peers()) {
        let measured = tool.measured().context(tool.name)?;
        if measured != tool.known {
            wrong.push(format!(
                "{}: {measured:#?}, not {:#?}",
                tool.name, tool.known
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
