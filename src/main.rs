//! Secchi's binary: parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    secchi::cli::main()
}
