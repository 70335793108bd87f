//! Views: lists of jobs.

use ward_build::api::ViewView;

use super::super::export::{Node, Sheet};
use super::super::world::{ALL, World};
use super::job::{Listed, listed};
use super::server::{Contents, below, view_class};

/// A view.
pub(in crate::jenkins) fn view(world: &World, view: &ViewView, sheet: &mut Sheet<'_>) {
    sheet.class(view_class(&view.name));
    sheet.put("description", 1, || Node::Null);
    sheet.each(
        "jobs",
        1,
        |_| {
            if view.name == ALL {
                return below(Contents::all(world), "");
            }
            let jobs = world.builds.jobs();
            jobs.into_iter()
                .filter(|line| view.jobs.contains(&line.name))
                .map(|line| Listed::Job(Box::new(line)))
                .collect()
        },
        |item, sheet| listed(world, &item, sheet),
    );
    sheet.put("name", 2, || view.name.as_str());
    sheet.each("property", 1, |_| None::<()>, |(), _| {});
    sheet.put("url", 999, || world.view_url(&view.name));
}
