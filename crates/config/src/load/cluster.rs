//! What who asks for a lock needs of a configuration.

use std::rc::Rc;

use super::Loader;
use crate::cluster::{self, Cluster};
use crate::diagnostics::Diagnostic;
use crate::host::{Files, Host};
use crate::read::Context;
use crate::source::{FileId, Sources};

/// What came of reading it.
#[derive(Debug, Clone)]
pub struct LoadedCluster {
    /// The file.
    pub sources: Sources,
    /// Everything that was found in the section, by place.
    pub diagnostics: Vec<Diagnostic>,
    /// What it says. The outer `None` when there are errors, the inner one without the section.
    pub cluster: Option<Option<Cluster>>,
}

/// Reads `[cluster]` of the configuration at `path`, and nothing about anything else.
#[must_use]
pub fn load_cluster(path: &str, host: &Host, files: &dyn Files) -> LoadedCluster {
    let mut loader = Loader::new(host, files);
    let cluster = loader.cluster(path);
    let cluster = cluster.filter(|_| loader.found.errors() == 0);
    LoadedCluster {
        cluster,
        sources: loader.sources,
        diagnostics: loader.found.sorted(),
    }
}

impl Loader<'_> {
    fn cluster(&mut self, path: &str) -> Option<Option<Cluster>> {
        let (main_alone, here) = self.all(path)?;
        // What is wrong with an included file keeps nobody from his lock: it may say nothing of this.
        self.found.retain(|span| span.file == FileId(0));
        let document = std::mem::take(&mut self.document);
        let context = Context {
            document: &document,
            host: self.host,
            files: self.files,
            here: &here,
            environment: Rc::new(self.host.environment.clone()),
        };
        let main_alone = main_alone.as_ref().unwrap_or(&document);
        let cluster = cluster::read(main_alone, &context, &mut self.found);
        if cluster.is_none() {
            cluster::misspelt(&document, &mut self.found);
        }
        Some(cluster)
    }
}
