//! Calls of a supervisor's methods, and why one had no answer.

use std::io::{self, Write as _};

use data_encoding::BASE64;
use thiserror::Error;
use ward_config::ini::repr::repr;
use ward_serve::xmlrpc::{Call, FaultValue, ParseError, Value, parse_response, write_call};

use super::endpoint::Endpoint;
use super::http::Connection;

/// The faults that are told apart; the numbers are those of the interface.
pub(super) mod fault {
    pub(in super::super) const UNKNOWN_METHOD: i32 = 1;
    pub(in super::super) const SHUTDOWN_STATE: i32 = 6;
    pub(in super::super) const BAD_NAME: i32 = 10;
    pub(in super::super) const BAD_SIGNAL: i32 = 11;
    pub(in super::super) const NO_FILE: i32 = 20;
    pub(in super::super) const NOT_EXECUTABLE: i32 = 21;
    pub(in super::super) const FAILED: i32 = 30;
    pub(in super::super) const ABNORMAL_TERMINATION: i32 = 40;
    pub(in super::super) const SPAWN_ERROR: i32 = 50;
    pub(in super::super) const ALREADY_STARTED: i32 = 60;
    pub(in super::super) const NOT_RUNNING: i32 = 70;
    pub(in super::super) const SUCCESS: i32 = 80;
    pub(in super::super) const ALREADY_ADDED: i32 = 90;
    pub(in super::super) const STILL_RUNNING: i32 = 91;
    pub(in super::super) const CANT_REREAD: i32 = 92;
}

/// Why there is no answer, or none that can be used. `Display` is what the original prints of it: the
/// name of its class of exceptions, and that exception's text.
#[derive(Debug, Error)]
pub(super) enum CallError {
    /// The method refused.
    #[error("<class 'xmlrpc.client.Fault'>, <Fault {}: {}>", .0.code, repr(&.0.text, false))]
    Fault(FaultValue),
    /// The server refused.
    #[error(
        "<class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: {code} {reason}>"
    )]
    Status { code: u16, reason: String },
    /// Nobody was reached.
    #[error("{}", python(.0))]
    Connect(#[source] io::Error),
    /// The host has no address.
    #[error("<class 'socket.gaierror'>, [Errno -2] Name or service not known")]
    Resolve(#[source] io::Error),
    /// The connection broke.
    #[error("{}", python(.0))]
    Broken(#[source] io::Error),
    /// It was closed before there was an answer.
    #[error(
        "<class 'http.client.RemoteDisconnected'>, Remote end closed connection without response"
    )]
    Closed,
    /// Something else than HTTP, or too much.
    #[error("<class 'http.client.HTTPException'>, {0}")]
    NotHttp(&'static str),
    /// Something else than XML-RPC.
    #[error("<class 'xml.parsers.expat.ExpatError'>, {}", chain(.0))]
    NotXml(#[source] ParseError),
    /// A value of another type than the method has.
    #[error("<class 'xmlrpc.client.ResponseError'>, {0} answered something else than it should")]
    Shape(&'static str),
    /// The result of one process that has no meaning here.
    #[error("<class 'ValueError'>, Unknown result code {code} for {name}")]
    Result { code: i32, name: String },
    /// No URL that can be used.
    #[error("<class 'ValueError'>, Unknown protocol for serverurl {0}")]
    Scheme(String),
    /// A question was not answered.
    #[error("<class 'EOFError'>, EOF when reading a line")]
    NoAnswer,
    /// Ours: something of this host did not work.
    #[error("<class 'OSError'>, {0}")]
    Host(#[source] io::Error),
}

impl From<ward_serve::client::NotHttp> for CallError {
    fn from(ward_serve::client::NotHttp(what): ward_serve::client::NotHttp) -> Self {
        Self::NotHttp(what)
    }
}

impl CallError {
    /// The fault's number, if it is one.
    pub(super) fn fault(&self) -> Option<i32> {
        match self {
            Self::Fault(fault) => Some(fault.code),
            Self::Status { .. }
            | Self::Connect(_)
            | Self::Resolve(_)
            | Self::Broken(_)
            | Self::Closed
            | Self::NotHttp(_)
            | Self::NotXml(_)
            | Self::Shape(_)
            | Self::Result { .. }
            | Self::Scheme(_)
            | Self::NoAnswer
            | Self::Host(_) => None,
        }
    }

    /// Whether the server wants to know who asks.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Status { code: 401, .. })
    }

    /// Whether nobody listens.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether the socket is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(
                "the socket is not open to this user: chmod and chown of [unix_http_server] say to whom",
            ),
            Self::Resolve(_) => Some("no host is known by the name in serverurl"),
            Self::Scheme(_) => Some("write http://HOST:PORT or unix:///PATH"),
            Self::NotHttp(_) | Self::NotXml(_) => {
                Some("is it a supervisor that listens at serverurl?")
            }
            Self::Connect(_)
            | Self::Fault(_)
            | Self::Status { .. }
            | Self::Broken(_)
            | Self::Closed
            | Self::Shape(_)
            | Self::Result { .. }
            | Self::NoAnswer
            | Self::Host(_) => None,
        }
    }
}

/// An error of the system as Python prints it.
fn python(error: &io::Error) -> String {
    let class = match error.kind() {
        io::ErrorKind::NotFound => "FileNotFoundError",
        io::ErrorKind::PermissionDenied => "PermissionError",
        io::ErrorKind::ConnectionRefused => "ConnectionRefusedError",
        io::ErrorKind::ConnectionReset => "ConnectionResetError",
        io::ErrorKind::BrokenPipe => "BrokenPipeError",
        io::ErrorKind::TimedOut => "TimeoutError",
        io::ErrorKind::NotADirectory => "NotADirectoryError",
        _ => "OSError",
    };
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.raw_os_error() {
        Some(number) => format!("<class '{class}'>, [Errno {number}] {text}"),
        None => format!("<class '{class}'>, {text}"),
    }
}

fn chain(error: &ParseError) -> String {
    ward_engine::chain(error)
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
}

impl Credentials {
    /// The value of the header `Authorization` (RFC 7617).
    pub(super) fn header(&self) -> String {
        let both = format!("{}:{}", self.username, self.password);
        format!("Basic {}", BASE64.encode(both.as_bytes()))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// A supervisor, over one connection as long as that holds.
#[derive(Debug, Default)]
pub(super) struct Server {
    connection: Option<Connection>,
}

impl Server {
    /// Calls a method.
    ///
    /// # Errors
    /// When there is no answer, or a fault. Nothing is sent twice.
    pub(super) fn call(
        &mut self,
        url: &str,
        credentials: Option<&Credentials>,
        method: &str,
        params: Vec<Value>,
    ) -> Result<Value, CallError> {
        let endpoint = Endpoint::of(url)?;
        let body = write_call(&Call {
            method: method.to_owned(),
            params,
        });
        let mut request = format!(
            "POST /RPC2 HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nContent-Type: text/xml\r\nAccept: text/xml\r\nContent-Length: {}\r\n",
            endpoint.host(),
            AGENT,
            body.len()
        );
        if let Some(credentials) = credentials {
            request.push_str(&format!("Authorization: {}\r\n", credentials.header()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend(body);

        let kept = self.connection.take().filter(Connection::is_idle);
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::over(endpoint.connect()?),
        };
        connection
            .stream
            .write_all(&request)
            .map_err(CallError::Broken)?;
        let answer = connection.answer()?;
        if answer.status != 200 {
            return Err(CallError::Status {
                code: answer.status,
                reason: answer.reason,
            });
        }
        if answer.is_kept {
            self.connection = Some(connection);
        }
        match parse_response(&answer.body).map_err(CallError::NotXml)? {
            Ok(value) => Ok(value),
            Err(fault) => Err(CallError::Fault(fault)),
        }
    }

    /// Lets the connection go.
    pub(super) fn hang_up(&mut self) {
        self.connection = None;
    }
}

/// What we call ourselves to servers.
pub(super) const AGENT: &str = concat!("ward/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    /// The right column is what the original printed, to the colon before `file:`.
    #[test]
    fn errors_are_told_as_the_original_tells_them() {
        let os = io::Error::from_raw_os_error;
        for (error, expected) in [
            (
                CallError::Connect(os(2)),
                "<class 'FileNotFoundError'>, [Errno 2] No such file or directory",
            ),
            (
                CallError::Connect(os(13)),
                "<class 'PermissionError'>, [Errno 13] Permission denied",
            ),
            (
                CallError::Fault(FaultValue {
                    code: 92,
                    text: "CANT_REREAD: it's".into(),
                }),
                "<class 'xmlrpc.client.Fault'>, <Fault 92: \"CANT_REREAD: it's\">",
            ),
            (
                CallError::Status {
                    code: 500,
                    reason: "Internal Server Error".into(),
                },
                "<class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: 500 Internal Server Error>",
            ),
            (
                CallError::Result {
                    code: 6,
                    name: "cat".into(),
                },
                "<class 'ValueError'>, Unknown result code 6 for cat",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn credentials_are_written_for_the_server_alone() {
        let credentials = Credentials {
            username: "Aladdin".into(),
            password: "open sesame".into(),
        };
        // RFC 7617, section 2.
        assert_eq!(credentials.header(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{credentials:?}").contains("sesame"));
    }
}
