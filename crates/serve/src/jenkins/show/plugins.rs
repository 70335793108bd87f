//! The plugins whose work is done here: clients ask for them, and write `config.xml` by their versions.

use super::super::export::{Node, Sheet};

/// Short name, long name, version.
const PLUGINS: &[(&str, &str, &str)] = &[
    (
        "build-name-setter",
        "Build Name and Description Setter",
        "2.4.3",
    ),
    ("build-timeout", "Build Timeout", "1.33"),
    ("cloudbees-folder", "Folders Plugin", "6.959.v4ed5cc9e2dd4"),
    (
        "credentials-binding",
        "Credentials Binding Plugin",
        "687.v619cb_15e923f",
    ),
    ("git", "Git plugin", "5.6.0"),
    ("git-client", "Git client plugin", "6.1.0"),
    ("github", "GitHub plugin", "1.40.0"),
    ("junit", "JUnit Plugin", "1309.v0078b_fecd6ed"),
    ("mailer", "Mailer Plugin", "489.vd4b_25144138f"),
    ("next-build-number", "Next Build Number Plugin", "1.8"),
    (
        "throttle-concurrents",
        "Throttle Concurrent Builds Plug-in",
        "2.16",
    ),
    ("timestamper", "Timestamper", "1.28"),
    ("ws-cleanup", "Workspace Cleanup Plugin", "0.47"),
];

/// All of them.
pub(in crate::jenkins) fn plugins(sheet: &mut Sheet<'_>) {
    sheet.class("hudson.LocalPluginManager");
    sheet.each(
        "plugins",
        1,
        |_| PLUGINS,
        |(short, long, version), sheet| {
            sheet.put("active", 2, || true);
            sheet.put("backupVersion", 2, || Node::Null);
            sheet.put("bundled", 2, || false);
            sheet.put("deleted", 2, || false);
            sheet.put("dependencies", 2, || Node::List(Vec::new()));
            sheet.put("downgradable", 2, || false);
            sheet.put("enabled", 2, || true);
            sheet.put("hasUpdate", 2, || false);
            sheet.put("longName", 2, || *long);
            sheet.put("pinned", 2, || false);
            sheet.put("requiredCoreVersion", 2, || "2.479");
            sheet.put("shortName", 2, || *short);
            sheet.put("supportsDynamicLoad", 2, || "MAYBE");
            sheet.put("url", 2, || format!("https://plugins.jenkins.io/{short}"));
            sheet.put("version", 2, || *version);
        },
    );
}
