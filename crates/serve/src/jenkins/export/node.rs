//! Values, as they are written.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::jenkins) enum Node {
    /// Nothing.
    Null,
    /// Yes or no.
    Flag(bool),
    /// A number.
    Whole(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Named values.
    Object(Object),
}

/// Named values, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::jenkins) struct Object {
    /// The Java class that clients look for.
    pub(in crate::jenkins) class: Option<&'static str>,
    /// Names and values.
    pub(in crate::jenkins) fields: Vec<(&'static str, Node)>,
}

impl Node {
    /// Text, or nothing.
    pub(in crate::jenkins) fn text_or_null(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }

    /// A number of milliseconds or bytes; those beyond an `i64` are its greatest.
    pub(in crate::jenkins) fn count(number: u64) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Node {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Node {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Node {
    fn from(number: u32) -> Self {
        Self::Whole(i64::from(number))
    }
}
