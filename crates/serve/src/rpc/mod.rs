//! The methods that can be called: `supervisor.*` and `system.*` as Supervisor has them, and `ward.*`.
//!
//! Checks what they are called with, turns answers into values, decides nothing.

mod arguments;
mod call;
mod logs;
mod records;
mod system;
mod table;

use std::rc::Rc;

use ward_supervise::api::Fault;

use crate::http::{Site, Weight};
use crate::xmlrpc::{Call, FaultValue, Value};

/// Answers a call, when it is done.
pub(crate) async fn answer(site: &Rc<Site>, called: &Call) -> Result<Value, FaultValue> {
    let method = &called.method;
    site.tell(Weight::Trace, &format!("XML-RPC method called: {method}()"));
    let answered = if called.method == system::MULTICALL {
        system::multicall(site, &called.params).await
    } else {
        call::call(site, &called.method, &called.params).await
    };
    match answered {
        Ok(value) => {
            let line = format!("XML-RPC method {method}() returned successfully");
            site.tell(Weight::Trace, &line);
            Ok(value)
        }
        Err(fault) => {
            let fault = fault_value(&fault);
            let (code, text) = (fault.code, &fault.text);
            let line = format!("XML-RPC method {method}() returned fault: [{code}] {text}");
            site.tell(Weight::Trace, &line);
            Err(fault)
        }
    }
}

fn fault_value(fault: &Fault) -> FaultValue {
    FaultValue {
        code: fault.code.number(),
        text: fault.to_string(),
    }
}
