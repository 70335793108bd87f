//! What can be said in XML-RPC.

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `int`, `i4`, `i8`; what is larger than 64 bits is capped when read, what is larger than 32 when
    /// written, as Supervisor does (dates after 2038 stand still then).
    Int(i64),
    /// `boolean`.
    Bool(bool),
    /// `string`, or text without a type.
    Text(String),
    /// `double`.
    Double(f64),
    /// `array`.
    Array(Vec<Value>),
    /// `struct`, in the order it was written.
    Struct(Vec<(String, Value)>),
    /// `nil`.
    Nil,
    /// `base64`, decoded.
    Base64(Vec<u8>),
    /// `dateTime.iso8601`, as it was written.
    DateTime(String),
}

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A text of bytes; what is not UTF-8 among them is replaced by U+FFFD.
    #[must_use]
    pub fn text_of(bytes: &[u8]) -> Self {
        Self::Text(String::from_utf8_lossy(bytes).into_owned())
    }

    /// A struct of members.
    #[must_use]
    pub fn members<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Struct(
            members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// The member of a struct that is called so; the last one, if it is there twice.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(members) => members
                .iter()
                .rev()
                .find(|(called, _)| called == name)
                .map(|(_, value)| value),
            Self::Int(_)
            | Self::Bool(_)
            | Self::Text(_)
            | Self::Double(_)
            | Self::Array(_)
            | Self::Nil
            | Self::Base64(_)
            | Self::DateTime(_) => None,
        }
    }

    /// Its text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Int(_)
            | Self::Bool(_)
            | Self::Double(_)
            | Self::Array(_)
            | Self::Struct(_)
            | Self::Nil
            | Self::Base64(_)
            | Self::DateTime(_) => None,
        }
    }

    /// Its number, if it is a whole one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(_)
            | Self::Text(_)
            | Self::Double(_)
            | Self::Array(_)
            | Self::Struct(_)
            | Self::Nil
            | Self::Base64(_)
            | Self::DateTime(_) => None,
        }
    }

    /// Its truth, if it is a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Int(_)
            | Self::Text(_)
            | Self::Double(_)
            | Self::Array(_)
            | Self::Struct(_)
            | Self::Nil
            | Self::Base64(_)
            | Self::DateTime(_) => None,
        }
    }

    /// Its items, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            Self::Int(_)
            | Self::Bool(_)
            | Self::Text(_)
            | Self::Double(_)
            | Self::Struct(_)
            | Self::Nil
            | Self::Base64(_)
            | Self::DateTime(_) => None,
        }
    }
}

/// A method and what it is called with.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Such as `supervisor.getState`; never empty when it was read.
    pub method: String,
    /// In order.
    pub params: Vec<Value>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultValue {
    /// `faultCode`.
    pub code: i32,
    /// `faultString`.
    pub text: String,
}
