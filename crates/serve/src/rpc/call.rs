//! From the name of a method to what is asked of the supervisor.

use std::rc::Rc;

use ward_supervise::api::{Control, Fault, FaultCode, Stream};

use super::arguments::Arguments;
use super::table::{Entry, Method};
use super::{logs, records, system};
use crate::http::Site;
use crate::xmlrpc::Value;

/// Version of the interface.
const API: &str = "3.0";

/// What clients compare with the versions of Supervisor that they know.
const VERSION: &str = "4.3.0";

/// Done.
const YES: Value = Value::Bool(true);

/// Calls any method but multicall.
pub(super) async fn call(site: &Rc<Site>, name: &str, params: &[Value]) -> Result<Value, Fault> {
    let entry =
        system::offered(site, name).ok_or_else(|| Fault::plain(FaultCode::UnknownMethod))?;
    let most = entry.params.len();
    let arguments = Arguments::new(params, most - entry.optional, most)?;
    let control = site.control.as_ref();
    if control.state().is_ending() && refuses_while_ending(entry) {
        return Err(Fault::plain(FaultCode::ShutdownState));
    }
    match entry.method {
        Method::GetApiVersion => Ok(Value::text(API)),
        Method::GetSupervisorVersion => Ok(Value::text(VERSION)),
        Method::GetIdentification => Ok(Value::Text(control.identification())),
        Method::GetState => {
            let state = control.state();
            Ok(Value::members([
                ("statecode", Value::Int(state.number().into())),
                ("statename", Value::text(state.word())),
            ]))
        }
        Method::GetPid => Ok(Value::Int(control.pid().into())),
        Method::Shutdown => {
            control.shutdown();
            Ok(YES)
        }
        Method::Restart => {
            control.restart()?;
            Ok(YES)
        }

        Method::GetProcessInfo => {
            let info = control.process_info(&arguments.text(0)?)?;
            Ok(records::process(&info))
        }
        Method::GetAllProcessInfo => {
            let all = control.all_process_info();
            Ok(Value::Array(all.iter().map(records::process).collect()))
        }
        Method::GetAllConfigInfo => {
            let all = control.all_config_info();
            Ok(Value::Array(all.iter().map(records::config).collect()))
        }

        Method::StartProcess => {
            let starting = control.start_process(&arguments.text(0)?, arguments.truth(1));
            Ok(records::acted(&starting.await?))
        }
        Method::StartProcessGroup => {
            let starting = control.start_group(&arguments.text(0)?, arguments.truth(1));
            Ok(records::statuses(&starting.await?))
        }
        Method::StartAllProcesses => {
            let starting = control.start_all(arguments.truth(0));
            Ok(records::statuses(&starting.await?))
        }
        Method::StopProcess => {
            let stopping = control.stop_process(&arguments.text(0)?, arguments.truth(1));
            Ok(records::acted(&stopping.await?))
        }
        Method::StopProcessGroup => {
            let stopping = control.stop_group(&arguments.text(0)?, arguments.truth(1));
            Ok(records::statuses(&stopping.await?))
        }
        Method::StopAllProcesses => {
            let stopping = control.stop_all(arguments.truth(0));
            Ok(records::statuses(&stopping.await?))
        }
        Method::SignalProcess => {
            let (name, signal) = (arguments.text(0)?, arguments.text(1)?);
            Ok(records::acted(&control.signal_process(&name, &signal)?))
        }
        Method::SignalProcessGroup => {
            let (name, signal) = (arguments.text(0)?, arguments.text(1)?);
            Ok(records::statuses(&control.signal_group(&name, &signal)?))
        }
        Method::SignalAllProcesses => {
            let statuses = control.signal_all(&arguments.text(0)?)?;
            Ok(records::statuses(&statuses))
        }
        Method::SendProcessStdin => {
            let bytes = arguments.bytes(1)?;
            control
                .send_stdin(&arguments.text(0)?, &bytes)
                .map(|()| YES)
        }
        Method::SendRemoteCommEvent => {
            let (kind, data) = (arguments.text(0)?, arguments.text(1)?);
            control.send_remote_event(&kind, &data);
            Ok(YES)
        }

        Method::ReloadConfig => {
            let read = control.reload_config()?;
            let groups = [&read.added, &read.changed, &read.removed];
            let groups = groups.map(|groups| records::names(groups)).to_vec();
            Ok(Value::Array(vec![Value::Array(groups)]))
        }
        Method::AddProcessGroup => control.add_group(&arguments.text(0)?).map(|()| YES),
        Method::RemoveProcessGroup => control.remove_group(&arguments.text(0)?).map(|()| YES),

        Method::ReadLog => logs::read_main(control, arguments.int(0)?, arguments.int(1)?),
        Method::ReadProcessStdoutLog => read(control, &arguments, Stream::Stdout),
        Method::ReadProcessStderrLog => read(control, &arguments, Stream::Stderr),
        Method::TailProcessStdoutLog => tail(control, &arguments, Stream::Stdout),
        Method::TailProcessStderrLog => tail(control, &arguments, Stream::Stderr),
        Method::ClearLog => control.clear_log().map(|()| YES),
        Method::ClearProcessLogs => control
            .clear_process_logs(&arguments.text(0)?)
            .map(|()| YES),
        Method::ClearAllProcessLogs => Ok(records::statuses(&control.clear_all_process_logs())),

        Method::ListMethods => Ok(system::list_methods(site)),
        Method::Help => system::method_help(site, &arguments.text(0)?),
        Method::Signature => system::method_signature(site, &arguments.text(0)?),
        // Who may call it has been asked before.
        Method::Multicall => Err(Fault::plain(FaultCode::UnknownMethod)),

        Method::Explain => Ok(Value::Text(
            control.explain(&arguments.text(0)?)?.to_string(),
        )),
        Method::Upgrade => control.upgrade().map(|()| YES),
    }
}

/// Supervisor forgot one: whoever hears of an event hears of it until the end.
fn refuses_while_ending(entry: &Entry) -> bool {
    match entry.method {
        Method::SendRemoteCommEvent | Method::Explain => false,
        Method::Upgrade => true,
        _ => entry.namespace() == "supervisor",
    }
}

fn read(control: &dyn Control, arguments: &Arguments<'_>, stream: Stream) -> Result<Value, Fault> {
    let (offset, length) = (arguments.int(1)?, arguments.int(2)?);
    logs::read_process(control, &arguments.text(0)?, stream, offset, length)
}

fn tail(control: &dyn Control, arguments: &Arguments<'_>, stream: Stream) -> Result<Value, Fault> {
    let (offset, length) = (arguments.int(1)?, arguments.int(2)?);
    logs::tail_process(control, &arguments.text(0)?, stream, offset, length)
}
