//! Arbitrary text as foldline.toml: a project, or errors that can be shown.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use foldline::project::load_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let variables = BTreeMap::from([("NAME".to_string(), "x".to_string()), ("EMPTY".to_string(), String::new())]);
    match load_text(text, Path::new("foldline.toml"), Path::new("/nowhere"), &variables, &|_| None) {
        Ok(project) => {
            // a type that the file does not name meets the rules for all types
            for source in 0..project.sources.len() {
                for event_type in ["A", "order.placed", "", "\"\n"] {
                    let _ = project.plan(source, event_type).map_err(|error| error.render(true));
                }
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(!error.render(false).is_empty() && !error.render(true).is_empty());
            }
        }
    }
});
