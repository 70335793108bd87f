//! What people do without a process.

use std::time::Duration;

use ward_lock::{Holding as _, LockError, Locks as _, Patience, Request};
use ward_model::lock::{Mode, Turn};

use crate::place::{Place, free};
use crate::rules::{lock, many, one};

fn because(why: &str, request: Request) -> Request {
    Request {
        why: Some(why.into()),
        ..request
    }
}

fn reserve(place: &impl Place, request: &Request) {
    let reserved = place.locks().reserve(request, Patience::None, None, None);
    reserved.expect("reserved");
}

pub(crate) fn what_a_person_holds(place: &impl Place) {
    reserve(
        place,
        &because("moving", many(vec![lock("a"), lock("b").mode(Mode::PR)])),
    );
    assert_eq!(
        place.deeds(),
        ["reserve a (moving) 0", "reserve b (moving) 0"]
    );
    let holder = place.shown("a").holders.remove(0);
    assert!(holder.reserved && holder.until.is_none(), "{holder:?}");
    assert_eq!((holder.ask.priority, holder.ask.turn), (0, Turn::InOrder));
    assert!(holder.who().ends_with(" (reserved, moving)"), "{holder:?}");
    let refused = place.now(&one("a")).map(|_| ()).expect_err("held");
    assert!(
        refused.to_string().contains("(reserved, moving)"),
        "{refused}"
    );
    place
        .now(&many(vec![lock("b").mode(Mode::PR)]))
        .map(|(held, _)| free(held))
        .expect("shared");
    // Whoever would wait for it in vain is told, and nothing is written down of that.
    let again = place.locks().reserve(&one("a"), Patience::None, None, None);
    assert!(matches!(again, Err(LockError::Busy { .. })), "{again:?}");
    assert_eq!(place.deeds().len(), 2);
    let waiter = place.begin(one("a"));
    let freed = place
        .locks()
        .free("a", None, false, Some("moved"))
        .expect("freed");
    assert_eq!(freed, std::slice::from_ref(&holder));
    assert_eq!(place.deeds()[2..], ["release a (moved) 1"]);
    let held = waiter.answer().expect("granted");
    assert!(Some(held.grants()[0].token) > holder.token);
    free(held);
    let freed = place.locks().free("a", None, false, None);
    assert!(matches!(freed, Err(LockError::Free(_))), "{freed:?}");
    // In its turn, and only in its turn.
    let (first, _) = place.now(&one("a")).expect("free");
    let elsewhere = place.clone();
    let person = std::thread::spawn(move || {
        let patience = Patience::For(Duration::from_secs(60));
        elsewhere.locks().reserve(&one("a"), patience, None, None)
    });
    while place.shown("a").waiting.is_empty() {
        std::thread::yield_now();
    }
    let next = place.begin(one("a"));
    free(first);
    person.join().expect("no panic").expect("reserved");
    let listed = place.shown("a");
    assert!(listed.holders[0].reserved, "{listed:?}");
    assert_eq!(listed.waiting.len(), 1);
    place.locks().free("a", None, false, None).expect("freed");
    free(next.answer().expect("granted"));
}

pub(crate) fn what_a_person_holds_for_a_time(place: &impl Place) {
    let time = Some(Duration::from_secs(1));
    let request = because("a while", one("it"));
    let reserved = place.locks().reserve(&request, Patience::None, time, None);
    reserved.expect("reserved");
    let holder = place.shown("it").holders.remove(0);
    let since = holder.held_since.expect("held");
    assert!(holder.until.expect("not for ever") > since, "{holder:?}");
    // Nobody does anything for that.
    let next = place.wait(&one("it")).expect("granted");
    free(next);
    assert!(place.shown("it").holders.is_empty());
    let stolen = place.locks().steal(&request, time).expect("taken");
    assert_eq!(stolen, []);
    assert!(place.shown("it").holders[0].until.is_some());
    free(place.wait(&one("it")).expect("granted"));
}

pub(crate) fn who_frees_what_others_hold(place: &impl Place) {
    let shared = |why| because(why, many(vec![lock("it").mode(Mode::PR)]));
    let (work, granted) = place.now(&shared("work")).expect("free");
    reserve(place, &shared("person"));
    reserve(
        place,
        &because("part", many(vec![lock("it/part").mode(Mode::PR)])),
    );
    let deeds = place.deeds().len();
    let refused = place
        .locks()
        .free("it", Some(granted.token + 1000), false, None);
    let Err(LockError::OtherToken { holders, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(holders.len(), 3);
    let refused = place.locks().free("it", None, false, None);
    let Err(LockError::InUse { holders, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(holders[0].why.as_deref(), Some("work"));
    assert_eq!(
        (place.deeds().len(), place.shown("it").holders.len()),
        (deeds, 3)
    );
    let freed = place
        .locks()
        .free("it/part", None, false, None)
        .expect("freed");
    assert_eq!(freed[0].why.as_deref(), Some("part"));
    let person = place.shown("it").holders.into_iter().find(|it| it.reserved);
    let token = person.and_then(|it| it.token);
    let freed = place.locks().free("it", token, false, None).expect("freed");
    assert_eq!(freed[0].why.as_deref(), Some("person"));
    let freed = place
        .locks()
        .free("it", None, true, Some("now"))
        .expect("freed");
    assert_eq!(freed[0].token, Some(granted.token));
    assert_eq!(
        place.deeds().last().map(String::as_str),
        Some("release it (now) 1")
    );
    // The work goes on without it, and what it gives back is not the next one's.
    let (next, _) = place.now(&one("it")).expect("free");
    free(work);
    assert_eq!(place.shown("it").holders.len(), 1);
    free(next);
    assert!(matches!(
        place.locks().free("-no name", None, true, None),
        Err(LockError::Name(_))
    ));
}

pub(crate) fn what_is_taken_from_others(place: &impl Place) {
    let wanted = |why, mode| because(why, many(vec![lock("it").mode(mode)]));
    let (first, _) = place.now(&wanted("first", Mode::PR)).expect("free");
    let (second, _) = place.now(&wanted("second", Mode::PR)).expect("free");
    let waits = place.begin(one("it"));
    let thief = because("incident", many(vec![lock("it"), lock("free")]));
    let from = place.locks().steal(&thief, None).expect("taken");
    let mut why: Vec<_> = from.iter().filter_map(|it| it.why.as_deref()).collect();
    why.sort_unstable();
    assert_eq!(why, ["first", "second"]);
    let mut deeds = place.deeds();
    deeds.sort_unstable();
    assert_eq!(deeds, ["steal free (incident) 0", "steal it (incident) 2"]);
    for name in ["it", "free"] {
        let listed = place.shown(name);
        assert_eq!(listed.holders.len(), 1, "{listed:?}");
        let holder = &listed.holders[0];
        assert!(holder.reserved, "{holder:?}");
        assert_eq!((holder.ask.priority, holder.ask.turn), (0, Turn::InOrder));
    }
    assert_eq!(place.shown("it").waiting.len(), 1);
    // They do not know it, and what they give back is the thief's.
    free(first);
    free(second);
    assert!(place.shown("it").holders[0].reserved);
    // From a person too; who shares it is not robbed.
    let reader = wanted("reader", Mode::PR);
    let from = place.locks().steal(&reader, None).expect("taken");
    assert_eq!(from[0].why.as_deref(), Some("incident"));
    let from = place.locks().steal(&reader, None).expect("taken");
    assert_eq!(from, []);
    assert_eq!(place.shown("it").holders.len(), 2);
    place.locks().free("it", None, false, None).expect("freed");
    free(waits.answer().expect("granted"));
    place
        .locks()
        .free("free", None, false, None)
        .expect("freed");
    // From one who holds both.
    let both = many(vec![lock("a"), lock("b")]);
    let held = place.all(&because("both", both.clone())).expect("free");
    let deeds = place.deeds().len();
    let from = place.locks().steal(&both, None).expect("taken");
    assert_eq!(from.len(), 2, "{from:?}");
    assert_eq!(place.deeds()[deeds..], ["steal a () 1", "steal b () 1"]);
    free(held);
    for name in ["a", "b"] {
        place.locks().free(name, None, false, None).expect("freed");
    }
    assert!(place.locks().list().expect("listed").locks.is_empty());
}

pub(crate) fn no_more_is_taken_than_is_needed(place: &impl Place) {
    let slots = |why, take| because(why, many(vec![lock("s").slots(take, 6).expect("slots")]));
    let mut held = Vec::new();
    for (why, take) in [("old", 2), ("large", 3), ("small", 1)] {
        held.push(place.now(&slots(why, take)).expect("free").0);
    }
    let from = place
        .locks()
        .steal(&slots("thief", 2), None)
        .expect("taken");
    // Of the last two the smaller one would not be enough, and with the larger one it is not needed.
    assert_eq!(from.len(), 1, "{from:?}");
    assert_eq!(from[0].why.as_deref(), Some("large"));
    let things = ["x", "y", "z"].map(str::to_owned).to_vec();
    let pool = |why, take| {
        let wanted = lock("p").things(take, things.clone()).expect("things");
        because(why, many(vec![wanted]))
    };
    let (first, _) = place.now(&pool("first", 1)).expect("free");
    let (last, granted) = place.now(&pool("last", 2)).expect("free");
    let from = place.locks().steal(&pool("thief", 1), None).expect("taken");
    assert_eq!(from.len(), 1, "{from:?}");
    assert_eq!(from[0].why.as_deref(), Some("last"));
    let holders = place.shown("p").holders;
    let thief = holders.iter().find(|it| it.reserved).expect("the thief");
    assert_eq!(thief.has.len(), 1);
    assert!(granted.elements.contains(&thief.has[0]), "{thief:?}");
    held.extend([first, last]);
    held.into_iter().for_each(free);
    for name in ["s", "p"] {
        place.locks().free(name, None, false, None).expect("freed");
    }
    // From more than a cluster sends away in one step.
    let readers: Vec<_> = (0..150)
        .map(|_| {
            place
                .now(&many(vec![lock("it").mode(Mode::PR)]))
                .expect("shared")
                .0
        })
        .collect();
    let from = place.locks().steal(&one("it"), None).expect("taken");
    assert_eq!(from.len(), readers.len());
    assert_eq!(place.shown("it").holders.len(), 1);
    readers.into_iter().for_each(free);
    place.locks().free("it", None, false, None).expect("freed");
}
