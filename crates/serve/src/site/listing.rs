//! Directories that builds made: a workspace, or what was kept of a build. Names only: what is in a file is
//! sent elsewhere, apart from the site.

use std::fs::File;
use std::io;

use hyper::StatusCode;
use rustix::fs::{AtFlags, Dir, FileType, statat};
use ward_build::api::{BuildLine, BuildView, JobView, Role};

use super::build::{place, title};
use super::jobs::heading;
use super::sheet::{Sheet, job_parts, saying};
use super::words::size;
use crate::builds::{Around, Asked, Root, to};
use crate::http::Reply;

/// Names that are looked at: of a directory that holds more, some are not shown.
const LOOKED_AT: usize = 10_000;

/// Names that are shown.
const SHOWN: usize = 1000;

/// What stands in a directory.
struct Entry {
    name: Vec<u8>,
    kind: FileType,
    size: u64,
    /// Milliseconds since the epoch.
    modified: i64,
}

/// What is in a directory.
struct Listing {
    entries: Vec<Entry>,
    /// There are more.
    is_cut: bool,
}

/// A directory of a job's workspace.
pub(super) async fn of_workspace(
    asked: &Asked,
    around: &Around<'_>,
    job: &JobView,
    path: &[&str],
) -> Reply {
    if !around.may(Role::Build) {
        let what = "Who may start builds may look into workspaces.";
        return saying(asked, around, StatusCode::FORBIDDEN, "Not allowed", what);
    }
    let name = &job.line.name;
    let mut above = job_parts(name);
    above.push("ws");
    let root = Root::of_workspace(job);
    let of = Of {
        job: name,
        build: None,
    };
    show(asked, around, of, "Workspace", (&above, path), root).await
}

/// A directory of what was kept of a build.
pub(super) async fn of_artifacts(
    asked: &Asked,
    around: &Around<'_>,
    build: &BuildView,
    path: &[&str],
) -> Reply {
    let (mut above, number) = place(&build.line);
    above.extend([number.as_str(), "artifact"]);
    let root = Root::open(&build.artifacts);
    let of = Of {
        job: &build.line.job,
        build: Some(&build.line),
    };
    show(asked, around, of, "Artifacts", (&above, path), root).await
}

/// Whose directory it is.
struct Of<'a> {
    job: &'a str,
    build: Option<&'a BuildLine>,
}

async fn show(
    asked: &Asked,
    around: &Around<'_>,
    of: Of<'_>,
    what: &'static str,
    (above, path): (&[&str], &[&str]),
    root: io::Result<Root>,
) -> Reply {
    let parts: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    // A disk may be slow.
    let listed = tokio::task::spawn_blocking(move || {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        list(&root?.at(&parts)?)
    })
    .await;
    let Ok(Ok(listing)) = listed else {
        let text = "There is nothing to be seen here: no build has made it yet, or it was removed.";
        return saying(asked, around, StatusCode::NOT_FOUND, "Not found", text);
    };
    if !asked.ends_with_slash {
        // Its links are relative to where it is.
        let path = asked.raw_path.trim_start_matches('/');
        return to(StatusCode::FOUND, &format!("{}{path}/", around.asked_root));
    }
    let whose = of.build.map_or_else(|| of.job.to_owned(), title);
    let mut sheet = Sheet::begin(asked, around, &format!("{whose}: {what}"));
    heading(&mut sheet, of.job);
    if let Some(build) = of.build {
        sheet.raw("<p>");
        sheet.build(build);
        sheet.raw("</p>\n");
    }
    sheet.raw("<h2>");
    let mut to: Vec<&str> = above.to_vec();
    to.push("");
    sheet.link(&to, what);
    to.pop();
    for part in path {
        to.extend([*part, ""]);
        sheet.raw(" / ");
        sheet.link(&to, part);
        to.pop();
    }
    sheet.raw("</h2>\n");
    table(&mut sheet, &to, &listing);
    sheet.end(StatusCode::OK)
}

fn list(directory: &File) -> io::Result<Listing> {
    let mut entries = Vec::new();
    let mut is_cut = false;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if entries.len() == LOOKED_AT {
            is_cut = true;
            break;
        }
        entries.push(Entry {
            name: name.to_owned(),
            kind: entry.file_type(),
            size: 0,
            modified: 0,
        });
    }
    entries.sort_by(|one, other| {
        let key = |entry: &Entry| entry.kind != FileType::Directory;
        (key(one), &one.name).cmp(&(key(other), &other.name))
    });
    is_cut |= entries.len() > SHOWN;
    entries.truncate(SHOWN);
    for entry in &mut entries {
        // What went away meanwhile has no size.
        if let Ok(stat) = statat(directory, entry.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            entry.kind = FileType::from_raw_mode(stat.st_mode);
            entry.size = u64::try_from(stat.st_size).unwrap_or(0);
            entry.modified = stat.st_mtime.saturating_mul(1000);
        }
    }
    Ok(Listing { entries, is_cut })
}

fn table(sheet: &mut Sheet, here: &[&str], listing: &Listing) {
    if listing.entries.is_empty() {
        sheet.raw("<p>It is empty.</p>\n");
        return;
    }
    sheet.raw("<table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\" class=\"number\">Size</th><th scope=\"col\" class=\"wide\">Changed</th></tr></thead>\n<tbody>\n");
    for entry in &listing.entries {
        row(sheet, here, entry);
    }
    sheet.raw("</tbody>\n</table>\n");
    if listing.is_cut {
        sheet.raw("<p class=\"message warn\">There is more here than is shown.</p>\n");
    }
    sheet.raw("<p>");
    let mut all = here.to_vec();
    all.extend(["*zip*", "archive.zip"]);
    sheet.link(&all, "All of it as one archive");
    sheet.raw("</p>\n");
}

fn row(sheet: &mut Sheet, here: &[&str], entry: &Entry) {
    sheet.raw("<tr><td>");
    let name = String::from_utf8_lossy(&entry.name);
    let note = match entry.kind {
        // A name that is no text has no address.
        _ if std::str::from_utf8(&entry.name).is_err() => Some("its name is no text"),
        FileType::Directory | FileType::RegularFile => None,
        FileType::Symlink => Some("a link, which is not followed"),
        _ => Some("no file"),
    };
    let is_directory = entry.kind == FileType::Directory;
    if let Some(note) = note {
        sheet.text(&name);
        sheet.raw(" <small>");
        sheet.raw(note);
        sheet.raw("</small>");
    } else {
        let mut to = here.to_vec();
        to.push(&name);
        if is_directory {
            to.push("");
        }
        sheet.link(&to, &name);
    }
    sheet.raw("</td><td class=\"number\">");
    if entry.kind == FileType::RegularFile {
        sheet.text(&size(entry.size));
    } else if is_directory {
        sheet.raw("directory");
    }
    sheet.raw("</td><td class=\"wide\">");
    sheet.moment(entry.modified);
    sheet.raw("</td></tr>\n");
}
