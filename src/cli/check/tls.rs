//! What a person wants to see of a TLS endpoint, on one screen: the facts of a sample in rows. Peer
//! data is cleaned; what could not be established says why.

use std::io::{self, Write};

use anstyle::Style;
use serde_json::{Map, Value};

use crate::cli::screen::{clean, verdict_style};
use crate::sample::{Measurements, Path, Reason, Verdict};

/// Writes the rows of a sample.
pub(super) fn write(out: &mut impl Write, m: &Measurements) -> io::Result<()> {
    for (label, cells) in rows(m) {
        write_row(out, &label, &cells)?;
    }
    Ok(())
}

/// A label, and words that may be broken between.
type Row = (String, Vec<Cell>);

/// A word on the screen.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Cell {
    Plain(String),
    Bad(String),
    Doubt(String),
}

fn rows(m: &Measurements) -> Vec<Row> {
    let mut rows = Vec::new();
    grade(&mut rows, m);
    versions(&mut rows, m);
    for (key, label) in [("groups", "groups"), ("signature_schemes", "schemes")] {
        by_version(&mut rows, m, key, label);
    }
    keys(&mut rows, m);
    certificates(&mut rows, m);
    features(&mut rows, m);
    weaknesses(&mut rows, m);
    rows
}

fn grade(rows: &mut Vec<Row>, m: &Measurements) {
    let mut cells = Vec::new();
    if let Some(letter) = m.fact("grade").and_then(Value::as_str) {
        cells.push(if letter.starts_with('A') { plain(letter) } else { bad(letter) });
        let reasons: Vec<&str> = words(m.fact("grade_reasons")).collect();
        if !reasons.is_empty() {
            cells.push(plain(&format!("({})", reasons.join(", "))));
        }
    }
    push(rows, "grade", cells, why(m, "grade"));
}

/// A row a version: its suites in order, and whose order that is.
fn versions(rows: &mut Vec<Row>, m: &Measurements) {
    let cells = words(m.fact("versions")).map(|version| match version {
        "TLSv1.2" | "TLSv1.3" => plain(version),
        _ => bad(version),
    });
    push(rows, "versions", cells.collect(), members(m, "versions"));
    let Some(by_version) = m.fact("cipher_suites").and_then(Value::as_object) else { return };
    for (version, suites) in by_version.iter().rev() {
        let mut cells: Vec<Cell> = words(Some(suites)).map(suite).collect();
        let order = m.fact("server_order").and_then(|order| order.get(version));
        cells.extend(match order.and_then(Value::as_bool) {
            Some(true) => Some(plain("(server's order)")),
            Some(false) => Some(plain("(client's order)")),
            None => None,
        });
        let path = Path::of("cipher_suites").join(version);
        push(rows, version, cells, m.why_unknown(&path).map(|why| format!("perhaps more: {why}")));
    }
}

fn suite(name: &str) -> Cell {
    let weak = ["_NULL_", "EXPORT", "_anon_", "_RC4_", "_RC2_", "_DES", "3DES", "_MD5", "SSL2_"];
    match weak.iter().any(|part| name.contains(part)) {
        true => bad(name),
        false => plain(name),
    }
}

/// One row where all versions have the same, else one a version.
fn by_version(rows: &mut Vec<Row>, m: &Measurements, key: &str, label: &str) {
    let Some(map) = m.fact(key).and_then(Value::as_object) else {
        return push(rows, label, Vec::new(), why(m, key));
    };
    let mut seen: Vec<(&Value, Vec<&str>)> = Vec::new();
    for (version, set) in map.iter().rev() {
        match seen.iter_mut().find(|(known, _)| *known == set) {
            Some((_, versions)) => versions.push(version),
            None => seen.push((set, vec![version])),
        }
    }
    for (set, versions) in seen {
        let mut cells: Vec<Cell> = words(Some(set)).map(plain).collect();
        cells.push(plain(&format!("({})", versions.join(", "))));
        let path = Path::of(key).join(versions[0]);
        push(rows, label, cells, m.why_unknown(&path).map(|why| format!("perhaps more: {why}")));
    }
}

fn keys(rows: &mut Vec<Row>, m: &Measurements) {
    let mut cells = Vec::new();
    if let Some(negotiated) = m.fact("negotiated").filter(|value| value.is_object()) {
        let text = |key: &str| negotiated.get(key).and_then(Value::as_str);
        cells.extend(
            ["version", "cipher_suite", "group", "alpn"].iter().filter_map(|k| text(k)).map(plain),
        );
    }
    push(rows, "negotiated", cells, why(m, "negotiated"));
    if let Some(word) = m.fact("post_quantum").and_then(Value::as_str) {
        push(rows, "post-quantum", vec![plain(word)], None);
    }
    if let Some(bits) = m.fact("dh_prime_bits").and_then(Value::as_u64) {
        let cell = format!("{bits} bits");
        push(rows, "dh prime", vec![if bits < 2048 { bad(&cell) } else { plain(&cell) }], None);
    }
    let alpn: Vec<Cell> = words(m.fact("alpn")).map(plain).collect();
    if !alpn.is_empty() {
        push(rows, "alpn", alpn, None);
    }
    if let Some(count) = m.fact("configurations").and_then(Value::as_u64).filter(|&n| n > 1) {
        push(rows, "servers", vec![bad(&format!("{count} distinct configurations"))], None);
    }
}

fn certificates(rows: &mut Vec<Row>, m: &Measurements) {
    let Some(leaves) = m.fact("certificates").and_then(Value::as_array) else {
        return push(rows, "certificate", Vec::new(), why(m, "certificates"));
    };
    for leaf in leaves {
        let text = |key: &str| leaf.get(key).and_then(Value::as_str).unwrap_or("?");
        let bits = leaf.get("key_bits").and_then(Value::as_u64).unwrap_or(0);
        let mut cells = vec![
            plain(text("subject")),
            plain(&format!("{} {bits}", text("key_type"))),
            plain(text("signature_algorithm")),
            plain(&format!("until {}", text("not_after"))),
            plain(&format!("by {}", text("issuer"))),
        ];
        cells.push(match (leaf.get("trusted").and_then(Value::as_bool), text("reason")) {
            (Some(true), _) => plain("trusted"),
            (Some(false), reason) => bad(&format!("not trusted: {reason}")),
            (None, _) => Cell::Doubt("trust unknown".to_owned()),
        });
        let flag = |key: &str| leaf.get(key).and_then(Value::as_bool) == Some(true);
        cells.push(match leaf.get("hostname_matches").and_then(Value::as_bool) {
            Some(true) => plain("for this name"),
            Some(false) => bad("for other names"),
            // Of a glimpse by address.
            None => plain("for whatever name clients come by"),
        });
        for (is, what) in [
            (leaf.get("order_ok") == Some(&Value::Bool(false)), "out of order"),
            (leaf.get("extra").and_then(Value::as_u64) > Some(0), "extra certificates"),
            (flag("root_sent"), "root sent"),
        ] {
            cells.extend(is.then(|| Cell::Doubt(what.to_owned())));
        }
        let names: Vec<&str> = words(leaf.get("san")).take(8).collect();
        push(rows, "certificate", cells, None);
        push(rows, "  names", names.into_iter().map(plain).collect(), None);
        let chain = leaf.get("chain").and_then(Value::as_array).into_iter().flatten();
        let chain = chain.filter_map(|above| above.get("subject").and_then(Value::as_str));
        push(rows, "  chain", chain.map(plain).collect(), None);
    }
    let staple = |key: &str| m.fact("ocsp_staple").and_then(|staple| staple.get(key));
    if staple("present").and_then(Value::as_bool) == Some(true) {
        let status = staple("status").and_then(Value::as_str).unwrap_or("?");
        let cell = if status == "good" { plain(status) } else { bad(status) };
        push(rows, "staple", vec![cell], None);
    }
}

/// Each as a word: its name, crossed where it is off, with its value where it has one.
fn features(rows: &mut Vec<Row>, m: &Measurements) {
    let mut cells = Vec::new();
    for key in [
        "secure_renegotiation",
        "client_renegotiation",
        "fallback_scsv",
        "extended_master_secret",
        "encrypt_then_mac",
        "session_tickets",
        "early_data",
        "client_auth",
        "starttls",
    ] {
        cells.extend(m.fact(key).filter(|value| !value.is_null()).map(|value| feature(key, value)));
    }
    for (version, value) in m.fact("resumption").and_then(Value::as_object).into_iter().flatten() {
        cells.push(feature(&format!("resumption {version}"), value));
    }
    if let Some(nameless) = m.fact("without_sni").and_then(Value::as_object) {
        cells.push(plain(&format!("without a name: {}", without_name(nameless))));
    }
    for key in ["compression", "certificate_compression"] {
        let used: Vec<&str> = words(m.fact(key)).collect();
        if !used.is_empty() {
            cells.push(plain(&format!("{key}: {}", used.join(" "))));
        }
    }
    push(rows, "features", cells, None);
    for (key, label) in [("intolerances", "chokes on"), ("starttls_injection", "injection")] {
        let cells: Vec<Cell> = words(m.fact(key)).map(bad).collect();
        let doubt = members(m, key).filter(|_| m.fact(key).is_some_and(Value::is_array));
        if !cells.is_empty() || doubt.is_some() {
            push(rows, label, cells, doubt);
        }
    }
}

fn feature(name: &str, value: &Value) -> Cell {
    let name = name.replace('_', " ");
    match value {
        Value::Bool(true) => plain(&name),
        Value::Bool(false) => plain(&format!("no {name}")),
        Value::Null => Cell::Doubt(format!("{name}?")),
        Value::String(text) => plain(&format!("{name}: {text}")),
        other => plain(&format!("{name}: {other}")),
    }
}

fn without_name(nameless: &Map<String, Value>) -> String {
    let is = |key: &str| nameless.get(key).and_then(Value::as_bool);
    match (is("accepted"), is("same_certificate")) {
        (Some(false), _) => {
            let alert = nameless.get("alert").and_then(Value::as_str).unwrap_or("closed");
            format!("refused ({alert})")
        }
        (_, Some(true)) => "the same certificate".to_owned(),
        (_, Some(false)) => "another certificate".to_owned(),
        _ => "served".to_owned(),
    }
}

fn weaknesses(rows: &mut Vec<Row>, m: &Measurements) {
    let Some(all) = m.fact("vulnerabilities").and_then(Value::as_object) else { return };
    let of = |wanted: Option<bool>| all.iter().filter(move |(_, value)| value.as_bool() == wanted);
    let vulnerable: Vec<Cell> = of(Some(true)).map(|(name, _)| bad(name)).collect();
    let clear = of(Some(false)).map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
    let mut cells = vulnerable;
    if !clear.is_empty() {
        cells.push(plain(&format!("not: {clear}")));
    }
    let mut unknown = Vec::new();
    let mut unasked = Vec::new();
    for (name, _) in of(None) {
        let why = m.why_unknown(&Path::of("vulnerabilities").join(name));
        match why {
            Some(why) if why.reason == Reason::OptIn => unasked.push(name.as_str()),
            _ => unknown.push(name.as_str()),
        }
    }
    if !unasked.is_empty() {
        cells.push(plain(&format!("not asked (--intrusive): {}", unasked.join(" "))));
    }
    let doubt = (!unknown.is_empty()).then(|| unknown.join(" "));
    push(rows, "vulnerable", cells, doubt);
}

fn write_row(out: &mut impl Write, label: &str, cells: &[Cell]) -> io::Result<()> {
    let dim = Style::new().dimmed();
    let indent = 6 + LABEL + 1;
    write!(out, "      {dim}{:<LABEL$}{dim:#} ", clean(label, LABEL))?;
    let mut column = indent;
    for (at, cell) in cells.iter().enumerate() {
        let (style, text) = match cell {
            Cell::Plain(text) => (Style::new(), text),
            Cell::Bad(text) => (verdict_style(Verdict::OutOfRange), text),
            Cell::Doubt(text) => (verdict_style(Verdict::Unknown), text),
        };
        let text = clean(text, MAX_CELL);
        let width = text.chars().count();
        if at > 0 && column + 2 + width > WIDTH {
            write!(out, "\n{:indent$}", "")?;
            column = indent;
        } else if at > 0 {
            write!(out, "  ")?;
            column += 2;
        }
        write!(out, "{style}{text}{style:#}")?;
        column += width;
    }
    writeln!(out)
}

fn push(rows: &mut Vec<Row>, label: &str, mut cells: Vec<Cell>, doubt: Option<String>) {
    cells.extend(doubt.map(|why| Cell::Doubt(format!("? {why}"))));
    if !cells.is_empty() {
        rows.push((label.to_owned(), cells));
    }
}

/// Why a top-level fact is unknown, but for what cannot be.
fn why(m: &Measurements, key: &str) -> Option<String> {
    let why = m.why_unknown(&Path::of(key))?;
    (why.reason != Reason::NotApplicable).then(|| why.to_string())
}

/// The members of a set that are unknown, with their reasons.
fn members(m: &Measurements, key: &str) -> Option<String> {
    let start = format!("{key}[");
    let all = m.unknowns().iter().filter_map(|(path, why)| {
        let member = path.strip_prefix(&start)?.strip_suffix(']')?;
        Some(format!("{member}: {why}"))
    });
    let all: Vec<String> = all.collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn words(value: Option<&Value>) -> impl DoubleEndedIterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn plain(text: &str) -> Cell {
    Cell::Plain(text.to_owned())
}

fn bad(text: &str) -> Cell {
    Cell::Bad(text.to_owned())
}

const LABEL: usize = 12;

/// Lines are broken here, so that a terminal of the usual width shows them whole.
const WIDTH: usize = 118;

const MAX_CELL: usize = 160;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(facts: Value) -> String {
        let m: Measurements = serde_json::from_value(facts).expect("measurements");
        let mut out = Vec::new();
        write(&mut out, &m).expect("memory");
        anstream::adapter::strip_str(&String::from_utf8(out).expect("text")).to_string()
    }

    #[test]
    fn one_screen_tells_the_whole_configuration() {
        let screen = shown(json!({
            "versions": ["TLSv1.2", "TLSv1.3"],
            "cipher_suites": {"TLSv1.3": ["TLS_AES_256_GCM_SHA384"], "TLSv1.2": ["TLS_RSA_WITH_RC4_128_SHA"]},
            "server_order": {"TLSv1.3": true},
            "groups": {"TLSv1.2": ["x25519"], "TLSv1.3": ["x25519"]},
            "certificates": [{"subject": "CN=a", "key_type": "ec", "key_bits": 256, "san": ["a.test"],
                "issuer": "CN=b", "not_after": "2027-01-01T00:00:00Z", "signature_algorithm": "ecdsa-with-SHA256",
                "trusted": false, "reason": "expired", "hostname_matches": true, "chain": [{"subject": "CN=b"}]}],
            "early_data": 0, "session_tickets": true, "fallback_scsv": false,
            "resumption": {"TLSv1.3": true},
            "intolerances": ["split_hello"],
            "vulnerabilities": {"rc4": true, "poodle": false, "robot": null, "logjam": null},
            "grade": "C", "grade_reasons": ["RC4 with TLS 1.1 or newer"],
            "unknown": {"versions[SSLv2]": "timeout", "vulnerabilities.robot": "opt_in", "vulnerabilities.logjam": "timeout"},
        }));
        for part in [
            "grade        C  (RC4 with TLS 1.1 or newer)",
            "versions     TLSv1.2  TLSv1.3  ? SSLv2: timeout",
            "TLSv1.3      TLS_AES_256_GCM_SHA384  (server's order)",
            "groups       x25519  (TLSv1.3, TLSv1.2)",
            "not trusted: expired",
            "no fallback scsv  session tickets  early data: 0",
            "chokes on    split_hello",
            "vulnerable   rc4  not: poodle  not asked (--intrusive): robot  ? logjam",
        ] {
            assert!(screen.contains(part), "no `{part}` in\n{screen}");
        }
        assert!(screen.lines().count() <= 24, "{screen}");
    }

    #[test]
    fn a_certificate_is_for_this_name_for_others_or_nobody_knows() {
        for (matches, says) in [
            (json!(true), "for this name"),
            (json!(false), "for other names"),
            (Value::Null, "for whatever name clients come by"),
        ] {
            let screen = shown(json!({"certificates": [{"hostname_matches": matches}]}));
            assert!(screen.contains(says), "{screen}");
        }
    }

    #[test]
    fn a_hostile_certificate_cannot_write_on_the_screen() {
        let screen = shown(json!({
            "certificates": [{"subject": "CN=\u{1b}[2Jx\u{202e}", "san": ["a\r\nb"]}],
            "grade_reasons": ["\u{1b}]0;x\u{7}"], "grade": "B",
        }));
        assert!(!screen.chars().any(|c| c.is_control() && c != '\n'), "{screen:?}");
        assert!(!screen.contains('\u{202e}'));
    }

    #[test]
    fn no_line_is_longer_than_a_terminal_but_for_a_long_word() {
        let suites: Vec<String> =
            (0..60).map(|n| format!("TLS_ECDHE_RSA_WITH_SUITE_{n}")).collect();
        let screen = shown(json!({"cipher_suites": {"TLSv1.2": suites}}));
        assert!(screen.lines().count() > 10);
        assert!(screen.lines().all(|line| line.chars().count() <= WIDTH), "{screen}");
    }
}
