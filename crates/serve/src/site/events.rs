//! A build as it happens: server-sent events (HTML standard, section 9.2).
//!
//! `text` is a piece of the log, as markup, with the offsets of its raw bytes; its event's id is the offset
//! after it, so that a browser that was cut off goes on where it was. `panel` replaces a part of the page.
//! `end` comes once, when nothing more will.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use rustix::fs::inotify::WatchFlags;
use serde_json::json;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{Instant, sleep_until};
use ward_build::api::{BuildView, Builds, Which};

use super::console::Log;
use super::painter::Painter;
use super::progress;
use super::sheet::Sheet;
use crate::builds::{Around, Asked};
use crate::http::{Body, Ground, Reply, of_type};
use crate::watch::Watch;

/// Bytes of a log in one event.
const PIECE: u64 = 64 << 10;

/// How often one looks at what else changes.
const TICK: Duration = Duration::from_secs(1);

/// How often something is said, so that whoever is between does not take it for dead.
const ALIVE: Duration = Duration::from_secs(15);

/// Events that wait for a slow reader.
const WAITING: usize = 4;

/// Sends events of a build for as long as somebody reads.
pub(super) fn follow(asked: &Asked, around: &Around<'_>, build: &BuildView) -> Reply {
    let again = asked.headers.get(HeaderName::from_static("last-event-id"));
    let start = again
        .and_then(|id| id.to_str().ok())
        .or_else(|| asked.query.get("start"))
        .and_then(|start| start.parse().ok())
        .unwrap_or(0);
    let (reader, pieces) = channel(WAITING);
    let follower = Follower {
        builds: Arc::clone(around.builds),
        ground: Rc::clone(around.ground),
        job: build.line.job.clone(),
        number: build.line.number,
        // Panels have no forms and their links lead nowhere else.
        reader,
        panels: [String::new(), String::new()],
        spoken: Instant::now(),
    };
    tokio::task::spawn_local(follower.run(start));
    let mut reply = of_type("text/event-stream;charset=utf-8", Body::pieces(pieces));
    *reply.status_mut() = StatusCode::OK;
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather what they pass on are asked not to.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    reply
}

struct Follower {
    builds: Arc<dyn Builds>,
    ground: Rc<Ground>,
    job: String,
    number: u32,
    reader: Sender<Bytes>,
    /// What was sent last of each panel.
    panels: [String; 2],
    spoken: Instant,
}

/// Nobody reads any more.
struct Gone;

impl Follower {
    async fn run(mut self, start: u64) {
        // Whoever went away needs no answer; they see that there is no more.
        let _ = self.tell(start).await;
    }

    async fn tell(&mut self, start: u64) -> Result<(), Gone> {
        let mut painter: Option<Painter> = None;
        let mut log = None;
        let mut growth: Option<Watch> = None;
        loop {
            let Ok(build) = self.builds.build(&self.job, &Which::Number(self.number)) else {
                return self.say("event: end\ndata: {}\n\n".to_owned()).await;
            };
            self.show_panels(&build).await?;
            let is_over = !build.log_grows;
            if log.is_none() {
                let watches = &self.ground.watches;
                // Whoever follows may be here before the runner has made it.
                if let (None, Some(directory)) = (&growth, build.log.parent()) {
                    let name = build.log.file_name();
                    growth = Some(watches.add(directory, name, WatchFlags::CREATE));
                }
                log = Log::open(&build).ok();
                if log.is_some() {
                    growth = Some(watches.add(&build.log, None, WatchFlags::MODIFY));
                }
            } else if is_over {
                // Its end is known by now.
                log = Log::open(&build).ok();
            }
            if let Some(log) = &mut log {
                log.refresh_times(&build);
                let begun = match painter.take() {
                    Some(painter) => Some(painter),
                    None => begin(log, start).ok(),
                };
                if let Some(mut begun) = begun {
                    self.pieces(log, &mut begun, is_over).await?;
                    painter = Some(begun);
                }
            }
            if is_over {
                return self.say("event: end\ndata: {}\n\n".to_owned()).await;
            }
            self.wait(&mut growth).await?;
        }
    }

    /// Sends what is there of the log.
    async fn pieces(&mut self, log: &Log, painter: &mut Painter, over: bool) -> Result<(), Gone> {
        loop {
            let from = painter.at();
            let Ok(bytes) = log.bytes(from, PIECE) else {
                return Ok(());
            };
            if bytes.is_empty() {
                return Ok(());
            }
            let to = from + bytes.len() as u64;
            let is_last = over && log.length().is_ok_and(|length| to >= length);
            let piece = painter.paint(&bytes, is_last, &mut log.clock(from, to));
            if piece.taken == 0 {
                return Ok(());
            }
            let data = json!({
                "from": from, "to": painter.at(), "wipes": piece.wipes,
                "head": piece.head, "lines": piece.lines,
            });
            let at = painter.at();
            self.say(format!("event: text\nid: {at}\ndata: {data}\n\n"))
                .await?;
        }
    }

    /// Sends the panels that changed.
    async fn show_panels(&mut self, build: &BuildView) -> Result<(), Gone> {
        let sheet = || Sheet::at("../../".to_owned(), String::new());
        let mut status = sheet();
        progress::status(&mut status, build);
        let mut tree = sheet();
        if build.line.result.is_none()
            && let Ok(processes) = self.builds.processes(&self.job, self.number)
        {
            progress::processes(&mut tree, &processes);
        }
        let panels = [status.into_text(), tree.into_text()];
        for (name, (new, old)) in ["status", "processes"]
            .into_iter()
            .zip(panels.iter().zip(self.panels.clone()))
        {
            if *new != old {
                let data = json!({ "panel": name, "html": new });
                self.say(format!("event: panel\ndata: {data}\n\n")).await?;
            }
        }
        self.panels = panels;
        Ok(())
    }

    async fn say(&mut self, text: String) -> Result<(), Gone> {
        self.spoken = Instant::now();
        self.reader.send(Bytes::from(text)).await.map_err(|_| Gone)
    }

    /// Waits until there may be more.
    async fn wait(&mut self, growth: &mut Option<Watch>) -> Result<(), Gone> {
        if self.spoken.elapsed() >= ALIVE {
            self.say(": \n\n".to_owned()).await?;
        }
        let tick = Instant::now() + TICK;
        let changed = async {
            match growth {
                Some(growth) => growth.changed(TICK).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = sleep_until(tick) => {}
            () = self.reader.closed() => return Err(Gone),
        }
        Ok(())
    }
}

/// Where to begin: a line that was shown in part goes on.
fn begin(log: &Log, start: u64) -> io::Result<Painter> {
    let start = start.min(log.length()?);
    Ok(Painter::new(start, log.is_within_line(start)?))
}
