//! Bodies of requests as they arrive: how long that may take, and how much of it there may be.

use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::http::request::Parts;
use tokio::sync::Semaphore;

use super::meter::arriving;
use super::settings::Limits;

/// Takes bodies for one listener.
pub(crate) struct Desk {
    /// Room for large bodies, in KiB.
    large: Semaphore,
}

/// Why a body is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is more of it than may be.
    TooLarge,
    /// It does not come.
    TooSlow,
    /// It ended before its end, or was no body.
    Broken,
}

impl Refused {
    /// What HTTP says then.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

impl Desk {
    pub(crate) fn new(limits: &Limits) -> Self {
        let large = limits.large_bytes / 1024;
        Self {
            large: Semaphore::new(large.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Takes all of a body. One that does not say how long it will be counts as long as one may be.
    pub(crate) async fn receive(
        &self,
        limits: &Limits,
        head: &Parts,
        body: Incoming,
    ) -> Result<Bytes, Refused> {
        let length = match head.headers.get(CONTENT_LENGTH) {
            Some(length) => length
                .to_str()
                .ok()
                .and_then(|length| length.parse().ok())
                .filter(|length| *length <= limits.body_bytes)
                .ok_or(Refused::TooLarge)?,
            None if hyper::body::Body::is_end_stream(&body) => 0,
            None => limits.body_bytes,
        };
        let whole = async {
            let _room = match u32::try_from(length / 1024) {
                Ok(room) if length > Limits::SMALL => Some(self.large.acquire_many(room).await),
                Ok(_) | Err(_) => None,
            };
            Limited::new(body, limits.body_bytes).collect().await
        };
        match arriving(tokio::time::timeout(limits.body, whole)).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Refused::TooLarge)
            }
            Ok(Err(_)) => Err(Refused::Broken),
            Err(_) => Err(Refused::TooSlow),
        }
    }
}

/// Reads what a client whom nobody listens to has to say, as long as it is short.
pub(crate) async fn pass_over(mut body: Incoming) {
    arriving(async {
        let mut seen = 0;
        while seen < Limits::SMALL {
            match body.frame().await {
                Some(Ok(frame)) => seen += frame.data_ref().map_or(1, Bytes::len).max(1),
                Some(Err(_)) | None => return,
            }
        }
    })
    .await;
}
