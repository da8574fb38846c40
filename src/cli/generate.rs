//! `secchi generate`: man page and completions from the one definition of the command line.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Subcommand};

use super::Cli;

#[derive(Debug, Subcommand)]
pub(super) enum Args {
    /// The man page, in roff
    Man,
    /// Completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    match args {
        Args::Man => clap_mangen::Man::new(Cli::command()).render(&mut text)?,
        Args::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "secchi", &mut text);
        }
    }
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
