//! The protocol of one event listener, seen from the supervisor: its output goes in, in any pieces,
//! and what it means comes out.
//!
//! A listener says `READY\n`, is sent an event, and answers `RESULT n\n` and n bytes. Whoever says
//! anything else is not spoken to any more.

/// Where a listener stands; numbers and words are Supervisor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerState {
    /// It may be sent an event.
    Ready = 10,
    /// It was sent an event and has not answered.
    Busy = 20,
    /// It has started, or has answered, and has not said that it is ready.
    Acknowledged = 30,
    /// It broke the protocol, and is not spoken to any more.
    Unknown = 40,
}

impl ListenerState {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Busy => "BUSY",
            Self::Acknowledged => "ACKNOWLEDGED",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Its number.
    #[must_use]
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The state with this number, if one has it.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        [Self::Ready, Self::Busy, Self::Acknowledged, Self::Unknown]
            .into_iter()
            .find(|state| state.code() == code)
    }
}

/// How a listener broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// It said something that nobody had asked for.
    Unexpected,
    /// It answered with a line that announces no result, or one that is too long. At most
    /// [`LONGEST_LINE`] bytes of it.
    BadResultLine(Vec<u8>),
}

/// What a listener said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// That it may be sent an event.
    Ready,
    /// The result of its event.
    Result(Vec<u8>),
    /// Nonsense. Nothing is heard after it.
    Broken(Violation),
}

/// The longest result that is waited for, in bytes.
pub const LONGEST_RESULT: usize = 1024 * 1024;

/// The longest line that may announce a result, in bytes without its end.
pub const LONGEST_LINE: usize = 1024;

const READY: &[u8] = b"READY\n";

/// So many bytes stand before the number of a result, whatever they are: the space for `RESULT `.
const RESULT_WORD: usize = 7;

/// One listener.
#[derive(Debug, Clone)]
pub struct Listener {
    state: ListenerState,
    /// What was heard and not understood yet: less than the longest result.
    heard: Vec<u8>,
    /// In BUSY, how long the result is, once that is known.
    result_len: Option<usize>,
}

impl Default for Listener {
    fn default() -> Self {
        Self::new(ListenerState::Acknowledged)
    }
}

impl Listener {
    /// One that stands there, with nothing half said.
    #[must_use]
    pub fn new(state: ListenerState) -> Self {
        Self {
            state,
            heard: Vec::new(),
            result_len: None,
        }
    }

    /// One that stands there and has announced a result of so many bytes, of which none was heard yet.
    /// Whoever is not in BUSY has announced none.
    #[must_use]
    pub fn resumed(state: ListenerState, announced: Option<usize>) -> Self {
        let is_busy = state == ListenerState::Busy;
        Self {
            result_len: announced.filter(|len| is_busy && *len > 0 && *len <= LONGEST_RESULT),
            ..Self::new(state)
        }
    }

    /// How long the result is that it has announced and not said to its end, in bytes.
    #[must_use]
    pub fn announced(&self) -> Option<usize> {
        self.result_len
    }

    /// So many bytes were heard and not understood yet: less than a line, or less than a result.
    #[must_use]
    pub fn half_said(&self) -> usize {
        self.heard.len()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> ListenerState {
        self.state
    }

    /// It is being sent an event; false, and nothing changes, if it is not ready for one.
    pub fn send(&mut self) -> bool {
        match self.state {
            ListenerState::Ready => {
                self.state = ListenerState::Busy;
                true
            }
            ListenerState::Busy | ListenerState::Acknowledged | ListenerState::Unknown => false,
        }
    }

    /// The event that it was being sent did not get there: it is as ready as it was.
    pub fn unsend(&mut self) {
        match self.state {
            ListenerState::Busy if self.heard.is_empty() && self.result_len.is_none() => {
                self.state = ListenerState::Ready;
            }
            ListenerState::Busy
            | ListenerState::Ready
            | ListenerState::Acknowledged
            | ListenerState::Unknown => {}
        }
    }

    /// It wrote this to its standard output. The same is heard however its output is cut.
    pub fn feed(&mut self, mut bytes: &[u8], heard: &mut Vec<Heard>) {
        while !bytes.is_empty() {
            match self.state {
                ListenerState::Unknown => return,
                ListenerState::Ready => self.broken(Violation::Unexpected, heard),
                ListenerState::Acknowledged => {
                    bytes = self.take(bytes, READY.len());
                    if self.heard == READY {
                        self.heard.clear();
                        self.state = ListenerState::Ready;
                        heard.push(Heard::Ready);
                    } else if self.heard.len() == READY.len() {
                        self.broken(Violation::Unexpected, heard);
                    }
                }
                ListenerState::Busy => match self.result_len {
                    None => bytes = self.feed_line(bytes, heard),
                    Some(len) => {
                        bytes = self.take(bytes, len);
                        self.finish_result(heard);
                    }
                },
            }
        }
    }

    /// Moves bytes until `len` have been heard, and returns the rest.
    fn take<'a>(&mut self, bytes: &'a [u8], len: usize) -> &'a [u8] {
        let needed = len.saturating_sub(self.heard.len()).min(bytes.len());
        let (now, later) = bytes.split_at(needed);
        self.heard.extend_from_slice(now);
        later
    }

    fn feed_line<'a>(&mut self, bytes: &'a [u8], heard: &mut Vec<Heard>) -> &'a [u8] {
        let room = LONGEST_LINE - self.heard.len().min(LONGEST_LINE);
        let Some(end) = bytes.iter().take(room + 1).position(|byte| *byte == b'\n') else {
            let rest = self.take(bytes, LONGEST_LINE);
            if !rest.is_empty() {
                let line = std::mem::take(&mut self.heard);
                self.broken(Violation::BadResultLine(line), heard);
            }
            return rest;
        };
        let (now, later) = bytes.split_at(end);
        self.heard.extend_from_slice(now);
        let line = std::mem::take(&mut self.heard);
        match announced(&line) {
            Some(len) => {
                self.result_len = Some(len);
                self.finish_result(heard);
            }
            None => self.broken(Violation::BadResultLine(line), heard),
        }
        later.get(1..).unwrap_or_default()
    }

    fn finish_result(&mut self, heard: &mut Vec<Heard>) {
        if self.result_len == Some(self.heard.len()) {
            self.result_len = None;
            self.state = ListenerState::Acknowledged;
            heard.push(Heard::Result(std::mem::take(&mut self.heard)));
        }
    }

    fn broken(&mut self, violation: Violation, heard: &mut Vec<Heard>) {
        *self = Self::new(ListenerState::Unknown);
        heard.push(Heard::Broken(violation));
    }
}

/// How long a result the line announces; `None` if it does not, or a longer one than anybody waits for.
/// The number may be written as Python reads one.
fn announced(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line.get(RESULT_WORD..)?).ok()?;
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    let digits = text.strip_prefix('+').unwrap_or(text);
    let len = digits
        .split('_')
        .map(|part| (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())).then_some(part))
        .collect::<Option<String>>()?
        .parse::<usize>()
        .ok()?;
    (len <= LONGEST_RESULT).then_some(len)
}
