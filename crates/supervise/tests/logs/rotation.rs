//! Rotation, and files that others remove, empty, put aside or write to.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ward_supervise::logs::{CHUNK, Next, part};

use super::world::{Heard, World, parts, pump, put, turn};

fn line(number: usize) -> String {
    format!("{number:07} {}\n", "x".repeat(number % 90))
}

#[test]
fn of_a_flood_every_byte_is_in_some_part() {
    let world = World::new();
    let path = world.path("log");
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 300_000, 1000)));
    let text: String = (0..200_000).map(line).collect();
    let expected = text.clone();
    let writing = std::thread::spawn(move || {
        // Of all sizes.
        let mut rest = text.as_bytes();
        for size in (0..).map(|round| 1 + (round * 7919) % 150_000) {
            let (now, later) = rest.split_at(size.min(rest.len()));
            put(&mut writer, now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
    });
    let mut heard = Heard::default();
    pump(&mut channel, &mut heard);
    writing.join().expect("the writer");
    assert!(
        parts(&path) == expected.as_bytes(),
        "the parts are not what was written"
    );
    assert_eq!(heard.said, [""; 0]);
    let mut rotated = 0;
    for number in (1..).take_while(|number| part(&path, *number).exists()) {
        let size = fs::metadata(part(&path, number)).expect("a part").len();
        let limit = 300_000..300_000 + CHUNK as u64;
        assert!(limit.contains(&size), "{size}");
        rotated += 1;
    }
    assert!(rotated > 20, "{rotated}");
}

#[test]
fn a_chunk_is_not_parted_and_backups_are_counted() {
    let world = World::new();
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 10, 2)));
    let mut heard = Heard::default();
    for text in [
        "123456789",
        "and much more than ten",
        "b",
        "0123456789",
        "c",
    ] {
        put(&mut writer, text);
        turn(&mut channel, &mut heard);
    }
    assert_eq!(world.read("log"), "c");
    assert_eq!(world.read("log.1"), "b0123456789");
    assert_eq!(world.read("log.2"), "123456789and much more than ten");
    for _ in 0..3 {
        put(&mut writer, "0123456789");
        turn(&mut channel, &mut heard);
    }
    assert!(!world.path("log.3").exists());
}

#[test]
fn without_backups_it_is_emptied_and_without_a_limit_it_grows() {
    let world = World::new();
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 10, 0)));
    let (mut endless, mut other) = world.channel("db", Some(world.log("endless", 0, 5)));
    let mut heard = Heard::default();
    for _ in 0..3 {
        put(&mut writer, "0123456789");
        turn(&mut channel, &mut heard);
        put(&mut other, "0123456789");
        turn(&mut endless, &mut heard);
    }
    put(&mut writer, "rest");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "rest");
    assert!(!world.path("log.1").exists());
    assert_eq!(world.read("endless").len(), 30);
}

#[test]
fn two_channels_share_a_file_by_whatever_name() {
    let world = World::new();
    std::os::unix::fs::symlink(world.path("log"), world.path("link")).expect("a link");
    let (mut one, mut first) = world.channel("one", Some(world.log("log", 100, 50)));
    let strip = |settings: &mut ward_supervise::logs::ChannelSettings| settings.strip_ansi = true;
    let (mut two, mut second) = world.channel_with("two", Some(world.log("link", 100, 50)), strip);
    let mut heard = Heard::default();
    let mut expected = String::new();
    for number in 0..100 {
        put(&mut first, format!("a{number}\n"));
        put(&mut second, format!("\x1b[1mb{number}\n"));
        turn(&mut one, &mut heard);
        turn(&mut two, &mut heard);
        expected += &format!("a{number}\nb{number}\n");
    }
    assert_eq!(parts(&world.path("log")), expected.as_bytes());
    assert!(
        fs::symlink_metadata(world.path("link"))
            .expect("there")
            .is_symlink()
    );
    assert_eq!(heard.said, [""; 0]);
}

#[test]
fn an_emptied_file_gets_no_hole() {
    let world = World::new();
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 0, 0)));
    let mut heard = Heard::default();
    put(&mut writer, "before");
    turn(&mut channel, &mut heard);
    // As logrotate's copytruncate does.
    fs::copy(world.path("log"), world.path("copy")).expect("copied");
    File::create(world.path("log")).expect("emptied");
    put(&mut writer, "after");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("copy"), "before");
    assert_eq!(world.read("log"), "after");
    // To less than it was, with something in it.
    fs::write(world.path("log"), "xy").expect("written");
    put(&mut writer, "z");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "xyz");
    // While it is closed.
    world.files.close_idle();
    world.files.close_idle();
    assert_eq!(world.files.open_count(), 0);
    fs::write(world.path("log"), "").expect("written");
    put(&mut writer, "end");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "end");
}

#[test]
fn what_somebody_else_appends_stays() {
    let world = World::new();
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 1000, 100)));
    let mut heard = Heard::default();
    let mut expected = String::new();
    for number in 0..200 {
        put(&mut writer, format!("ours {number}\n"));
        turn(&mut channel, &mut heard);
        let mut theirs = File::options()
            .append(true)
            .open(world.path("log"))
            .expect("open");
        writeln!(theirs, "theirs {number}").expect("written");
        expected += &format!("ours {number}\ntheirs {number}\n");
    }
    assert_eq!(parts(&world.path("log")), expected.as_bytes());
    assert!(
        heard.said[0].contains("another process writes to log"),
        "{:?}",
        heard.said
    );
    assert!(part(&world.path("log"), 3).exists());
}

#[test]
fn a_removed_file_is_begun_anew_and_one_put_aside_is_reopened() {
    let world = World::new();
    let log = world.log("log", 0, 0);
    let (mut channel, mut writer) = world.channel("web", Some(log.clone()));
    let mut heard = Heard::default();
    put(&mut writer, "one");
    turn(&mut channel, &mut heard);
    fs::remove_file(world.path("log")).expect("removed");
    put(&mut writer, "two");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "two");
    assert!(
        heard.said[0].contains("was removed; begun anew"),
        "{:?}",
        heard.said
    );
    fs::rename(world.path("log"), world.path("aside")).expect("put aside");
    put(&mut writer, "three");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("aside"), "twothree");
    assert!(world.files.reopen().is_empty());
    assert_eq!(world.read("log"), "");
    put(&mut writer, "four");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "four");
    log.clear().expect("cleared");
    assert_eq!(world.read("log"), "");
    put(&mut writer, "five");
    turn(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "five");
    assert_eq!(world.read("aside"), "twothree");
}

#[test]
fn a_log_is_cleared_whether_it_is_in_use_or_not() {
    let world = World::new();
    fs::write(world.path("log"), "old").expect("written");
    let log = world.log("log", 0, 0);
    let inode = || fs::metadata(world.path("log")).expect("there").ino();
    let before = File::open(world.path("log")).expect("kept, so that its number is not given away");
    log.clear().expect("cleared");
    assert_eq!(world.read("log"), "");
    assert_ne!(before.metadata().expect("there").ino(), inode());
    fs::remove_file(world.path("log")).expect("removed");
    log.clear().expect("cleared");
    assert_eq!(world.read("log"), "");
    fs::remove_file(world.path("log")).expect("removed");
    log.create().expect("made");
    assert_eq!(world.read("log"), "");
    let null = world.files.log("/dev/null".as_ref(), 10, 1);
    null.clear().expect("nothing to do");
    null.create().expect("nothing to do");
    let nowhere = world.files.log("/nowhere/log".as_ref(), 10, 1);
    assert!(nowhere.create().is_err() && nowhere.clear().is_err());
}

#[test]
fn the_parts_of_a_private_log_are_private() {
    let world = World::new();
    let mode = |name| {
        let stat = fs::metadata(world.path(name)).expect("there");
        stat.permissions().mode() & 0o777
    };
    File::create(world.path("log")).expect("made");
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(world.path("log"), private).expect("set");
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 3, 1)));
    put(&mut writer, "abc");
    turn(&mut channel, &mut Heard::default());
    assert_eq!((mode("log"), mode("log.1")), (0o600, 0o600));
}

#[test]
fn few_of_many_logs_are_open() {
    let mut world = World::new();
    world.files = ward_supervise::logs::Files::new(8);
    let mut heard = Heard::default();
    let mut channels: Vec<_> = (0..100)
        .map(|number| {
            let name = format!("p{number}");
            let log = world.log(&format!("{name}.log"), 100, 1);
            log.create().expect("made");
            world.channel(&name, Some(log))
        })
        .collect();
    assert_eq!(world.files.open_count(), 0);
    for (channel, _) in &mut channels {
        assert_eq!(turn(channel, &mut heard).next, Next::Readable);
    }
    assert_eq!(world.files.open_count(), 0, "silent ones are not opened");
    for round in 0..3 {
        for (channel, writer) in &mut channels {
            put(writer, format!("{round}"));
            turn(channel, &mut heard);
            assert!(world.files.open_count() <= 8);
        }
    }
    for number in 0..100 {
        assert_eq!(world.read(&format!("p{number}.log")), "012");
    }
    assert_eq!(world.files.open_count(), 8);
    world.files.close_idle();
    let (channel, writer) = &mut channels[3];
    put(writer, "3");
    turn(channel, &mut heard);
    world.files.close_idle();
    assert_eq!(world.files.open_count(), 1);
    assert_eq!(heard.said, [""; 0]);
}
