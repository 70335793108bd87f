//! Consoles of which there is more than a page holds: found in, jumped in, and never sent whole.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use ward_model::build::BuildResult;

use crate::world::{Answer, World, finished, job};

/// Bytes of the log.
const LENGTH: u64 = 200 << 20;

/// A log that is almost nothing but one long hole, with something at these places.
fn with(places: &[(u64, &str)]) -> World {
    let world = World::new();
    world.memory.put(job("a"));
    world
        .memory
        .put_build(finished("a", 1, BuildResult::Success, LENGTH), b"");
    let path = world.memory.held().builds[&("a".to_owned(), 1)].log.clone();
    let log = File::options().write(true).open(path).expect("the log");
    log.set_len(LENGTH).expect("set");
    for (at, text) in places {
        log.write_all_at(text.as_bytes(), *at).expect("written");
    }
    world
}

/// Follows a search for as long as it only says that one may go on; gives the last place and the answers.
fn search(world: &World, mut place: String) -> (String, u32) {
    let mut rounds = 0;
    loop {
        rounds += 1;
        let answer = world.get(&format!("/job/a/1/{place}"));
        assert_eq!(answer.status, 303, "{}", answer.text());
        let to = answer.header("Location").expect("a place").to_owned();
        if !to.contains("up-to=") {
            return (to, rounds);
        }
        let page = world.get(&format!("/job/a/1/{to}")).text();
        let link = page.split("href=\"").find(|link| link.contains("after="));
        let link = link
            .and_then(|link| link.split('"').next())
            .expect("a link");
        let (_, query) = link.split_once('?').expect("a query");
        place = format!("console?{}", query.replace("&amp;", "&"));
    }
}

fn page(world: &World, place: &str) -> Answer {
    let place = place.split('#').next().unwrap_or_default();
    let page = world.get(&format!("/job/a/1/{place}"));
    assert_eq!(page.status, 200, "{place}");
    assert!(page.body.len() < 4 << 20, "{} bytes", page.body.len());
    page
}

#[test]
fn a_page_holds_the_end_and_leads_to_the_rest() {
    let world = with(&[
        (0, "the first line\n"),
        (LENGTH - 40, "\nlast but one\nthe last line\n"),
    ]);
    for place in ["", "console"] {
        let end = page(&world, place).text();
        assert!(end.contains("the last line") && !end.contains("the first line"));
        assert!(end.contains("console?from=0\">Beginning</a>"));
    }
    let begin = page(&world, "console?from=0").text();
    assert!(begin.contains("the first line") && !begin.contains("the last line"));
    assert!(begin.contains("1/console\">End</a>"));
}

#[test]
fn a_text_is_found_however_far_it_is() {
    let far = 150 << 20;
    let world = with(&[
        (100, "\nfirst NEEDLE <b>\n"),
        (far - 1, "\nbefore it\na second needle, and a needle\n"),
    ]);
    let (first, rounds) = search(&world, "console?after=0&find=needle".to_owned());
    assert_eq!(rounds, 1);
    assert!(first.ends_with("&at=107&find=needle#b101"), "{first}");
    let text = page(&world, &first).text();
    assert!(
        text.contains("id=\"b101\">first NEEDLE &lt;b&gt;"),
        "{text}"
    );
    assert!(text.contains("?after=108&amp;find=needle\">Next one"));
    let (second, rounds) = search(&world, "console?after=108&find=needle".to_owned());
    assert!(rounds > 1, "so much is not looked through at once");
    let line = far + 10;
    assert!(second.ends_with(&format!("#b{line}")), "{second}");
    let text = page(&world, &second).text();
    assert!(text.contains("before it") && text.contains("a second needle"));
    let next = format!("console?after={}&find=needle", line + 10);
    let (third, _) = search(&world, next);
    assert!(
        third.ends_with(&format!("#b{line}")),
        "{third}: the same line"
    );
    let (none, _) = search(&world, format!("console?after={}&find=needle", far + 40));
    assert_eq!(none, "console?nowhere=1&find=needle");
    assert!(
        page(&world, &none)
            .text()
            .contains("Not found from there on")
    );
}

#[test]
fn what_is_looked_for_is_text_and_nothing_else() {
    let world = with(&[(0, "a \"><script> b\n")]);
    let evil = "%22%3E%3Cscript%3E";
    let (found, _) = search(&world, format!("console?after=0&find={evil}"));
    assert!(found.contains(&format!("find={evil}#b0")), "{found}");
    let text = page(&world, &found).text();
    assert!(!text.contains("<script>"), "{text}");
    for place in [
        "console?after=0&find=",
        "console?after=x&find=%ff%01",
        "console?find=x",
        "console?at=1",
        "console?up-to=9&find=%0d%0aX-Evil:1",
    ] {
        let answer = world.get(&format!("/job/a/1/{place}"));
        assert!(matches!(answer.status, 200 | 303), "{place}");
        assert_eq!(answer.header("X-Evil"), None);
    }
    let far = world.get("/job/a/1/console?after=18446744073709551615&find=b");
    assert_eq!(far.header("Location"), Some("console?nowhere=1&find=b"));
    let long = format!("/job/a/1/console?after=0&find={}", "a".repeat(5000));
    assert_eq!(world.get(&long).status, 200);
    let slash = world.get("/job/a/1/console/?after=0&find=b");
    let place = slash.header("Location").unwrap_or_default();
    assert!(place.starts_with("./?"), "{place}");
    let stranger = world.ask("GET", "/job/a/1/console?after=0&find=b").send();
    assert_eq!(stranger.status, 403);
}
