//! The protocols that speak in lines.

use crate::target::StartTls;

use super::{Dialogue, Step, broken};

impl Dialogue {
    /// Takes the lines that are complete.
    pub(super) fn lines(&mut self) -> Step {
        while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(line.trim_ascii_end()).to_ascii_uppercase();
            match self.line(&line) {
                Step::More => {}
                step => return step,
            }
        }
        Step::More
    }

    fn line(&mut self, line: &str) -> Step {
        match self.protocol {
            StartTls::Imap => self.imap(line),
            StartTls::Irc => irc(line),
            StartTls::Pop3 => self.pop3(line),
            StartTls::Sieve => self.sieve(line),
            _ => self.coded(line),
        }
    }

    /// Protocols whose answers begin with three digits.
    fn coded(&mut self, line: &str) -> Step {
        // RFC 3207 §4: listed among the answers to EHLO.
        self.listed |= line.get(4..).is_some_and(|word| word.trim() == "STARTTLS");
        let Some(code) = self.reply(line) else { return Step::More };
        match self.protocol {
            StartTls::Ftp => self.ftp(code, line),
            StartTls::Nntp => self.nntp(code, line),
            _ => self.smtp(code, line),
        }
    }

    /// The code of an answer once its last line is there (RFC 959 §4.2, RFC 5321 §4.2.1): `250-`
    /// opens one of several lines, which need not begin with a code, and `250 ` ends it. 0 is none.
    fn reply(&mut self, line: &str) -> Option<u16> {
        let code = line.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let goes_on = line.as_bytes().get(3) == Some(&b'-');
        match self.open {
            Some(open) if open != code || goes_on => return None,
            None if goes_on && code != 0 => {
                self.open = Some(code);
                return None;
            }
            _ => {}
        }
        self.open = None;
        Some(code)
    }

    fn smtp(&self, code: u16, line: &str) -> Step {
        let hello = match self.protocol {
            StartTls::Lmtp => "LHLO secchi.invalid\r\n",
            _ => "EHLO secchi.invalid\r\n",
        };
        match (self.step, code) {
            (0, 220) => Step::Send(hello.into()),
            (1, 250) if self.listed => Step::Send(self.start()),
            // No extensions at all (RFC 5321 §4.1.1.1), or not this one.
            (1, 250 | 500 | 502 | 504 | 550) => Step::NotOffered,
            (2, 220) => Step::Ready,
            (2, 500..=599) => Step::NotOffered,
            _ => broken(line),
        }
    }

    /// RFC 4217 §4: whatever is permanent, whichever way it is said, is a refusal.
    fn ftp(&self, code: u16, line: &str) -> Step {
        match (self.step, code) {
            (0, 220) => Step::Send(self.start()),
            (1, 234) => Step::Ready,
            (1, 500..=599) => Step::NotOffered,
            _ => broken(line),
        }
    }

    /// RFC 4642 §2.2: 580 is "able, but not now".
    fn nntp(&self, code: u16, line: &str) -> Step {
        match (self.step, code) {
            (0, 200 | 201) => Step::Send(self.start()),
            (1, 382) => Step::Ready,
            (1, 480 | 483 | 500..=579 | 581..=599) => Step::NotOffered,
            _ => broken(line),
        }
    }

    /// RFC 9051 §6.2.1.
    fn imap(&self, line: &str) -> Step {
        let says = |what: &str| line == what || line.starts_with(&format!("{what} "));
        match self.step {
            0 if says("* OK") => Step::Send(self.start()),
            // Behind the login the command is not allowed any more.
            0 if says("* PREAUTH") => Step::NotOffered,
            1 if says("S1 OK") => Step::Ready,
            1 if says("S1 NO") || says("S1 BAD") => Step::NotOffered,
            1 if line.starts_with("* ") && !says("* BYE") => Step::More,
            _ => broken(line),
        }
    }

    /// RFC 2595 §4.
    fn pop3(&self, line: &str) -> Step {
        match self.step {
            0 if line.starts_with("+OK") => Step::Send(self.start()),
            1 if line.starts_with("+OK") => Step::Ready,
            // RFC 3206: a fault of the moment.
            1 if line.starts_with("-ERR [SYS/TEMP]") => broken(line),
            1 if line.starts_with("-ERR") => Step::NotOffered,
            _ => broken(line),
        }
    }

    /// RFC 5804 §1.7: the list of capabilities comes unasked and ends with OK.
    fn sieve(&mut self, line: &str) -> Step {
        self.listed |= line.starts_with("\"STARTTLS\"");
        match self.step {
            0 if line.starts_with("OK") && self.listed => Step::Send(self.start()),
            0 if line.starts_with("OK") => Step::NotOffered,
            0 if line.starts_with('"') => Step::More,
            1 if line.starts_with("OK") => Step::Ready,
            1 if line.starts_with("NO (TRYLATER)") => broken(line),
            1 if line.starts_with("NO") => Step::NotOffered,
            _ => broken(line),
        }
    }
}

/// RPL_STARTTLS, ERR_STARTTLS; 421 and 451 come of a server that does not know the command.
fn irc(line: &str) -> Step {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with([':', '@']));
    match words.next() {
        Some("670") => Step::Ready,
        Some("691" | "421" | "451") => Step::NotOffered,
        Some("ERROR") => broken(line),
        _ => Step::More,
    }
}
