//! Where everything is in the roster's file, in words of 64 bits.

/// Changes with the meaning of any number in the file.
pub const LAYOUT_VERSION: u64 = 1;

/// How many processes there can be.
pub const SLOTS: usize = 65_536;

/// The longest name of a process (`group:process`), bytes.
pub const NAME_MAX: usize = 250;

/// How many numbers a daemon may remember of each process.
pub const SNAPSHOT_WORDS: usize = 16;

/// `ward-up` and a zero.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"ward-up\0");

/// The numbers of the first page, by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(in crate::keeper) enum Word {
    /// [`MAGIC`], written last when the file is made.
    Magic = 0,
    /// [`LAYOUT_VERSION`].
    Version = 1,
    /// The boot, in two halves.
    BootHigh = 2,
    BootLow = 3,
    /// The keeper, by the keeper.
    KeeperPid = 4,
    KeeperStart = 5,
    /// Slots that were ever used, by the daemon.
    High = 6,
    /// The daemon, by the keeper; 0 for none.
    DaemonPid = 7,
    /// How often a daemon was started, by the keeper.
    DaemonStarts = 8,
    /// 1 while the daemon has been woken and has not looked yet.
    Bell = 9,
    /// Signals that the daemon has not heard of, a bit each.
    Signals = 10,
    /// Signals that it has heard of, but not dealt with.
    SignalsHeard = 11,
    /// How the last daemon ended, by the keeper, until the next takes note; 0 for nothing to tell.
    LastEnd = 12,
    /// 1 if the keeper's streams are to be silenced, 2 once they are.
    Quiet = 13,
    /// The limits of open files as the user had them.
    NofileSoft = 14,
    NofileHard = 15,
    /// The ring of unknown children.
    UnknownHead = 16,
    UnknownTail = 17,
    UnknownLost = 18,
    /// The ring of children that are to be forgotten.
    ForgottenNext = 19,
    /// Whether a daemon of this roster was ever ready.
    EverReady = 20,
    /// Why the last upgrade was not made ([`super::super::watch`]); 0 for nothing to tell.
    UpgradeRefused = 22,
}

/// Length and bytes of what the user's process was called.
pub(super) const ARGV0: usize = 64;
pub(super) const ARGV0_WORDS: usize = 32;
/// Length and bytes of the path of the executable.
pub(super) const EXE: usize = 98;
pub(super) const EXE_WORDS: usize = 128;

const UNKNOWN: usize = 256;
/// How many unknown children are remembered.
pub(super) const UNKNOWN_RING: u64 = 256;
const FORGOTTEN: usize = 512;
const FORGOTTEN_RING: u64 = 64;

/// Of the `n`th unknown child.
pub(super) fn unknown_at(n: u64) -> usize {
    UNKNOWN + usize::try_from(n % UNKNOWN_RING).unwrap_or(0)
}

/// Of the `n`th child that is to be forgotten.
pub(super) fn forgotten_at(n: u64) -> usize {
    FORGOTTEN + usize::try_from(n % FORGOTTEN_RING).unwrap_or(0)
}

/// Of all of them.
pub(super) fn all_forgotten() -> impl Iterator<Item = usize> {
    (0..FORGOTTEN_RING).map(forgotten_at)
}

/// A bit per slot: an end was noted.
pub(super) const NOTED: usize = 1024;
/// A number per slot: generation (upper half) and process id.
pub(super) const CELLS: usize = NOTED + SLOTS / 64;
/// The slots.
pub(super) const SLOTS_AT: usize = CELLS + SLOTS;
/// The size of a slot.
pub(super) const SLOT_WORDS: usize = 80;
/// The size of all.
pub(super) const ALL: usize = SLOTS_AT + SLOTS * SLOT_WORDS;
/// What is always there: all before the cells.
pub(super) const HEAD: usize = CELLS;

/// The numbers of a slot.
pub(super) mod of_slot {
    pub(in super::super) const PHASE: usize = 0;
    /// The generation whose end was taken note of (upper half), and the bank in use.
    pub(in super::super) const COMMIT: usize = 1;
    /// The generation (upper half), and how it ended.
    pub(in super::super) const STATUS: usize = 2;
    pub(in super::super) const ENDED_AT: usize = 3;
    pub(in super::super) const START_TICKS: usize = 4;
    pub(in super::super) const IDENTITY: usize = 5;
    pub(in super::super) const SPAWN_WALL: usize = 6;
    pub(in super::super) const SPAWN_BOOT: usize = 7;
    pub(in super::super) const FLAGS: usize = 8;
    /// The generation that failed before its exec.
    pub(in super::super) const FAILED: usize = 9;
    /// Length and bytes.
    pub(in super::super) const NAME: usize = 12;
    pub(in super::super) const NAME_WORDS: usize = 32;
    pub(in super::super) const BANKS: usize = 48;
}

const _: () = {
    assert!(ARGV0 > Word::UpgradeRefused as usize);
    assert!(ARGV0 + 1 + ARGV0_WORDS <= EXE && EXE + 1 + EXE_WORDS <= UNKNOWN);
    assert!(of_slot::NAME + 1 + of_slot::NAME_WORDS <= of_slot::BANKS);
    assert!(of_slot::NAME_WORDS * 8 >= NAME_MAX);
    assert!(of_slot::BANKS + 2 * SNAPSHOT_WORDS <= SLOT_WORDS);
    // A page's beginning, so that slots do not share pages with what the kernel writes to.
    assert!((SLOTS_AT * 8).is_multiple_of(4096) && (CELLS * 8).is_multiple_of(4096));
};
