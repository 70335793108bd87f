//! Logs that cannot be written for a while: nothing is lost, and it is said once.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ward_supervise::logs::{Channel, Next};

use super::world::{Heard, World, pump, put, turn};

fn is_blocked(channel: &mut Channel, heard: &mut Heard) -> bool {
    matches!(turn(channel, heard).next, Next::Blocked(_))
}

/// A directory that takes its place: nothing can be written; then it goes again.
fn story(world: &World, strip: bool) {
    let place = world.path("logs");
    fs::create_dir(&place).expect("made");
    let log = world.files.log(&place.join("log"), 0, 0);
    let name = if strip { "strip" } else { "plain" };
    let (mut channel, mut writer) =
        world.channel_with(name, Some(log), |settings| settings.strip_ansi = strip);
    let mut heard = Heard::default();
    put(&mut writer, "\x1b[1mone\n");
    turn(&mut channel, &mut heard);
    fs::remove_dir_all(&place).expect("removed");
    fs::write(&place, "a file in its place").expect("written");
    put(&mut writer, "\x1b[1mtwo\n");
    let mut times = Vec::new();
    for _ in 0..10 {
        match turn(&mut channel, &mut heard).next {
            Next::Blocked(time) => times.push(time),
            next => panic!("{next:?}"),
        }
        put(&mut writer, "\x1b[1mmore\n");
    }
    assert!(
        times.is_sorted() && times[9] <= Duration::from_secs(5),
        "{times:?}"
    );
    let said = |text: &str, heard: &Heard| heard.said.iter().filter(|it| it.contains(text)).count();
    assert_eq!(
        said("cannot be written: Not a directory", &heard),
        1,
        "{heard:?}"
    );
    assert_eq!(said("is written again", &heard), 0);
    fs::remove_file(&place).expect("removed");
    fs::create_dir(&place).expect("made");
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(said("is written again", &heard), 1, "{heard:?}");
    let escape = if strip { "" } else { "\x1b[1m" };
    let expected = format!("{escape}two\n{}", format!("{escape}more\n").repeat(10));
    let text = fs::read_to_string(place.join("log")).expect("a log");
    assert_eq!(text, expected);
}

#[test]
fn a_file_in_the_place_of_its_directory() {
    let world = World::new();
    story(&world, false);
    let world = World::new();
    story(&world, true);
}

#[test]
fn a_device_that_is_full() {
    let world = World::new();
    let full = world.files.log(Path::new("/dev/full"), 100, 5);
    let (mut channel, mut writer) = world.channel("web", Some(full));
    let mut heard = Heard::default();
    put(&mut writer, "it waits");
    for _ in 0..5 {
        assert!(is_blocked(&mut channel, &mut heard));
    }
    assert_eq!(heard.said.len(), 1, "{heard:?}");
    assert!(
        heard.said[0].contains("No space left on device"),
        "{heard:?}"
    );
    assert!(Path::new("/dev/full").exists());
}

/// Mounts something of 256 KiB, if that is allowed here.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).expect("made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "none"])
            .arg(at)
            .output()
            .is_ok_and(|it| it.status.success());
        mounted.then(|| Self(at.into()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn full_disk(strip: bool) {
    let world = World::new();
    let Some(disk) = Small::mount(&world.path("disk")) else {
        eprintln!("SKIPPED: a full disk: mounting is not allowed here");
        return;
    };
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![0; 200_000]).expect("written");
    let log = world.files.log(&disk.0.join("log"), 0, 0);
    let (mut channel, mut writer) =
        world.channel_with("web", Some(log), |settings| settings.strip_ansi = strip);
    let line = |number: usize| format!("\x1b[32mline {number:06}\x1b[0m\n");
    let raw: String = (0..10_000).map(line).collect();
    let writing = std::thread::spawn(move || put(&mut writer, raw));
    let mut heard = Heard::default();
    let mut blocked = 0;
    let end = std::time::Instant::now() + super::world::LIMIT;
    while blocked < 5 {
        assert!(std::time::Instant::now() < end, "the disk is never full");
        if is_blocked(&mut channel, &mut heard) {
            blocked += 1;
        }
    }
    assert_eq!(heard.said.len(), 1, "{heard:?}");
    assert!(
        heard.said[0].contains("No space left on device"),
        "{heard:?}"
    );
    fs::remove_file(&ballast).expect("removed");
    // There is still not enough for all, so it is rotated by hand.
    let mut all = String::new();
    while !writing.is_finished() || !matches!(turn(&mut channel, &mut heard).next, Next::End) {
        assert!(std::time::Instant::now() < end, "it goes on for ever");
        if is_blocked(&mut channel, &mut heard) {
            all += &fs::read_to_string(disk.0.join("log")).expect("a log");
            fs::remove_file(disk.0.join("log")).expect("removed");
            world.files.reopen();
        }
    }
    writing.join().expect("the writer");
    pump(&mut channel, &mut heard);
    all += &fs::read_to_string(disk.0.join("log")).expect("a log");
    let shown = |number: usize| match strip {
        true => format!("line {number:06}\n"),
        false => line(number),
    };
    let expected: String = (0..10_000).map(shown).collect();
    assert!(all == expected, "{} {}", all.len(), expected.len());
}

#[test]
fn a_full_disk_with_bytes_as_they_come() {
    full_disk(false);
}

#[test]
fn a_full_disk_with_colours_taken_out() {
    full_disk(true);
}

#[test]
fn a_log_that_cannot_be_rotated_goes_on() {
    let world = World::new();
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 4, 2)));
    // A directory that is not empty cannot be replaced by a file.
    fs::create_dir_all(world.path("log.1/x")).expect("made");
    fs::create_dir_all(world.path("log.2/x")).expect("made");
    let mut heard = Heard::default();
    for text in ["aaaa", "bb", "cc", "dddd"] {
        put(&mut writer, text);
        turn(&mut channel, &mut heard);
    }
    assert_eq!(world.read("log"), "aaaabbccdddd");
    assert_eq!(heard.said.len(), 1, "{heard:?}");
    assert!(heard.said[0].contains("cannot be rotated"), "{heard:?}");
    fs::remove_dir_all(world.path("log.1")).expect("removed");
    put(&mut writer, "eeee");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("log.1"), "aaaabbccddddeeee");
    assert_eq!(world.read("log"), "");
}
