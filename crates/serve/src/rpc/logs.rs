//! Reading logs by offset: the supervisor says which file, the file says the rest.

use ward_supervise::api::{Control, Fault, FaultCode, Stream, Tail};
use ward_supervise::logs::reading;

use super::records;
use crate::xmlrpc::Value;

/// readLog.
pub(super) fn read_main(control: &dyn Control, offset: i64, length: i64) -> Result<Value, Fault> {
    let Some(path) = control.main_log() else {
        return Err(Fault::plain(FaultCode::NoFile));
    };
    let read = reading::read(&path, offset, length).map_err(|error| error.fault(&path))?;
    Ok(Value::text_of(&read))
}

/// readProcessStdoutLog and readProcessStderrLog.
pub(super) fn read_process(
    control: &dyn Control,
    name: &str,
    stream: Stream,
    offset: i64,
    length: i64,
) -> Result<Value, Fault> {
    let path = control.process_log(name, stream)?;
    let read = reading::read(&path, offset, length).map_err(|error| error.fault(&path))?;
    Ok(Value::text_of(&read))
}

/// tailProcessStdoutLog and tailProcessStderrLog: where there is no log, it is an empty one.
pub(super) fn tail_process(
    control: &dyn Control,
    name: &str,
    stream: Stream,
    offset: i64,
    length: i64,
) -> Result<Value, Fault> {
    let tail = match control.process_log(name, stream) {
        Ok(path) => reading::tail(&path, offset, length),
        Err(fault) if fault.code == FaultCode::NoFile => Tail {
            data: Vec::new(),
            offset: 0,
            overflow: false,
        },
        Err(fault) => return Err(fault),
    };
    Ok(records::tail(&tail))
}
