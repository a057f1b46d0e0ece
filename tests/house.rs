//! The rules of the house that no compiler checks: imports go downwards, modules say what they are,
//! a README that tells what the table tells.

#![allow(clippy::expect_used, clippy::panic)] // A test that fails may panic.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of `src/lib.rs`, the ground floor first.
const FLOORS: [&[&str]; 9] = [
    &["config", "error", "logging", "metrics"],
    &["resp"],
    &["session", "plan"],
    &["command"],
    &["embedded"],
    &["upstream", "outbox", "buffers"],
    &["engine", "explain"],
    &["server", "ping"],
    &["main", "cli", "lib"],
];

/// Modules that may import a neighbour on their floor.
const NEIGHBOURS: [(&str, &str); 7] = [
    ("logging", "config"),
    ("plan", "session"),
    ("upstream", "outbox"),
    ("outbox", "buffers"),
    ("engine", "explain"),
    ("main", "cli"),
    ("cli", "main"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("src is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The top-level module a file belongs to.
fn module(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).expect("below src");
    let first = below.components().next().expect("not empty");
    let name = first.as_os_str().to_string_lossy();
    name.trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("{module} has no floor: give it one here and in src/lib.rs"))
}

#[test]
fn imports_go_downwards() {
    for path in sources(&root().join("src")) {
        let from = module(&path);
        let text = fs::read_to_string(&path).expect("readable");
        for piece in text.split("crate::").skip(1) {
            let end = piece.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let to = &piece[..end.unwrap_or(piece.len())];
            if to.is_empty() || to == from || from == "lib" {
                continue;
            }
            let neighbours = NEIGHBOURS.contains(&(from.as_str(), to));
            assert!(
                floor(to) < floor(&from) || neighbours,
                "{}: {from} must not import {to}",
                path.display()
            );
        }
    }
}

#[test]
fn every_module_begins_with_what_it_is() {
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path).expect("readable");
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}

#[test]
fn nothing_is_left_undone() {
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path).expect("readable");
        for word in ["TODO", "FIXME", "XXX", "unsafe {"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn the_readme_tells_what_the_table_tells() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    for row in sessile::command::TABLE {
        let syntax = row.syntax.replace('|', "\\|");
        let call = format!("{} {syntax}", row.name);
        let line = format!(
            "| `{}` | {} | {} |",
            call.trim_end(),
            row.reply,
            row.summary
        );
        assert!(readme.contains(&line), "README.md lacks:\n{line}");
    }
}
