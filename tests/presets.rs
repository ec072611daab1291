//! Every folder of fixtures/sources is a project that reads one system's export by its preset: what it publishes is compared with the
//! rows that its `expected/*.csv` say, which were written by hand.
//!
//! `expected/<read model>.csv` has a header and the text of each value as DuckDB writes it (`NULL` for none); every column of the
//! published file is compared. `expected/books.txt` holds the lines `decoded N`, `empty N`, `bad N`, and the exit code as `exit N`
//! where it is not 0.

mod common;

use std::path::Path;

use common::{Project, adds_up, assert_same_rows, duckdb, files_below, fixture, literal};

fn fixtures() -> Vec<std::path::PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(fixture("sources")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// A copy of a fixture, to run in.
fn copy(folder: &Path) -> Project {
    let project = Project::new("");
    for file in files_below(folder) {
        let name = file.strip_prefix(folder).unwrap().to_str().unwrap();
        project.write(name, std::fs::read(&file).unwrap());
    }
    project
}

/// What `expected/books.txt` says of a name.
fn said(folder: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join("expected/books.txt")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_string))?;
    Some(line.trim().parse().unwrap())
}

#[test]
fn every_system_is_read_by_its_preset_as_the_fixture_expects() {
    let folders = fixtures();
    assert!(folders.len() >= 2, "the fixtures are there");
    let db = duckdb();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        println!("{name}");
        let project = copy(&folder);
        project.foldline(&["check"]).exits(0);
        let run = project.foldline(&["run", "--json"]).exits(said(&folder, "exit").unwrap_or(0) as i32);
        let report = adds_up(&run, name);
        for book in ["decoded", "empty", "bad"] {
            let found: u64 = report["sources"].as_array().unwrap().iter().map(|source| source[book].as_u64().unwrap()).sum();
            if let Some(expected) = said(&folder, book) {
                assert_eq!(found, expected, "{name}: {book}\n{report:#}");
            }
        }
        let mut compared = 0;
        for expected in files_below(&folder.join("expected")) {
            let Some(model) = expected.file_name().and_then(|file| file.to_str()?.strip_suffix(".csv")) else { continue };
            let published = project.path(&format!("out/{model}.parquet"));
            assert!(published.exists(), "{name}: out/{model}.parquet");
            let found = format!("SELECT COLUMNS(*)::VARCHAR FROM {}", literal(&published));
            let rows = format!(
                "SELECT * FROM read_csv('{}', header = true, all_varchar = true, nullstr = 'NULL', quote = '\"', escape = '\"', delim = ',')",
                expected.display()
            );
            assert_same_rows(&db, &found, &rows);
            compared += 1;
        }
        assert!(compared > 0, "{name}: nothing was compared");
        // a log that did not change gives nothing new, and what is published stands a replay
        assert_eq!(project.foldline(&["run", "--json"]).json()["outcome"], "nothing_new", "{name}");
        project.foldline(&["verify"]).exits(0);
    }
}

#[test]
fn every_fixture_has_a_page_and_every_preset_a_fixture() {
    let out = common::foldline().args(["presets", "--json"]).output().unwrap();
    let presets: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sources");
    let texts: Vec<String> = fixtures().iter().map(|folder| std::fs::read_to_string(folder.join("foldline.toml")).unwrap()).collect();
    for preset in presets.as_array().unwrap() {
        let name = preset["name"].as_str().unwrap();
        assert!(pages.join(format!("{name}.md")).exists(), "docs/sources/{name}.md");
        let quoted = format!("\"{name}\"");
        let used = |text: &String| text.lines().any(|line| line.trim_start().starts_with("preset") && line.contains(&quoted));
        assert!(texts.iter().any(used), "no project of fixtures/sources uses the preset {name}");
    }
    let table = std::fs::read_to_string(pages.join("README.md")).unwrap();
    for preset in presets.as_array().unwrap() {
        let name = preset["name"].as_str().unwrap();
        assert!(table.contains(&format!("[`{name}`]({name}.md)")), "docs/sources/README.md has a row for {name}");
    }
}
