//! What the buttons do.

use std::rc::Rc;

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use ward_supervise::api::{Acted, Fault, FaultCode};

use super::saying;
use crate::http::{Form, Reply, Site, encode, same};

/// A button that was pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Start(String),
    Stop(String),
    Restart(String),
    ClearLog(String),
    StopAll,
    RestartAll,
    Refresh,
}

impl Action {
    /// `start=NAME` as our buttons say it, or `action=start` and `processname=NAME`, as Supervisor's links did.
    fn of(form: &Form) -> Option<Self> {
        let named = |action: &str| {
            let pressed = form.get(action);
            let said = || {
                form.get("processname")
                    .filter(|_| form.get("action") == Some(action))
            };
            pressed.or_else(said).map(str::to_owned)
        };
        let plain = |action| form.get(action).is_some() || form.get("action") == Some(action);
        None.or_else(|| named("start").map(Self::Start))
            .or_else(|| named("stop").map(Self::Stop))
            .or_else(|| named("restart").map(Self::Restart))
            .or_else(|| named("clearlog").map(Self::ClearLog))
            .or_else(|| plain("stopall").then_some(Self::StopAll))
            .or_else(|| plain("restartall").then_some(Self::RestartAll))
            .or_else(|| plain("refresh").then_some(Self::Refresh))
    }
}

/// Does what a form says, and has the browser show the status page with what came of it.
///
/// What takes longer than somebody looks at a blank page goes on by itself.
pub(crate) async fn act(site: &Rc<Site>, form: &Form) -> Reply {
    let token = form.get("token").unwrap_or_default();
    if !same(token.as_bytes(), site.token.as_bytes()) {
        return saying(
            StatusCode::FORBIDDEN,
            "Not done",
            "The form is not of this page, or of before the supervisor was started last. Open the status page again.",
        );
    }
    let Some(action) = Action::of(form) else {
        return saying(
            StatusCode::BAD_REQUEST,
            "Not done",
            "There is no such action.",
        );
    };
    // In a task of its own: a restart is not left half done if the browser goes away.
    let acting = tokio::task::spawn_local(perform(Rc::clone(site), action));
    let message = match tokio::time::timeout(site.settings.limits.page, acting).await {
        Ok(Ok(message)) => message,
        Ok(Err(_)) => "ERROR: it did not work".to_owned(),
        Err(_) => "It takes a while and goes on; refresh to see what came of it".to_owned(),
    };
    // Relative: whatever host and path the browser sees, it stays there.
    let location = format!("./?message={}", encode(&message));
    let mut reply = saying(StatusCode::SEE_OTHER, "Done", &message);
    if let Ok(location) = HeaderValue::try_from(location) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

async fn perform(site: Rc<Site>, action: Action) -> String {
    if site.control.state().is_ending() {
        return "ERROR: the supervisor is ending".to_owned();
    }
    match action {
        Action::Start(name) => match site.control.start_process(&name, true).await {
            Ok(_) => format!("Process {name} started"),
            Err(fault) => refused(&name, &fault),
        },
        Action::Stop(name) => match site.control.stop_process(&name, true).await {
            Ok(_) => format!("Process {name} stopped"),
            Err(fault) => refused(&name, &fault),
        },
        Action::Restart(name) => restart(&site, &name).await,
        Action::ClearLog(name) => match site.control.clear_process_logs(&name) {
            Ok(()) => format!("Log for {name} cleared"),
            Err(fault) => refused(&name, &fault),
        },
        Action::StopAll => match site.control.stop_all(true).await {
            Ok(_) => "All stopped".to_owned(),
            Err(fault) => format!("ERROR: {fault}"),
        },
        Action::RestartAll => {
            let stopped = site.control.stop_all(true).await;
            let started = match stopped {
                Ok(_) => site.control.start_all(true).await,
                Err(fault) => Err(fault),
            };
            match started {
                Ok(statuses) => {
                    let failed: Vec<_> = statuses
                        .iter()
                        .filter(|status| status.status != FaultCode::Success)
                        .map(|status| format!("{}:{}", status.group, status.name))
                        .collect();
                    if failed.is_empty() {
                        "All restarted".to_owned()
                    } else {
                        format!("All restarted, but {}", failed.join(", "))
                    }
                }
                Err(fault) => format!("ERROR: {fault}"),
            }
        }
        Action::Refresh => "Page refreshed".to_owned(),
    }
}

async fn restart(site: &Site, name: &str) -> String {
    match site.control.stop_process(name, true).await {
        Ok(Acted::One | Acted::Many(_)) => {}
        // It is to run afterwards, whether or not it did before.
        Err(fault) if fault.code == FaultCode::NotRunning => {}
        Err(fault) => return refused(name, &fault),
    }
    match site.control.start_process(name, true).await {
        Ok(_) => format!("Process {name} restarted"),
        Err(fault) => refused(name, &fault),
    }
}

/// In the words of Supervisor's page.
fn refused(name: &str, fault: &Fault) -> String {
    let why = match fault.code {
        FaultCode::NoFile => "no such file".to_owned(),
        FaultCode::NotExecutable => "file not executable".to_owned(),
        FaultCode::AlreadyStarted => "already started".to_owned(),
        FaultCode::SpawnError => "spawn error".to_owned(),
        FaultCode::AbnormalTermination => "abnormal termination".to_owned(),
        FaultCode::BadName => return format!("No such process named {name}"),
        FaultCode::NotRunning => "not running".to_owned(),
        _ => format!("unexpected rpc fault [{}] {fault}", fault.code.number()),
    };
    format!("ERROR: Process {name}: {why}")
}
