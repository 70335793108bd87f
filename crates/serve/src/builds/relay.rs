//! `/RPC2`: what administrators say to the supervisor of this host is passed on to its socket.

use std::io;
use std::time::Duration;

use data_encoding::BASE64;
use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use ward_build::api::Role;

use super::dress;
use super::settings::Supervisor;
use super::visit::{Around, Asked};
use crate::client;
use crate::http::{Body, Reply, of_type};

/// How long a call may take: a program may take long to stop.
const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes of an answer.
const MAX_ANSWER: usize = 32 << 20;

/// Why a supervisor did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// Nobody is there, or went away.
    #[error("the supervisor cannot be reached")]
    Unreachable(#[source] io::Error),
    /// It answered something else.
    #[error("the supervisor's answer cannot be read")]
    NotHttp(#[source] client::NotHttp),
    /// It answered, but not this.
    #[error("the supervisor refused with status {0}")]
    Refused(u16),
    /// It took too long, or said too much.
    #[error("the supervisor's answer has no end")]
    Endless,
}

/// Passes on a call.
pub(super) async fn answer(asked: &Asked, around: &Around<'_>) -> Reply {
    let Some(supervisor) = around.supervisor else {
        return dress::says(StatusCode::NOT_FOUND, "There is no supervisor here.");
    };
    if !asked.is_post() {
        return dress::only_by_post();
    }
    if !around.may(Role::Admin) {
        return around.missing("Overall/Administer");
    }
    match supervisor.call(&asked.body).await {
        Ok(document) => of_type("text/xml", Body::whole(document)),
        Err(error) => dress::says(StatusCode::BAD_GATEWAY, &ward_engine::chain(&error)),
    }
}

impl Supervisor {
    /// Calls the supervisor: a document of XML-RPC for a document of XML-RPC.
    ///
    /// # Errors
    /// It is not there, or answers something else.
    pub(crate) async fn call(&self, document: &[u8]) -> Result<Vec<u8>, RelayError> {
        match tokio::time::timeout(PATIENCE, self.exchange(document)).await {
            Ok(answered) => answered,
            Err(_) => Err(RelayError::Endless),
        }
    }

    async fn exchange(&self, document: &[u8]) -> Result<Vec<u8>, RelayError> {
        let mut head = format!(
            "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nConnection: close\r\nContent-Length: {}\r\n",
            document.len()
        );
        if let Some((user, password)) = &self.credentials {
            let said = BASE64.encode(format!("{user}:{password}").as_bytes());
            head.push_str("Authorization: Basic ");
            head.push_str(&said);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let unreachable = RelayError::Unreachable;
        let mut stream = UnixStream::connect(&self.socket)
            .await
            .map_err(unreachable)?;
        stream
            .write_all(head.as_bytes())
            .await
            .map_err(unreachable)?;
        stream.write_all(document).await.map_err(unreachable)?;
        let mut heard = Vec::new();
        let (head, length) = loop {
            let read = stream.read_buf(&mut heard).await.map_err(unreachable)?;
            match client::head(&heard).map_err(RelayError::NotHttp)? {
                Some(found) => break found,
                None if read == 0 => {
                    return Err(unreachable(io::ErrorKind::UnexpectedEof.into()));
                }
                None => {}
            }
        };
        if head.status != 200 {
            return Err(RelayError::Refused(head.status));
        }
        let mut content = Vec::new();
        let mut body = client::Body::new(head.framing);
        heard.drain(..length);
        loop {
            body.take(&heard, &mut content)
                .map_err(RelayError::NotHttp)?;
            if body.is_over() {
                return Ok(content);
            }
            if content.len() > MAX_ANSWER {
                return Err(RelayError::Endless);
            }
            heard.clear();
            let read = stream.read_buf(&mut heard).await.map_err(unreachable)?;
            if read == 0 {
                return match head.framing {
                    client::Framing::UntilClose => Ok(content),
                    client::Framing::Length(_) | client::Framing::Chunked => {
                        Err(unreachable(io::ErrorKind::UnexpectedEof.into()))
                    }
                };
            }
        }
    }
}
