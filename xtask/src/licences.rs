//! `cargo xtask licences`: whether every dependency's licence is one we can pass on.

use anyhow::{Result, bail};

use crate::cargo;
use crate::metadata::{Follow, Metadata};
use crate::spdx::Expression;

/// The licences whose terms a user of ward can meet by keeping the notices.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Packages that we cannot do without though their licence asks for more: package, licence.
/// MPL-2.0 is the one to think of (its files stay under it, ours do not come under it).
const UNAVOIDABLE: &[(&str, &str)] = &[];

pub(crate) fn check() -> Result<()> {
    let metadata = cargo::metadata()?;
    let offenders = offenders(&metadata);
    if offenders.is_empty() {
        let foreign = metadata.packages.len() - metadata.workspace_members.len();
        println!("licences: {foreign} dependencies, all within the list");
        return Ok(());
    }
    for offender in &offenders {
        eprintln!("licences: {offender}");
    }
    bail!(
        "{} of the dependencies have a licence outside the list in xtask/src/licences.rs",
        offenders.len()
    )
}

/// A line for each dependency that may not stay: what, why, and who brings it in.
fn offenders(metadata: &Metadata) -> Vec<String> {
    let ways = metadata.ways(
        metadata.workspace_members.iter().map(String::as_str),
        Follow::All,
        |_| true,
    );
    metadata
        .packages
        .iter()
        .filter(|package| !metadata.workspace_members.contains(&package.id))
        .filter_map(|package| {
            let why = refusal(&package.name, package.license.as_deref())?;
            let way = ways
                .get(package.id.as_str())
                .map_or_else(|| package.name.clone(), |way| metadata.spell(way));
            Some(format!(
                "{} {}: {why}; {way}",
                package.name, package.version
            ))
        })
        .collect()
}

/// Why the package `name` under `licence` is refused; `None` if it is not.
fn refusal(name: &str, licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else {
        return Some("names no licence".to_owned());
    };
    let accepts = |one: &str| ACCEPTED.contains(&one) || UNAVOIDABLE.contains(&(name, one));
    match Expression::parse(licence) {
        Ok(expression) if expression.is_satisfied(&accepts) => None,
        Ok(_) => Some(licence.to_owned()),
        Err(malformed) => Some(malformed.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::sample;

    #[test]
    fn an_offender_is_named_with_the_way_to_it() {
        let metadata = sample::metadata(&[
            ("ward", Some("anything"), true, &[("fine", None)]),
            (
                "fine",
                Some("MIT/Apache-2.0"),
                false,
                &[("viral", None), ("mute", None)],
            ),
            ("viral", Some("MIT AND GPL-3.0-only"), false, &[]),
            ("mute", None, false, &[]),
        ]);
        assert_eq!(
            offenders(&metadata),
            [
                "viral 1.0.0: MIT AND GPL-3.0-only; ward → fine 1.0.0 → viral 1.0.0",
                "mute 1.0.0: names no licence; ward → fine 1.0.0 → mute 1.0.0",
            ]
        );
    }

    #[test]
    fn the_list_takes_what_it_should_and_no_more() {
        for licence in [
            "MIT OR Apache-2.0",
            "Unlicense OR MIT",
            "0BSD OR MIT OR Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "Zlib",
            "CC0-1.0",
        ] {
            assert_eq!(refusal("any", Some(licence)), None, "{licence}");
        }
        for licence in [
            "MPL-2.0",
            "GPL-2.0-only",
            "Unlicense",
            "LGPL-2.1 OR MPL-2.0",
            "see file",
        ] {
            assert!(refusal("any", Some(licence)).is_some(), "{licence}");
        }
    }
}
