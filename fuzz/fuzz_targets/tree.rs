//! What a client wants of Jenkins' remote API: `tree=`, `depth=`, `xpath=` and `exclude=`.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// The room itself: it has no door to the outside.
#[expect(
    dead_code,
    unused_imports,
    reason = "of a room, only a part is looked at"
)]
#[path = "../../crates/serve/src/jenkins"]
mod jenkins {
    mod export;

    use export::{
        Choice, Dialect, Element, Found, Node, Sheet, Tree, exclude, export, select, write,
    };

    fn job(sheet: &mut Sheet<'_>) {
        sheet.class("hudson.model.FreeStyleProject");
        sheet.put("name", 3, || "a <name>\r\u{1}\"");
        sheet.put("buildable", 1, || true);
        sheet.nest_some("lastBuild", 1, || None::<i64>, build);
        sheet.each("builds", 1, |_| 1..9_i64, build);
        sheet.each(
            "healthReport",
            2,
            |range| 0..range.to.min(3),
            |score, sheet| {
                sheet.put("score", 2, || Node::Real(score as f64 / 3.0));
            },
        );
    }

    fn build(number: i64, sheet: &mut Sheet<'_>) {
        sheet.class("hudson.model.FreeStyleBuild");
        sheet.put("number", 999, || number);
        sheet.put("result", 1, || {
            Node::text_or_null((number % 2 == 0).then_some("SUCCESS"))
        });
        sheet.nest("changeSet", 1, |sheet| sheet.put("kind", 1, || "git"));
    }

    fn fill(sheet: &mut Sheet<'_>) {
        sheet.class("hudson.model.Hudson");
        sheet.each("jobs", 1, |_| 0..4, |_, sheet| job(sheet));
        sheet.put("all", -2, || "by name only");
    }

    pub(super) fn look(wanted: &str, path: &str, excluded: &str) {
        let tree = Tree::read(wanted);
        let choice = tree.as_ref().map_or(Choice::depth(wanted), Choice::Named);
        let node = export(choice, fill).expect("it is not much");
        let json = write(&node, Dialect::Json);
        serde_json::from_slice::<serde::de::IgnoredAny>(&json).expect("it is JSON");
        let mut root = Element::root(&node);
        let whole = root.all_text().len();
        if exclude(&mut root, excluded).is_ok() {
            assert!(root.all_text().len() <= whole);
        }
        let mut out = String::new();
        root.write(&mut out);
        if let Ok(Found::Elements(elements)) = select(&root, path) {
            for element in elements {
                element.write(&mut out);
            }
        }
        assert!(!out.contains('\u{1}') && !out.contains('\r'));
    }
}

fuzz_target!(|input: (&str, &str, &str)| jenkins::look(input.0, input.1, input.2));
