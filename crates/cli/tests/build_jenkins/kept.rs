//! The site of a server that `ward up` keeps: whom it lets in, and the programs beside it.

use ward_testkit::programs::{in_path, skipped};

use crate::Result;
use crate::site::{Site, clients};

#[test]
fn people_sign_in_with_a_browser() -> Result {
    let Some(programs) = clients()? else {
        return Ok(());
    };
    let site = Site::new()?;
    site.run_python(&programs, include_str!("sign_in.py"))
}

#[test]
fn a_browser_follows_a_build_and_its_buttons_stop_it() -> Result {
    let Some(programs) = clients()? else {
        return Ok(());
    };
    if in_path("chromium").is_none() {
        skipped("the pages in a browser", "there is no chromium");
        return Ok(());
    }
    let site = Site::new()?;
    site.run_python(&programs, include_str!("browser.py"))
}

#[test]
fn programs_are_started_and_stopped_from_their_page_and_by_xmlrpc() -> Result {
    let Some(programs) = clients()? else {
        return Ok(());
    };
    let site = Site::kept_by_up()?;
    site.run_python(&programs, include_str!("programs.py"))?;
    site.shut_down()
}
