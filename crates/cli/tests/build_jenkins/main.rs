//! Jenkins' clients from PyPI against `ward build serve`: python-jenkins, jenkinsapi, jenkins-job-builder.
//!
//! Skipped, and said so, where they cannot be installed.

#![forbid(unsafe_code)]

mod clients;
mod site;

type Result<T = ()> = anyhow::Result<T>;
