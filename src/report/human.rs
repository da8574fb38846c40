//! The report on a terminal. What a peer wrote cannot move the cursor.

use std::io::{self, Write};

use super::{MOST, Proof, Report, Told, at, at_most, number, share, text};
use crate::sample::clean;

/// Writes it; of points and findings the first few.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let ledger = &report.ledger.report;
    writeln!(out, "Secchi {}, report of {}", report.secchi, at(report.at))?;
    if !report.ledger.whole {
        writeln!(out, "Ledger      broken: it proves nothing")?;
        return ledger.faults.iter().try_for_each(|fault| writeln!(out, "  {}", clean(fault, 400)));
    }
    writeln!(
        out,
        "Ledger      whole; {} commits, {} samples; head {} {}",
        ledger.commits, ledger.samples, ledger.head, ledger.head_hash
    )?;
    let Some(proof) = &report.proof else { return Ok(()) };
    writeln!(out, "Window      {}, from {}", report.window, at(proof.since))?;
    writeln!(
        out,
        "Confidence  {} (exact binomial bounds; scheduled samples only; unknown ones prove nothing)",
        report.asked
    )?;
    rules(proof, out)?;
    points(proof, out)?;
    findings(proof, out)?;
    decisions(proof, out)
}

fn rules(proof: &Proof, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nWhat the samples prove, by rule")?;
    if proof.rules.is_empty() {
        return writeln!(out, "  nothing yet: no scheduled sample judged a rule in the window");
    }
    writeln!(
        out,
        "  {:<36} {:>7} {:>9} {:>9} {:>9} {:>11} {:>9}",
        "rule", "points", "samples", "positives", "unknown", "worst bound", "coverage"
    )?;
    for rule in &proof.rules {
        writeln!(
            out,
            "  {:<36} {:>7} {:>9} {:>9} {:>9} {:>11} {:>9}",
            clean(text(&rule["rule"]), 60),
            number(&rule["points"]),
            number(&rule["samples"]),
            number(&rule["positives"]),
            number(&rule["unknown"]),
            at_most(&rule["prevalence_upper_bound"]),
            share(&rule["coverage"])
        )?;
    }
    Ok(())
}

fn points(proof: &Proof, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nThe weakest points")?;
    for point in proof.points.iter().take(FEW) {
        writeln!(
            out,
            "  {:<36} {} {}  {} of {} out of range, {} unknown; at most {}; coverage {}{}",
            clean(text(&point["rule"]), 60),
            clean(text(&point["target"]), 260),
            text(&point["address"]),
            number(&point["positives"]),
            number(&point["samples"]),
            number(&point["unknown"]),
            at_most(&point["prevalence_upper_bound"]),
            share(&point["coverage"]),
            if point["retired"] == true { "; sampled no more" } else { "" }
        )?;
    }
    more(proof.points.len() as u64 + proof.points_left_out, FEW, out)
}

fn findings(proof: &Proof, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nOpen findings")?;
    for Told { finding, context } in proof.findings.iter().take(FEW) {
        let last = context.last_deployment.as_ref();
        let after = last.map(|last| format!(", after {}", clean(&last.version, 120)));
        writeln!(
            out,
            "  {:<8} {:<9} {} [{}] {}  since {}{}",
            finding.severity.as_str(),
            finding.state.as_str(),
            clean(&finding.key.rule, 60),
            clean(&finding.key.subject, 120),
            clean(&finding.key.target, 260),
            at(finding.first_seen),
            after.unwrap_or_default()
        )?;
    }
    let all = proof.findings.len() as u64 + u64::from(proof.findings_cut);
    if all == 0 {
        return writeln!(out, "  none");
    }
    more(all, FEW, out)
}

fn decisions(proof: &Proof, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nAccepted risks")?;
    for exception in &proof.exceptions {
        writeln!(
            out,
            "  {} {}  until {}, approved by {}: {}{}",
            clean(text(&exception["rule"]), 60),
            clean(text(&exception["target"]), 260),
            text(&exception["until"]),
            clean(text(&exception["approved_by"]), 120),
            clean(text(&exception["reason"]), 400),
            if exception["expired"] == true { " (over)" } else { "" }
        )?;
    }
    if proof.exceptions.is_empty() {
        writeln!(out, "  none")?;
    }
    writeln!(out, "\nDeployments in the window")?;
    for deployment in proof.deployments.iter().take(FEW) {
        writeln!(
            out,
            "  {}  {} {} by {}",
            text(&deployment["at"]),
            clean(text(&deployment["labels"]["service"]), 120),
            clean(text(&deployment["version"]), 120),
            clean(text(&deployment["actor"]), 120)
        )?;
    }
    if proof.deployments.is_empty() {
        return writeln!(out, "  none marked");
    }
    more(proof.deployments.len() as u64, FEW, out)
}

fn more(all: u64, shown: usize, out: &mut dyn Write) -> io::Result<()> {
    match all.saturating_sub(shown as u64) {
        0 => Ok(()),
        rest if all > MOST as u64 => writeln!(out, "  … and {rest} or more"),
        rest => writeln!(out, "  … and {rest} more"),
    }
}

const FEW: usize = 20;
