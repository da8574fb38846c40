//! The terminal: styles where it is one, and never a control byte of a peer's.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::sample::{Severity, Verdict, steers};

/// Standard output: colours only on a terminal.
pub(super) fn out() -> anstream::AutoStream<io::StdoutLock<'static>> {
    anstream::AutoStream::auto(io::stdout().lock())
}

/// Says what went wrong, on standard error. Mistakes of a config say themselves that they are errors.
pub(super) fn error(message: &str) {
    let message = message.strip_prefix("error: ").unwrap_or(message).trim_end();
    let mut err = anstream::AutoStream::auto(io::stderr().lock());
    let style = colour(AnsiColor::Red).bold();
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(err, "{style}error{style:#}: {message}");
}

/// Whether people watch standard error: then progress is shown on it.
pub(super) fn shows_progress() -> bool {
    io::stderr().is_terminal()
}

/// A peer's text made fit for any screen: control characters as escapes, at most `most` characters.
pub(super) fn clean(text: &str, most: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(most));
    for (at, c) in text.chars().enumerate() {
        if at == most {
            cleaned.push('…');
            break;
        }
        if steers(c) {
            let _ = write!(cleaned, "\\u{{{:x}}}", u32::from(c));
        } else {
            cleaned.push(c);
        }
    }
    cleaned
}

/// The colour of a verdict.
pub(super) fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::InRange => colour(AnsiColor::Green),
        Verdict::OutOfRange => colour(AnsiColor::Red),
        Verdict::Unknown => colour(AnsiColor::Yellow),
        Verdict::NotApplicable => Style::new().dimmed(),
    }
}

/// The colour of a severity.
pub(super) fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Critical => colour(AnsiColor::Magenta).bold(),
        Severity::High => colour(AnsiColor::Red).bold(),
        Severity::Medium => colour(AnsiColor::Yellow).bold(),
        Severity::Low => colour(AnsiColor::Cyan),
        Severity::Info => Style::new().dimmed(),
    }
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_banner_cannot_write_on_the_screen() {
        assert_eq!(clean("220 \u{1b}[2J\u{202e}x\r\n", 80), "220 \\u{1b}[2J\\u{202e}x\\u{d}\\u{a}");
        assert_eq!(clean("abcdef", 3), "abc…");
    }
}
