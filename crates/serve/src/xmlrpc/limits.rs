//! How much of an XML-RPC document is believed.

/// Bounds of one document. Its size in bytes is bounded by who receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep arrays and structs may be in one another.
    pub depth: usize,
    /// How many values there may be in all.
    pub values: usize,
}

impl Limits {
    /// Of what anybody may send to a server: no method takes more than a few; a multicall may carry
    /// thousands of calls.
    pub const CALL: Self = Self {
        depth: 32,
        values: 65_536,
    };

    /// Of what a server that was asked sends back: the configuration of 100,000 processes fits.
    pub const RESPONSE: Self = Self {
        depth: 32,
        values: 4_194_304,
    };
}
