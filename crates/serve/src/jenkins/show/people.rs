//! Who asks, and what their forms carry.

use ward_build::api::Account;

use super::super::export::{Node, Sheet};
use super::super::world::World;
use crate::builds::CRUMB;
use crate::http::encode;

/// Who did not sign in.
const ANONYMOUS: &str = "anonymous";

/// Who asks.
pub(in crate::jenkins) fn who_am_i(account: &Account, sheet: &mut Sheet<'_>) {
    let is_anonymous = account.user == ANONYMOUS;
    sheet.class("hudson.security.WhoAmI");
    sheet.put("anonymous", 1, || is_anonymous);
    sheet.put("authenticated", 1, || true);
    sheet.put("authorities", 1, || {
        let authority = if is_anonymous {
            "anonymous"
        } else {
            "authenticated"
        };
        Node::List(vec![authority.into()])
    });
    sheet.put("name", 1, || account.user.as_str());
}

/// The account of who asks.
pub(in crate::jenkins) fn me(world: &World, sheet: &mut Sheet<'_>) {
    let user = world.account.user.as_str();
    sheet.class("hudson.model.User");
    sheet.put("absoluteUrl", 999, || {
        format!("{}user/{}", world.root, encode(user))
    });
    sheet.put("description", 1, || Node::Null);
    sheet.put("fullName", 999, || user);
    sheet.put("id", 1, || user);
    sheet.each("property", 1, |_| None::<()>, |(), _| {});
}

/// What forms and requests of this account carry.
pub(in crate::jenkins) fn crumb(crumb: &str, sheet: &mut Sheet<'_>) {
    sheet.class("hudson.security.csrf.DefaultCrumbIssuer");
    sheet.put("crumb", 1, || crumb);
    sheet.put("crumbRequestField", 1, || CRUMB);
}
