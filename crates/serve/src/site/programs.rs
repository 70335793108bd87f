//! The programs of the supervisor that runs beside the build server, for administrators.

use hyper::StatusCode;
use ward_build::api::Role;
use ward_engine::chain;

use super::sheet::{Sheet, saying};
use crate::builds::{Around, Asked, to};
use crate::http::Reply;
use crate::xmlrpc::{Call, Value, parse_response, write_call};

/// The page of programs.
pub(super) async fn show(asked: &Asked, around: &Around<'_>) -> Option<Reply> {
    around.supervisor?;
    if !around.may(Role::Admin) {
        return Some(not_allowed(asked, around));
    }
    let answer = match ask(around, "supervisor.getAllProcessInfo", Vec::new()).await {
        Ok(answer) => answer,
        Err(why) => return Some(unreachable(asked, around, &why)),
    };
    let mut sheet = Sheet::begin(asked, around, "Programs");
    sheet.raw("<h1>Programs</h1>\n<table>\n<thead><tr><th scope=\"col\">Program</th><th scope=\"col\">State</th><th scope=\"col\">Description</th><th scope=\"col\"></th></tr></thead>\n<tbody>\n");
    for info in answer.as_array().unwrap_or_default() {
        let text = |name| {
            info.member(name)
                .and_then(Value::as_text)
                .unwrap_or_default()
        };
        let name = if text("group") == text("name") {
            text("name").to_owned()
        } else {
            format!("{}:{}", text("group"), text("name"))
        };
        let state = text("statename");
        sheet.raw("<tr><th scope=\"row\">");
        sheet.text(&name);
        sheet.raw("</th><td><span class=\"result ");
        sheet.raw(match state {
            "RUNNING" => "success",
            "FATAL" | "BACKOFF" | "UNKNOWN" => "failure",
            _ => "notbuilt",
        });
        sheet.raw("\">");
        sheet.text(&state.to_lowercase());
        sheet.raw("</span></td><td>");
        sheet.text(text("description"));
        sheet.raw("</td><td>");
        let order = |what| ["programs", "ward", what, name.as_str()];
        match state {
            "STOPPED" | "EXITED" | "FATAL" => sheet.button(&order("start"), "Start", ""),
            "RUNNING" | "STARTING" | "BACKOFF" => sheet.button(&order("stop"), "Stop", "stop"),
            _ => {}
        }
        sheet.raw("</td></tr>\n");
    }
    sheet.raw("</tbody>\n</table>\n");
    Some(sheet.end(StatusCode::OK))
}

/// Starts or stops a program; it is not waited for.
pub(super) async fn order(
    asked: &Asked,
    around: &Around<'_>,
    what: &str,
    name: &str,
) -> Option<Reply> {
    around.supervisor?;
    let method = match what {
        "start" => "supervisor.startProcess",
        "stop" => "supervisor.stopProcess",
        _ => return None,
    };
    if !around.may(Role::Admin) {
        return Some(not_allowed(asked, around));
    }
    let parameters = vec![Value::text(name), Value::Bool(false)];
    Some(match ask(around, method, parameters).await {
        Ok(_) => to(StatusCode::SEE_OTHER, "../../"),
        Err(why) => unreachable(asked, around, &why),
    })
}

async fn ask(around: &Around<'_>, method: &str, parameters: Vec<Value>) -> Result<Value, String> {
    let Some(supervisor) = around.supervisor else {
        return Err("there is none".to_owned());
    };
    let call = Call {
        method: method.to_owned(),
        params: parameters,
    };
    let document = supervisor
        .call(&write_call(&call))
        .await
        .map_err(|error| chain(&error))?;
    match parse_response(&document) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(fault)) => Err(fault.text),
        Err(error) => Err(chain(&error)),
    }
}

fn not_allowed(asked: &Asked, around: &Around<'_>) -> Reply {
    let what = "Only administrators see programs.";
    saying(asked, around, StatusCode::FORBIDDEN, "Not allowed", what)
}

fn unreachable(asked: &Asked, around: &Around<'_>, why: &str) -> Reply {
    let text = format!("The supervisor says: {why}");
    saying(asked, around, StatusCode::BAD_GATEWAY, "Not done", &text)
}
