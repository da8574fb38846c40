//! Secchi's binary: parse, dispatch, exit code.

use std::process::ExitCode;

/// See the figures of the fleet in benches/README.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    secchi::cli::main()
}
