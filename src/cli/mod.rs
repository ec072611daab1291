//! The command line: one verb per file; nothing else knows clap.
