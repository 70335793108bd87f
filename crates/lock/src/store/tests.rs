use super::*;
use crate::{Directory, Patience, Request};

/// A queue of one, and another store of its lock.
struct Pair {
    directory: Directory,
    ours: Store,
    theirs: Store,
    one: Entry,
}

impl Pair {
    fn new(what: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ward-store-{what}-{}", std::process::id()));
        let directory = Directory::open(Some(&path)).expect("a directory");
        let request = Request::exclusive("it").expect("a name");
        let held = directory.acquire(&request, Patience::None, None);
        let held = held.expect("free").remove(0);
        let image = held.store.read().expect("read").expect("a queue");
        let name = Name::parse("it").expect("a name");
        let store = || Store::open(&path, &name).expect("opened");
        Self {
            ours: store(),
            theirs: store(),
            one: image.entries[0],
            directory,
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.directory.path());
    }
}

fn change(store: &Store, set: impl Fn(&mut Image)) -> Image {
    let section = store.section(STUCK).expect("entered");
    let mut image = section.load(Shape::Modes).expect("read");
    set(&mut image);
    section.save(&image).expect("written");
    image
}

fn load(store: &Store) -> Image {
    let section = store.section(STUCK).expect("entered");
    section.load(Shape::Modes).expect("read")
}

#[test]
fn whoever_has_written_sees_what_others_wrote_since() {
    let pair = Pair::new("since");
    for others in 0..5 {
        change(&pair.ours, |image| image.entries = vec![pair.one]);
        assert!(pair.ours.written.borrow().is_some());
        // Each writes over one copy after the other.
        for other in 0..others {
            let ticket = pair.one.ticket + 1 + other;
            let entry = Entry { ticket, ..pair.one };
            change(&pair.theirs, |image| image.entries.push(entry));
        }
        let seen = load(&pair.ours);
        assert_eq!(seen.entries.len() as u64, 1 + others);
        assert_eq!(Some(seen), pair.theirs.read().expect("read"));
    }
    // In a queue of several one of the others writes next.
    change(&pair.ours, |image| image.entries = vec![pair.one; 2]);
    assert!(pair.ours.written.borrow().is_none());
}

/// Others who were killed leave what is not whole, over the older copy, and nothing else.
#[test]
fn what_we_have_written_stays_the_newest_whatever_was_begun_after_it() {
    let pair = Pair::new("begun");
    let mut bytes = Vec::new();
    let whole = {
        let image = change(&pair.ours, |image| image.entries = vec![pair.one]);
        image.write(1, &mut bytes);
        bytes.len()
    };
    for torn in [0, 8, 16, HEAD, whole / 2] {
        let ours = change(&pair.ours, |image| image.entries = vec![pair.one]);
        let (at, number, _) = pair.theirs.newest(None).expect("read").expect("a queue");
        let mut others = ours.clone();
        others.entries[0].ticket += 1;
        others.write(number + 1, &mut bytes);
        let older = &pair.theirs.file;
        older
            .write_all_at(&bytes[..torn], COPIES[1 - at])
            .expect("torn");
        assert_eq!(load(&pair.ours), ours, "{torn}");
        // As it is to everybody else.
        assert_eq!(load(&pair.theirs), ours, "{torn}");
    }
}

/// The woken read their own place only.
#[test]
fn one_is_read_as_he_is_among_all() {
    let pair = Pair::new("only");
    let entry = |ticket| Entry { ticket, ..pair.one };
    change(&pair.ours, |image| {
        image.entries = (1..100).map(entry).collect();
    });
    for ticket in [1, 50, 99] {
        let image = pair
            .theirs
            .read_only(ticket)
            .expect("read")
            .expect("a queue");
        assert_eq!(image.entries, [entry(ticket)]);
    }
    let image = pair.theirs.read_only(100).expect("read").expect("a queue");
    assert!(image.entries.is_empty());
}
