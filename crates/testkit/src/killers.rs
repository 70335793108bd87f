//! Stand-ins for those who end what a build left behind: build servers and logins.
//!
//! Each does what the real one does, to whom, in which order and with which pauses; what was
//! read in their sources is in the comments. Only one thing is different: nobody is touched
//! who does not belong to the [`World`] of the test, whatever the rule says.
//!
//! The pauses are the real ones' own polling. They end when what they wait for has happened,
//! except where the real one waits in vain too; so that this costs little, the caller says for
//! how long.

use std::collections::HashMap;
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::patience::wait_for_within;
use crate::processes::{all, look};
use crate::terminal::Terminal;
use crate::world::World;

/// A variable that a build server gives to what it starts.
pub type Variable = (&'static str, String);

/// One build of a Jenkins freestyle project. Its values contain the mark of the world, so that
/// no real build has the same.
#[derive(Debug, Clone)]
pub struct FreestyleBuild {
    mark: String,
    number: u32,
}

impl FreestyleBuild {
    /// Build `number` in this world.
    #[must_use]
    pub fn new(world: &World, number: u32) -> Self {
        let mark = world.mark().to_owned();
        Self { mark, number }
    }

    /// The seven variables that say which build a process belongs to: at the end of a build
    /// only who has all of them, unchanged, is ended.
    #[must_use]
    pub fn characteristic(&self) -> Vec<Variable> {
        let (mark, number) = (&self.mark, self.number);
        vec![
            ("JENKINS_SERVER_COOKIE", format!("server-{mark}")),
            ("HUDSON_SERVER_COOKIE", format!("server-{mark}")),
            ("JOB_NAME", format!("folder/{mark}")),
            ("JOB_BASE_NAME", mark.clone()),
            ("BUILD_NUMBER", number.to_string()),
            ("BUILD_ID", number.to_string()),
            ("BUILD_TAG", format!("jenkins-folder-{mark}-{number}")),
        ]
    }

    /// The variable that each step gets anew.
    #[must_use]
    pub fn step_cookie(&self) -> Variable {
        ("HUDSON_COOKIE", format!("step-{}", self.mark))
    }

    /// Everything that a step of this build finds in its environment, as far as it matters.
    #[must_use]
    pub fn environment(&self) -> Vec<Variable> {
        let mut variables = self.characteristic();
        variables.push(self.step_cookie());
        variables.push((
            "BUILD_URL",
            format!("http://jenkins.invalid/job/x/{}/", self.number),
        ));
        variables.push(("JENKINS_URL", "http://jenkins.invalid/".to_owned()));
        variables
    }

    /// The body of the build has returned, whatever its result.
    ///
    /// One reading of `/proc`; everybody whose environment has all seven variables is told to
    /// end, children first, each tree with `soft` seconds of its own (5 in Jenkins). Nobody is
    /// ever killed, and nobody who is born meanwhile is seen.
    ///
    /// Says whom it told.
    #[must_use]
    pub fn end(&self, world: &World, soft: Duration) -> Vec<i32> {
        let mut jenkins = ProcessTree::snapshot(world);
        jenkins.kill_matching(&self.characteristic(), soft);
        jenkins.told
    }

    /// The step is aborted: by a person, or because its time is over.
    ///
    /// One reading of `/proc`; first the process that was launched and its descendants, children
    /// first; then everybody who has the step's cookie. The build's other variables are not
    /// looked at.
    ///
    /// Says whom it told.
    #[must_use]
    pub fn abort_step(&self, world: &World, launched: &mut Child, soft: Duration) -> Vec<i32> {
        let mut jenkins = ProcessTree::snapshot(world);
        jenkins.launched = Some(launched);
        let pid = jenkins.launched_pid();
        jenkins.kill_recursively(pid, Instant::now() + soft);
        jenkins.kill_matching(&[self.step_cookie()], soft);
        jenkins.told
    }
}

/// A node block of a Jenkins pipeline, with a step in it.
#[derive(Debug, Clone)]
pub struct PipelineNode {
    mark: String,
}

impl PipelineNode {
    /// A node block in this world.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let mark = world.mark().to_owned();
        Self { mark }
    }

    /// What a step of it finds in its environment. The cookie of the server is replaced by one
    /// of the workspace, so that the end of a freestyle build does not concern it.
    #[must_use]
    pub fn environment(&self) -> Vec<Variable> {
        vec![self.step_cookie(), self.node_cookie()]
    }

    fn step_cookie(&self) -> Variable {
        ("JENKINS_SERVER_COOKIE", format!("durable-{}", self.mark))
    }

    fn node_cookie(&self) -> Variable {
        ("JENKINS_NODE_COOKIE", format!("node-{}", self.mark))
    }

    /// A step is stopped. Says whom it told.
    #[must_use]
    pub fn stop_step(&self, world: &World, soft: Duration) -> Vec<i32> {
        let mut jenkins = ProcessTree::snapshot(world);
        jenkins.kill_matching(&[self.step_cookie()], soft);
        jenkins.told
    }

    /// The node block ends. Says whom it told.
    #[must_use]
    pub fn end(&self, world: &World, soft: Duration) -> Vec<i32> {
        let mut jenkins = ProcessTree::snapshot(world);
        jenkins.kill_matching(&[self.node_cookie()], soft);
        jenkins.told
    }
}

/// The longest pause between two looks at a process.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Jenkins' view of the processes: one reading, never repeated.
struct ProcessTree<'w> {
    world: &'w World,
    pids: Vec<i32>,
    children: HashMap<i32, Vec<i32>>,
    told: Vec<i32>,
    /// Jenkins' own child, which a thread of Jenkins reaps.
    launched: Option<&'w mut Child>,
}

impl<'w> ProcessTree<'w> {
    fn snapshot(world: &'w World) -> Self {
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        let mut pids = Vec::new();
        for seen in all().into_iter().filter_map(look) {
            pids.push(seen.pid);
            children.entry(seen.ppid).or_default().push(seen.pid);
        }
        Self {
            world,
            pids,
            children,
            told: Vec::new(),
            launched: None,
        }
    }

    fn launched_pid(&self) -> i32 {
        let child = self.launched.as_ref();
        child.map_or(0, |child| child.id().cast_signed())
    }

    fn kill_matching(&mut self, model: &[Variable], soft: Duration) {
        for pid in self.pids.clone() {
            if has_all(pid, model) {
                self.kill_recursively(pid, Instant::now() + soft);
            }
        }
    }

    fn kill_recursively(&mut self, pid: i32, deadline: Instant) {
        for child in self.children.get(&pid).cloned().unwrap_or_default() {
            self.kill_recursively(child, deadline);
        }
        self.kill(pid, deadline);
    }

    /// TERM, then looks again and again until it is gone or the time is over. At least one
    /// pause for each, also when the time is over already.
    fn kill(&mut self, pid: i32, deadline: Instant) {
        if self.world.signal(pid, Signal::TERM) {
            self.told.push(pid);
        }
        let mut pause = Duration::from_millis(10);
        while self.is_there(pid) {
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if Instant::now() >= deadline {
                break;
            }
        }
    }

    /// A process that has ended is still there until it is reaped.
    fn is_there(&mut self, pid: i32) -> bool {
        if let Some(child) = self.launched.as_deref_mut() {
            // As Jenkins does for its own child; for others it can do nothing.
            let _ = child.try_wait();
        }
        self.world.owns(pid) || look(pid).is_some_and(|seen| seen.is_zombie())
    }
}

/// Whether the environment that a process was started with has all of these, as they are.
fn has_all(pid: i32, model: &[Variable]) -> bool {
    // Who cannot be read has none.
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let items: Vec<&[u8]> = environ.split(|byte| *byte == 0).collect();
    model
        .iter()
        .all(|(name, value)| items.contains(&format!("{name}={value}").as_bytes()))
}

/// A job of the runner of GitHub Actions, or of Gitea's.
#[derive(Debug, Clone)]
pub struct RunnerJob {
    mark: String,
}

impl RunnerJob {
    /// A job in this world.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let mark = world.mark().to_owned();
        Self { mark }
    }

    /// What a step of it finds in its environment, as far as it matters.
    #[must_use]
    pub fn environment(&self) -> Vec<Variable> {
        vec![self.tracking_id(), ("GITHUB_ACTIONS", "true".to_owned())]
    }

    fn tracking_id(&self) -> Variable {
        ("RUNNER_TRACKING_ID", format!("github_{}", self.mark))
    }

    /// The end of the job: whoever has the tracking id of this job is killed, without being told,
    /// each by himself, from one reading of `/proc`. Says whom it killed.
    #[must_use]
    pub fn end(&self, world: &World) -> Vec<i32> {
        let orphans: Vec<i32> = all()
            .into_iter()
            .filter(|pid| has_all(*pid, &[self.tracking_id()]))
            .collect();
        orphans
            .into_iter()
            .filter(|pid| world.signal(*pid, Signal::KILL))
            .collect()
    }

    /// A step is cancelled: INT to the entry process alone, `first` later TERM (7.5 s in the
    /// runner), `second` later (2.5 s) KILL to it and to whoever descends from it by then.
    ///
    /// # Errors
    /// When the entry process cannot be waited for.
    pub fn cancel(
        &self,
        world: &World,
        entry: &mut Child,
        first: Duration,
        second: Duration,
    ) -> anyhow::Result<()> {
        let pid = entry.id().cast_signed();
        for (signal, patience) in [(Signal::INT, first), (Signal::TERM, second)] {
            world.signal(pid, signal);
            let over = wait_for_within(patience, "the entry process", || {
                entry.try_wait().transpose()
            });
            if let Ok(status) = over {
                status.context("waiting for the entry process")?;
                return Ok(());
            }
        }
        let tree = ProcessTree::snapshot(world);
        let mut family = vec![pid];
        let mut at = 0;
        while let Some(parent) = family.get(at).copied() {
            family.extend(tree.children.get(&parent).into_iter().flatten());
            at += 1;
        }
        for pid in family {
            world.signal(pid, Signal::KILL);
        }
        Ok(())
    }
}

/// What GitLab's runner and Buildkite's agent do: TERM to the process group of the command,
/// and after `grace`, or once its leader has ended, KILL.
///
/// # Errors
/// When the command does not lead a group, or somebody else is in it.
pub fn kill_group(world: &World, command: &mut Child, grace: Duration) -> anyhow::Result<()> {
    let leader = command.id().cast_signed();
    signal_group(world, leader, Signal::TERM)?;
    // Without reaping it: as long as its number is taken, so is that of its group.
    let _ = wait_for_within(grace, "the leader of the group", || {
        look(leader)
            .is_none_or(|seen| seen.is_zombie())
            .then_some(())
    });
    signal_group(world, leader, Signal::KILL)?;
    command.wait().context("reaping the leader")?;
    Ok(())
}

/// What sshd does when the connection is lost: the side of the terminal that it holds is closed,
/// upon which the kernel hangs up on the leader of the session and on the group in the foreground.
/// Some logins tell that group themselves before.
///
/// # Errors
/// When there is no such group, or somebody else is in it.
pub fn hang_up(world: &World, terminal: &mut Terminal) -> anyhow::Result<()> {
    signal_group(world, terminal.foreground()?, Signal::HUP)?;
    terminal.hang_up();
    Ok(())
}

fn signal_group(world: &World, group: i32, signal: Signal) -> anyhow::Result<()> {
    let members: Vec<_> = all()
        .into_iter()
        .filter_map(look)
        .filter(|seen| seen.group == group && !seen.is_zombie())
        .collect();
    let strangers: Vec<_> = members
        .iter()
        // Whoever has ended since then is nobody's stranger.
        .filter(|seen| !world.owns(seen.pid) && look(seen.pid).as_ref() == Some(seen))
        .collect();
    ensure!(strangers.is_empty(), "not ours: {strangers:#?}");
    ensure!(
        group > 1
            && look(rustix::process::getpid().as_raw_nonzero().get())
                .is_none_or(|own| own.group != group),
        "not a group to be killed: {group}"
    );
    match kill_process_group(Pid::from_raw(group).context("no group")?, signal) {
        // Everybody in it has ended.
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.with_context(|| format!("{signal:?} to group {group}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Stdio;

    use super::*;
    use crate::patience::wait_until;
    use crate::processes::marked;
    use crate::world::Who;

    const SOFT: Duration = Duration::from_millis(200);

    fn world() -> anyhow::Result<World> {
        // Any program does: ward is not started here.
        World::new("/bin/true")
    }

    /// A shell with these variables, in a group of its own.
    fn step(world: &World, variables: &[Variable], text: &str) -> anyhow::Result<Child> {
        let mut command = world.command_as(Who::Myself, "/bin/sh");
        command
            .args(["-c", text, world.mark()])
            .envs(variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .process_group(0);
        Ok(command.spawn()?)
    }

    /// Waits until so many `sleep N` of this world are there.
    fn await_sleepers(world: &World, seconds: u32, count: usize) -> anyhow::Result<()> {
        wait_until("the sleepers", || sleepers(world, seconds) == count)
    }

    fn sleepers(world: &World, seconds: u32) -> usize {
        let command = format!("sleep {seconds}");
        let found = marked(world.mark());
        found.iter().filter(|seen| seen.command == command).count()
    }

    #[test]
    fn the_end_of_a_freestyle_build() -> anyhow::Result<()> {
        let world = world()?;
        let build = FreestyleBuild::new(&world, 17);
        let text = "(setsid sleep 61 &); BUILD_ID=dontKillMe sleep 62 & env -u JOB_NAME sleep 63 &";
        step(&world, &build.environment(), text)?.wait()?;
        for seconds in [61, 62, 63] {
            await_sleepers(&world, seconds, 1)?;
        }
        let other = FreestyleBuild::new(&world, 18);
        assert!(other.end(&world, SOFT).is_empty(), "another build's");
        assert_eq!(build.end(&world, SOFT).len(), 1);
        await_sleepers(&world, 61, 0)?;
        assert_eq!((sleepers(&world, 62), sleepers(&world, 63)), (1, 1));
        Ok(())
    }

    #[test]
    fn nobody_is_killed_by_jenkins() -> anyhow::Result<()> {
        let world = world()?;
        let build = FreestyleBuild::new(&world, 17);
        step(&world, &build.environment(), "(trap '' TERM; sleep 61) &")?.wait()?;
        await_sleepers(&world, 61, 1)?;
        assert!(!build.end(&world, SOFT).is_empty());
        assert_eq!(sleepers(&world, 61), 1);
        Ok(())
    }

    #[test]
    fn an_aborted_step_and_its_family() -> anyhow::Result<()> {
        let world = world()?;
        let build = FreestyleBuild::new(&world, 17);
        // Who has changed the step's cookie is a descendant still; who is neither is left.
        let text = "HUDSON_COOKIE=x sleep 61 & (HUDSON_COOKIE=x sleep 62 &); (sleep 63 &)
             while :; do wait; done";
        let mut launched = step(&world, &build.environment(), text)?;
        for seconds in [61, 62, 63] {
            await_sleepers(&world, seconds, 1)?;
        }
        wait_until("the orphans to have lost their parent", || {
            let found = marked(world.mark());
            let parent = launched.id().cast_signed();
            let children = found.iter().filter(|seen| seen.ppid == parent);
            children.count() == 1
        })?;
        let told = build.abort_step(&world, &mut launched, SOFT);
        // Leaves first: the shell is the last of its tree.
        let shell = launched.id().cast_signed();
        assert_eq!(
            told.iter().position(|pid| *pid == shell),
            Some(1),
            "{told:?}"
        );
        await_sleepers(&world, 61, 0)?;
        await_sleepers(&world, 63, 0)?;
        assert_eq!(sleepers(&world, 62), 1);
        launched.wait()?;
        Ok(())
    }

    #[test]
    fn a_pipeline() -> anyhow::Result<()> {
        let world = world()?;
        let node = PipelineNode::new(&world);
        let text = "JENKINS_SERVER_COOKIE=x sleep 61 & JENKINS_NODE_COOKIE=x sleep 62 & sleep 63 &";
        step(&world, &node.environment(), text)?.wait()?;
        for seconds in [61, 62, 63] {
            await_sleepers(&world, seconds, 1)?;
        }
        assert_eq!(node.stop_step(&world, SOFT).len(), 2);
        await_sleepers(&world, 62, 0)?;
        await_sleepers(&world, 63, 0)?;
        assert_eq!(sleepers(&world, 61), 1);
        assert_eq!(node.end(&world, SOFT).len(), 1);
        await_sleepers(&world, 61, 0)
    }

    #[test]
    fn the_end_of_a_runners_job() -> anyhow::Result<()> {
        let world = world()?;
        let job = RunnerJob::new(&world);
        let text = "(trap '' TERM; setsid sleep 61) & RUNNER_TRACKING_ID= sleep 62 &";
        step(&world, &job.environment(), text)?.wait()?;
        await_sleepers(&world, 61, 1)?;
        await_sleepers(&world, 62, 1)?;
        assert!(!job.end(&world).is_empty());
        await_sleepers(&world, 61, 0)?;
        assert_eq!(sleepers(&world, 62), 1);
        Ok(())
    }

    #[test]
    fn a_step_is_cancelled_by_a_runner() -> anyhow::Result<()> {
        let world = world()?;
        let job = RunnerJob::new(&world);
        let text = "trap '' INT TERM; sleep 61 & (sleep 62 &); while :; do sleep 0.05; done";
        let mut entry = step(&world, &job.environment(), text)?;
        await_sleepers(&world, 61, 1)?;
        await_sleepers(&world, 62, 1)?;
        job.cancel(&world, &mut entry, SOFT, SOFT)?;
        entry.wait()?;
        await_sleepers(&world, 61, 0)?;
        assert_eq!(sleepers(&world, 62), 1, "it descends from nobody any more");
        Ok(())
    }

    #[test]
    fn a_group() -> anyhow::Result<()> {
        let world = world()?;
        let text = "(trap '' TERM; sleep 61) & setsid sleep 62 & wait";
        let mut command = step(&world, &[], text)?;
        await_sleepers(&world, 61, 1)?;
        await_sleepers(&world, 62, 1)?;
        kill_group(&world, &mut command, SOFT)?;
        await_sleepers(&world, 61, 0)?;
        assert_eq!(sleepers(&world, 62), 1);
        Ok(())
    }

    #[test]
    fn a_lost_connection() -> anyhow::Result<()> {
        let world = world()?;
        let text = "sleep 61 & setsid sleep 62 & wait";
        let mut terminal = Terminal::start(&world, &["/bin/sh", "-c", text, world.mark()])?;
        await_sleepers(&world, 61, 1)?;
        await_sleepers(&world, 62, 1)?;
        hang_up(&world, &mut terminal)?;
        terminal.wait()?;
        await_sleepers(&world, 61, 0)?;
        assert_eq!(sleepers(&world, 62), 1);
        Ok(())
    }
}
