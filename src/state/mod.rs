//! What lasts: snapshots, checkpoint, manifest.
