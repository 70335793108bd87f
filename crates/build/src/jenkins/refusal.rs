//! Why a document is none.

/// The largest document that is read, in bytes.
pub(super) const LARGEST: usize = 1 << 20;

/// How deep elements may be in each other.
pub(super) const DEEPEST: usize = 64;

/// Why a document is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    /// More than [`LARGEST`].
    #[error("the document is larger than {LARGEST} bytes")]
    TooLarge,
    /// More than [`DEEPEST`].
    #[error("the elements of the document are more than {DEEPEST} deep")]
    TooDeep,
    /// A document type could define entities, and name files to read.
    #[error("the document has a document type, which is not read")]
    DocumentType,
    /// It is not in UTF-8.
    #[error("the document is not in UTF-8")]
    Encoding,
    /// It is no XML.
    #[error("the document is no XML: {what}, at byte {at}")]
    Malformed {
        /// What is wrong.
        what: String,
        /// Where, in bytes from the start.
        at: u64,
    },
    /// It describes something else.
    #[error("the document describes `{found}`, not {expected}")]
    Foreign {
        /// Its outermost element.
        found: String,
        /// What it should have described.
        expected: &'static str,
    },
    /// A value is not what it should be.
    #[error("{path}: {what}")]
    Value {
        /// Where.
        path: String,
        /// What is wrong.
        what: String,
    },
}
