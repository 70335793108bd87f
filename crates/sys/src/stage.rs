//! The steps between the clone and the exec, so that a failure can say which one it was.

/// A step that the child takes before it becomes the command, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Stage {
    /// Nothing was done yet.
    Begin = 0,
    /// Writing itself to `cgroup.procs`.
    JoinCgroup,
    /// setpgid(2).
    ProcessGroup,
    /// tcsetpgrp(3).
    Foreground,
    /// rt_sigaction(2).
    Signals,
    /// prlimit(2).
    Limits,
    /// setpriority(2).
    Nice,
    /// setgroups(2).
    Groups,
    /// setresgid(2).
    Group,
    /// setresuid(2).
    User,
    /// chdir(2).
    Directory,
    /// dup2(2).
    Descriptors,
    /// close_range(2).
    CloseRest,
    /// execve(2).
    Exec,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 14] = [
        Self::Begin,
        Self::JoinCgroup,
        Self::ProcessGroup,
        Self::Foreground,
        Self::Signals,
        Self::Limits,
        Self::Nice,
        Self::Groups,
        Self::Group,
        Self::User,
        Self::Directory,
        Self::Descriptors,
        Self::CloseRest,
        Self::Exec,
    ];

    /// What is being done, to stand before `: Permission denied`.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Begin => "starting a process",
            Self::JoinCgroup => "joining the cgroup",
            Self::ProcessGroup => "setting the process group",
            Self::Foreground => "taking the terminal's foreground",
            Self::Signals => "resetting signals",
            Self::Limits => "setting resource limits",
            Self::Nice => "setting the niceness",
            Self::Groups => "setting supplementary groups",
            Self::Group => "setting the group",
            Self::User => "setting the user",
            Self::Directory => "changing directory",
            Self::Descriptors => "connecting standard streams",
            Self::CloseRest => "closing other descriptors",
            Self::Exec => "executing",
        }
    }

    /// The stage with this number; [`Stage::Begin`] for a number that is none.
    #[must_use]
    pub(crate) fn from_number(number: u32) -> Self {
        Self::ALL
            .into_iter()
            .find(|stage| *stage as u32 == number)
            .unwrap_or(Self::Begin)
    }
}
