//! Where values stand on disk: a snapshot's partition is a base file with deltas above it, oldest first.

/// [`BASE`], the number of a delta from 1 on, or [`FRESH`].
pub type Level = u8;

pub const BASE: Level = 0;

/// In no file yet.
pub const FRESH: Level = 15;

/// How many rows there are at each level.
pub type Counts = [u64; FRESH as usize + 1];
