//! Which room answers what.

use std::rc::Rc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONTENT_LENGTH, HeaderName, HeaderValue, LAST_MODIFIED, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::sync::mpsc;
use ward_engine::chain;
use ward_supervise::api::Stream;

use super::authentication::{Credentials, Verdict};
use super::body::Body;
use super::desk::{Desk, pass_over};
use super::doors::{Answering, Rooms};
use super::follow::Followed;
use super::origin::is_foreign;
use super::percent::{Form, decode};
use super::reply::{self, Reply, closing};
use super::settings::Weight;
use super::site::Site;
use super::stream::Visitor;
use crate::xmlrpc::{ParseError, parse_call, write_response};
use crate::{page, rpc};

/// What all connections of a listener share.
pub(crate) struct Counter {
    pub(crate) site: Rc<Site>,
    pub(crate) credentials: Option<Credentials>,
    desk: Desk,
}

impl Counter {
    pub(crate) fn new(site: &Rc<Site>, credentials: Option<Credentials>) -> Self {
        Self {
            site: Rc::clone(site),
            credentials,
            desk: Desk::new(&site.settings.limits),
        }
    }

    /// Answers a request.
    async fn answered(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        if let Some(credentials) = &self.credentials {
            match credentials.judge(head.headers.get(hyper::header::AUTHORIZATION)) {
                Verdict::Admitted => {}
                Verdict::Malformed => return closing(reply::error(StatusCode::BAD_REQUEST)),
                Verdict::Refused => {
                    // A client that is cut off while it still writes does not read why.
                    pass_over(body).await;
                    let mut reply = closing(reply::error(StatusCode::UNAUTHORIZED));
                    reply.headers_mut().insert(
                        WWW_AUTHENTICATE,
                        HeaderValue::from_static("Basic realm=\"default\""),
                    );
                    return reply;
                }
            }
        }
        let path = head.uri.path();
        if path.starts_with("/RPC2") {
            self.call(&head, body).await
        } else if let Some(rest) = path.strip_prefix("/logtail") {
            self.log_of_process(&head.method, rest)
        } else if path.starts_with("/mainlogtail") {
            let log = self.site.control.main_log();
            self.follow(&head.method, log.as_deref(), false)
        } else {
            self.page(&head, body).await
        }
    }

    async fn call(&self, head: &Parts, body: Incoming) -> Reply {
        if head.method != Method::POST {
            return reply::error(StatusCode::BAD_REQUEST);
        }
        let document = match self.receive(head, body).await {
            Ok(document) => document,
            Err(refusal) => return refusal,
        };
        let call = match parse_call(&document) {
            Ok(call) => call,
            Err(error) => {
                let what = match &error {
                    ParseError::NoMethod => "no method name".to_owned(),
                    other => format!("unmarshallable ({})", chain(other)),
                };
                let line = format!("XML-RPC request data is invalid: {what}");
                self.site.tell(Weight::Error, &line);
                return reply::error(StatusCode::BAD_REQUEST);
            }
        };
        drop(document);
        let answer = rpc::answer(&self.site, &call).await;
        reply::of_type("text/xml", Body::whole(write_response(&answer)))
    }

    /// `rest` is what follows `/logtail`.
    fn log_of_process(&self, method: &Method, rest: &str) -> Reply {
        let mut parts = rest.trim_start_matches('/').splitn(2, '/');
        let name = decode(parts.next().unwrap_or_default());
        let stream = match parts.next() {
            None | Some("stdout") => Some(Stream::Stdout),
            Some("stderr") => Some(Stream::Stderr),
            Some(_) => None,
        };
        let log = stream.and_then(|stream| self.site.control.process_log(&name, stream).ok());
        self.follow(method, log.as_deref(), true)
    }

    fn follow(&self, method: &Method, log: Option<&std::path::Path>, unbuffered: bool) -> Reply {
        if method != Method::GET {
            return reply::error(StatusCode::BAD_REQUEST);
        }
        let followed = log.and_then(|log| Followed::open(log, &self.site.ground.watches).ok());
        let Some(followed) = followed else {
            return reply::error(StatusCode::NOT_FOUND);
        };
        let modified = followed
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| HeaderValue::from_str(&httpdate::fmt_http_date(time)).ok());
        let (pieces, received) = mpsc::channel(1);
        // It ends by itself when nobody receives any more.
        tokio::task::spawn_local(followed.run(pieces));
        let mut reply = reply::of_type("text/plain;charset=utf-8", Body::pieces(received));
        let headers = reply.headers_mut();
        if let Some(modified) = modified {
            headers.insert(LAST_MODIFIED, modified);
        }
        if unbuffered {
            headers.insert(
                HeaderName::from_static("x-accel-buffering"),
                HeaderValue::from_static("no"),
            );
        }
        reply
    }

    async fn page(&self, head: &Parts, body: Incoming) -> Reply {
        let asked = page::Asked {
            path: head.uri.path().trim_start_matches('/'),
            query: Form::read(head.uri.query().unwrap_or_default().as_bytes()),
        };
        match head.method {
            Method::GET | Method::HEAD => page::show(&self.site, &asked),
            Method::POST if page::takes_orders(asked.path) => {
                match self.receive(head, body).await {
                    Ok(form) => page::act(&self.site, &Form::read(&form)).await,
                    Err(refusal) => refusal,
                }
            }
            _ => reply::error(StatusCode::BAD_REQUEST),
        }
    }

    /// Takes the body of a request that changes something.
    async fn receive(&self, head: &Parts, body: Incoming) -> Result<Bytes, Reply> {
        if is_foreign(&head.headers) {
            self.site.tell(
                Weight::Error,
                "A page of another site had a browser send a request: refused",
            );
            return Err(closing(reply::error(StatusCode::FORBIDDEN)));
        }
        if head.headers.contains_key(TRANSFER_ENCODING)
            || !head.headers.contains_key(CONTENT_LENGTH)
        {
            return Err(closing(reply::error(StatusCode::LENGTH_REQUIRED)));
        }
        let limits = &self.site.settings.limits;
        let received = self.desk.receive(limits, head, body).await;
        received.map_err(|refused| closing(reply::error(refused.status())))
    }
}

impl Rooms for Counter {
    fn answer(&self, _: Visitor, request: Request<Incoming>) -> Answering<'_> {
        Box::pin(self.answered(request))
    }
}
