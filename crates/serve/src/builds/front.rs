//! What happens to a request before a room answers it, and to the answer after that.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use ward_build::api::{Access, Account, Builds, Role};

use super::dress::{self, dressed};
use super::guard::{Guard, SignIn};
use super::hooks;
use super::multipart;
use super::relay;
use super::session;
use super::settings::{SiteSettings, Supervisor, Trust};
use super::visit::{Around, Asked, root_of};
use crate::http::{
    Answering, Desk, Form, Ground, Reply, Rooms, Visitor, Weight, closing, is_foreign, pass_over,
};
use crate::{jenkins, site};

/// What is said where nobody can be let in.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nX-Jenkins: 2.479.3\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";

/// The field and the header that a crumb is in.
pub(crate) const CRUMB: &str = "Jenkins-Crumb";

/// Who did not sign in.
const ANONYMOUS: &str = "anonymous";

/// One for all listeners of a build server.
pub(super) struct House {
    pub(super) builds: Arc<dyn Builds>,
    pub(super) access: Arc<dyn Access>,
    pub(super) guard: Guard,
    pub(super) ground: Rc<Ground>,
    pub(super) notify_token: Option<String>,
    pub(super) url: Option<String>,
    address: Option<String>,
    supervisor: Option<Supervisor>,
}

impl House {
    pub(super) fn new(
        builds: Arc<dyn Builds>,
        access: Arc<dyn Access>,
        settings: SiteSettings,
    ) -> io::Result<Self> {
        Ok(Self {
            builds,
            guard: Guard::new(Arc::clone(&access))?,
            access,
            ground: Rc::new(Ground::new(settings.limits, settings.tell, FULL)),
            notify_token: settings.notify_token,
            url: settings.url.map(with_slash),
            address: settings.address.map(with_slash),
            supervisor: settings.supervisor,
        })
    }
}

fn with_slash(url: String) -> String {
    if url.ends_with('/') {
        url
    } else {
        format!("{url}/")
    }
}

/// A listener's entrance.
pub(super) struct Front {
    house: Rc<House>,
    trust: Trust,
    desk: Desk,
}

/// Who asks, and whether they may see anything.
pub(super) struct Caller {
    pub(super) account: Account,
    pub(super) may_read: bool,
}

impl Front {
    pub(super) fn new(house: &Rc<House>, trust: Trust) -> Self {
        Self {
            house: Rc::clone(house),
            trust,
            desk: Desk::new(&house.ground.limits),
        }
    }

    async fn answered(&self, visitor: Visitor, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let mut asked = Asked::new(&head);
        let caller = match self.caller(visitor, &asked).await {
            Ok(caller) => caller,
            Err(refusal) => {
                // A client that is cut off while it still writes does not read why.
                pass_over(body).await;
                return closing(refusal);
            }
        };
        match head.method {
            Method::GET | Method::HEAD => {}
            Method::POST | Method::DELETE => {
                if is_foreign(&head.headers) {
                    let line = "A page of another site had a browser send a request: refused";
                    self.house.ground.tell(Weight::Error, line);
                    return closing(dress::says(
                        StatusCode::FORBIDDEN,
                        "This request was sent by a page of another site.",
                    ));
                }
                if !caller.may_read && !hears_strangers(&asked) {
                    pass_over(body).await;
                    return closing(dress::sign_in_first(&asked));
                }
                let limits = &self.house.ground.limits;
                match self.desk.receive(limits, &head, body).await {
                    Ok(content) => asked.take(content),
                    Err(refused) => {
                        let status = refused.status();
                        let reason = status.canonical_reason().unwrap_or_default();
                        return closing(dress::says(status, reason));
                    }
                }
            }
            _ => return dress::only_by_post(),
        }
        // A socket has no name that a client could use elsewhere.
        let on_socket = visitor.address.is_none();
        let address = self.house.url.as_ref().or(self.house.address.as_ref());
        let unnamed = address.filter(|_| on_socket).map(String::as_str);
        let asked_root = root_of(&head.headers, &head.uri, unnamed);
        self.room(visitor, &asked, caller, asked_root).await
    }

    async fn room(
        &self,
        visitor: Visitor,
        asked: &Asked,
        caller: Caller,
        asked_root: String,
    ) -> Reply {
        let house = &self.house;
        let parts = asked.parts();
        let changes = asked.method != Method::GET && asked.method != Method::HEAD;
        if changes && matches!(parts.as_slice(), ["sign-in" | "j_spring_security_check"]) {
            return session::begin(house, visitor, asked, &asked_root).await;
        }
        if let Some(reply) = hooks::answer(house, asked, &caller, &asked_root) {
            return reply;
        }
        let crumb = house.access.crumb(&caller.account);
        // A build's own token stands for its job: whoever knows it needs no more.
        if let Some(reply) = hooks::build_by_token(house, visitor, asked, &asked_root) {
            return reply;
        }
        let is_open = matches!(parts.as_slice(), ["sign-in" | "login"] | ["static", ..]);
        if !caller.may_read && !is_open {
            return dress::sign_in_first(asked);
        }
        if changes && !caller.account.by_token && !self.has_crumb(asked, &caller.account) {
            return dress::says(
                StatusCode::FORBIDDEN,
                "No valid crumb was included in the request",
            );
        }
        if changes && matches!(parts.as_slice(), ["sign-out" | "logout"]) {
            return session::end(house, &caller.account);
        }
        let around = Around {
            builds: &house.builds,
            account: caller.account,
            may_read: caller.may_read,
            crumb,
            root: house.url.clone().unwrap_or_else(|| asked_root.clone()),
            asked_root,
            has_accounts: house.access.has_accounts(),
            supervisor: house.supervisor.as_ref(),
            ground: &house.ground,
        };
        if parts.first() == Some(&"RPC2") {
            return relay::answer(asked, &around).await;
        }
        if around.may_read
            && let Some(reply) = jenkins::answer(asked, &around).await
        {
            return reply;
        }
        match site::page(asked, &around).await {
            Some(reply) => reply,
            None => dress::says(StatusCode::NOT_FOUND, "There is nothing here."),
        }
    }

    /// Who asks; an answer if they say that they are somebody, and are not.
    async fn caller(&self, visitor: Visitor, asked: &Asked) -> Result<Caller, Reply> {
        let house = &self.house;
        if self.trust == Trust::Admin {
            return Ok(Caller {
                account: Account {
                    user: session::user_name(visitor.uid),
                    role: Role::Admin,
                    by_token: true,
                    session: None,
                },
                may_read: true,
            });
        }
        let signed_in = |account| Caller {
            account,
            may_read: true,
        };
        if let Some(said) = asked.headers.get(AUTHORIZATION)
            && let Some((user, secret)) = session::basic(said)
        {
            return match house.guard.sign_in(visitor, &user, &secret).await {
                SignIn::Welcome(account) => Ok(signed_in(account)),
                SignIn::Wrong => {
                    let mut reply = dress::says(
                        StatusCode::UNAUTHORIZED,
                        "Invalid password/token for this user.",
                    );
                    reply.headers_mut().insert(
                        WWW_AUTHENTICATE,
                        HeaderValue::from_static("Basic realm=\"Jenkins\""),
                    );
                    Err(reply)
                }
                SignIn::Busy => Err(dress::busy()),
            };
        }
        let cookies = asked.headers.get_all(COOKIE);
        let session = cookies
            .iter()
            .find_map(|cookies| house.access.session(session::cookie(cookies)?));
        if let Some(account) = session {
            return Ok(signed_in(account));
        }
        let role = house.access.anonymous();
        Ok(Caller {
            account: Account {
                user: ANONYMOUS.to_owned(),
                role: role.unwrap_or(Role::Read),
                by_token: false,
                session: None,
            },
            may_read: role.is_some(),
        })
    }

    fn has_crumb(&self, asked: &Asked, account: &Account) -> bool {
        let header = asked.headers.get(CRUMB).and_then(|said| said.to_str().ok());
        let said = header.or_else(|| asked.form.get(CRUMB));
        said.is_some_and(|crumb| self.house.access.is_crumb(account, crumb))
    }
}

impl Asked {
    /// Takes the body, and its fields if it is a form.
    fn take(&mut self, content: hyper::body::Bytes) {
        let kind = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        // Some clients do not say that what they send is a form; a document of XML begins as one.
        let is_untold = kind.is_empty() && !content.trim_ascii_start().starts_with(b"<");
        if is_untold || kind.starts_with("application/x-www-form-urlencoded") {
            self.form = Form::read(&content);
        } else if kind.starts_with("multipart/form-data") {
            self.form = multipart::read(kind, &content);
        }
        self.body = content;
    }
}

/// Whether something that is sent by who has not signed in is read at all.
fn hears_strangers(asked: &Asked) -> bool {
    matches!(
        asked.parts().as_slice(),
        ["sign-in" | "j_spring_security_check" | "github-webhook"]
            | ["git", "notifyCommit"]
            | ["gitea-webhook", "post"]
            | ["project", ..]
            | ["job", .., "build" | "buildWithParameters"]
    )
}

impl Rooms for Front {
    fn answer(&self, visitor: Visitor, request: Request<Incoming>) -> Answering<'_> {
        Box::pin(async move { dressed(self.answered(visitor, request).await) })
    }
}
