//! In which order the linker lays out the program's functions.
//!
//! A program is mapped from its file a few pages at a time, as it touches them. What a short run uses lies
//! scattered over 15 MiB of code, so that most of its page faults, and a tenth of the time from its start
//! to its exit, are spent on code around what it uses. The linker of x86-64 Linux takes a list of functions
//! to put first, side by side. This writes that list: it has short runs of the product executed step by
//! step, and notes which functions they reach, in the order of their first use.
//!
//! The names in the list hold for one version of the compiler and of the dependencies. What no longer
//! exists is passed over by the linker, so that an old list costs speed and nothing else.

use std::collections::HashSet;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::cargo;

/// Where the list is, from the workspace's root; the product's build script hands it to the linker.
const LIST: &str = "crates/cli/order.txt";

/// What is run, the most frequent first. `{}` is a directory that exists for this.
const RUNS: [&[&str]; 7] = [
    &["run", "--", "true"],
    &["lock", "xtask-order", "--", "true"],
    &["run", "--report", "{}/report.json", "--", "true"],
    &["lock", "xtask-order", "--exec", "--", "true"],
    &["run", "--timeout", "1h", "--", "true"],
    &["run", "--shell", "true"],
    &["--version"],
];

/// Writes the list anew.
pub(crate) fn write() -> Result<()> {
    let root = cargo::root()?;
    let scratch = root.join("target/order");
    fs::create_dir_all(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let map = scratch.join("map");
    // The build script asks the linker for it. The program is the one that is released in all else: with
    // other options the compiler calls functions by other names.
    let ward = cargo::build_with(
        "ward",
        &["--release", "--package", "ward"],
        &[("WARD_LINK_MAP", &map)],
    )?;
    let text = fs::read_to_string(&map).with_context(|| format!("reading {}", map.display()))?;
    let functions = Functions::of(&text)?;
    let (mut list, mut known) = (String::new(), HashSet::new());
    for run in RUNS {
        let words = run
            .iter()
            .map(|word| word.replace("{}", &scratch.to_string_lossy()))
            .collect::<Vec<_>>();
        for address in steps::reached(&ward, &words)? {
            for name in functions.at(address) {
                if known.insert(name) {
                    list.push_str(name);
                    list.push('\n');
                }
            }
        }
    }
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    fs::write(root.join(LIST), list).with_context(|| format!("writing {LIST}"))?;
    println!("{LIST}: {} functions", known.len());
    Ok(())
}

/// Every function of a program, by address.
struct Functions(Vec<(u64, String)>);

impl Functions {
    /// Those of a map as LLD writes it: columns of addresses, sizes and alignment, then names, of which
    /// those of symbols are indented most.
    fn of(map: &str) -> Result<Self> {
        const COLUMNS: usize = 4;
        const INDENT: usize = 16;
        let mut functions = map
            .lines()
            .filter_map(|line| {
                let mut rest = line;
                let mut address = 0;
                for column in 0..COLUMNS {
                    let (word, after) = rest.trim_start().split_once(' ')?;
                    if column == 0 {
                        address = u64::from_str_radix(word, 16).ok()?;
                    }
                    rest = after;
                }
                let name = rest.trim_start();
                (rest.len() - name.len() >= INDENT).then(|| (address, name.to_owned()))
            })
            .collect::<Vec<_>>();
        if functions.is_empty() {
            bail!("the linker's map names no functions");
        }
        functions.sort_by_key(|(address, _)| *address);
        Ok(Self(functions))
    }

    /// All names of the function that this address is in.
    fn at(&self, address: u64) -> impl Iterator<Item = &str> {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        let start = after.checked_sub(1).map(|last| self.0[last].0);
        self.0[..after]
            .iter()
            .rev()
            .take_while(move |(known, _)| Some(*known) == start)
            .map(|(_, name)| name.as_str())
    }
}

#[cfg(target_arch = "x86_64")]
mod steps {
    //! Executing a program step by step (ptrace(2)), and its halves after a fork, until they execute
    //! another program.

    use std::collections::HashSet;
    use std::path::Path;
    use std::process::Command;

    use anyhow::{Context, Result, bail};
    use nix::sys::ptrace::{self, Event, Options};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;

    /// Where programs without relocation are: what is above is the C library of the command.
    const END: u64 = 1 << 32;

    /// The addresses that `ward` with these arguments executes, each once, in the order of their first use.
    pub(super) fn reached(ward: &Path, words: &[String]) -> Result<Vec<u64>> {
        // Stopped before the exec, so that we can be there from its first instruction on.
        let mut shell = Command::new("sh")
            .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
            .arg(ward)
            .args(words)
            .spawn()
            .context("running sh")?;
        let first = Pid::from_raw(i32::try_from(shell.id())?);
        let (mut order, mut known) = (Vec::new(), HashSet::new());
        follow(first, &mut |address| {
            if address < END && known.insert(address) {
                order.push(address);
            }
        })
        .with_context(|| format!("executing ward {} step by step", words.join(" ")))?;
        // It has been waited for above, unless it became the command and was let go.
        let _ = shell.wait();
        if order.is_empty() {
            bail!("ward {} executed nothing", words.join(" "));
        }
        Ok(order)
    }

    fn follow(first: Pid, note: &mut dyn FnMut(u64)) -> Result<()> {
        waitpid(first, Some(WaitPidFlag::WUNTRACED))?;
        let options = Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(first, options)?;
        kill(first, Signal::SIGCONT)?;
        let (mut living, mut started) = (1_usize, false);
        while living > 0 {
            match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => living -= 1,
                WaitStatus::PtraceEvent(pid, _, event)
                    if event == Event::PTRACE_EVENT_EXEC as i32 =>
                {
                    if started {
                        ptrace::detach(pid, None)?;
                        living -= 1;
                    } else {
                        started = true;
                        ptrace::step(pid, None)?;
                    }
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    let makes = [
                        Event::PTRACE_EVENT_FORK,
                        Event::PTRACE_EVENT_VFORK,
                        Event::PTRACE_EVENT_CLONE,
                    ];
                    living += usize::from(makes.iter().any(|known| *known as i32 == event));
                    go_on(pid, started, None)?;
                }
                WaitStatus::Stopped(pid, Signal::SIGTRAP) => {
                    note(ptrace::getregs(pid)?.rip);
                    go_on(pid, started, None)?;
                }
                WaitStatus::Stopped(pid, signal) => go_on(pid, started, Some(signal))?,
                WaitStatus::PtraceSyscall(pid) => go_on(pid, started, None)?,
                WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
            }
        }
        Ok(())
    }

    /// The shell runs freely until it becomes the program.
    fn go_on(pid: Pid, started: bool, signal: Option<Signal>) -> Result<()> {
        if started {
            ptrace::step(pid, signal)?;
        } else {
            ptrace::cont(pid, signal)?;
        }
        Ok(())
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod steps {
    //! Only the linker of x86-64 takes the list.

    use std::path::Path;

    use anyhow::{Result, bail};

    pub(super) fn reached(_ward: &Path, _words: &[String]) -> Result<Vec<u64>> {
        bail!("the list is made, and used, on x86-64 only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_an_address_inside_with_all_their_names() {
        let map = "             VMA              LMA     Size Align Out     In      Symbol
          40ba80           40ba80       26    16         crt1.o:(.text)
          40ba80           40ba80       22     1                 _start
          40bab0           40bab0       10     1                 two words
          40bab0           40bab0       10     1                 an_alias
";
        let functions = Functions::of(map).unwrap();
        let at = |address| functions.at(address).collect::<Vec<_>>();
        assert_eq!(at(0x40_ba90), ["_start"]);
        assert_eq!(at(0x40_babf), ["an_alias", "two words"]);
        assert!(at(0x40_ba7f).is_empty());
        assert!(Functions::of("nothing").is_err());
    }
}
