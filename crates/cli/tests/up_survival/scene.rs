//! `ward up` in the directory of a test, its two processes, and their deaths.

use std::cell::RefCell;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::{Seen, look, start_ticks, variable};
use ward_testkit::supervisor::daemon::Daemon;
use ward_testkit::supervisor::stage::Stage;

use crate::Result;

/// Whom to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Daemon,
    Keeper,
    /// And then `ward up` again.
    Both,
}

pub(crate) const ALL: [Victim; 3] = [Victim::Daemon, Victim::Keeper, Victim::Both];

/// Keeper and daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) keeper: i32,
    pub(crate) daemon: i32,
}

pub(crate) struct Scene<'s> {
    stage: &'s Stage<'s>,
    /// By its socket, whoever answers there.
    pub(crate) d: Daemon<'s>,
    started: RefCell<Vec<Daemon<'s>>>,
}

pub(crate) fn kill(pid: i32) -> Result {
    send(pid, Signal::KILL)
}

pub(crate) fn send(pid: i32, signal: Signal) -> Result {
    kill_process(Pid::from_raw(pid).context("no process")?, signal)
        .with_context(|| format!("{signal:?} to {pid}"))
}

impl<'s> Scene<'s> {
    /// Starts it with the usual head and `rest`.
    pub(crate) fn start(stage: &'s Stage<'s>, rest: &str) -> Result<Self> {
        Self::of(stage, stage.start(rest)?)
    }

    /// With the configuration that is there.
    pub(crate) fn start_configured(stage: &'s Stage<'s>) -> Result<Self> {
        Self::of(stage, stage.start_again(&[])?)
    }

    /// One that a test has started in its own way.
    pub(crate) fn of(stage: &'s Stage<'s>, daemon: Daemon<'s>) -> Result<Self> {
        Ok(Self {
            stage,
            d: Daemon::found(stage),
            started: RefCell::new(vec![daemon]),
        })
    }

    fn in_role(&self, words: &[&str]) -> Vec<Seen> {
        let mut found = self.stage.everybody();
        found.retain(|seen| {
            let role = variable(seen.pid, "WARD_ROLE").unwrap_or_default();
            !seen.is_zombie() && words.iter().any(|word| role.starts_with(word))
        });
        // A program that is just being started looks like who starts it, and is younger.
        found.sort_by_key(|seen| (start_ticks(seen.pid), seen.pid));
        found
    }

    /// Both, once both are there and nobody of `except`.
    pub(crate) fn pair_but(&self, except: &[i32]) -> Result<Pair> {
        wait_for("keeper and daemon", || {
            let keeper = self.in_role(&["keeper:", "again:"]).first()?.pid;
            let daemons = self.in_role(&["daemon:"]);
            let daemon = daemons.iter().find(|seen| seen.ppid == keeper)?.pid;
            let is_new = !except.contains(&keeper) && !except.contains(&daemon);
            is_new.then_some(Pair { keeper, daemon })
        })
        .with_context(|| format!("{:#?}", self.stage.everybody()))
    }

    pub(crate) fn pair(&self) -> Result<Pair> {
        self.pair_but(&[])
    }

    /// Kills; where both are, starts again. Returns once others answer in their place.
    pub(crate) fn strike(&self, victim: Victim) -> Result<Pair> {
        let before = self.fell(victim)?;
        self.recover(before, victim)
    }

    /// Kills, and does not wait.
    pub(crate) fn fell(&self, victim: Victim) -> Result<Pair> {
        self.fell_of(self.pair()?, victim)
    }

    /// Kills of these two, and does not wait.
    pub(crate) fn fell_of(&self, before: Pair, victim: Victim) -> Result<Pair> {
        match victim {
            Victim::Daemon => kill(before.daemon)?,
            Victim::Keeper => kill(before.keeper)?,
            Victim::Both => {
                // Standing still it cannot take the keeper's place.
                send(before.daemon, Signal::STOP)?;
                kill(before.keeper)?;
                kill(before.daemon)?;
                let gone = |pid| look(pid).is_none_or(|seen| seen.is_zombie());
                wait_until("both to be gone", || {
                    gone(before.keeper) && gone(before.daemon)
                })?;
            }
        }
        Ok(before)
    }

    pub(crate) fn recover(&self, before: Pair, victim: Victim) -> Result<Pair> {
        let after = match victim {
            Victim::Daemon => {
                let after = self.pair_but(&[before.daemon])?;
                ensure!(after.keeper == before.keeper, "{before:?} {after:?}");
                after
            }
            Victim::Keeper => {
                let after = self.pair_but(&[before.keeper])?;
                ensure!(after.keeper == before.daemon, "{before:?} {after:?}");
                after
            }
            Victim::Both => {
                let again = self.stage.start_again(&[])?;
                self.started.borrow_mut().push(again);
                self.pair_but(&[before.keeper, before.daemon])?
            }
        };
        self.answers()?;
        Ok(after)
    }

    fn answers(&self) -> Result {
        wait_until("an answer", || {
            self.d.call("system.listMethods", &json!([])).is_ok()
        })
    }

    /// What `getAllProcessInfo` says; asked again of the next daemon when one dies over it.
    pub(crate) fn all(&self) -> Result<Vec<Value>> {
        let all = wait_for("an answer", || {
            self.d.sv("getAllProcessInfo", &json!([])).ok()
        })?;
        Ok(all.as_array().context("no list")?.clone())
    }

    /// Waits until each of all programs is in a state; gives what is said then.
    pub(crate) fn await_all(&self, state: &str) -> Result<Vec<Value>> {
        let mut last = Vec::new();
        wait_until(&format!("all {state}"), || {
            last = self.all().unwrap_or_default();
            !last.is_empty() && last.iter().all(|info| info["statename"] == state)
        })
        .with_context(|| {
            let mut others = last.clone();
            others.retain(|info| info["statename"] != state);
            format!("{others:#?}")
        })?;
        Ok(last)
    }

    pub(crate) fn await_state(&self, name: &str, state: &str) -> Result<Value> {
        self.d.await_state(name, state)
    }

    /// The complaints of those that were started.
    pub(crate) fn complaints(&self) -> String {
        let started = self.started.borrow();
        started.iter().map(Daemon::complaints).collect()
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.complaints());
        }
    }
}
