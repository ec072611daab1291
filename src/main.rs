//! The binary: parse, run, print, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    foldline::cli::main()
}
