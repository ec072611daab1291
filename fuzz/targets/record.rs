//! Arbitrary text as a record: the scanner judges it as serde_json does, finds the same parts, and gives the same texts;
//! every part converts to every type, or is refused, and what DECIMAL takes is what the text says.
#![no_main]

use std::sync::LazyLock;

use foldline::source::contract::convert;
use foldline::source::json::{self, DEPTH_MAX, Paths, Span};
use foldline::sql::{Type, parse_column, to_json, to_text};
use libfuzzer_sys::fuzz_target;

const WANTED: [&[&str]; 8] = [&["a"], &["a", "b"], &["b"], &["data"], &["data", "a", "b"], &["ä€😀"], &["\0"], &["", ""]];
const TYPES: [&str; 18] = [
    "BOOLEAN",
    "TINYINT",
    "INTEGER",
    "BIGINT",
    "UBIGINT",
    "HUGEINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL(10,2)",
    "DECIMAL(38,10)",
    "VARCHAR",
    "BLOB",
    "DATE",
    "TIMESTAMPTZ",
    "INTERVAL",
    "UUID",
    "JSON",
    "STRUCT(a INTEGER[], b MAP(VARCHAR, DOUBLE))[]",
];

static PATHS: LazyLock<(Vec<Vec<String>>, Paths)> = LazyLock::new(|| {
    let paths: Vec<Vec<String>> = WANTED.iter().map(|path| path.iter().map(|key| key.to_string()).collect()).collect();
    let wanted = Paths::new(&paths);
    (paths, wanted)
});
static COLUMNS: LazyLock<Vec<Type>> = LazyLock::new(|| TYPES.iter().map(|ty| parse_column(ty).expect("a type").ty).collect());

/// How deep brackets outside of strings nest; serde_json gives up one level before foldline does.
fn depth(text: &str) -> u32 {
    let (mut depth, mut deepest, mut inside, mut escaped) = (0u32, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'[' | b'{' if !inside => depth += 1,
            b']' | b'}' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (paths, wanted) = &*PATHS;
    let mut found: Vec<Span> = Vec::new();
    let scanned = json::scan(text, wanted, &mut found);
    if let Err(refused) = scanned {
        assert!(refused.offset <= text.len());
    }
    assert_eq!(json::check(text).is_ok(), scanned.is_ok());
    if depth(text) >= DEPTH_MAX {
        return;
    }
    assert_eq!(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(), scanned.is_ok());
    if scanned.is_err() {
        return;
    }
    for span in &found {
        let part = span.of(text);
        for ty in &*COLUMNS {
            if let Ok(value) = convert(part, ty) {
                let _ = (to_text(&value, ty), to_json(&value, ty));
            }
        }
    }
    // a lone surrogate, or a number that no double holds, is JSON, but serde_json has no value for it
    let Ok(whole) = serde_json::from_str::<serde_json::Value>(text) else { return };
    for (path, span) in paths.iter().zip(&found) {
        let expected = path.iter().try_fold(&whole, |value, key| value.as_object()?.get(key));
        assert_eq!(expected.is_none(), span.is_missing());
        let Some(expected) = expected else { continue };
        let part = span.of(text);
        assert_eq!(&serde_json::from_str::<serde_json::Value>(part).expect("a part is JSON"), expected);
        if let serde_json::Value::String(expected) = expected {
            assert_eq!(json::as_text(part).ok().flatten().as_deref(), Some(expected.as_str()));
        }
        if let Some(integer) = expected.as_i64() {
            let value = convert(part, &Type::BigInt).expect("an integer of 64 bits is a BIGINT");
            assert_eq!(to_text(&value, &Type::BigInt), Some(integer.to_string()));
        }
        assert_eq!(json::is_text(part), Ok(()));
    }
});
