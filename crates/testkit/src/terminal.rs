//! A person at a pseudo-terminal: types, reads, waits for what should appear.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetpgrp, tcsetwinsize};

use crate::patience::{wait_for, wait_until};
use crate::world::{Who, World};

/// What the keyboard sends for Control-C.
pub const INTERRUPT: &str = "\x03";
/// What the keyboard sends for Control-Z.
pub const SUSPEND: &str = "\x1a";
/// What the keyboard sends for Control-\.
pub const QUIT: &str = "\x1c";
/// What the keyboard sends for Control-D.
pub const END_OF_FILE: &str = "\x04";

/// The prompt of [`Terminal::bash`].
const PROMPT: &str = "<prompt>";

/// A terminal, and the program that was started in a session of its own on it.
pub struct Terminal {
    master: Option<File>,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    hung_up: Arc<AtomicBool>,
    /// Up to where [`Terminal::expect`] has looked.
    read: usize,
}

impl Terminal {
    /// Starts a command on a new terminal.
    ///
    /// # Errors
    /// When there is no terminal to be had.
    pub fn start(world: &World, command: &[&str]) -> anyhow::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let device = ptsname(&master, Vec::new())?.into_string()?;
        tcsetwinsize(
            &master,
            Winsize {
                ws_row: 50,
                ws_col: 500,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )?;

        let mut starter = world.command_as(Who::Myself, world.hostile_program());
        starter
            .args(["on-terminal", &device, "--"])
            .args(command)
            .env("PS1", PROMPT)
            .env("TERM", "dumb");
        // Reading fails as long as nobody has the terminal open, so somebody has.
        let slave = rustix::fs::open(
            device.as_str(),
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let child = starter.spawn().context("starting on a terminal")?;

        let master = File::from(master);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let hung_up = Arc::new(AtomicBool::new(false));
        let reader = {
            let (screen, sink, hung_up) = (
                master.try_clone()?,
                Arc::clone(&shown),
                Arc::clone(&hung_up),
            );
            std::thread::spawn(move || watch(screen, &sink, &hung_up))
        };
        let pid = child.id();
        wait_until("the terminal to be taken", || {
            std::fs::read_link(format!("/proc/{pid}/fd/0"))
                .is_ok_and(|link| link == Path::new(&device))
                && std::fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| !crate::run::contains(&line, "on-terminal"))
        })?;
        drop(slave);
        Ok(Self {
            master: Some(master),
            child,
            shown,
            reader: Some(reader),
            hung_up,
            read: 0,
        })
    }

    /// Starts an interactive bash with job control, and waits for its prompt.
    ///
    /// # Errors
    /// When that fails.
    pub fn bash(world: &World) -> anyhow::Result<Self> {
        let mut terminal = Self::start(world, &["bash", "--norc", "--noprofile", "-i"])?;
        terminal.expect(PROMPT)?;
        Ok(terminal)
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn send(&mut self, keys: &str) -> anyhow::Result<()> {
        let master = self.master.as_mut().context("hung up")?;
        master
            .write_all(keys.as_bytes())
            .with_context(|| format!("typing {keys:?}"))
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.send(&format!("{line}\r"))
    }

    /// Waits until `text` appears after what was expected before, and gives what appeared
    /// until then. What is typed appears too, so expect what was not typed.
    ///
    /// # Errors
    /// When it does not appear.
    pub fn expect(&mut self, text: &str) -> anyhow::Result<String> {
        let from = self.read;
        let shown = &self.shown;
        let end = wait_for(&format!("`{text}` on the terminal"), || {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let at = shown[from..]
                .windows(text.len())
                .position(|part| part == text.as_bytes())?;
            Some(from + at + text.len())
        })
        .with_context(|| format!("shown: {:?}", self.shown()))?;
        self.read = end;
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(String::from_utf8_lossy(&shown[from..end]).into_owned())
    }

    /// Waits for the next prompt of [`Terminal::bash`], and gives what appeared until then.
    ///
    /// # Errors
    /// When there is none.
    pub fn prompt(&mut self) -> anyhow::Result<String> {
        self.expect(PROMPT)
    }

    /// Types a line into bash and gives what appeared between it and the next prompt.
    ///
    /// # Errors
    /// When no prompt follows.
    pub fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.line(line)?;
        self.expect("\n")?;
        let answer = self.prompt()?;
        Ok(answer.trim_end_matches(PROMPT).trim().to_owned())
    }

    /// Everything that appeared so far.
    #[must_use]
    pub fn shown(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// The process that was started on the terminal.
    #[must_use]
    pub fn leader(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The process group that the terminal's keys go to.
    ///
    /// # Errors
    /// When there is none.
    pub fn foreground(&self) -> anyhow::Result<i32> {
        let master = self.master.as_ref().context("hung up")?;
        Ok(tcgetpgrp(master)?.as_raw_nonzero().get())
    }

    /// Changes the size of the window.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) -> anyhow::Result<()> {
        let master = self.master.as_ref().context("hung up")?;
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(master, size)?)
    }

    /// Closes the window: the kernel hangs up on everybody who is on the terminal.
    pub fn hang_up(&mut self) {
        self.hung_up.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            // It has its own descriptor for the terminal, which must be closed as well.
            let _ = reader.join();
        }
        self.master = None;
    }

    /// Waits for the end of the program that was started.
    ///
    /// # Errors
    /// When it does not end.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let child = &mut self.child;
        let status = wait_for("the end of the session", || child.try_wait().ok().flatten());
        status.with_context(|| format!("shown: {:?}", self.shown()))
    }
}

fn watch(mut screen: File, sink: &Mutex<Vec<u8>>, hung_up: &AtomicBool) {
    let mut buffer = [0; 4096];
    let a_moment = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    while !hung_up.load(Ordering::Relaxed) {
        match poll(&mut [PollFd::new(&screen, PollFlags::IN)], Some(&a_moment)) {
            Ok(0) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        match screen.read(&mut buffer) {
            Ok(count @ 1..) => sink
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&buffer[..count]),
            // Nobody has the terminal open any more.
            Ok(0) | Err(_) => return,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.hang_up();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
