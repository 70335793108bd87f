//! What the build server needs of a configuration.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Loader, with};
use crate::build::{self, BuildServer};
use crate::cluster;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::host::{Files, Host};
use crate::ini::document::Section;
use crate::job::{self, Job};
use crate::keys;
use crate::lint;
use crate::read::Context;
use crate::server::supervisord;
use crate::source::{FileId, Sources, Span};

/// `[build]` and the jobs of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Builds {
    /// `[build]`, if there is one.
    pub server: Option<BuildServer>,
    /// What builds are told of the cluster, if there is one. The server's environment has it.
    pub told: BTreeMap<String, String>,
    /// `[job:x]`, in the order of the file.
    pub jobs: Vec<Job>,
}

/// What came of reading it.
#[derive(Debug, Clone)]
pub struct LoadedBuilds {
    /// The files.
    pub sources: Sources,
    /// Everything that was found in these sections, by place.
    pub diagnostics: Vec<Diagnostic>,
    /// What they say, unless there are errors.
    pub builds: Option<Builds>,
}

/// Reads what the build server needs of the configuration at `path`, and what that includes. Of `[supervisord]` only
/// the environment counts, and it need not be there; what is wrong with programs is not looked at.
#[must_use]
pub fn load_builds(path: &str, host: &Host, files: &dyn Files) -> LoadedBuilds {
    let mut loader = Loader::new(host, files);
    let builds = loader.builds(path);
    let builds = builds.filter(|_| loader.found.errors() == 0);
    LoadedBuilds {
        sources: loader.sources,
        diagnostics: loader.found.sorted(),
        builds,
    }
}

impl Loader<'_> {
    fn builds(&mut self, path: &str) -> Option<Builds> {
        let (main_alone, here) = self.all(path)?;
        let document = std::mem::take(&mut self.document);
        let start = Span::start_of(FileId(0));
        let unwritten = Section::unwritten(keys::SUPERVISORD.word, start);
        lint::of_builds(&document, &self.sources, &mut self.found);
        let mut context = Context {
            document: &document,
            host: self.host,
            files: self.files,
            here: &here,
            environment: Rc::new(self.host.environment.clone()),
        };
        let section = document.section(keys::SUPERVISORD.word);
        let mut unheard = Diagnostics::default();
        let mut main = supervisord(&context, section.unwrap_or(&unwritten), &mut unheard);
        let main_alone = main_alone.as_ref().unwrap_or(&document);
        // Before the environment of programs is known in it: who asks for a lock does not know that.
        let cluster = cluster::read(main_alone, &context, &mut self.found);
        let told = match &self.host.told {
            Some(told) => {
                main.environment.extend(told.clone());
                told.clone()
            }
            None => cluster::tell(cluster.as_ref(), &mut main),
        };
        context.environment = Rc::new(with(&self.host.environment, &main.environment));
        Some(Builds {
            server: server(&context, &told, &mut self.found),
            jobs: jobs(&context, &self.sources, &mut self.found),
            told,
        })
    }
}

/// Reads `[build]`, if there is one. Its builds are told of the cluster.
pub(super) fn server(
    context: &Context<'_>,
    told: &BTreeMap<String, String>,
    found: &mut Diagnostics,
) -> Option<BuildServer> {
    let section = context.document.section(keys::BUILD.word)?;
    let mut server = build::read(context, section, found);
    server.tell(told);
    Some(server)
}

/// Reads every `[job:x]`.
pub(super) fn jobs(context: &Context<'_>, sources: &Sources, found: &mut Diagnostics) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for section in context.document.sections() {
        if keys::kind_of(&section.name).is_none_or(|kind| kind.word != keys::JOB.word) {
            continue;
        }
        let job = job::read(context, section, sources, found);
        let clash = jobs
            .iter()
            .find(|other| is_inside(&job.name, &other.name) || is_inside(&other.name, &job.name));
        if let Some(other) = clash {
            found.error(
                section.span,
                format!(
                    "`{}` and `{}` cannot both be jobs: one of them is in the other",
                    other.name, job.name
                ),
                Some("give one of them another name".into()),
            );
        }
        jobs.push(job);
    }
    jobs
}

/// Whether a name begins with another one as its folder.
fn is_inside(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}
