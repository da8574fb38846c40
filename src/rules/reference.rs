//! The reference pages, written from the catalogue and the packs so that they cannot go stale.

use std::fmt::Write;

use super::RuleSet;
use super::literal::leaf;
use super::pack::PROFILES;
use super::rule::{Rule, is_per_item};
use crate::sample::{Kind, Measure, Stability, Unit, measures};
use crate::target::ProbeKind;

/// `docs/rules.md`: every rule with its reasons, remedy and controls.
pub fn rules_page(rules: &RuleSet) -> String {
    let mut page = String::from(RULES_HEAD);
    page.push_str("\n## Profiles\n\n| profile | holds |\n|---|---|\n");
    for (name, what) in PROFILES {
        line(&mut page, format_args!("| `{name}` | {what} |"));
    }
    for probe in ProbeKind::ALL {
        line(&mut page, format_args!("\n## {probe}\n"));
        let of_probe: Vec<_> = rules.rules().iter().filter(|rule| rule.probe == probe).collect();
        if let Some(rule) = of_probe.first() {
            let pack = &rule.pack;
            line(
                &mut page,
                format_args!("Pack `{}` {}: {}.\n", pack.name, pack.version, pack.source),
            );
        }
        page.push_str("| rule | severity | measurement | range |\n|---|---|---|---|\n");
        for rule in &of_probe {
            let Rule { id, severity, measure, range, .. } = rule;
            let range = cell(&range.to_string(), 90);
            line(&mut page, format_args!("| [{id}](#{id}) | {severity} | `{measure}` | {range} |"));
        }
        for rule in of_probe {
            rule_section(&mut page, rule);
        }
    }
    page
}

fn rule_section(page: &mut String, rule: &Rule) {
    line(page, format_args!("\n### {}\n\n{}\n", rule.id, rule.why));
    line(page, format_args!("- **Remedy:** {}", rule.remedy));
    let what = if is_per_item(rule.catalogued, &rule.range) { "each item" } else { "range" };
    line(
        page,
        format_args!(
            "- **Measurement:** `{}`, {what}: {}",
            rule.measure,
            cell(&rule.range.to_string(), 2_000)
        ),
    );
    for condition in &rule.when {
        line(page, format_args!("- **When:** {}", cell(condition, 2_000)));
    }
    if let Some(hold) = rule.hold {
        line(page, format_args!("- **For:** {hold}"));
    }
    let profiles: Vec<_> = rule
        .profiles
        .iter()
        .map(|(name, own)| match own.range == rule.range.to_string() {
            true => format!("{name} ({})", own.severity),
            false => format!("{name} ({}: {})", own.severity, cell(&own.range, 200)),
        })
        .collect();
    line(page, format_args!("- **Profiles:** {}", profiles.join(", ")));
    line(page, format_args!("- **References:** {}", rule.references.join("; ")));
    let controls: Vec<_> =
        rule.controls.iter().map(|(name, ids)| format!("{name} {}", ids.join(", "))).collect();
    line(page, format_args!("- **Controls:** {}", controls.join("; ")));
}

/// `docs/measurements.md`: every measurement with its shape and unit.
pub fn measurements_page() -> String {
    let mut page = String::from(MEASUREMENTS_HEAD);
    for probe in ProbeKind::ALL {
        line(&mut page, format_args!("\n## {probe}\n"));
        page.push_str(
            "| measurement | shape | unit | a sample | what it says |\n|---|---|---|---|---|\n",
        );
        for measure in measures(probe) {
            let volatile = match measure.stability {
                Stability::Stable => "",
                Stability::Volatile => " *(volatile)*",
            };
            line(
                &mut page,
                format_args!(
                    "| `{}` | {} | {} | {} | {}{volatile} |",
                    measure.path,
                    shape(measure.kind),
                    unit(measure),
                    measure.per_sample,
                    cell(measure.doc, 400),
                ),
            );
        }
    }
    page
}

fn shape(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer => "whole number".to_owned(),
        Kind::Items => "list of objects".to_owned(),
        Kind::MapOf(inner) => format!("by key: {}", shape(*inner)),
        Kind::Number => "number".to_owned(),
        Kind::Object => "object".to_owned(),
        Kind::Set => "set of words".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Timestamp => "time".to_owned(),
    }
}

fn unit(measure: &Measure) -> &'static str {
    match (leaf(measure.kind), measure.unit) {
        (Kind::Timestamp, _) => "ranges hold the time left",
        (_, Unit::Bits) => "bits",
        (_, Unit::Bytes) => "bytes",
        (_, Unit::None) => "",
        (_, Unit::Seconds) => "seconds",
    }
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = writeln!(page, "{text}");
}

/// Text that keeps to its table cell.
fn cell(text: &str, max: usize) -> String {
    let mut short: String = text.chars().take(max).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace('|', "\\|").replace('*', "\\*").replace('<', "&lt;")
}

const RULES_HEAD: &str = "\
# Rules

Written by a test from `probes/*.yaml`; change it there.

A rule holds one measurement to a range. Its verdict on a sample is one of four: `in_range`,
`out_of_range`, `unknown` (could not be measured: this neither opens nor resolves a finding) or
`not_applicable`. A target's own range replaces a rule's:

```yaml
targets:
  - target: https://shop.example.com
    ranges: {tls-certificate-expiry: {min: 30d}}
```

Packs of your own (`rules: {packs: [\"my-rules/*.yaml\"]}`) have the same form as the shipped ones. A
rule with a known id replaces that rule, a pack that says `pack: tls` replaces the shipped pack of
that name, everything else is added. Operators: `min` and `max` (numbers with units: `21d`, `64KiB`;
for times the time left), `equals`, `one_of`, `none_of`, `all_of`, `subset_of`, `contains`, `matches`
(regular expression), `absent: true`, `present: true`, `drift: none`. In the words of `one_of`,
`none_of` and `subset_of` a `*` stands for anything, `\\*` for itself. `when` holds a measurement and
an operator (or a list of them) that must hold for the rule to apply; inside a list it speaks of the
same item. `profiles` is a list, or a map with a profile's own `severity` or range. `for` is how
long a breach must last.

A finding's subject is the member of a set, the key of a map with the member (`TLSv1.2
TLS_RSA_WITH_RC4_128_SHA`), the fields that name an item of a list (`6379/tcp`, a cookie's name, a
certificate's key type, a server's address), or empty where there is one value only. It does not
change when siblings come and go.
";

const MEASUREMENTS_HEAD: &str = "\
# Measurements

Written by a test from the catalogue (`src/sample/measures/`); change it there.

What a sample may hold, by its dotted path with the probe first. In a sample's JSON the probe is left
out (`versions`, not `tls.versions`). What could not be established is `null` and named with its
reason in `unknown`. Volatile measurements are kept as the latest value only.

*A sample* is by how many fresh connections (of dns, queries) one sample observes the measurement, at
least: what a sampling plan's guarantee is counted in ([sampling.md](sampling.md)). 0: measured only
when asked for, or over several samples, so that no guarantee covers it.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_current(path: &str, written: &str) {
        let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("SECCHI_WRITE").is_some() {
            std::fs::write(&path, written).expect("the page");
        }
        let page = std::fs::read_to_string(&path).expect("the page");
        assert!(page == written, "run the tests once with SECCHI_WRITE=1 to write {path}");
    }

    #[test]
    fn the_reference_pages_are_current() {
        assert_current("docs/rules.md", &rules_page(&RuleSet::builtin()));
        assert_current("docs/measurements.md", &measurements_page());
    }

    #[test]
    fn every_shipped_rule_has_reasons_references_controls_and_profiles() {
        for rule in RuleSet::builtin().rules() {
            let whole = !rule.references.is_empty() && !rule.controls.is_empty();
            assert!(whole && !rule.profiles.is_empty() && rule.why.len() > 20, "{}", rule.id);
        }
    }
}
