//! A program that misbehaves on command.
//!
//! `hostile [--mark=TOKEN] [--roll=FILE] [--life=SECONDS] [--status=N] MOOD [ARGUMENT…]`
//!
//! | mood | what it does |
//! |---|---|
//! | `linger` | waits, and dies of any signal |
//! | `ignore-term` | waits, and takes no notice of TERM, INT, HUP and QUIT |
//! | `fork-on-term` | takes each TERM as a reason to have three more children like itself |
//! | `count-signals FILE SECONDS` | writes the name of each stop signal to FILE; ends 0 that long after the first |
//! | `cleanup SECONDS FILE` | on TERM prints START, goes on printing, prints END, writes FILE, ends 0 |
//! | `stop-self` | stops itself with STOP |
//! | `daemonize` | leaves a child of a child in a session of its own, and ends |
//! | `hold-pipe` | leaves a child that holds stdout and stderr, and ends |
//! | `close-and-stay` | closes every descriptor, and waits |
//! | `wipe-environ` | starts itself again with an empty environment, and waits |
//! | `undumpable` | closes its `/proc` entry to its own user, and waits |
//! | `change-user` | becomes `nobody` where it may, and waits |
//! | `sleepers N` | leaves N daemons, and ends |
//! | `mixed-tree N` | a tree of N processes that left it in every known way; the first one waits |
//! | `mixed-tree N leave` | the same; the first one ends |
//! | `fork-storm N SECONDS` | N chains of processes that each start the next one and end; the first one ends |
//! | `fork-storm N SECONDS stay` | the same; the first one waits |
//! | `flood BYTES` | writes as fast as it can (0: for ever) |
//! | `numbered-lines N` | prints N lines with their numbers (0: for ever) |
//! | `numbered-lines N MILLISECONDS` | the same, slowly |
//! | `both-streams N` | prints lines 1 to N to stdout and stderr in turn, each in one write |
//! | `random-bytes SEED OUT ERR` | writes that many of [`noise::random_bytes`] to stdout and stderr |
//! | `spared-writer FILE` | leaves a child with `BUILD_ID=dontKillMe` that writes to stdout for ever and counts in FILE |
//!
//! Two more are not moods but doors: `enter` (into a cgroup and a user, then exec) and
//! `on-terminal` (into a session with a terminal, then exec).
//!
//! Every process keeps `--mark=TOKEN` in its arguments, whatever becomes of its environment,
//! its session or its user; adds a line with its number to the roll when it is where its mood
//! wants it; and ends by itself when its life is over (at most [`LONGEST_LIFE`]).

mod body;
mod doors;
mod escapes;
pub mod noise;
mod stubborn;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use body::Body;

/// No hostile process lives longer, whatever else fails.
pub const LONGEST_LIFE: Duration = Duration::from_secs(120);

/// A Python program, since it takes another language to do this: its first thread ends, and
/// the process lives on in a second one, looking like a zombie. It signs the roll that is its
/// first argument.
pub const WITHOUT_ITS_FIRST_THREAD: &str = "\
import ctypes, os, sys, threading, time
def stay():
    with open('/proc/self/stat') as stat:
        while stat.read().rsplit(') ', 1)[1][0] != 'Z':
            stat.seek(0)
    with open(sys.argv[1], 'a') as roll:
        roll.write('%d\\n' % os.getpid())
    time.sleep(100)
threading.Thread(target=stay).start()
ctypes.CDLL(None).pthread_exit(None)
";

/// What a hostile process ends with when its arguments make no sense, or the system refuses
/// what its mood needs: nothing that a test expects.
const CONFUSED: u8 = 70;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = Body::new(arguments).and_then(|(body, mood)| live(&body, &mood));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hostile: {error:#}");
            ExitCode::from(CONFUSED)
        }
    }
}

fn live(body: &Body, mood: &[OsString]) -> anyhow::Result<ExitCode> {
    let texts: Vec<&str> = mood.iter().map_while(|text| text.to_str()).collect();
    match texts.as_slice() {
        ["linger"] => body.stay(),
        ["ignore-term"] => stubborn::ignore_term(body),
        ["fork-on-term"] => stubborn::fork_on_term(body, 0),
        ["fork-on-term", generation] => stubborn::fork_on_term(body, generation.parse()?),
        ["count-signals", file, seconds] => {
            stubborn::count_signals(body, file.as_ref(), seconds.parse()?)
        }
        ["cleanup", seconds, file] => stubborn::clean_up(body, seconds.parse()?, file.as_ref()),
        ["stop-self"] => stubborn::stop_self(body),
        ["minder", pid] => stubborn::mind(body, pid.parse()?),
        ["daemonize"] => escapes::daemonize(body),
        ["hold-pipe"] => escapes::hold_pipe(body),
        ["close-and-stay"] => escapes::close_and_stay(body),
        ["wipe-environ"] => escapes::wipe_environ(body),
        ["undumpable"] => escapes::undumpable(body),
        ["change-user"] => escapes::change_user(body),
        ["sleepers", count] => escapes::sleepers(body, count.parse()?),
        ["mixed-tree", count] => escapes::mixed_tree(body, count.parse()?, false),
        ["mixed-tree", count, "leave"] => escapes::mixed_tree(body, count.parse()?, true),
        ["node", index, count, escape] => {
            escapes::node(body, index.parse()?, count.parse()?, escape.parse()?)
        }
        ["stepping-stone", escape, next @ ..] => {
            escapes::stepping_stone(body, escape.parse()?, next)
        }
        ["fork-storm", chains, seconds] => {
            escapes::fork_storm(body, chains.parse()?, seconds.parse()?, false)
        }
        ["fork-storm", chains, seconds, "stay"] => {
            escapes::fork_storm(body, chains.parse()?, seconds.parse()?, true)
        }
        ["link", links] => escapes::link(body, links.parse()?),
        ["flood", bytes] => noise::flood(body, bytes.parse()?),
        ["numbered-lines", count] => noise::numbered_lines(body, count.parse()?, None),
        ["numbered-lines", count, pause] => {
            noise::numbered_lines(body, count.parse()?, Some(pause.parse()?))
        }
        ["both-streams", count] => noise::both_streams(body, count.parse()?),
        ["random-bytes", seed, out, err] => {
            noise::write_random_bytes(body, seed.parse()?, out.parse()?, err.parse()?)
        }
        ["spared-writer", file] => noise::spared_writer(body, file.as_ref()),
        ["beat", file] => noise::beat(body, file.as_ref()),
        ["enter", ..] => doors::enter(&mood[1..]),
        ["on-terminal", ..] => doors::on_terminal(&mood[1..]),
        _ => anyhow::bail!("no such mood: {mood:?}"),
    }
}
