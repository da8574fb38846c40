//! The keys that a target, the defaults and a discovery block share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use chrono::NaiveDate;
use serde_json::Value;

use super::Known;
use super::expectations::pins;
use crate::config::at::At;
use crate::config::context::{Context, parse_server};
use crate::config::diagnostics::did_you_mean;
use crate::config::file::{Keys, Many, Target};
use crate::config::files::{MAX_FILE, MAX_LIST};
use crate::config::overrides::Overrides;
use crate::inventory::parse_network;
use crate::schedule::{Plan, Rate};
use crate::target::{Credentials, Host, PortSet, ProbeKind, Settings};

pub(super) fn check(
    context: &mut Context<'_>,
    keys: &Keys,
    plans: &BTreeMap<Arc<str>, Arc<Plan>>,
    known: &Known,
) -> Overrides {
    let mut checked = Overrides {
        probes: keys.probes.as_ref().map(|list| probes(context, list)),
        plan: keys.plan.as_ref().and_then(|at| plan(context, at, plans)),
        profile: keys.profile.as_ref().map(|list| profiles(context, list, known)),
        labels: context.labels(&keys.labels),
        freshness: keys.freshness.as_ref().and_then(|at| context.duration(at)),
        pins: pins(context, keys),
        ..Overrides::default()
    };
    ranges(context, keys, known, &mut checked);
    repeat(context, keys, &mut checked);
    switches(context, keys, &mut checked);
    files(context, keys, &mut checked);
    checked
}

fn probes(context: &mut Context<'_>, list: &Many) -> Vec<ProbeKind> {
    if list.items.is_empty() {
        context.error(&list.span, "name at least one probe");
    }
    // A word that is no probe was reported with the file's structure.
    let mut probes: Vec<ProbeKind> =
        list.items.iter().filter_map(|at| at.value.parse().ok()).collect();
    probes.sort_unstable();
    probes.dedup();
    probes
}

fn plan(
    context: &mut Context<'_>,
    at: &At<String>,
    plans: &BTreeMap<Arc<str>, Arc<Plan>>,
) -> Option<Arc<str>> {
    if let Some((name, _)) = plans.get_key_value(at.value.as_str()) {
        return Some(Arc::clone(name));
    }
    let help = did_you_mean(&at.value, plans.keys().map(|name| &**name));
    context.error_with(&at.span, format!("there is no plan `{}`", at.value), help);
    None
}

fn profiles(context: &mut Context<'_>, list: &Many, known: &Known) -> Vec<String> {
    for item in &list.items {
        known.profile(context, item);
    }
    list.items.iter().map(|at| at.value.clone()).collect()
}

fn ranges(context: &mut Context<'_>, keys: &Keys, known: &Known, checked: &mut Overrides) {
    for (rule, operators) in &keys.ranges {
        if !known.rule(context, &operators.with(rule.clone())) {
            continue;
        }
        if operators.value.is_empty() {
            context.error(&operators.span, format!("the range of `{rule}` has no operator"));
        }
        for (operator, value) in &operators.value {
            let fine = known.range(rule, operator, &value.value);
            context.read(&value.span, fine);
        }
        let values = operators.value.iter().map(|(op, at)| (op.clone(), at.value.clone()));
        checked.ranges.insert(rule.clone(), Value::Object(values.collect()));
    }
}

fn repeat(context: &mut Context<'_>, keys: &Keys, checked: &mut Overrides) {
    let Some(At { value: repeat, .. }) = &keys.repeat else { return };
    checked.samples = repeat.samples.as_ref().map(|at| at.value);
    checked.agree = repeat.agree.as_ref().map(|at| at.value);
    checked.within = repeat.within.as_ref().and_then(|at| context.duration(at));
    if let Some(at) = repeat.samples.as_ref().filter(|at| !(1..=100).contains(&at.value)) {
        context.error(&at.span, "`samples` lies between 1 and 100");
    }
    if let Some(at) = &repeat.agree {
        let default = crate::config::RepeatSpec::default().samples;
        let samples = checked.samples.unwrap_or(default);
        if at.value == 0 || at.value > samples {
            let message = format!("`agree` lies between 1 and the number of samples, {samples}");
            context.error(&at.span, message);
        }
    }
}

fn switches(context: &mut Context<'_>, keys: &Keys, checked: &mut Overrides) {
    checked.connect_to = parsed(context, keys.connect_to.as_ref());
    checked.addresses = parsed::<IpAddr>(context, keys.address.as_ref());
    checked.dns_servers = read_each(context, keys.dns_server.as_ref(), |t| parse_server(t, 53));
    checked.allow_networks =
        read_each(context, keys.allow_network.as_ref(), parse_network).unwrap_or_default();
    checked.server_name = keys.server_name.as_ref().and_then(|at| server_name(context, at));
    checked.ports = keys.ports.as_ref().and_then(|list| ports(context, list));
    checked.rate = keys.rate.as_ref().and_then(|at| context.parse(at)).map(Rate::hertz);
    checked.timeout = keys.timeout.as_ref().and_then(|at| context.duration(at));
    checked.registration_expires =
        keys.registration_expires.as_ref().and_then(|at| day(context, at));
    checked.intrusive = keys.intrusive.as_ref().map(|at| at.value);
    let positive = |context: &mut Context<'_>, at: &Option<At<u16>>, name: &str| {
        let at = at.as_ref()?;
        if at.value == 0 {
            context.error(&at.span, format!("`{name}` is at least 1"));
        }
        Some(at.value)
    };
    checked.dns_port = positive(context, &keys.dns_port, "dns_port");
    checked.concurrency = positive(context, &keys.concurrency, "concurrency").map(usize::from);
    checked.max_addresses =
        positive(context, &keys.max_addresses, "max_addresses").map(usize::from);
}

fn day(context: &mut Context<'_>, at: &At<String>) -> Option<NaiveDate> {
    let day = at.value.parse::<NaiveDate>();
    context.read(&at.span, day.map_err(|_| format!("`{}` is no day, write 2027-01-31", at.value)))
}

fn files(context: &mut Context<'_>, keys: &Keys, checked: &mut Overrides) {
    let mut text =
        |at: &Option<At<String>>, limit| at.as_ref().and_then(|at| context.text_file(at, limit));
    checked.ca_file = text(&keys.ca_file, MAX_FILE);
    checked.root_hints = text(&keys.root_hints, MAX_FILE);
    checked.trust_anchor = text(&keys.trust_anchor, MAX_FILE);
    checked.hosts_file = text(&keys.hosts_file, MAX_FILE);
    checked.hsts_preload_list = text(&keys.hsts_preload_list, MAX_LIST);
    checked.cdn_ranges = text(&keys.cdn_ranges, MAX_FILE);
    if let (Some(at), Some(file)) = (&keys.cdn_ranges, &checked.cdn_ranges)
        && let Some(line) = Settings::odd_ranges(file).next()
    {
        let (line, path) = (line.chars().take(80).collect::<String>(), file.path.display());
        context.error(&at.span, format!("{path}: `{line}` is no network"));
    }
    checked.rdap = keys.rdap_bootstrap.as_ref().and_then(|at| context.rdap_bootstrap(at));
    checked.asn = keys.asn_file.as_ref().and_then(|at| context.asn_table(at));
    if let (Some(at), Some(file)) = (&keys.ca_file, &checked.ca_file)
        && !file.text.contains("-----BEGIN CERTIFICATE-----")
    {
        context.error(&at.span, format!("{} holds no PEM certificate", file.path.display()));
    }
}

/// What the target asks for; a target's own, so that no list of targets decides who gets it.
pub(super) fn credentials(context: &mut Context<'_>, target: &Target) -> Option<Credentials> {
    let by_file = target.authorization_file.as_ref().and_then(|at| {
        let secret = context.secret(at)?;
        context.read(&at.span, Credentials::parse(secret.expose()))
    });
    let Some(at) = &target.basic_auth else { return by_file };
    if target.authorization_file.is_some() {
        context.error(&at.span, "one of authorization_file and basic_auth, not both");
    }
    let password = context.secret(&at.value.password_file)?;
    context.read(&at.span, Credentials::basic(&at.value.username.value, password.expose()))
}

fn server_name(context: &mut Context<'_>, at: &At<String>) -> Option<String> {
    match at.value.parse::<Host>() {
        Ok(Host::Name(name)) => Some(name),
        _ => {
            context.error(&at.span, format!("`{}` is no host name", at.value));
            None
        }
    }
}

fn ports(context: &mut Context<'_>, list: &Many) -> Option<PortSet> {
    let joined: Vec<_> = list.items.iter().map(|at| at.value.as_str()).collect();
    let set = context.read(&list.span, joined.join(",").parse::<PortSet>())?;
    if set.is_empty() {
        context.error(&list.span, "name at least one port");
    }
    Some(set)
}

fn parsed<T: FromStr<Err: ToString>>(
    context: &mut Context<'_>,
    list: Option<&Many>,
) -> Option<Vec<T>> {
    read_each(context, list, str::parse)
}

fn read_each<T, E: ToString>(
    context: &mut Context<'_>,
    list: Option<&Many>,
    read: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    let items = &list?.items;
    Some(items.iter().filter_map(|at| context.read(&at.span, read(&at.value))).collect())
}
