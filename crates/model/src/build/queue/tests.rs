//! What the machine holds to, whatever happens.

mod random;

use super::{
    Action, Cause, Event, Found, Item, LEFT_KEPT, MAX_WAITING, Place, Queue, Request, Rules, span,
};

type Given = (String, String);

/// A queue, and what it said so far.
struct Desk {
    queue: Queue<Given>,
    now: i64,
    said: Vec<Action>,
}

fn user(name: &str) -> Cause {
    Cause::User {
        user: name.to_owned(),
    }
}

fn request(job: &str, quiet: u64) -> Request<Given> {
    Request {
        job: job.to_owned(),
        cause: Cause::Timer,
        parameters: Vec::new(),
        revision: None,
        quiet,
    }
}

impl Desk {
    fn new(executors: u32) -> Self {
        Self {
            queue: Queue::new(executors, 1),
            now: 1_000_000,
            said: Vec::new(),
        }
    }

    /// Tells what happened; what was said to that.
    fn tell(&mut self, event: Event<Given>) -> Vec<Action> {
        let mut said = Vec::new();
        self.queue.handle(event, self.now, &mut said);
        self.said.extend(said.iter().cloned());
        said
    }

    fn ask(&mut self, job: &str, quiet: u64) -> Vec<Action> {
        self.tell(Event::Asked(request(job, quiet)))
    }

    fn later(&mut self, milliseconds: i64) -> Vec<Action> {
        self.now += milliseconds;
        self.tell(Event::Tick)
    }

    fn rule(&mut self, job: &str, rules: Rules) {
        self.tell(Event::Ruled {
            job: job.to_owned(),
            rules,
        });
    }

    fn place(&self, id: u64) -> Place {
        let item = self.queue.items().find(|item| item.id == id);
        item.expect("it waits").place.clone()
    }

    fn why(&self, id: u64) -> String {
        self.queue.seen_one(id, self.now).expect("known").why
    }
}

fn start(id: u64, executor: u32) -> Action {
    Action::Start { id, executor }
}

fn names(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_request_waits_out_its_quiet_period_and_starts() {
    let mut desk = Desk::new(1);
    assert_eq!(desk.ask("a", 5000), [Action::Accepted { id: 1 }]);
    assert_eq!(desk.queue.next_due(), Some(desk.now + 5000));
    assert_eq!(desk.later(1100), []);
    assert_eq!(desk.why(1), "In the quiet period. Expires in 3.9 sec");
    assert_eq!(desk.later(3900), [start(1, 0)]);
    assert_eq!(desk.queue.next_due(), None);
    assert_eq!(desk.why(1), "Finished waiting");
    desk.tell(Event::Began { id: 1, number: 17 });
    assert_eq!((desk.queue.busy(), desk.queue.running_of("a")), (1, 1));
    desk.tell(Event::Ended { id: 1 });
    assert_eq!(desk.queue.busy(), 0);
}

#[test]
fn requests_of_a_kind_fold_and_the_earlier_time_holds() {
    let mut desk = Desk::new(1);
    desk.ask("a", 5000);
    desk.now += 1000;
    // A later one does not put it off; an earlier one hastens it.
    assert_eq!(desk.ask("a", 5000), [Action::Folded { id: 1 }]);
    assert_eq!(desk.queue.next_due(), Some(desk.now + 4000));
    let mut by_alice = request("a", 2000);
    by_alice.cause = user("alice");
    assert_eq!(
        desk.tell(Event::Asked(by_alice.clone())),
        [Action::Folded { id: 1 }]
    );
    desk.tell(Event::Asked(by_alice));
    assert_eq!(desk.queue.next_due(), Some(desk.now + 2000));
    let item = desk.queue.item(1).expect("it waits");
    assert_eq!(item.causes, [Cause::Timer, user("alice")]);
    // Other parameters, another commit, another job: another build.
    let mut other = request("a", 5000);
    other.parameters = vec![("X".to_owned(), "1".to_owned())];
    assert_eq!(
        desk.tell(Event::Asked(other.clone())),
        [Action::Accepted { id: 2 }]
    );
    assert_eq!(desk.tell(Event::Asked(other)), [Action::Folded { id: 2 }]);
    let mut other = request("a", 5000);
    other.revision = Some("abc".to_owned());
    assert_eq!(desk.tell(Event::Asked(other)), [Action::Accepted { id: 3 }]);
    assert_eq!(desk.ask("b", 5000), [Action::Accepted { id: 4 }]);
    // One that started is no longer there to fold into.
    assert_eq!(desk.later(2000), [start(1, 0)]);
    assert_eq!(desk.ask("a", 5000), [Action::Accepted { id: 5 }]);
}

#[test]
fn builds_of_a_job_follow_one_another_and_hold_up_nobody() {
    let mut desk = Desk::new(3);
    desk.ask("a", 0);
    let mut second = request("a", 0);
    second.cause = user("bob");
    assert_eq!(
        desk.tell(Event::Asked(second)),
        [Action::Accepted { id: 2 }]
    );
    assert_eq!(desk.place(2), Place::Blocked);
    assert_eq!(desk.why(2), "A build is already in progress (ETA: N/A)");
    desk.tell(Event::Began { id: 1, number: 7 });
    assert_eq!(desk.why(2), "Build #7 is already in progress (ETA: N/A)");
    desk.rule(
        "a",
        Rules {
            estimate: Some(65_000),
            ..Rules::default()
        },
    );
    assert_eq!(
        desk.why(2),
        "Build #7 is already in progress (ETA: 1 min 5 sec)"
    );
    assert_eq!(desk.ask("b", 0), [Action::Accepted { id: 3 }, start(3, 1)]);
    assert_eq!(desk.tell(Event::Ended { id: 1 }), [start(2, 0)]);
}

#[test]
fn so_many_builds_of_a_job_as_may() {
    let mut desk = Desk::new(8);
    desk.rule(
        "a",
        Rules {
            concurrent: 2,
            ..Rules::default()
        },
    );
    for number in 0..4 {
        let mut request = request("a", 0);
        request.parameters = vec![("N".to_owned(), number.to_string())];
        desk.tell(Event::Asked(request));
    }
    assert_eq!(desk.queue.running_of("a"), 2);
    assert_eq!(desk.queue.waiting_of("a"), 2);
    assert_eq!(desk.why(3), "Already running 2 builds across all nodes");
    assert_eq!(desk.tell(Event::Ended { id: 2 }), [start(3, 1)]);
    // None at a time is one at a time.
    desk.rule(
        "b",
        Rules {
            concurrent: 0,
            ..Rules::default()
        },
    );
    assert_eq!(desk.ask("b", 0).last(), Some(&start(5, 2)));
}

#[test]
fn executors_are_numbered_from_the_lowest_free_one() {
    let mut desk = Desk::new(2);
    desk.ask("a", 0);
    desk.ask("b", 0);
    desk.ask("c", 0);
    assert_eq!(desk.why(3), "Waiting for next available executor");
    assert_eq!(desk.tell(Event::Ended { id: 1 }), [start(3, 0)]);
    desk.ask("d", 0);
    // Fewer executors end nothing, and more start something.
    assert_eq!(desk.tell(Event::Executors(1)), []);
    assert_eq!(desk.tell(Event::Ended { id: 3 }), []);
    assert_eq!(desk.tell(Event::Executors(2)), [start(4, 0)]);
    desk.ask("e", 0);
    assert_eq!(desk.tell(Event::Executors(3)), [start(5, 2)]);
}

#[test]
fn jobs_wait_for_those_they_depend_on_however_far() {
    let mut desk = Desk::new(4);
    let site = Rules {
        blocked_by_upstream: true,
        upstream: names(&["app"]),
        ..Rules::default()
    };
    desk.rule("site", site);
    desk.rule(
        "app",
        Rules {
            upstream: names(&["lib"]),
            ..Rules::default()
        },
    );
    desk.ask("lib", 5000);
    desk.ask("site", 0);
    assert_eq!(desk.why(2), "Upstream project lib is already building.");
    assert_eq!(desk.later(5000), [start(1, 0)]);
    assert_eq!(desk.tell(Event::Ended { id: 1 }), [start(2, 0)]);
}

#[test]
fn jobs_wait_for_those_that_depend_on_them() {
    let mut desk = Desk::new(4);
    let lib = Rules {
        blocked_by_downstream: true,
        downstream: names(&["app"]),
        ..Rules::default()
    };
    desk.rule("lib", lib);
    desk.ask("app", 0);
    desk.ask("lib", 0);
    assert_eq!(desk.why(2), "Downstream project app is already building.");
    assert_eq!(desk.tell(Event::Ended { id: 1 }), [start(2, 0)]);
}

#[test]
fn two_that_wait_for_one_another_do_not_wait_for_ever() {
    let mut desk = Desk::new(4);
    let both = |other: &str| Rules {
        blocked_by_upstream: true,
        blocked_by_downstream: true,
        upstream: names(&[other]),
        downstream: names(&[other]),
        ..Rules::default()
    };
    desk.rule("a", both("b"));
    desk.rule("b", both("a"));
    desk.ask("a", 1000);
    desk.ask("b", 1000);
    assert_eq!(desk.later(1000), [start(2, 0)]);
    assert_eq!(desk.tell(Event::Ended { id: 2 }), [start(1, 0)]);
    // A job that depends on itself does not wait for itself.
    desk.rule("c", both("c"));
    assert_eq!(desk.ask("c", 0).last(), Some(&start(3, 1)));
}

#[test]
fn who_waits_for_one_that_has_to_wait_goes_first() {
    let mut desk = Desk::new(4);
    let a = Rules {
        blocked_by_upstream: true,
        upstream: names(&["b"]),
        ..Rules::default()
    };
    let b = Rules {
        blocked_by_downstream: true,
        downstream: names(&["x"]),
        ..Rules::default()
    };
    desk.rule("a", a);
    desk.rule("b", b);
    desk.ask("x", 0);
    desk.ask("a", 1000);
    desk.ask("b", 1000);
    // Both are due: `a` would wait for `b`, but that waits for `x`.
    assert_eq!(desk.later(1000), [start(2, 1)]);
    assert_eq!(desk.why(3), "Downstream project x is already building.");
}

#[test]
fn nothing_starts_while_quieting_down() {
    let mut desk = Desk::new(2);
    desk.tell(Event::QuietDown(Some("upgrade".to_owned())));
    assert_eq!(desk.ask("a", 0), [Action::Accepted { id: 1 }]);
    assert_eq!(desk.why(1), "Jenkins is about to shut down: upgrade");
    assert_eq!(desk.queue.quieting_down(), Some("upgrade"));
    desk.tell(Event::QuietDown(Some(String::new())));
    assert_eq!(desk.why(1), "Jenkins is about to shut down");
    assert_eq!(desk.tell(Event::QuietDown(None)), [start(1, 0)]);
}

#[test]
fn who_is_cancelled_is_gone_and_remembered_for_a_while() {
    let mut desk = Desk::new(0);
    desk.ask("a", 0);
    let cancel = |id| Event::CancelAsked {
        id,
        by: "alice".to_owned(),
    };
    assert_eq!(desk.tell(cancel(1)), [Action::Cancelled { id: 1 }]);
    assert_eq!(desk.tell(cancel(1)), [Action::NotWaiting { id: 1 }]);
    assert_eq!(desk.why(1), "Cancelled by alice");
    desk.later(LEFT_KEPT);
    assert!(desk.queue.seen_one(1, desk.now).is_some());
    assert!(desk.queue.seen_one(1, desk.now + 1).is_none());
    desk.later(1);
    assert_eq!(desk.queue.item(1), None);
    // Numbers are not given again.
    assert_eq!(desk.ask("a", 0), [Action::Accepted { id: 2 }]);
}

#[test]
fn what_cannot_be_started_waits_and_is_tried_again() {
    let mut desk = Desk::new(1);
    desk.ask("a", 0);
    let failed = Event::NotBegun {
        id: 1,
        retry_in: 30_000,
        why: "no space left".to_owned(),
    };
    assert_eq!(desk.tell(failed.clone()), []);
    assert_eq!(
        desk.why(1),
        "Could not be started: no space left. Next attempt in 30 sec"
    );
    assert_eq!(desk.later(30_000), [start(1, 0)]);
    desk.tell(Event::Began { id: 1, number: 1 });
    // One that began is not put back.
    assert_eq!(desk.tell(failed), []);
    assert_eq!((desk.queue.busy(), desk.queue.waiting()), (1, 0));
}

#[test]
fn one_that_waits_for_too_long_is_stuck() {
    let mut desk = Desk::new(0);
    desk.ask("a", 0);
    desk.ask("b", 0);
    desk.rule(
        "b",
        Rules {
            estimate: Some(1),
            ..Rules::default()
        },
    );
    let stuck = |desk: &Desk| -> Vec<bool> {
        let seen = desk.queue.seen(desk.now);
        seen.iter().map(|seen| seen.stuck).collect()
    };
    desk.later(600_000);
    assert_eq!(stuck(&desk), [false, false]);
    desk.later(1);
    assert_eq!(stuck(&desk), [false, true]);
    desk.later(24 * 3600 * 1000);
    assert_eq!(stuck(&desk), [true, true]);
}

#[test]
fn the_order_is_that_in_which_they_will_be_built() {
    let mut desk = Desk::new(1);
    desk.ask("a", 0);
    desk.ask("quiet", 9000);
    desk.ask("sooner", 8000);
    desk.ask("a", 0);
    desk.ask("b", 0);
    desk.ask("c", 0);
    let seen = desk.queue.seen(desk.now);
    let order: Vec<&str> = seen.iter().map(|seen| seen.item.job.as_str()).collect();
    assert_eq!(order, ["b", "c", "a", "sooner", "quiet"]);
    for (position, seen) in seen.iter().enumerate() {
        assert_eq!(seen.position, position);
        let one = desk.queue.seen_one(seen.item.id, desk.now);
        assert_eq!(one.as_ref(), Some(seen));
    }
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
    let mut desk = Desk::new(1);
    desk.ask("a", 5000);
    desk.now -= 3_600_000;
    desk.later(0);
    assert_eq!(desk.queue.next_due(), Some(desk.now + 5000));
    assert_eq!(desk.later(5000), [start(1, 0)]);
}

#[test]
fn too_many_are_refused_and_what_waits_still_folds() {
    let mut desk = Desk::new(0);
    for number in 0..MAX_WAITING {
        desk.queue.put_back(Item {
            id: number as u64 + 1,
            job: format!("job{number}"),
            causes: vec![Cause::Timer],
            parameters: Vec::new(),
            revision: None,
            since: 0,
            place: Place::Blocked,
        });
    }
    assert_eq!(desk.ask("one more", 0), [Action::Refused]);
    assert_eq!(desk.ask("job5", 0), [Action::Folded { id: 6 }]);
    assert_eq!(desk.queue.next_id(), MAX_WAITING as u64 + 1);
}

#[test]
fn jobs_that_go_take_their_requests_with_them() {
    let mut desk = Desk::new(1);
    desk.ask("a", 0);
    desk.ask("a", 0);
    desk.ask("b", 0);
    let gone = Event::JobGone {
        job: "a".to_owned(),
    };
    assert_eq!(desk.tell(gone), [Action::Cancelled { id: 2 }]);
    assert_eq!(desk.why(2), "Cancelled by the job was removed");
    assert_eq!(desk.tell(Event::Ended { id: 1 }), [start(3, 0)]);
}

#[test]
fn a_job_may_be_called_something_else() {
    let mut desk = Desk::new(1);
    desk.rule(
        "b",
        Rules {
            blocked_by_upstream: true,
            upstream: names(&["a"]),
            ..Rules::default()
        },
    );
    desk.ask("a", 0);
    desk.ask("a", 0);
    desk.tell(Event::JobRenamed {
        from: "a".to_owned(),
        to: "z".to_owned(),
    });
    desk.ask("b", 0);
    assert_eq!(desk.queue.running_of("z"), 1);
    assert_eq!(desk.queue.item(2).map(|item| item.job.as_str()), Some("z"));
    assert_eq!(desk.why(3), "Upstream project z is already building.");
}

#[test]
fn a_server_that_comes_back_builds_what_it_had_not_begun_once() {
    let mut desk = Desk::new(2);
    desk.ask("runs", 0);
    desk.tell(Event::Began { id: 1, number: 3 });
    desk.ask("was being started", 0);
    desk.ask("waits", 0);
    let json = serde_json::to_string(&desk.queue).expect("plain data");
    desk.queue = serde_json::from_str(&json).expect("what was written");
    let found = Found {
        id: 1,
        job: "runs".to_owned(),
        number: 3,
        executor: 0,
        since: desk.now,
    };
    assert_eq!(
        desk.tell(Event::Restored(vec![found.clone()])),
        [start(2, 1)]
    );
    // One by one, and the third had begun although it was written down as waiting.
    let items: Vec<Item<Given>> = desk.queue.items().cloned().collect();
    let mut other = Desk::new(2);
    for item in items {
        other.queue.put_back(item);
    }
    let third = Found {
        id: 3,
        job: "waits".to_owned(),
        number: 1,
        ..found
    };
    assert_eq!(other.tell(Event::Restored(vec![third])), []);
    assert_eq!((other.queue.waiting(), other.queue.busy()), (0, 1));
    assert_eq!(other.why(3), "Finished waiting");
    assert_eq!(
        other.ask("new", 0).first(),
        Some(&Action::Accepted { id: 4 })
    );
}

#[test]
fn times_are_told_in_two_units() {
    let table = [
        (0, "0 ms"),
        (99, "99 ms"),
        (120, "0.12 sec"),
        (3999, "3.9 sec"),
        (10_000, "10 sec"),
        (59_999, "59 sec"),
        (60_000, "1 min 0 sec"),
        (3_725_000, "1 hr 2 min"),
        (90_000_000, "1 day 1 hr"),
        (40 * 86_400_000, "1 mo 10 day"),
        (400 * 86_400_000, "1 yr 1 mo"),
    ];
    for (milliseconds, text) in table {
        assert_eq!(span(milliseconds), text);
    }
    assert!(!span(u64::MAX).is_empty());
}
