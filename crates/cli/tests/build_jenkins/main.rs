//! Jenkins' clients from PyPI against `ward build serve`: python-jenkins, jenkinsapi, jenkins-job-builder; and
//! what else speaks HTTP to it: browsers' forms, XML-RPC, our own commands through TLS.
//!
//! Skipped, and said so, where they cannot be installed.

#![forbid(unsafe_code)]

mod clients;
mod kept;
mod long;
mod secure;
mod site;

type Result<T = ()> = anyhow::Result<T>;
