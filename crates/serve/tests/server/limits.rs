//! Whoever takes more than his share, or his time.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_serve::xmlrpc::Value;

use crate::world::{World, call, until};

#[test]
fn who_does_not_finish_his_request_is_cut_off() {
    let world = World::with(
        |settings| {
            settings.limits.head = Duration::from_millis(500);
            settings.limits.body = Duration::from_millis(50);
        },
        None,
    );
    assert!(world.tcp().is_ended(), "says nothing");
    let mut half = world.tcp();
    half.say("GET / HTTP/1.1\r\nHost: ");
    assert!(half.is_ended(), "half a header");
    // One byte at a time, for as long as it is taken.
    let mut drops = world.unix();
    until("it is cut off", || {
        drops.say("x");
        has_ended(drops.stream())
    });
    let mut body = world.tcp();
    body.say("POST /RPC2 HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
    assert_eq!(body.answer().unwrap().status, 408);
    assert!(body.is_ended());
}

#[test]
fn who_is_idle_or_waits_is_not_cut_off_with_them() {
    let world = World::with(
        |settings| {
            settings.limits.head = Duration::from_millis(500);
            settings.limits.body = Duration::from_millis(50);
            settings.limits.stalled = Duration::from_millis(50);
        },
        None,
    );
    let mut idle = world.tcp();
    assert_eq!(idle.get("/ok.html").status, 200);
    let mut waiting = world.tcp();
    waiting.say(call("supervisor.startProcess", vec![Value::text("slow")]));
    until("it has called", || !world.shared.calls().is_empty());
    // Several who are cut off, one after the other: their limits are over many times.
    for _ in 0..3 {
        assert!(world.tcp().is_ended());
    }
    world.shared.release.notify_waiters();
    assert_eq!(waiting.answer().unwrap().status, 200);
    assert_eq!(idle.get("/ok.html").status, 200);
    assert_eq!(waiting.get("/ok.html").status, 200);
}

#[test]
fn who_is_idle_for_too_long_is_cut_off() {
    let world = World::with(
        |settings| settings.limits.idle = Duration::from_millis(50),
        None,
    );
    let mut idle = world.tcp();
    assert_eq!(idle.get("/ok.html").status, 200);
    assert!(idle.is_ended());
}

#[test]
fn who_does_not_read_his_answer_is_cut_off() {
    let world = World::with(
        |settings| settings.limits.stalled = Duration::from_millis(50),
        None,
    );
    std::fs::write(world.path("a.out"), "x".repeat(16 << 20)).unwrap();
    let mut client = world.unix();
    client.say(call(
        "supervisor.readProcessLog",
        vec![Value::text("a"), Value::Int(0), Value::Int(0)],
    ));
    until("it is cut off", || has_ended(client.stream()));
    // What was on its way arrives, the rest does not.
    assert!(client.answer().is_none());
    assert_eq!(world.unix().get("/ok.html").status, 200);
}

/// Whether the other end has closed, as the kernel sees it, without reading anything.
fn has_ended(stream: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    poll(&mut polled, Some(&Timespec::default())).expect("polled");
    let ended = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    polled[0].revents().intersects(ended)
}

#[test]
fn a_flood_of_connections_delays_nobody_and_cuts_off_the_idle_first() {
    let world = World::with(|settings| settings.limits.connections = 64, None);
    // Somebody who waits is kept, whatever comes.
    let mut waiting = world.tcp();
    waiting.say(call("supervisor.startProcess", vec![Value::text("slow")]));
    until("it has called", || !world.shared.calls().is_empty());
    std::fs::write(world.path("a.out"), "x\n").unwrap();
    let mut following = world.tcp();
    following.say("GET /logtail/a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(following.head().unwrap().status, 200);
    let mut idle = world.tcp();
    assert_eq!(idle.get("/ok.html").status, 200);

    let mut flood = Vec::new();
    for round in 0..10_000 {
        let mut client = world.tcp();
        match round % 4 {
            0 => {}
            1 => client.say("GET /ok"),
            2 => client.say("POST /RPC2 HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"),
            _ => client.say("GET /ok.html HTTP/1.1\r\nHost: h\r\n\r\n"),
        }
        flood.push(client);
        if flood.len() == 500 {
            // Of who came, the newest are served: while all others are being answered, a moment later.
            until("somebody new is served", || {
                world.tcp().get("/ok.html").status == 200
            });
            flood.clear();
        }
    }
    assert!(idle.is_ended());
    assert_eq!(world.unix().get("/ok.html").status, 200);
    drop(flood);
    world.shared.release.notify_waiters();
    assert_eq!(waiting.answer().unwrap().status, 200);
}

#[test]
fn who_does_not_send_his_body_keeps_nobody_out() {
    let world = World::with(
        |settings| {
            settings.limits.connections = 16;
            settings.limits.body = std::time::Duration::from_secs(3600);
        },
        None,
    );
    let silent: Vec<_> = (0..64)
        .map(|_| {
            let mut client = world.tcp();
            client.say("POST /RPC2 HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
            client
        })
        .collect();
    until("somebody new is served", || {
        world.tcp().get("/ok.html").status == 200
    });
    drop(silent);
}

#[test]
fn where_all_are_worked_on_another_is_turned_away() {
    let world = World::with(|settings| settings.limits.connections = 16, None);
    let mut waiting: Vec<_> = (0..16).map(|_| world.tcp()).collect();
    for client in &mut waiting {
        client.say(call("supervisor.startProcess", vec![Value::text("slow")]));
    }
    until("all have called", || world.shared.calls().len() == 16);
    let mut refused = world.tcp();
    assert_eq!(refused.answer().unwrap().status, 503);
    assert!(refused.is_ended());
    // Another listener has places of its own.
    assert_eq!(world.unix().get("/ok.html").status, 200);
    world.shared.release.notify_waiters();
    for client in &mut waiting {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert_eq!(world.tcp().get("/ok.html").status, 200);
}
