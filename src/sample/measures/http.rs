//! Measurements of the http probe (CONTRACT §http).

use crate::sample::{Kind, Measure, Unit};

pub(super) const MEASURES: &[Measure] = &[
    Measure::new("http.hops", Kind::Items, "Every response on the way, in order.")
        .subject(&["url"]),
    Measure::new("http.hops.url", Kind::Text, "The URL asked."),
    Measure::new("http.hops.address", Kind::Text, "The address asked."),
    Measure::new("http.hops.status", Kind::Integer, "The status code."),
    Measure::new("http.hops.version", Kind::Text, "HTTP/1.0, HTTP/1.1, HTTP/2."),
    Measure::new(
        "http.hops.headers",
        Kind::Items,
        "Fields as sent, [name, value], secrets redacted.",
    )
    .volatile(),
    Measure::new(
        "http.hops.timings",
        Kind::Object,
        "Seconds spent in connect, tls, first_byte and total.",
    )
    .volatile(),
    Measure::new("http.status", Kind::Integer, "The final status over https, else http."),
    Measure::new(
        "http.hsts",
        Kind::Object,
        "Strict-Transport-Security of the first https response (RFC 6797).",
    ),
    Measure::new("http.hsts.present", Kind::Bool, "Whether a field was sent over https."),
    Measure::new("http.hsts.valid", Kind::Bool, "Whether what was sent reads by RFC 6797 §6.1."),
    Measure::new(
        "http.hsts.effective",
        Kind::Bool,
        "Whether browsers act on it: valid, not 0, trusted certificate, no bare address (§8.1).",
    ),
    Measure::new("http.hsts.max_age", Kind::Integer, "max-age; 0 without a valid field.")
        .unit(Unit::Seconds),
    Measure::new("http.hsts.include_subdomains", Kind::Bool, "includeSubDomains."),
    Measure::new("http.hsts.preload", Kind::Bool, "preload."),
    Measure::new(
        "http.hsts.errors",
        Kind::Set,
        "syntax, no_max_age, bad_max_age, repeated_directive, unexpected_value, several_fields.",
    ),
    Measure::new("http.csp", Kind::Object, "Content-Security-Policy of the final response (CSP3)."),
    Measure::new("http.csp.present", Kind::Bool, "Whether an enforced policy was sent."),
    Measure::new("http.csp.report_only", Kind::Bool, "Whether a report-only policy was sent."),
    Measure::new(
        "http.csp.policies",
        Kind::Items,
        "Each enforced policy: directive to sources; nonces as 'nonce-*'.",
    ),
    Measure::new("http.csp.report_only_policies", Kind::Items, "Each report-only policy."),
    Measure::new(
        "http.csp.unsafe_inline",
        Kind::Bool,
        "Whether inline script may run: 'unsafe-inline' without nonce, hash or strict-dynamic in every policy.",
    ),
    Measure::new("http.csp.unsafe_eval", Kind::Bool, "Whether eval may run under every policy."),
    Measure::new(
        "http.csp.wildcard_script",
        Kind::Bool,
        "Whether script from any https host, or from data: URLs, may run under every policy.",
    ),
    Measure::new(
        "http.csp.frame_ancestors",
        Kind::Set,
        "The sources of frame-ancestors over all policies; empty where none has it.",
    ),
    Measure::new(
        "http.csp.errors",
        Kind::Set,
        "Directives that no browser knows, repeats and bad sources.",
    ),
    Measure::new("http.xfo", Kind::Object, "X-Frame-Options (HTML Standard §7.7)."),
    Measure::new(
        "http.xfo.value",
        Kind::Text,
        "deny, sameorigin, allowall, invalid (ignored), conflict (treated as deny), or none.",
    ),
    Measure::new(
        "http.xfo.protected",
        Kind::Bool,
        "Whether framing by foreign sites is refused, by X-Frame-Options or frame-ancestors.",
    ),
    Measure::new("http.xcto", Kind::Object, "X-Content-Type-Options (Fetch §3.5)."),
    Measure::new("http.xcto.nosniff", Kind::Bool, "Whether the first value is nosniff."),
    Measure::new("http.xcto.present", Kind::Bool, "Whether the field was sent."),
    Measure::new("http.referrer_policy", Kind::Object, "Referrer-Policy."),
    Measure::new(
        "http.referrer_policy.policy",
        Kind::Text,
        "The last token that browsers know; empty without one.",
    ),
    Measure::new("http.referrer_policy.present", Kind::Bool, "Whether the field was sent."),
    Measure::new("http.permissions_policy", Kind::Object, "Permissions-Policy."),
    Measure::new("http.permissions_policy.present", Kind::Bool, "Whether one was sent."),
    Measure::new("http.coop", Kind::Object, "Cross-Origin-Opener-Policy."),
    Measure::new("http.coop.policy", Kind::Text, "The policy; unsafe-none without a valid one."),
    Measure::new("http.coop.present", Kind::Bool, "Whether the field was sent."),
    Measure::new("http.coop.valid", Kind::Bool, "Whether what was sent, if anything, is known."),
    Measure::new("http.coep", Kind::Object, "Cross-Origin-Embedder-Policy."),
    Measure::new("http.coep.policy", Kind::Text, "The policy; unsafe-none without a valid one."),
    Measure::new("http.coep.present", Kind::Bool, "Whether the field was sent."),
    Measure::new("http.coep.valid", Kind::Bool, "Whether what was sent, if anything, is known."),
    Measure::new("http.corp", Kind::Object, "Cross-Origin-Resource-Policy."),
    Measure::new("http.corp.policy", Kind::Text, "The policy; empty without a valid one."),
    Measure::new("http.corp.present", Kind::Bool, "Whether the field was sent."),
    Measure::new("http.corp.valid", Kind::Bool, "Whether what was sent, if anything, is known."),
    Measure::new("http.cookies", Kind::Items, "Cookies set on any hop, values dropped.")
        .subject(&["name"]),
    Measure::new("http.cookies.secure", Kind::Bool, "Secure."),
    Measure::new("http.cookies.http_only", Kind::Bool, "HttpOnly."),
    Measure::new("http.cookies.same_site", Kind::Text, "Strict, Lax, None, or empty."),
    Measure::new(
        "http.cookies.prefix_ok",
        Kind::Bool,
        "Whether what __Host- or __Secure- promise is kept.",
    ),
    Measure::new("http.cookies.session", Kind::Bool, "Whether the name looks like a session's."),
    Measure::new("http.cookies.name", Kind::Text, "The name; ids in it are *."),
    Measure::new("http.cookies.path", Kind::Text, "Path; empty for the default."),
    Measure::new("http.cookies.domain", Kind::Text, "Domain; empty for the host alone."),
    Measure::new("http.leaks", Kind::Items, "Fields that name software.").subject(&["field"]),
    Measure::new("http.leaks.field", Kind::Text, "The field's name."),
    Measure::new("http.leaks.product", Kind::Text, "The product named."),
    Measure::new("http.leaks.has_version", Kind::Bool, "Whether a version is named too."),
    Measure::new("http.leaks.value", Kind::Text, "What was sent, cleaned and cut.").volatile(),
    Measure::new("http.redirection", Kind::Object, "Where http leads."),
    Measure::new("http.redirection.to_https", Kind::Bool, "Whether http ends on https."),
    Measure::new(
        "http.redirection.first_hop_https",
        Kind::Bool,
        "Whether the first redirect already goes to https on the same host.",
    ),
    Measure::new(
        "http.redirection.http",
        Kind::Text,
        "redirects, serves or refused: what http does.",
    ),
    Measure::new("http.redirection.hops", Kind::Integer, "How many redirects http takes."),
    Measure::new("http.https", Kind::Object, "How https is served."),
    Measure::new("http.https.served", Kind::Bool, "Whether https answers."),
    Measure::new(
        "http.https.certificate_trusted",
        Kind::Bool,
        "Whether the certificate is trusted and covers the name.",
    ),
    Measure::new(
        "http.https.certificate_error",
        Kind::Text,
        "Why not: expired, not_yet_valid, self_signed, unknown_issuer, incomplete, revoked, \
         weak_signature, bad_constraints, hostname_mismatch; empty otherwise.",
    ),
    Measure::new("http.https.downgrades", Kind::Bool, "Whether https redirects to http."),
    Measure::new(
        "http.cost",
        Kind::Object,
        "What the run took: received_bytes, sent_bytes, cpu_seconds.",
    )
    .volatile(),
];
