//! What a person and a machine see of a run: progress, summary, JSON.
