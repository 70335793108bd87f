//! The roster, alone.

use std::os::fd::AsFd;

use super::slot::Cell;
use super::*;

fn directory() -> (tempfile::TempDir, OwnedFd) {
    let directory = tempfile::tempdir().expect("a directory");
    let fd = std::fs::File::open(directory.path()).expect("opened");
    (directory, fd.into())
}

fn fresh(directory: &OwnedFd) -> Roster {
    match open(directory.as_fd()).expect("opened") {
        Opened::Fresh(roster) => roster,
        other => panic!("{other:?}"),
    }
}

fn slot(index: usize) -> Slot {
    Slot::new(index).expect("a slot")
}

#[test]
fn a_roster_is_found_again_with_everything_in_it() {
    let (_keep, directory) = directory();
    let roster = fresh(&directory);
    let (one, last) = (slot(3), slot(SLOTS - 1));
    for slot in [one, last] {
        roster.reserve(slot).expect("room");
        roster.set(Word::High, slot.index() as u64 + 1);
        roster.set_name(slot, b"group:a name");
        roster.set_phase(slot, Phase::Claimed);
        let flags = Flags {
            redirect_stderr: true,
            stdin: false,
        };
        assert_eq!(roster.begin(slot, flags, 7, 8), 1);
        assert_eq!(roster.begin(slot, flags, 7, 8), 2);
    }
    assert!(matches!(
        open(directory.as_fd()).expect("asked"),
        Opened::Taken { .. }
    ));
    drop(roster);
    let Opened::Found(roster) = open(directory.as_fd()).expect("opened") else {
        panic!("not found");
    };
    for slot in [one, last] {
        assert_eq!(roster.name(slot), b"group:a name");
        assert_eq!(roster.phase(slot), Some(Phase::Starting));
        assert_eq!(
            roster.cell(slot),
            Cell {
                generation: 2,
                pid: 0
            }
        );
        assert!(roster.flags(slot).redirect_stderr && !roster.flags(slot).stdin);
        assert_eq!(roster.spawned_at(slot), (7, 8));
    }
    assert_eq!(roster.slots().count(), SLOTS);
}

#[test]
fn an_end_belongs_to_one_generation() {
    let (_keep, directory) = directory();
    let roster = fresh(&directory);
    let slot = slot(0);
    roster.set(Word::High, 1);
    let first = roster.begin(slot, Flags::default(), 0, 0);
    roster.cell_word(slot).fetch_or(77, Ordering::AcqRel);
    assert_eq!(roster.find(77), Some((slot, first)));
    assert!(roster.anything_lives());
    // The end of the first is noted late, when the second exists already.
    let second = roster.begin(slot, Flags::default(), 0, 0);
    roster.cell_word(slot).fetch_or(78, Ordering::AcqRel);
    roster.note_end(slot, first, Ended::Exit(3), 5);
    assert_eq!(roster.end_of(slot, second), None);
    assert_eq!(roster.find(78), Some((slot, second)));
    roster.note_end(slot, second, Ended::Signal(9, true), 6);
    assert_eq!(
        roster.end_of(slot, second),
        Some((Ended::Signal(9, true), 6))
    );
    assert_eq!(roster.find(78), None, "it has ended");
    assert!(!roster.anything_lives());
    let mut noted = Vec::new();
    roster.take_noted(|slot| noted.push(slot));
    assert_eq!(noted, [slot], "once, however often it was noted");
    roster.take_noted(|_| panic!("taken"));
}

#[test]
fn a_snapshot_and_the_end_that_it_knows_of_are_one() {
    let (_keep, directory) = directory();
    let roster = fresh(&directory);
    let slot = slot(5);
    let (one, other) = (Snapshot([1; SNAPSHOT_WORDS]), Snapshot([2; SNAPSHOT_WORDS]));
    roster.set_snapshot(slot, &one, None);
    assert_eq!((roster.snapshot(slot), roster.consumed(slot)), (one, 0));
    roster.set_snapshot(slot, &other, Some(4));
    assert_eq!((roster.snapshot(slot), roster.consumed(slot)), (other, 4));
    roster.set_snapshot(slot, &one, None);
    assert_eq!((roster.snapshot(slot), roster.consumed(slot)), (one, 4));
}

#[test]
fn unknown_children_are_lost_rather_than_waited_for() {
    let (_keep, directory) = directory();
    let roster = fresh(&directory);
    for pid in 1..=300 {
        roster.note_unknown(pid, Status::Exited(1));
    }
    for pid in 1..=256 {
        assert_eq!(roster.next_unknown(), Some((pid, Ended::Exit(1))));
    }
    assert_eq!(roster.next_unknown(), None);
    assert_eq!(roster.get(Word::UnknownLost), 44);
    roster.note_unknown(7, Status::Signaled(9, false));
    assert_eq!(roster.next_unknown(), Some((7, Ended::Signal(9, false))));
    roster.forget_child(8);
    assert!(!roster.is_forgotten(7) && roster.is_forgotten(8) && !roster.is_forgotten(8));
}

#[test]
fn a_forged_or_broken_file_is_refused_or_found_empty() {
    let (keep, directory) = directory();
    let path = keep.path().join("roster");
    let write = |offset: u64, value: u64| {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options()
            .write(true)
            .open(&path)
            .expect("there");
        file.write_all_at(&value.to_ne_bytes(), offset * 8)
            .expect("written");
    };
    let outcome = || open(directory.as_fd());
    drop(fresh(&directory));

    write(1, 99);
    assert!(matches!(
        outcome(),
        Err(RosterError::OtherVersion { found: 99 })
    ));
    // Of another boot nothing can run any more, whatever version it has.
    write(2, 12345);
    assert!(matches!(outcome(), Ok(Opened::Fresh(_))));
    assert!(matches!(outcome(), Ok(Opened::Found(_))));
    write(6, SLOTS as u64 + 1);
    assert!(matches!(outcome(), Err(RosterError::Damaged)));
    write(6, SLOTS as u64);
    let Ok(Opened::Found(roster)) = outcome() else {
        panic!("refused");
    };
    // Nothing was ever written behind the first page: all of it is free.
    assert!(
        roster
            .slots()
            .all(|slot| roster.phase(slot) == Some(Phase::Free))
    );
    drop(roster);
    // A slot of rubbish.
    for word in 0..super::layout::SLOT_WORDS as u64 {
        write(super::layout::SLOTS_AT as u64 + word, u64::MAX - word);
    }
    write(super::layout::CELLS as u64, u64::MAX);
    let Ok(Opened::Found(roster)) = outcome() else {
        panic!("refused");
    };
    let rubbish = slot(0);
    assert_eq!(roster.phase(rubbish), None);
    assert_eq!(roster.cell(rubbish).pid, 0, "no process has such an id");
    assert!(roster.name(rubbish).is_empty() && !roster.is_alive(rubbish));
    let _ = (roster.snapshot(rubbish), roster.consumed(rubbish));
    drop(roster);

    write(0, 1);
    assert!(matches!(outcome(), Err(RosterError::Damaged)));
    write(0, 0);
    assert!(matches!(outcome(), Ok(Opened::Fresh(_))));
    for bytes in [1, 4096, super::layout::ALL as u64 * 8 - 1] {
        let file = std::fs::File::options().write(true).open(&path);
        file.expect("there").set_len(bytes).expect("cut");
        assert!(matches!(outcome(), Err(RosterError::Damaged)), "{bytes}");
    }
    std::fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink("/etc/hostname", &path).expect("a link");
    assert!(matches!(outcome(), Err(RosterError::Io(_))));
}
