//! The binary: parse, run, print, exit.

fn main() {}
