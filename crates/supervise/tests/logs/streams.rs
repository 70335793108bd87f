//! Logs that are pipes, FIFOs and devices: never rotated, never waited for.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_supervise::logs::Next;
use ward_testkit::patience::wait_until;

use super::world::{Heard, World, make_fifo, open_fifo, pump, put, turn};

fn big(strip: bool) {
    let world = World::new();
    make_fifo(&world.path("target"));
    let reader = open_fifo(&world.path("target"));
    let log = world.log("target", 1000, 5);
    let (mut channel, mut writer) =
        world.channel_with("web", Some(log), |settings| settings.strip_ansi = strip);
    let mut heard = Heard::default();
    let line = |number: usize| format!("\x1b[1mline {number}\n");
    let raw: String = (0..50_000).map(line).collect();
    let writing = std::thread::spawn(move || put(&mut writer, raw));
    let end = std::time::Instant::now() + super::world::LIMIT;
    while !matches!(turn(&mut channel, &mut heard).next, Next::Blocked(_)) {
        assert!(std::time::Instant::now() < end, "it is never full");
    }
    assert_eq!(heard.said, [""; 0], "a pipe may be full for a moment");
    let mut file = File::from(reader);
    let mut all = Vec::new();
    let mut some = vec![0; 100_000];
    loop {
        let next = turn(&mut channel, &mut heard).next;
        while let Ok(read) = file.read(&mut some) {
            all.extend_from_slice(&some[..read]);
            if read == 0 {
                break;
            }
        }
        if next == Next::End {
            break;
        }
        assert!(std::time::Instant::now() < end, "it goes on for ever");
    }
    writing.join().expect("the writer");
    pump(&mut channel, &mut heard);
    while let Ok(read @ 1..) = file.read(&mut some) {
        all.extend_from_slice(&some[..read]);
    }
    let shown = |number: usize| match strip {
        true => format!("line {number}\n"),
        false => line(number),
    };
    let expected: String = (0..50_000).map(shown).collect();
    assert!(
        all == expected.as_bytes(),
        "{} {}",
        all.len(),
        expected.len()
    );
    assert!(!world.path("target.1").exists());
}

#[test]
fn a_slow_reader_stops_nobody_and_gets_all() {
    big(false);
    big(true);
}

#[test]
fn a_fifo_gets_its_reader_later() {
    let world = World::new();
    make_fifo(&world.path("target"));
    let (mut channel, mut writer) = world.channel("web", Some(world.log("target", 10, 5)));
    let mut heard = Heard::default();
    put(&mut writer, "somebody will read this");
    assert!(matches!(
        turn(&mut channel, &mut heard).next,
        Next::Blocked(_)
    ));
    let mut reader = File::from(open_fifo(&world.path("target")));
    assert_eq!(turn(&mut channel, &mut heard).moved, 23);
    let mut text = String::new();
    let _ = reader.read_to_string(&mut text);
    assert_eq!(text, "somebody will read this");
    drop(reader);
    put(&mut writer, "and this");
    assert!(matches!(
        turn(&mut channel, &mut heard).next,
        Next::Blocked(_)
    ));
    let mut reader = File::from(open_fifo(&world.path("target")));
    drop(writer);
    pump(&mut channel, &mut heard);
    let mut text = String::new();
    let _ = reader.read_to_string(&mut text);
    assert_eq!(text, "and this");
}

#[test]
fn what_nobody_will_ever_read_is_dropped_and_counted() {
    let world = World::new();
    let (reader, end) = std::io::pipe().expect("a pipe");
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let log = world.files.log(Path::new(&path), 10, 5);
    let (mut channel, mut writer) = world.channel("web", Some(log));
    let mut heard = Heard::default();
    put(&mut writer, "read");
    turn(&mut channel, &mut heard);
    drop(reader);
    // A test beside this one may have forked while it was open.
    let mut ends = [PollFd::new(&end, PollFlags::OUT)];
    wait_until("the end of all readers", || {
        poll(&mut ends, Some(&Timespec::default())).is_ok()
            && ends[0].revents().contains(PollFlags::ERR)
    })
    .expect("they end");
    put(&mut writer, "dropped");
    assert_eq!(turn(&mut channel, &mut heard).moved, 7);
    put(&mut writer, "as well");
    turn(&mut channel, &mut heard);
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(heard.said.len(), 2, "{heard:?}");
    assert!(heard.said[0].contains("nobody will ever read"), "{heard:?}");
    assert!(
        heard.said[1].contains("14 bytes of stdout of 'web' had no reader"),
        "{heard:?}"
    );
}

#[test]
fn a_file_of_somebody_else_is_appended_to_and_not_rotated() {
    let world = World::new();
    let theirs = File::create(world.path("theirs")).expect("made");
    let path = format!("/proc/self/fd/{}", theirs.as_raw_fd());
    let log = world.files.log(Path::new(&path), 10, 5);
    let (mut channel, mut writer) = world.channel("web", Some(log.clone()));
    let mut heard = Heard::default();
    put(&mut writer, "longer than ten bytes");
    turn(&mut channel, &mut heard);
    log.clear().expect("nothing is done");
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(world.read("theirs"), "longer than ten bytes");
    assert!(!world.path("theirs.1").exists());
    assert_eq!(heard.said, [""; 0]);
}

#[test]
fn whoever_fills_the_pipe_gets_a_larger_one() {
    let world = World::new();
    let usual = "x".repeat(64 * 1024);
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 0, 0)));
    let mut heard = Heard::default();
    let size = |writer: &File| rustix::pipe::fcntl_getpipe_size(writer).expect("its size");
    assert_eq!(size(&writer), usual.len());
    put(&mut writer, "a few bytes\n");
    turn(&mut channel, &mut heard);
    put(&mut writer, &usual);
    turn(&mut channel, &mut heard);
    assert_eq!(size(&writer), usual.len(), "once may be chance");
    put(&mut writer, &usual);
    turn(&mut channel, &mut heard);
    assert_eq!(size(&writer), 1 << 20);
    // More than would have fitted before.
    put(&mut writer, usual.repeat(3));
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(world.read("log").len(), 12 + 5 * usual.len());
}
