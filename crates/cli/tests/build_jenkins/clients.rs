//! Each client does what people do with it.

use crate::Result;
use crate::site::{Site, clients};

fn drive(script: &str) -> Result {
    let Some(programs) = clients()? else {
        return Ok(());
    };
    Site::new()?.run_python(&programs, script)
}

#[test]
fn python_jenkins_does_its_work() -> Result {
    drive(include_str!("python_jenkins.py"))
}

#[test]
fn jenkinsapi_does_its_work() -> Result {
    drive(include_str!("jenkinsapi_work.py"))
}

#[test]
fn jenkins_job_builder_does_its_work() -> Result {
    drive(include_str!("job_builder.py"))
}
