//! Targets: staged, committed by the manifest, swapped in atomically, rolled forward.
