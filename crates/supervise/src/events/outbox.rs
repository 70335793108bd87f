//! Bytes that a slow reader has not taken yet.

use thiserror::Error;

/// Nothing more is kept until the reader takes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{waiting} bytes are waiting to be read, and {more} more are too many (at most {limit} wait)"
)]
pub struct OutboxFull {
    /// How many wait.
    pub waiting: usize,
    /// How many were to be added.
    pub more: usize,
    /// How many may wait.
    pub limit: usize,
}

/// What is still to be written to somebody's standard input, in order.
#[derive(Debug, Clone)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    limit: usize,
}

impl Outbox {
    /// An empty one that keeps at most so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            limit,
        }
    }

    /// Adds bytes, all or none. What is added to an empty one may be longer than the limit: it is
    /// in memory already, and can be written in no other way.
    ///
    /// # Errors
    /// If too many would wait.
    pub fn push(&mut self, more: &[u8]) -> Result<(), OutboxFull> {
        let waiting = self.len();
        if waiting > 0 && more.len() > self.limit.saturating_sub(waiting) {
            return Err(OutboxFull {
                waiting,
                more: more.len(),
                limit: self.limit,
            });
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// What waits.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// The first so many bytes were written.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.clear();
        } else if self.sent > self.bytes.len() / 2 {
            // What is moved is less than what was written: no byte is paid for twice.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending().len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what waits, and gives its memory back.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        self.sent = 0;
    }
}
