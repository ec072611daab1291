//! events -> state. Pure: no file, clock, thread or random number.
