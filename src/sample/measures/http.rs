//! Measurements of the http probe (CONTRACT §http).

use crate::sample::{Evidence, Kind, Measure, Unit};

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
    Measure::new(
        "http.hsts.preloaded",
        Kind::Bool,
        "Whether browsers' preload list covers the host; needs --hsts-preload-list.",
    ),
    Measure::new(
        "http.hsts.preloadable",
        Kind::Bool,
        "Whether the field fulfils what the preload list asks of its kind of entry.",
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
        "http.csp.nonce_reused",
        Kind::Bool,
        "Whether a nonce of an earlier sample came again; only where there were both.",
    )
    .unpromised()
    .volatile(),
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
    Measure::new("http.permissions_policy", Kind::Object, "Permissions-Policy (§5.2)."),
    Measure::new(
        "http.permissions_policy.present",
        Kind::Bool,
        "Whether a policy was sent that browsers can read.",
    ),
    Measure::new(
        "http.permissions_policy.valid",
        Kind::Bool,
        "Whether what was sent, if anything, is a structured dictionary (RFC 9651).",
    ),
    Measure::new(
        "http.permissions_policy.features",
        Kind::MapOf(&Kind::Text),
        "Each feature with who may use it: none, all, or origins.",
    ),
    Measure::new(
        "http.permissions_policy.open",
        Kind::Set,
        "The features that any site in a frame may use.",
    ),
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
    Measure::new(
        "http.cross_origin_isolated",
        Kind::Bool,
        "Whether opener and embedder policy together isolate the page (HTML §7.1.3).",
    ),
    Measure::new("http.integrity_policy", Kind::Object, "Integrity-Policy (SRI §3.7)."),
    Measure::new("http.integrity_policy.present", Kind::Bool, "Whether it blocks anything."),
    Measure::new("http.integrity_policy.report_only", Kind::Bool, "Whether one only reports."),
    Measure::new(
        "http.integrity_policy.blocks",
        Kind::Set,
        "script, style: what must bear a digest.",
    ),
    Measure::new("http.sri", Kind::Object, "Scripts and stylesheets of other origins."),
    Measure::new("http.sri.external", Kind::Integer, "How many the page loads."),
    Measure::new(
        "http.sri.missing",
        Kind::Set,
        "The hosts that some of them come from without a digest (Subresource Integrity).",
    ),
    Measure::new("http.mixed_content", Kind::Object, "What an https page has to do with http."),
    Measure::new(
        "http.mixed_content.active",
        Kind::Set,
        "Hosts of scripts, styles and frames in plain text.",
    ),
    Measure::new("http.mixed_content.passive", Kind::Set, "Hosts of pictures and media."),
    Measure::new("http.mixed_content.forms", Kind::Set, "Hosts that forms are sent to."),
    Measure::new("http.cache", Kind::Object, "Cache-Control (RFC 9111 §5.2)."),
    Measure::new(
        "http.cache.class",
        Kind::Text,
        "page, personal (sets a cookie), sensitive (by its path).",
    ),
    Measure::new("http.cache.shared", Kind::Bool, "Whether shared caches are told to store it."),
    Measure::new("http.cache.stored", Kind::Bool, "Whether any cache may store it."),
    Measure::new("http.cache.directives", Kind::Set, "The directives, without their values."),
    Measure::new("http.clear_site_data", Kind::Set, "What Clear-Site-Data clears."),
    Measure::new("http.reporting", Kind::Object, "Where browsers send reports."),
    Measure::new("http.reporting.endpoints", Kind::Set, "Names of Reporting-Endpoints."),
    Measure::new("http.reporting.hosts", Kind::Set, "Hosts of Reporting-Endpoints."),
    Measure::new("http.reporting.nel", Kind::Bool, "Whether NEL is sent."),
    Measure::new("http.reporting.report_to", Kind::Bool, "Whether the former Report-To is sent."),
    Measure::new("http.alt_svc", Kind::Set, "Protocols that Alt-Svc offers: h3, h2 …"),
    Measure::new("http.deprecated", Kind::Set, "Fields that browsers no longer heed."),
    Measure::new(
        "http.cors",
        Kind::Items,
        "What other origins are told that ask as a script would (Fetch §3.3).",
    )
    .subject(&["origin", "method"])
    .unpromised()
    .volatile(),
    Measure::new("http.cors.origin", Kind::Text, "foreign, null, substring, plain_http.")
        .unpromised(),
    Measure::new("http.cors.method", Kind::Text, "GET, or OPTIONS for a preflight.").unpromised(),
    Measure::new("http.cors.allows", Kind::Text, "none, star, origin (that one), other.")
        .unpromised(),
    Measure::new("http.cors.credentials", Kind::Bool, "Whether credentials are allowed.")
        .unpromised(),
    Measure::new(
        "http.cors.readable",
        Kind::Bool,
        "Whether a page of that origin may read what the user's credentials open.",
    )
    .unpromised(),
    Measure::new("http.trace", Kind::Bool, "Whether TRACE echoes the request.")
        .unpromised()
        .volatile(),
    Measure::new(
        "http.methods",
        Kind::Set,
        "The methods that Allow names in the answer to OPTIONS (RFC 9110 §10.2.1).",
    )
    .unpromised()
    .volatile(),
    Measure::new("http.compression", Kind::Text, "The content coding chosen; empty for none.")
        .unpromised()
        .volatile(),
    Measure::new("http.security_txt", Kind::Object, "security.txt (RFC 9116).")
        .unpromised()
        .volatile(),
    Measure::new("http.security_txt.present", Kind::Bool, "Whether there is one.").unpromised(),
    Measure::new("http.security_txt.valid", Kind::Bool, "Whether it is as it must be.")
        .unpromised(),
    Measure::new("http.security_txt.expires", Kind::Timestamp, "Until when it holds.").unpromised(),
    Measure::new("http.security_txt.contacts", Kind::Integer, "How many contacts it names.")
        .unpromised(),
    Measure::new(
        "http.security_txt.errors",
        Kind::Set,
        "not_text_plain, no_contact, no_expires, bad_expires, several_expires, expired.",
    )
    .unpromised(),
    Measure::new(
        "http.change_password",
        Kind::Bool,
        "Whether /.well-known/change-password leads somewhere.",
    )
    .unpromised()
    .volatile(),
    Measure::new(
        "http.drift",
        Kind::Items,
        "What the responses mean that they did not mean before, at this address.",
    )
    .subject(&["field"])
    .evidence(|_| Evidence::Missed)
    .unpromised(),
    Measure::new(
        "http.variants",
        Kind::Items,
        "The meanings that alternate (A/B, blue and green), where there are several.",
    )
    .unpromised()
    .volatile(),
    Measure::new("http.variants.share", Kind::Number, "Of the last 20 samples, 0 to 1.")
        .unpromised(),
    Measure::new(
        "http.variants.differs",
        Kind::Set,
        "In what it differs from the most frequent one, in words.",
    )
    .unpromised(),
    Measure::new("http.drift.field", Kind::Text, "Which fact.").unpromised(),
    Measure::new("http.drift.direction", Kind::Text, "weaker, stronger or sideways.").unpromised(),
    Measure::new("http.drift.change", Kind::Text, "In words: script-src gained *.").unpromised(),
    Measure::new(
        "http.exposures",
        Kind::Items,
        "Files handed out that should not be, each known by what it holds.",
    )
    .subject(&["path"])
    .unpromised()
    .volatile(),
    Measure::new("http.exposures.path", Kind::Text, "The file's path.").unpromised(),
    Measure::new("http.exposures.evidence", Kind::Text, "What it is known by.").unpromised(),
    Measure::new(
        "http.profiles",
        Kind::Object,
        "What other judges would say, by their own keys; no finding rests on it.",
    ),
    Measure::new(
        "http.profiles.mdn-observatory",
        Kind::Object,
        "MDN HTTP Observatory, algorithm version 6.",
    ),
    Measure::new("http.profiles.mdn-observatory.version", Kind::Text, "The algorithm's version."),
    Measure::new("http.profiles.mdn-observatory.score", Kind::Integer, "The score, 0 to 165."),
    Measure::new("http.profiles.mdn-observatory.grade", Kind::Text, "A+ to F."),
    Measure::new(
        "http.profiles.mdn-observatory.tests",
        Kind::MapOf(&Kind::Object),
        "Each test's result key, whether it passes, and its modifier.",
    ),
    Measure::new("http.profiles.mdn-observatory.tests.result", Kind::Text, "The result's key."),
    Measure::new("http.profiles.mdn-observatory.tests.pass", Kind::Bool, "Whether it passes."),
    Measure::new("http.profiles.mdn-observatory.tests.modifier", Kind::Integer, "For the score."),
    Measure::new("http.profiles.csp-evaluator", Kind::Object, "Google's csp-evaluator, for CSP3."),
    Measure::new("http.profiles.csp-evaluator.version", Kind::Text, "Its version."),
    Measure::new(
        "http.profiles.csp-evaluator.findings",
        Kind::Items,
        "type, severity, directive, value, and policy where several are sent; by their nonces, \
         values may be fresh with each response.",
    )
    .volatile(),
    Measure::new(
        "http.profiles.hsts-preload",
        Kind::Object,
        "hstspreload.org's checks of the first https response, as a new submission.",
    ),
    Measure::new("http.profiles.hsts-preload.errors", Kind::Set, "What refuses the site."),
    Measure::new("http.profiles.hsts-preload.warnings", Kind::Set, "What is odd."),
    Measure::new("http.cookies", Kind::Items, "Cookies set on any hop, values dropped.")
        .subject(&["name"]),
    Measure::new("http.cookies.secure", Kind::Bool, "Secure."),
    Measure::new("http.cookies.http_only", Kind::Bool, "HttpOnly."),
    Measure::new("http.cookies.same_site", Kind::Text, "Strict, Lax, None, or empty."),
    Measure::new(
        "http.cookies.partitioned",
        Kind::Bool,
        "Partitioned, beside Secure: kept apart for each embedding site.",
    ),
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
