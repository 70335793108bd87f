//! Channels that do more than move bytes: colours, captures, syslog, listeners.

use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

use ward_supervise::logs::{Channel, ChannelSettings, Next, Syslog};

use super::world::{Heard, World, open_fifo, pump, put, settings, turn};

const BEGIN: &str = "<!--XSUPERVISOR:BEGIN-->";
const END: &str = "<!--XSUPERVISOR:END-->";

fn capturing(settings: &mut ChannelSettings) {
    settings.capture_maxbytes = 1000;
    settings.observed = true;
}

#[test]
fn captures_are_not_in_the_log_however_they_come() {
    let world = World::new();
    let (mut channel, mut writer) =
        world.channel_with("web", Some(world.log("log", 0, 0)), capturing);
    let mut heard = Heard::default();
    let text = format!("a{BEGIN}one{END}b\n{BEGIN}{END}{BEGIN}two{END}<!--XSUPER");
    for byte in text.as_bytes() {
        put(&mut writer, [*byte]);
        turn(&mut channel, &mut heard);
    }
    assert_eq!(world.read("log"), "ab\n");
    assert_eq!(heard.captured, [&b"one"[..], b"", b"two"]);
    // It was none: nothing of it is lost.
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "ab\n<!--XSUPER");
    assert_eq!(heard.output, b"aoneb\ntwo<!--XSUPER");
    assert!(!world.path("web.spool").exists());
}

#[test]
fn a_capture_outlives_a_daemon() {
    let world = World::new();
    let (mut channel, mut writer) =
        world.channel_with("web", Some(world.log("log", 0, 0)), capturing);
    let mut heard = Heard::default();
    put(&mut writer, format!("before{BEGIN}first half, "));
    turn(&mut channel, &mut heard);
    drop(channel);
    let mut settings = settings(Some(world.log("log", 0, 0)), world.path("web.spool"));
    capturing(&mut settings);
    let mut channel = Channel::new(&world.files, open_fifo(&world.path("web.fifo")), settings);
    put(&mut writer, format!("second half{END}after"));
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(heard.captured, [b"first half, second half"]);
    assert_eq!(world.read("log"), "beforeafter");
}

#[test]
fn a_capture_that_is_too_long_or_never_ends() {
    let world = World::new();
    let (mut channel, mut writer) =
        world.channel_with("web", Some(world.log("log", 0, 0)), capturing);
    let mut heard = Heard::default();
    put(&mut writer, BEGIN);
    for _ in 0..1000 {
        put(&mut writer, "0123456789".repeat(100));
        turn(&mut channel, &mut heard);
    }
    put(&mut writer, format!("{END}log"));
    turn(&mut channel, &mut heard);
    assert_eq!(heard.captured.len(), 1);
    assert_eq!(heard.captured[0], "0123456789".repeat(100).as_bytes());
    put(&mut writer, format!("{BEGIN}never ended"));
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(world.read("log"), format!("log{BEGIN}never ended"));
    assert!(
        heard.said[0].contains("ended within a capture"),
        "{heard:?}"
    );
}

#[test]
fn colours_go_also_where_they_are_cut_and_events_have_none() {
    let world = World::new();
    let (mut channel, mut writer) =
        world.channel_with("web", Some(world.log("log", 20, 9)), |settings| {
            settings.strip_ansi = true;
            settings.observed = true;
        });
    let mut heard = Heard::default();
    for text in ["plain \x1b", "[3", "1mred\x1b[0m \x1b[1;3", "4mx", "\x1b"] {
        put(&mut writer, text);
        turn(&mut channel, &mut heard);
    }
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "plain red x\x1b");
    assert_eq!(heard.output, b"plain red x\x1b");
}

#[test]
fn lines_go_to_syslog_whole() {
    let world = World::new();
    let socket = UnixDatagram::bind(world.path("syslog")).expect("a socket");
    let syslog = Rc::new(Syslog::at(&world.path("syslog")));
    let (mut channel, mut writer) = world.channel_with("web", None, |settings| {
        settings.syslog = Some(Rc::clone(&syslog));
    });
    let mut heard = Heard::default();
    for text in ["one\ntw", "o\n", "three"] {
        put(&mut writer, text);
        turn(&mut channel, &mut heard);
    }
    drop(writer);
    pump(&mut channel, &mut heard);
    socket.set_nonblocking(true).expect("set");
    let mut bytes = [0; 1000];
    for expected in ["one", "two", "three"] {
        let length = socket.recv(&mut bytes).expect("a datagram");
        let text = String::from_utf8_lossy(&bytes[..length]);
        let expected = format!(" supervisord: web {expected}");
        assert!(text.ends_with(&expected), "{text:?}");
    }
    assert!(socket.recv(&mut bytes).is_err());
}

#[test]
fn a_listener_is_heard_as_it_speaks() {
    let world = World::new();
    let (mut channel, mut writer) =
        world.channel_with("web", Some(world.log("log", 0, 0)), |settings| {
            settings.listener = Some(0);
            settings.strip_ansi = true;
        });
    let mut heard = Heard::default();
    put(&mut writer, "READY\n");
    turn(&mut channel, &mut heard);
    assert_eq!(heard.raw, b"READY\n");
    put(&mut writer, "RESULT 2\n\x1b[1mOK");
    turn(&mut channel, &mut heard);
    assert_eq!(heard.raw, b"READY\nRESULT 2\n\x1b[1mOK");
    assert_eq!(world.read("log"), "READY\nRESULT 2\nOK");
}

#[test]
fn without_a_log_bytes_are_taken_and_seen() {
    let world = World::new();
    let (mut silent, mut writer) = world.channel("silent", None);
    let (mut seen, mut other) =
        world.channel_with("seen", None, |settings| settings.observed = true);
    let mut heard = Heard::default();
    put(&mut writer, "x".repeat(60_000));
    assert_eq!(turn(&mut silent, &mut heard).moved, 60_000);
    assert_eq!(heard.output, b"");
    put(&mut other, "seen");
    assert_eq!(turn(&mut seen, &mut heard).moved, 4);
    assert_eq!(heard.output, b"seen");
}

#[test]
fn a_turn_has_a_budget_and_an_end() {
    let world = World::new();
    let (mut channel, mut writer) = world.channel("web", Some(world.log("log", 0, 0)));
    let mut hand = |_: ward_supervise::logs::Yield<'_>| {};
    put(&mut writer, "x".repeat(60_000));
    let progress = channel.turn(20_000, &mut hand);
    assert_eq!((progress.moved, progress.next), (20_000, Next::Now));
    drop(writer);
    let progress = channel.turn(1 << 20, &mut hand);
    assert_eq!(progress.moved, 40_000);
    assert_eq!(channel.turn(1 << 20, &mut hand).next, Next::End);
}

#[test]
fn a_pipe_whose_writers_had_gone_before_it_was_opened_is_at_its_end() {
    let world = World::new();
    for (name, strip) in [("plain", false), ("strip", true)] {
        let (held, mut writer) = world.channel(name, None);
        put(&mut writer, "\x1b[1mlast words\n");
        drop(writer);
        let mut settings = settings(Some(world.log(name, 0, 0)), world.path("spool"));
        settings.strip_ansi = strip;
        let fifo = open_fifo(&world.path(&format!("{name}.fifo")));
        let mut channel = Channel::new(&world.files, fifo, settings);
        drop(held);
        pump(&mut channel, &mut Heard::default());
        assert!(world.read(name).ends_with("last words\n"));
        world.files.reopen();
        assert_eq!(turn(&mut channel, &mut Heard::default()).next, Next::End);
    }
}

#[test]
fn a_spool_that_cannot_be_made_holds_its_channel_up_and_no_other() {
    let world = World::new();
    let (mut channel, mut writer) =
        world.channel_with("web", Some(world.log("log", 0, 0)), |settings| {
            settings.strip_ansi = true;
            settings.spool = world.path("nowhere/spool");
        });
    let mut heard = Heard::default();
    put(&mut writer, "plain\n");
    assert_eq!(turn(&mut channel, &mut heard).next, Next::Readable);
    put(&mut writer, "\x1b[1mred\n");
    for _ in 0..3 {
        assert!(matches!(
            turn(&mut channel, &mut heard).next,
            Next::Blocked(_)
        ));
    }
    assert_eq!(heard.said.len(), 1, "{heard:?}");
    std::fs::create_dir(world.path("nowhere")).expect("made");
    drop(writer);
    pump(&mut channel, &mut heard);
    assert_eq!(world.read("log"), "plain\nred\n");
    assert!(heard.said[1].contains("goes on"), "{heard:?}");
}

#[test]
fn nothing_is_written_to_a_log_by_the_name_of_null() {
    let world = World::new();
    let null = world.files.log("/dev/null".as_ref(), 10, 3);
    let (mut channel, mut writer) = world.channel("web", Some(null));
    let mut heard = Heard::default();
    for _ in 0..10 {
        put(&mut writer, "more than ten bytes");
        assert_eq!(turn(&mut channel, &mut heard).moved, 19);
    }
    assert!(!world.path("web.spool").exists(), "it goes there at once");
    assert_eq!(heard.said, [""; 0]);
}
