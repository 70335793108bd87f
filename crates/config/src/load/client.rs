//! What a client needs of a configuration.

use std::rc::Rc;

use super::Loader;
use crate::diagnostics::Diagnostic;
use crate::host::{Files, Host, directory_of};
use crate::keys;
use crate::read::Context;
use crate::server::{self, Supervisorctl};
use crate::source::Sources;

/// What a client finds in a configuration.
#[derive(Debug, Clone)]
pub struct LoadedClient {
    /// The file.
    pub sources: Sources,
    /// Everything that was found, by place.
    pub diagnostics: Vec<Diagnostic>,
    /// `[supervisorctl]`, unless there is none, or there are errors.
    pub client: Option<Supervisorctl>,
    /// The names of all `[ctlplugin:x]`: Python, which is not loaded.
    pub plugins: Vec<String>,
}

/// Reads what a client needs of the configuration at `path`: of the main file alone, as the
/// original does, and nothing about programs.
#[must_use]
pub fn load_client(path: &str, host: &Host, files: &dyn Files) -> LoadedClient {
    let mut loader = Loader::new(host, files);
    let client = loader.client(path);
    let sections = loader.document.sections().iter();
    let plugins = sections.filter_map(|section| section.name.strip_prefix("ctlplugin:"));
    let plugins = plugins.map(str::to_owned).collect();
    let client = client.filter(|_| loader.found.errors() == 0);
    LoadedClient {
        client,
        plugins,
        sources: loader.sources,
        diagnostics: loader.found.sorted(),
    }
}

impl Loader<'_> {
    fn client(&mut self, path: &str) -> Option<Supervisorctl> {
        let bytes = self.read(path)?;
        self.add(path, &bytes);
        let here = directory_of(&self.host.absolute(path)).to_owned();
        let section = self.document.section(keys::SUPERVISORCTL.word)?;
        let context = Context {
            document: &self.document,
            host: self.host,
            files: self.files,
            here: &here,
            environment: Rc::new(self.host.environment.clone()),
        };
        Some(server::supervisorctl(&context, section, &mut self.found))
    }
}
