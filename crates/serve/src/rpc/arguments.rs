//! What a method is called with. Types are taken as Python takes them where that has a meaning.

use ward_supervise::api::{Fault, FaultCode};

use crate::xmlrpc::Value;

/// The parameters of a call, as many as its method takes.
pub(super) struct Arguments<'a>(&'a [Value]);

impl<'a> Arguments<'a> {
    /// At least `least`, at most `most`; else `INCORRECT_PARAMETERS`.
    pub(super) fn new(params: &'a [Value], least: usize, most: usize) -> Result<Self, Fault> {
        if (least..=most).contains(&params.len()) {
            Ok(Self(params))
        } else {
            Err(incorrect())
        }
    }

    /// A text, or what is written as one: names that are numbers are sent as numbers.
    pub(super) fn text(&self, at: usize) -> Result<String, Fault> {
        match self.0.get(at) {
            Some(Value::Text(text)) => Ok(text.clone()),
            Some(Value::Base64(bytes)) => String::from_utf8(bytes.clone()).map_err(|_| incorrect()),
            Some(Value::Int(number)) => Ok(number.to_string()),
            Some(Value::Double(number)) => Ok(format!("{number:?}")),
            Some(Value::Bool(truth)) => Ok(if *truth { "True" } else { "False" }.to_owned()),
            Some(Value::DateTime(text)) => Ok(text.clone()),
            Some(Value::Array(_) | Value::Struct(_) | Value::Nil) | None => Err(incorrect()),
        }
    }

    /// Bytes for a program; anything but text and bytes is told by what it was.
    pub(super) fn bytes(&self, at: usize) -> Result<Vec<u8>, Fault> {
        match self.0.get(at) {
            Some(Value::Text(text)) => Ok(text.clone().into_bytes()),
            Some(Value::Base64(bytes)) => Ok(bytes.clone()),
            Some(_) => Err(match self.text(at) {
                Ok(said) => Fault::about(FaultCode::IncorrectParameters, said),
                Err(fault) => fault,
            }),
            None => Err(incorrect()),
        }
    }

    /// A whole number; what is none but can be read as one is taken as one.
    pub(super) fn int(&self, at: usize) -> Result<i64, Fault> {
        match self.0.get(at) {
            Some(Value::Int(number)) => Ok(*number),
            Some(Value::Bool(truth)) => Ok(i64::from(*truth)),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "towards zero, and capped, is what is meant"
            )]
            Some(Value::Double(number)) if number.is_finite() => Ok(*number as i64),
            Some(Value::Text(text)) => text.trim().parse().map_err(|_| incorrect()),
            Some(
                Value::Double(_)
                | Value::Array(_)
                | Value::Struct(_)
                | Value::Nil
                | Value::Base64(_)
                | Value::DateTime(_),
            )
            | None => Err(incorrect()),
        }
    }

    /// Whether something is true, as Python sees it: what is not zero and not empty. `true` if it is not said.
    pub(super) fn truth(&self, at: usize) -> bool {
        match self.0.get(at) {
            None => true,
            Some(Value::Bool(truth)) => *truth,
            Some(Value::Int(number)) => *number != 0,
            Some(Value::Double(number)) => *number != 0.0,
            Some(Value::Text(text)) => !text.is_empty(),
            Some(Value::Base64(bytes)) => !bytes.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Struct(members)) => !members.is_empty(),
            Some(Value::Nil) => false,
            Some(Value::DateTime(_)) => true,
        }
    }

    /// As it is.
    pub(super) fn value(&self, at: usize) -> Result<&'a Value, Fault> {
        self.0.get(at).ok_or_else(incorrect)
    }
}

/// `INCORRECT_PARAMETERS`.
pub(super) fn incorrect() -> Fault {
    Fault::plain(FaultCode::IncorrectParameters)
}
