//! What `cargo metadata` says, as far as our checks ask, and walks over it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use serde::Deserialize;

/// The answer of `cargo metadata --format-version 1`.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: BTreeSet<String>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) resolve: Resolve,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency as its manifest declares it, optional ones included.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

#[derive(Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Edge>,
}

#[derive(Deserialize)]
pub(crate) struct Edge {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
pub(crate) struct EdgeKind {
    pub(crate) kind: Option<String>,
}

impl Edge {
    /// Whether what is built for users needs it (not only tests or build scripts).
    fn is_normal(&self) -> bool {
        self.dep_kinds.iter().any(|kind| kind.kind.is_none())
    }
}

/// Which edges a walk follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    All,
    Normal,
}

impl Metadata {
    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    pub(crate) fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    /// The nearest way from one of `starts` to every package that can be reached from them,
    /// never through a package that `enter` refuses: package id → ids from start to it.
    pub(crate) fn ways<'a>(
        &'a self,
        starts: impl IntoIterator<Item = &'a str>,
        follow: Follow,
        enter: impl Fn(&Package) -> bool,
    ) -> BTreeMap<&'a str, Vec<&'a str>> {
        let nodes: BTreeMap<&str, &Node> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let mut ways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut queue = VecDeque::new();
        for start in starts {
            ways.insert(start, vec![start]);
            queue.push_back(start);
        }
        while let Some(id) = queue.pop_front() {
            let way = ways[id].clone();
            for edge in nodes.get(id).map_or(&[][..], |node| &node.deps) {
                let follows = follow == Follow::All || edge.is_normal();
                let enters = self.package(&edge.pkg).is_some_and(&enter);
                if follows && enters && !ways.contains_key(edge.pkg.as_str()) {
                    let mut longer = way.clone();
                    longer.push(&edge.pkg);
                    ways.insert(&edge.pkg, longer);
                    queue.push_back(&edge.pkg);
                }
            }
        }
        ways
    }

    /// A way as people read it: `ward → clap 4.6.0 → strsim 0.11.1`.
    pub(crate) fn spell(&self, way: &[&str]) -> String {
        way.iter()
            .map(|id| match self.package(id) {
                Some(package) if self.workspace_members.contains(*id) => package.name.clone(),
                Some(package) => format!("{} {}", package.name, package.version),
                None => (*id).to_owned(),
            })
            .collect::<Vec<_>>()
            .join(" → ")
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! Made-up metadata: names with their declared dependencies.

    use super::*;

    /// A package of the sample: name, licence, whether it is ours, dependencies with their kind.
    pub(crate) type Row<'a> = (
        &'a str,
        Option<&'a str>,
        bool,
        &'a [(&'a str, Option<&'a str>)],
    );

    pub(crate) fn metadata(rows: &[Row<'_>]) -> Metadata {
        Metadata {
            packages: rows
                .iter()
                .map(|(name, license, _, dependencies)| Package {
                    id: (*name).to_owned(),
                    name: (*name).to_owned(),
                    version: "1.0.0".to_owned(),
                    license: license.map(str::to_owned),
                    manifest_path: PathBuf::from(format!("/nowhere/{name}/Cargo.toml")),
                    dependencies: dependencies
                        .iter()
                        .map(|(name, kind)| Dependency {
                            name: (*name).to_owned(),
                            kind: kind.map(str::to_owned),
                        })
                        .collect(),
                    targets: Vec::new(),
                })
                .collect(),
            workspace_members: rows
                .iter()
                .filter(|row| row.2)
                .map(|row| row.0.to_owned())
                .collect(),
            workspace_root: PathBuf::from("/nowhere"),
            resolve: Resolve {
                nodes: rows
                    .iter()
                    .map(|(name, _, _, dependencies)| Node {
                        id: (*name).to_owned(),
                        deps: dependencies
                            .iter()
                            .map(|(name, kind)| Edge {
                                pkg: (*name).to_owned(),
                                dep_kinds: vec![EdgeKind {
                                    kind: kind.map(str::to_owned),
                                }],
                            })
                            .collect(),
                    })
                    .collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Metadata {
        sample::metadata(&[
            ("ours", None, true, &[("far", None), ("near", Some("dev"))]),
            ("far", None, false, &[("deep", None)]),
            ("near", None, false, &[("deep", None), ("test-only", None)]),
            ("deep", None, false, &[]),
            ("test-only", None, false, &[]),
        ])
    }

    #[test]
    fn a_way_is_the_nearest_and_is_spelled_from_its_start() {
        let metadata = sample();
        let ways = metadata.ways(["ours"], Follow::All, |_| true);
        assert_eq!(ways["deep"], ["ours", "far", "deep"]);
        assert_eq!(
            metadata.spell(&ways["test-only"]),
            "ours → near 1.0.0 → test-only 1.0.0"
        );
    }

    #[test]
    fn a_walk_over_normal_dependencies_leaves_out_what_tests_need() {
        let metadata = sample();
        let ways = metadata.ways(["ours"], Follow::Normal, |_| true);
        assert_eq!(
            ways.keys().copied().collect::<Vec<_>>(),
            ["deep", "far", "ours"]
        );
    }

    #[test]
    fn a_walk_does_not_go_through_what_it_may_not_enter() {
        let metadata = sample();
        let ways = metadata.ways(["ours"], Follow::All, |package| package.name != "near");
        assert!(!ways.contains_key("near"));
        assert!(!ways.contains_key("test-only"));
        assert!(ways.contains_key("deep"));
    }
}
