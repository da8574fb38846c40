//! Files that a site should not hand out, each known by what it holds: a page that answers
//! everything with 200 shows none.

use serde::Serialize;

use super::exchange::Answer;
use super::extras::{Asked, Extra};
use super::text::clean;
use super::usable;

/// A file that is handed out.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Exposure {
    /// Its path.
    pub(super) path: &'static str,
    /// What it is known by.
    pub(super) evidence: String,
}

/// What is handed out of what was asked for; `None` where the control was not answered.
pub(super) fn read(asked: &[Asked]) -> Option<Vec<Exposure>> {
    let control = answer(asked.iter().find(|one| one.extra == Extra::Control)?)?;
    let found = asked.iter().filter_map(|one| {
        let Extra::Exposure(index) = one.extra else { return None };
        let file = TABLE.get(index)?;
        let answer = answer(one)?;
        let shows = |answer: &Answer| answer.head.status == 200 && (file.is)(&answer.body.start);
        (shows(answer) && !shows(control))
            .then(|| Exposure { path: file.path, evidence: clean(file.known_by, 80) })
    });
    Some(found.collect())
}

/// Whether every file was asked for and answered.
pub(super) fn is_whole(asked: &[Asked]) -> bool {
    let is_answered =
        |one: &&Asked| matches!(one.extra, Extra::Exposure(_)) && answer(one).is_some();
    asked.iter().filter(is_answered).count() == TABLE.len()
}

/// An answer of the site itself: no limit, no fault.
fn answer(one: &Asked) -> Option<&Answer> {
    let answer = one.answer.as_ref().ok()?;
    usable::judge_further(answer).ok()?;
    Some(answer)
}

/// A file of the table.
pub(super) struct File {
    /// Where it lies.
    pub(super) path: &'static str,
    /// In words, what it is known by.
    known_by: &'static str,
    is: fn(&[u8]) -> bool,
}

/// The one table of files.
pub(super) const TABLE: [File; 12] = [
    File {
        path: "/.git/config",
        known_by: "[core] section of a Git configuration",
        is: |text| has(text, "[core]") && has(text, "repositoryformatversion"),
    },
    File { path: "/.env", known_by: "a secret in an environment file", is: is_environment },
    File {
        path: "/.aws/credentials",
        known_by: "aws_secret_access_key",
        is: |text| has(text, "aws_secret_access_key"),
    },
    File {
        path: "/.htpasswd",
        known_by: "password hashes",
        is: |text| [":$apr1$", ":$2y$", ":{SHA}"].iter().any(|mark| has(text, mark)),
    },
    File {
        path: "/.svn/wc.db",
        known_by: "an SQLite database",
        is: |text| text.starts_with(b"SQLite format 3\0"),
    },
    File {
        path: "/.DS_Store",
        known_by: "a Finder index",
        is: |text| text.starts_with(b"\0\0\0\x01Bud1"),
    },
    File {
        path: "/actuator/env",
        known_by: "propertySources of Spring Boot",
        is: |text| has(text, "\"propertySources\""),
    },
    File {
        path: "/phpinfo.php",
        known_by: "phpinfo()",
        is: |text| {
            has(text, "<title>phpinfo()") || has(text, "<title>PHP") && has(text, "phpinfo()")
        },
    },
    File {
        path: "/server-status",
        known_by: "Apache Server Status",
        is: |text| has(text, "Apache Server Status for"),
    },
    File {
        path: "/debug/pprof/",
        known_by: "profiles of a Go program",
        is: |text| has(text, "Types of profiles available"),
    },
    File {
        path: "/backup.sql",
        known_by: "a database dump",
        is: |text| {
            ["-- MySQL dump", "-- PostgreSQL database dump", "-- MariaDB dump"]
                .iter()
                .any(|mark| has(text, mark))
        },
    },
    File {
        path: "/wp-config.php.bak",
        known_by: "DB_PASSWORD of WordPress",
        is: |text| has(text, "DB_PASSWORD") && has(text, "<?php"),
    },
];

fn has(text: &[u8], mark: &str) -> bool {
    text.windows(mark.len()).any(|window| window == mark.as_bytes())
}

/// Lines of `NAME=value`, a secret's name among them, and no markup.
fn is_environment(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let is_secret = |line: &str| {
        line.split_once('=').is_some_and(|(name, value)| {
            let is_name =
                name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            let secret = ["KEY", "PASS", "SECRET", "TOKEN", "DATABASE_URL", "DSN"];
            is_name && !value.trim().is_empty() && secret.iter().any(|part| name.contains(part))
        })
    };
    !text.contains('<')
        && text.lines().any(|line| is_secret(line.trim().trim_start_matches("export ")))
}

/// As much as is read of one.
pub(super) const MAX_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_known_by_what_it_holds() {
        let page = b"<html><title>phpinfo() and .env and [core]</title>KEY=1 DB_PASSWORD</html>";
        for (path, text) in [
            ("/.git/config", &b"[core]\n\trepositoryformatversion = 0\n"[..]),
            ("/.env", b"APP_ENV=prod\nDB_PASSWORD=x\n"),
            ("/.aws/credentials", b"[default]\naws_secret_access_key = x"),
            ("/.htpasswd", b"bob:$apr1$x$y"),
            ("/.svn/wc.db", b"SQLite format 3\0..."),
            ("/.DS_Store", b"\0\0\0\x01Bud1\0"),
            ("/actuator/env", b"{\"activeProfiles\":[],\"propertySources\":[]}"),
            ("/phpinfo.php", b"<html><head><title>phpinfo()</title>"),
            ("/server-status", b"<h1>Apache Server Status for a.example"),
            ("/debug/pprof/", b"<br>Types of profiles available:"),
            ("/backup.sql", b"-- MySQL dump 10.13"),
            ("/wp-config.php.bak", b"<?php define('DB_PASSWORD', 'x');"),
        ] {
            let file = TABLE.iter().find(|file| file.path == path).expect(path);
            assert!((file.is)(text), "{path}");
            assert!(path == "/phpinfo.php" || !(file.is)(page), "{path}");
            assert!(!(file.is)(b""), "{path}");
        }
    }
}
