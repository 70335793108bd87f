//! Channels and log files against the kernel: kills, floods, full disks, and others at the same file.

mod logs {
    pub(crate) mod kills;
    pub(crate) mod outages;
    pub(crate) mod rotation;
    pub(crate) mod streams;
    pub(crate) mod transforms;
    pub(crate) mod world;
}
