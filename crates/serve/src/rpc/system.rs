//! `system.*`: what can be called, and calling several at once.

use std::rc::Rc;

use ward_supervise::api::{Fault, FaultCode};

use super::arguments::{Arguments, incorrect};
use super::call::call;
use super::fault_value;
use super::table::{ENTRIES, Entry, find};
use crate::http::Site;
use crate::xmlrpc::Value;

/// The one method that calls others, and never itself.
pub(super) const MULTICALL: &str = "system.multicall";

/// What all results of a multicall may have together, in bytes, about. A program that asks for all states a
/// thousand times at once would otherwise have them all in memory.
const RESULTS: usize = 64 << 20;

/// The method of a name, unless its namespace is not there.
pub(super) fn offered(site: &Site, name: &str) -> Option<&'static Entry> {
    find(name).filter(|entry| is_offered(site, entry))
}

fn is_offered(site: &Site, entry: &Entry) -> bool {
    site.settings.supervisor_namespace || entry.namespace() != "supervisor"
}

/// listMethods.
pub(super) fn list_methods(site: &Site) -> Value {
    let offered = ENTRIES.iter().filter(|entry| is_offered(site, entry));
    Value::Array(offered.map(|entry| Value::text(entry.name)).collect())
}

/// methodHelp: the words, and the signature in the form that clients of Supervisor know.
pub(super) fn method_help(site: &Site, name: &str) -> Result<Value, Fault> {
    let entry = known(site, name)?;
    let mut help = format!(" {}\n\n", entry.help);
    for (kind, name) in entry.params {
        help.push_str(&format!("@param {kind} {name}\n"));
    }
    let (kind, name) = entry.returns;
    help.push_str(&format!("@return {kind} {name}\n"));
    Ok(Value::Text(help))
}

/// methodSignature.
pub(super) fn method_signature(site: &Site, name: &str) -> Result<Value, Fault> {
    let entry = known(site, name)?;
    let types = std::iter::once(entry.returns)
        .chain(entry.params.iter().copied())
        .map(|(kind, _)| Value::text(kind));
    Ok(Value::Array(types.collect()))
}

fn known(site: &Site, name: &str) -> Result<&'static Entry, Fault> {
    offered(site, name).ok_or_else(|| Fault::plain(FaultCode::SignatureUnsupported))
}

/// multicall: one after the other, each when the one before it is done; others are served in between.
///
/// Results stand there bare, as Supervisor gives them, not each in an array of its own.
pub(super) async fn multicall(site: &Rc<Site>, params: &[Value]) -> Result<Value, Fault> {
    let arguments = Arguments::new(params, 1, 1)?;
    let Value::Array(calls) = arguments.value(0)? else {
        return Err(incorrect());
    };
    let mut room = RESULTS;
    let mut results = Vec::with_capacity(calls.len());
    for member in calls {
        let result = if room == 0 {
            Err(Fault::about(
                FaultCode::Failed,
                "the results before are too large together",
            ))
        } else {
            one(site, member).await
        };
        let result = result.unwrap_or_else(|fault| {
            let fault = fault_value(&fault);
            Value::members([
                ("faultCode", Value::Int(fault.code.into())),
                ("faultString", Value::Text(fault.text)),
            ])
        });
        room = room.saturating_sub(weight(&result));
        results.push(result);
        tokio::task::yield_now().await;
    }
    Ok(Value::Array(results))
}

async fn one(site: &Rc<Site>, member: &Value) -> Result<Value, Fault> {
    let name = match member.member("methodName") {
        Some(Value::Text(name)) => name,
        Some(_) => return Err(incorrect()),
        None => {
            return Err(Fault::about(
                FaultCode::IncorrectParameters,
                "No methodName",
            ));
        }
    };
    if name == MULTICALL {
        let why = "Recursive system.multicall forbidden";
        return Err(Fault::about(FaultCode::IncorrectParameters, why));
    }
    match member.member("params") {
        Some(Value::Array(params)) => call(site, name, params).await,
        Some(Value::Struct(members)) if members.is_empty() => call(site, name, &[]).await,
        None => call(site, name, &[]).await,
        Some(_) => Err(incorrect()),
    }
}

/// Bytes of a value on the wire, about.
fn weight(value: &Value) -> usize {
    const AROUND: usize = 32;
    AROUND
        + match value {
            Value::Text(text) | Value::DateTime(text) => text.len(),
            Value::Base64(bytes) => bytes.len() / 3 * 4,
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Struct(members) => members
                .iter()
                .map(|(name, value)| AROUND + name.len() + weight(value))
                .sum(),
            Value::Int(_) | Value::Bool(_) | Value::Double(_) | Value::Nil => 0,
        }
}
