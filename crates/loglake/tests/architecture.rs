//! The workspace is what docs/ARCHITECTURE.md says: every crate is on the page, and dependencies
//! point one way.

use std::collections::BTreeMap;
use std::process::Command;

/// Each crate and the ones of ours that it may use (development dependencies aside).
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("receive", &["model"]),
    ("format", &["model"]),
    ("wal", &["model"]),
    ("table", &["model"]),
    ("coord", &["model"]),
    ("ingest", &["model", "format", "wal", "table", "coord"]),
    ("query", &["model", "format", "wal", "table", "coord"]),
    ("maintain", &["model", "format", "table", "wal", "coord"]),
    ("elastic", &["model", "receive", "query"]),
    ("server", &["model", "receive", "table", "coord", "ingest", "query", "elastic"]),
    ("collect", &["model", "receive", "wal", "table", "coord", "ingest"]),
    ("fuzz", &["model", "receive"]),
    ("sim", &["model", "format", "wal", "table", "coord", "ingest", "query", "maintain"]),
    (
        "loglake",
        &[
            "model", "receive", "format", "wal", "table", "coord", "ingest", "query", "maintain",
            "elastic", "server", "collect",
        ],
    ),
];

fn uses() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let short = |name: &str| name.trim_start_matches("loglake-").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let uses = packages.iter().map(|package| {
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let ours = dependencies
            .filter(|d| d["kind"].is_null())
            .filter_map(|d| d["name"].as_str())
            .filter(|name| name.starts_with("loglake"))
            .map(short);
        (short(package["name"].as_str().expect("a name")), ours.collect())
    });
    uses.collect()
}

#[test]
fn dependencies_point_one_way() {
    let uses = uses();
    for (name, used) in &uses {
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(known, _)| known == name)
            .unwrap_or_else(|| panic!("the crate {name} has no place in the architecture"));
        for used in used {
            assert!(allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
    assert_eq!(uses.len(), MAY_USE.len());
}

#[test]
fn every_crate_is_on_the_page() {
    let page = include_str!("../../../docs/ARCHITECTURE.md");
    for name in uses().keys() {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/ARCHITECTURE.md");
    }
}
