//! The report as a Markdown page. What a peer wrote is text in it, never markup.

use std::io::{self, Write};

use serde_json::Value;

use super::{Proof, Report, Told, at, at_most, number, share, text};
use crate::sample::clean;

/// Writes it, with every point and finding that the report holds.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let ledger = &report.ledger.report;
    writeln!(out, "# Secchi report\n")?;
    writeln!(out, "Made at {} by Secchi {}.\n", at(report.at), report.secchi)?;
    if !report.ledger.whole {
        writeln!(out, "**The ledger is broken: it proves nothing.**\n")?;
        return ledger.faults.iter().try_for_each(|fault| writeln!(out, "- {}", escape(fault)));
    }
    writeln!(
        out,
        "The ledger is whole: {} commits, {} samples. Its head is commit {}, `{}`.\n",
        ledger.commits, ledger.samples, ledger.head, ledger.head_hash
    )?;
    let Some(proof) = &report.proof else { return Ok(()) };
    writeln!(
        out,
        "Window {}, from {}. Bounds are the exact binomial ones (Clopper and Pearson) at {} confidence, of scheduled samples only; a sample \
         that could not judge a rule is neither clean nor positive. Coverage is the share of due samples that were taken.\n",
        report.window,
        at(proof.since),
        report.asked
    )?;
    rules(proof, out)?;
    points(proof, out)?;
    findings(proof, out)?;
    decisions(proof, out)
}

fn rules(proof: &Proof, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "## By rule\n")?;
    head(
        out,
        &[
            "Rule",
            "Points",
            "Samples",
            "Positives",
            "Unknown",
            "Worst bound",
            "Coverage",
            "Controls",
        ],
    )?;
    for rule in &proof.rules {
        row(
            out,
            &[
                escape(text(&rule["rule"])),
                number(&rule["points"]).to_string(),
                number(&rule["samples"]).to_string(),
                number(&rule["positives"]).to_string(),
                number(&rule["unknown"]).to_string(),
                at_most(&rule["prevalence_upper_bound"]),
                share(&rule["coverage"]),
                escape(&controls(&rule["controls"])),
            ],
        )?;
    }
    writeln!(out)
}

fn controls(controls: &Value) -> String {
    let Some(controls) = controls.as_object() else { return String::new() };
    let one = |(framework, ids): (&String, &Value)| {
        let ids: Vec<&str> =
            ids.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        format!("{framework} {}", ids.join(", "))
    };
    controls.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn points(proof: &Proof, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "## By rule and sampling point, the weakest first\n")?;
    head(
        out,
        &[
            "Rule",
            "Target",
            "Address",
            "Samples",
            "Positives",
            "Unknown",
            "Bound",
            "Coverage",
            "Oldest",
        ],
    )?;
    for point in &proof.points {
        let retired = if point["retired"] == true { " (sampled no more)" } else { "" };
        row(
            out,
            &[
                escape(text(&point["rule"])),
                format!("{}{retired}", escape(text(&point["target"]))),
                escape(text(&point["address"])),
                number(&point["samples"]).to_string(),
                number(&point["positives"]).to_string(),
                number(&point["unknown"]).to_string(),
                at_most(&point["prevalence_upper_bound"]),
                share(&point["coverage"]),
                escape(text(&point["oldest"])),
            ],
        )?;
    }
    if proof.points_left_out > 0 {
        writeln!(out, "\n{} more have lower bounds.", proof.points_left_out)?;
    }
    writeln!(out)
}

fn findings(proof: &Proof, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "## Open findings\n")?;
    if proof.findings.is_empty() {
        return writeln!(out, "None.\n");
    }
    head(out, &["Severity", "State", "Rule", "Subject", "Target", "Since", "Seen in", "After"])?;
    for Told { finding, context } in &proof.findings {
        let last = context.last_deployment.as_ref();
        row(
            out,
            &[
                finding.severity.as_str().to_owned(),
                finding.state.as_str().to_owned(),
                escape(&finding.key.rule),
                escape(&finding.key.subject),
                escape(&finding.key.target),
                at(finding.first_seen),
                format!("{} of {}", finding.positives, finding.samples),
                last.map(|last| escape(&last.version)).unwrap_or_default(),
            ],
        )?;
    }
    if proof.findings_cut {
        writeln!(out, "\nThere are more.")?;
    }
    writeln!(out)
}

fn decisions(proof: &Proof, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "## Accepted risks\n")?;
    if proof.exceptions.is_empty() {
        writeln!(out, "None.\n")?;
    } else {
        head(out, &["Rule", "Target", "Subject", "Until", "Approved by", "Reason"])?;
        for exception in &proof.exceptions {
            let over = if exception["expired"] == true { " (over)" } else { "" };
            row(
                out,
                &[
                    escape(text(&exception["rule"])),
                    escape(text(&exception["target"])),
                    escape(text(&exception["subject"])),
                    format!("{}{over}", escape(text(&exception["until"]))),
                    escape(text(&exception["approved_by"])),
                    escape(text(&exception["reason"])),
                ],
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out, "## Deployments in the window\n")?;
    if proof.deployments.is_empty() {
        return writeln!(out, "None marked.");
    }
    head(out, &["At", "Service", "Version", "By"])?;
    for deployment in &proof.deployments {
        let service = &deployment["labels"]["service"];
        let cells = [&deployment["at"], service, &deployment["version"], &deployment["actor"]];
        row(out, &cells.map(|cell| escape(text(cell))))?;
    }
    Ok(())
}

fn head(out: &mut dyn Write, names: &[&str]) -> io::Result<()> {
    writeln!(out, "| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()))
}

fn row(out: &mut dyn Write, cells: &[String]) -> io::Result<()> {
    writeln!(out, "| {} |", cells.join(" | "))
}

/// Text as Markdown shows it: no markup, no cell's end, no control character.
fn escape(text: &str) -> String {
    let cleaned = clean(text, 400);
    let mut escaped = String::with_capacity(cleaned.len());
    for c in cleaned.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // A bare address would become a link.
            ':' => escaped.push_str("&#58;"),
            '@' => escaped.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|'
            | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_is_no_markup() {
        assert_eq!(
            escape("a|b\n`c` <script>[x](y)\u{1b}"),
            "a\\|b \\`c\\` &lt;script&gt;\\[x\\]\\(y\\) "
        );
        assert_eq!(escape("https://a.test &amp;"), "https&#58;//a.test &amp;amp;");
    }
}
