//! `shutdown`, `reload`, `version` and `open`: the supervisor itself.

use super::super::call::{CallError, fault};
use super::super::endpoint::scheme;
use super::super::question;
use super::super::session::{Session, exit};
use super::status;

/// Ends the supervisor.
pub(in super::super) fn shutdown(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.takes_none("shutdown", words)
        || !is_meant(
            session,
            "Really shut the remote supervisord process down y/N? ",
        )?
    {
        return Ok(());
    }
    let url = session.settings.serverurl.clone();
    match session.call("shutdown", Vec::new()) {
        Ok(_) => session.say("Shut down"),
        // Which is no failure: it is as it should be.
        Err(error) if error.fault() == Some(fault::SHUTDOWN_STATE) => {
            session.say("ERROR: already shutting down");
        }
        Err(error) if error.is_refused() => session.wrong(
            &format!("ERROR: {url} refused connection (already shut down?)"),
            None,
        ),
        Err(error) if error.is_absent() => session.wrong(
            &format!("ERROR: {url} no such file (already shut down?)"),
            None,
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Has the supervisor stop everything and start anew.
pub(in super::super) fn reload(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.takes_none("reload", words)
        || !is_meant(
            session,
            "Really restart the remote supervisord process y/N? ",
        )?
    {
        return Ok(());
    }
    match session.call("restart", Vec::new()) {
        Ok(_) => session.say("Restarted supervisord"),
        Err(error) if error.fault() == Some(fault::SHUTDOWN_STATE) => {
            session.wrong("ERROR: already shutting down", None);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Asks, if somebody is there.
fn is_meant(session: &Session, what: &str) -> Result<bool, CallError> {
    if !session.settings.interactive {
        return Ok(true);
    }
    let answer = question::ask(what)?;
    Ok(answer.starts_with(['y', 'Y']))
}

/// Tells the supervisor's version.
pub(in super::super) fn version(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.takes_none("version", words) || !session.is_up()? {
        return Ok(());
    }
    let version = session.call("getSupervisorVersion", Vec::new())?;
    let version = version.as_text();
    let version = version.ok_or(CallError::Shape("getSupervisorVersion"))?;
    session.say(version);
    Ok(())
}

/// Asks another supervisor from now on.
pub(in super::super) fn open(session: &mut Session, url: &str) -> Result<(), CallError> {
    let known = scheme(url).is_some_and(|(scheme, _)| matches!(scheme.as_str(), "unix" | "http"));
    if !known {
        session.say("ERROR: url must be http:// or unix://");
        session.set_status(exit::GENERIC);
        return Ok(());
    }
    url.clone_into(&mut session.settings.serverurl);
    session.another();
    let before = session.status();
    let shown = status::status(session, &[]);
    if shown.is_ok() {
        session.set_status(before);
    }
    shown
}
