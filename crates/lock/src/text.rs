//! What is written of somebody in the queue that only people want to know, and what does not have
//! a size: one place of 4 KiB each, written before the queue tells of it.

use serde::{Deserialize, Serialize};

use crate::image::checksum;
use crate::name::Badge;

/// Of one place, bytes.
pub(crate) const ROOM: usize = 4096;
const HEAD: usize = 16;
/// A text longer than this is refused, bytes.
pub(crate) const LONGEST: usize = ROOM - HEAD;

/// What is written of one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Text {
    pub(crate) ticket: u64,
    pub(crate) version: u32,
    /// The lock's whole name.
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) among: Vec<String>,
    /// What he was given: things, a number, a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) has: Vec<String>,
    /// The other locks that he asked for at once, each with his ticket there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) together: Vec<Badge>,
    /// The locks that are held by what he is a part of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) above: Vec<Badge>,
    /// Whether those are shared with him.
    #[serde(default)]
    pub(crate) reentrant: bool,
    /// Empty: whose number it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// Why he was sent away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dismissed: Option<String>,
}

impl Text {
    /// As bytes; `None` if they find no room.
    pub(crate) fn write(&self) -> Option<Vec<u8>> {
        let text = serde_json::to_vec(self).ok()?;
        if text.len() > LONGEST {
            return None;
        }
        let mut bytes = Vec::with_capacity(HEAD + text.len());
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&checksum(self.ticket, &text).to_le_bytes());
        bytes.extend_from_slice(&text);
        Some(bytes)
    }

    /// The text of `ticket`, if it is this one and whole.
    pub(crate) fn read(ticket: u64, bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let text = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        if checksum(ticket, text) != u64::from_le_bytes(*sum) {
            return None;
        }
        serde_json::from_slice(text).ok()
    }
}
