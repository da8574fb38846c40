//! Every shipped rule, shown a sample that it accepts and one that it does not.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{RuleSet, Selection};
use crate::sample::{Cause, Judgement, Outcome, Sample, Unknown, Verdict};
use crate::target::ProbeKind;

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).expect("a date")
}

/// A sample with these measurements, `unknown` among them.
pub(super) fn sample(probe: ProbeKind, measurements: Value) -> Sample {
    let facts = serde_json::from_value(measurements).expect("measurements");
    with_outcome(probe, Outcome::Measured(facts))
}

pub(super) fn unknown_sample(probe: ProbeKind, unknown: impl Into<Unknown>) -> Sample {
    with_outcome(probe, Outcome::Unknown(unknown.into()))
}

fn with_outcome(probe: ProbeKind, outcome: Outcome) -> Sample {
    Sample {
        target: "a.test".into(),
        probe,
        address: probe.is_per_address().then_some(Ipv4Addr::LOCALHOST.into()),
        taken_at: now(),
        duration: Duration::from_secs(1),
        connections: 1,
        cause: Cause::Manual,
        slot: None,
        vantage: "local".into(),
        outcome,
    }
}

/// Every shipped rule, as `standard` holds it or else another profile.
pub(super) fn everything() -> Selection {
    static EVERYTHING: LazyLock<Selection> = LazyLock::new(|| {
        let profiles =
            ["ncsc-nl", "pq", "mozilla-modern-6.0", "owasp-headers", "strict", "standard"];
        let profiles = profiles.map(str::to_owned);
        RuleSet::builtin().select(&profiles, &BTreeMap::new()).expect("a selection")
    });
    EVERYTHING.clone()
}

pub(super) fn judgement_of(id: &str, sample: &Sample) -> Judgement {
    let judgements = everything().evaluate(sample);
    judgements.into_iter().find(|judgement| &*judgement.rule.id == id).expect(id)
}

/// id | in range | out of range | subject of the breach. Measurements are JSON; `@Nd` is N days from
/// now.
const EXAMPLES: &str = r#"
tls-chain-untrusted | {"chain": {"trusted": true}} | {"chain": {"trusted": false}} |
tls-hostname-mismatch | {"chain": {"hostname_matches": true}} | {"chain": {"hostname_matches": false}} |
tls-certificate-expiry | {"certificates": [{"key_type": "ec", "not_after": "@22d"}]} | {"certificates": [{"key_type": "rsa", "not_after": "@22d"}, {"key_type": "ec", "not_after": "@20d"}]} | ec
tls-certificate-expiry-imminent | {"certificates": [{"key_type": "ec", "not_after": "@6d"}]} | {"certificates": [{"key_type": "ec", "not_after": "@-1d"}]} | ec
tls-certificate-lifetime | {"certificates": [{"key_type": "ec", "lifetime_seconds": 7776000}]} | {"certificates": [{"key_type": "ec", "lifetime_seconds": 315360000}]} | ec
tls-incomplete-chain | {"chain": {"incomplete": false}} | {"chain": {"incomplete": true}} |
tls-chain-order | {"chain": {"order_ok": true}} | {"chain": {"order_ok": false}} |
tls-chain-extra | {"chain": {"extra": 0}} | {"chain": {"extra": 2}} |
tls-staple-revoked | {"ocsp_staple": {"present": true, "status": "good"}} | {"ocsp_staple": {"present": true, "status": "revoked"}} |
tls-staple-invalid | {"ocsp_staple": {"present": true, "status": "good"}} | {"ocsp_staple": {"present": true, "status": "expired"}} |
tls-staple-mismatch | {"ocsp_staple": {"present": true, "matches": true}} | {"ocsp_staple": {"present": true, "matches": false}} |
tls-must-staple | {"certificates": [{"key_type": "ec", "must_staple": true}], "ocsp_staple": {"present": true}} | {"certificates": [{"key_type": "ec", "must_staple": true}], "ocsp_staple": {"present": false}} |
tls-no-scts | {"certificates": [{"key_type": "ec", "scts": 3}]} | {"certificates": [{"key_type": "ec", "scts": 0}]} | ec
tls-weak-key | {"certificates": [{"key_type": "rsa", "key_bits": 2048}]} | {"certificates": [{"key_type": "rsa", "key_bits": 1024}, {"key_type": "ec", "key_bits": 256}]} | rsa
tls-weak-ec-key | {"certificates": [{"key_type": "ec", "key_bits": 256}]} | {"certificates": [{"key_type": "ec", "key_bits": 192}, {"key_type": "rsa", "key_bits": 2048}]} | ec
tls-key-size | {"certificates": [{"key_type": "rsa", "key_bits": 4096}]} | {"certificates": [{"key_type": "rsa", "key_bits": 2048}]} | rsa
tls-weak-signature | {"certificates": [{"key_type": "rsa", "signature_algorithm": "sha256WithRSAEncryption"}]} | {"certificates": [{"key_type": "rsa", "signature_algorithm": "sha1WithRSAEncryption"}]} | rsa
tls-modern-key | {"certificates": [{"key_type": "ec"}]} | {"certificates": [{"key_type": "rsa"}]} | rsa
tls-legacy-protocol | {"versions": ["TLSv1.2", "TLSv1.3"]} | {"versions": ["TLSv1.1", "TLSv1.2"]} | TLSv1.1
tls-broken-protocol | {"versions": ["TLSv1.0"]} | {"versions": ["SSLv3"]} | SSLv3
tls-no-tls13 | {"versions": ["TLSv1.3"]} | {"versions": ["TLSv1.2"]} | TLSv1.3
tls-modern-protocol | {"versions": ["TLSv1.3"]} | {"versions": ["TLSv1.2", "TLSv1.3"]} | TLSv1.2
tls-weak-cipher | {"cipher_suites": {"TLSv1.2": ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"]}} | {"cipher_suites": {"TLSv1.2": ["TLS_RSA_WITH_RC4_128_SHA"]}} | TLSv1.2 TLS_RSA_WITH_RC4_128_SHA
tls-cipher-not-recommended | {"cipher_suites": {"TLSv1.3": ["TLS_AES_128_GCM_SHA256"]}} | {"cipher_suites": {"TLSv1.2": ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"]}} | TLSv1.2 TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
tls-cipher-retired | {"cipher_suites": {"TLSv1.2": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]}} | {"cipher_suites": {"TLSv1.2": ["TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"]}} | TLSv1.2 TLS_DHE_RSA_WITH_AES_128_GCM_SHA256
tls-no-forward-secrecy | {"cipher_suites": {"TLSv1.3": ["TLS_AES_128_GCM_SHA256"]}} | {"cipher_suites": {"TLSv1.2": ["TLS_RSA_WITH_AES_128_GCM_SHA256"]}} | TLSv1.2 TLS_RSA_WITH_AES_128_GCM_SHA256
tls-weak-dh | {"dh_prime_bits": 2048} | {"dh_prime_bits": 1024} |
tls-weak-group | {"groups": {"TLSv1.2": ["x25519"]}} | {"groups": {"TLSv1.2": ["sect163k1"]}} | TLSv1.2 sect163k1
tls-group-not-recommended | {"groups": {"TLSv1.3": ["X25519MLKEM768", "x25519"]}} | {"groups": {"TLSv1.2": ["brainpoolP256r1"]}} | TLSv1.2 brainpoolP256r1
tls-no-pq | {"versions": ["TLSv1.3"], "groups": {"TLSv1.3": ["X25519MLKEM768"]}} | {"versions": ["TLSv1.3"], "groups": {"TLSv1.3": ["x25519"]}} | TLSv1.3
tls-compression | {"compression": []} | {"compression": ["DEFLATE"]} | DEFLATE
tls-insecure-renegotiation | {"versions": ["TLSv1.2"], "secure_renegotiation": true} | {"versions": ["TLSv1.2"], "secure_renegotiation": false} |
tls-no-extended-master-secret | {"versions": ["TLSv1.2"], "extended_master_secret": true} | {"versions": ["TLSv1.2"], "extended_master_secret": false} |
tls-server-order | {"server_order": {"TLSv1.2": true}} | {"server_order": {"TLSv1.2": false}} | TLSv1.2
tls-certificate-curve | {"certificates": [{"key_type": "ec", "key_bits": 384}]} | {"certificates": [{"key_type": "ec", "key_bits": 521}]} | ec
tls-signature-not-recommended | {"certificates": [{"key_type": "ec", "signature_algorithm": "ecdsa-with-SHA256"}]} | {"certificates": [{"key_type": "ec", "signature_algorithm": "ED25519"}]} | ec
tls-pq-not-preferred | {"post_quantum": "preferred"} | {"post_quantum": "offered"} |
tls-client-renegotiation | {"client_renegotiation": false} | {"client_renegotiation": true} |
tls-no-fallback-scsv | {"fallback_scsv": true} | {"fallback_scsv": false} |
tls-intolerant | {"intolerances": []} | {"intolerances": ["split_hello"]} | split_hello
tls-starttls-injection | {"starttls_injection": []} | {"starttls_injection": ["command"]} | command
tls-starttls-missing | {"starttls": "offered"} | {"starttls": "not_offered"} |
tls-grade | {"grade": "A-"} | {"grade": "B"} |
tls-early-data | {"early_data": 0} | {"early_data": 16384} |
tls-mixed-configurations | {"configurations": 1} | {"configurations": 2} |
tls-heartbleed | {"vulnerabilities": {"heartbleed": false, "robot": true}} | {"vulnerabilities": {"heartbleed": true}} | heartbleed
tls-ccs-injection | {"vulnerabilities": {"ccs_injection": false}} | {"vulnerabilities": {"ccs_injection": true}} | ccs_injection
tls-ticketbleed | {"vulnerabilities": {"ticketbleed": false}} | {"vulnerabilities": {"ticketbleed": true}} | ticketbleed
tls-robot | {"vulnerabilities": {"robot": false}} | {"vulnerabilities": {"robot": true}} | robot
http-https-missing | {"https": {"served": true}} | {"https": {"served": false}} |
http-certificate | {"https": {"served": true, "certificate_trusted": true}} | {"https": {"served": true, "certificate_trusted": false}} |
http-redirect | {"redirection": {"http": "redirects", "to_https": true}} | {"redirection": {"http": "serves", "to_https": false}} |
http-redirect-first-hop | {"redirection": {"to_https": true, "first_hop_https": true}} | {"redirection": {"to_https": true, "first_hop_https": false}} |
http-redirect-hops | {"redirection": {"hops": 1}} | {"redirection": {"hops": 4}} |
http-hsts | {"https": {"served": true}, "hsts": {"present": true}} | {"https": {"served": true}, "hsts": {"present": false}} |
http-hsts-invalid | {"hsts": {"present": true, "valid": true}} | {"hsts": {"present": true, "valid": false}} |
http-hsts-max-age | {"hsts": {"present": true, "valid": true, "max_age": 63072000}} | {"hsts": {"present": true, "valid": true, "max_age": 0}} |
http-hsts-subdomains | {"hsts": {"present": true, "valid": true, "include_subdomains": true}} | {"hsts": {"present": true, "valid": true, "include_subdomains": false}} |
http-downgrade | {"https": {"downgrades": false}} | {"https": {"downgrades": true}} |
http-csp | {"csp": {"present": true}} | {"csp": {"present": false}} |
http-csp-unsafe-inline | {"csp": {"present": true, "unsafe_inline": false}} | {"csp": {"present": true, "unsafe_inline": true}} |
http-csp-unsafe-eval | {"csp": {"present": true, "unsafe_eval": false}} | {"csp": {"present": true, "unsafe_eval": true}} |
http-csp-wildcard | {"csp": {"present": true, "wildcard_script": false}} | {"csp": {"present": true, "wildcard_script": true}} |
http-csp-errors | {"csp": {"present": true, "errors": []}} | {"csp": {"present": true, "errors": ["scrpt-src"]}} | scrpt-src
http-frame-options | {"xfo": {"protected": true}} | {"xfo": {"protected": false}} |
http-content-type-options | {"xcto": {"nosniff": true}} | {"xcto": {"nosniff": false}} |
http-referrer-policy | {"referrer_policy": {"policy": "no-referrer"}} | {"referrer_policy": {"policy": "unsafe-url"}} |
http-permissions-policy | {"permissions_policy": {"present": true}} | {"permissions_policy": {"present": false}} |
http-coop | {"coop": {"policy": "same-origin"}} | {"coop": {"policy": "unsafe-none"}} |
http-coep | {"coep": {"policy": "require-corp"}} | {"coep": {"policy": "unsafe-none"}} |
http-corp | {"corp": {"policy": "same-origin"}} | {"corp": {"policy": ""}} |
http-cookies | {"cookies": [{"name": "a", "secure": true}]} | {"cookies": [{"name": "a", "secure": true}, {"name": "b", "secure": false}]} | b
http-cookie-httponly | {"cookies": [{"name": "sid", "session": true, "http_only": true}]} | {"cookies": [{"name": "lang", "session": false, "http_only": false}, {"name": "sid", "session": true, "http_only": false}]} | sid
http-cookie-samesite | {"cookies": [{"name": "a", "same_site": "Lax"}]} | {"cookies": [{"name": "a", "same_site": ""}]} | a
http-cookie-prefix | {"cookies": [{"name": "__Host-a", "prefix_ok": true}]} | {"cookies": [{"name": "__Host-a", "prefix_ok": false}]} | __Host-a
http-server-leak | {"leaks": [{"field": "server", "product": "nginx", "has_version": false}]} | {"leaks": [{"field": "via", "has_version": false}, {"field": "server", "product": "nginx", "has_version": true}]} | server
http-software-named | {"leaks": []} | {"leaks": [{"field": "server", "product": "nginx", "has_version": false}]} | server
http-cors | {"cors": [{"origin": "foreign", "method": "GET", "readable": false}]} | {"cors": [{"origin": "null", "method": "GET", "readable": true}]} | null GET
http-trace | {"trace": false} | {"trace": true} |
http-mixed-content | {"mixed_content": {"active": []}} | {"mixed_content": {"active": ["cdn.test"]}} | cdn.test
http-mixed-form | {"mixed_content": {"forms": []}} | {"mixed_content": {"forms": ["form.test"]}} | form.test
http-sri | {"sri": {"missing": []}} | {"sri": {"missing": ["cdn.test"]}} | cdn.test
http-cache-shared | {"cache": {"class": "personal", "shared": false}} | {"cache": {"class": "personal", "shared": true}} |
http-permissions-policy-invalid | {"permissions_policy": {"valid": true}} | {"permissions_policy": {"valid": false}} |
http-csp-nonce-reused | {"csp": {"nonce_reused": false}} | {"csp": {"nonce_reused": true}} |
http-deprecated-fields | {"deprecated": []} | {"deprecated": ["expect-ct"]} | expect-ct
http-hsts-preload-lost | {"hsts": {"preloaded": true, "preloadable": true}} | {"hsts": {"preloaded": true, "preloadable": false}} |
http-exposure | {"exposures": []} | {"exposures": [{"path": "/.env"}]} | /.env
http-security-txt | {"security_txt": {"present": true}} | {"security_txt": {"present": false}} |
http-security-txt-invalid | {"security_txt": {"present": true, "errors": []}} | {"security_txt": {"present": true, "errors": ["expired"]}} | expired
http-security-txt-expiry | {"security_txt": {"present": true, "expires": "@15d"}} | {"security_txt": {"present": true, "expires": "@13d"}} |
http-drift | {"drift": [{"field": "alt-svc", "direction": "sideways"}]} | {"drift": [{"field": "nosniff", "direction": "weaker"}, {"field": "alt-svc", "direction": "sideways"}]} | nosniff
http-drift-noticed | {"drift": [{"field": "nosniff", "direction": "weaker"}]} | {"drift": [{"field": "alt-svc", "direction": "sideways"}]} | alt-svc
ports-unexpected | {"unexpected": []} | {"unexpected": [{"port": "6379/tcp"}]} | 6379/tcp
ports-missing | {"missing": []} | {"missing": [{"port": 443, "transport": "tcp"}]} | 443/tcp
ports-unauthenticated | {"exposure": []} | {"exposure": [{"port": 6379, "transport": "tcp", "service": "redis"}]} | 6379/tcp
ports-asymmetry | {"asymmetry": []} | {"asymmetry": [{"port": "22/tcp", "open_on": ["::1"], "not_on": ["127.0.0.1"]}]} | 22/tcp
ports-management-exposed | {"addresses": [{"address": "192.0.2.1", "open": [{"port": 443, "transport": "tcp", "service": "tls/http"}]}]} | {"addresses": [{"address": "192.0.2.1", "open": [{"port": 3306, "transport": "tcp", "service": "mysql"}]}]} | 192.0.2.1 3306/tcp
ports-cleartext-login | {"addresses": [{"address": "192.0.2.1", "open": [{"port": 22, "transport": "tcp", "service": "ssh"}]}]} | {"addresses": [{"address": "192.0.2.1", "open": [{"port": 21, "transport": "tcp", "service": "ftp"}]}]} | 192.0.2.1 21/tcp
ports-unstable | {"addresses": [{"address": "192.0.2.1", "unstable": []}]} | {"addresses": [{"address": "192.0.2.1", "unstable": ["80/tcp"]}]} | 192.0.2.1 80/tcp
ports-looked-at-late | {"late_looks": []} | {"late_looks": [{"address": "192.0.2.1", "tier": "all"}]} | 192.0.2.1 all
ports-forged | {"addresses": [{"address": "192.0.2.1", "host": "up"}]} | {"addresses": [{"address": "192.0.2.1", "host": "answers_everywhere"}]} | 192.0.2.1
dns-drift | {"drift": []} | {"drift": [{"name": "www.skew.lab", "type": "A", "server": "192.0.2.53", "kind": "added"}]} | www.skew.lab A
dns-disagreement | {"disagreement": []} | {"disagreement": [{"name": "a.test", "type": "MX", "sets": {}}]} | a.test MX
dns-resolver-disagreement | {"resolver_disagreement": []} | {"resolver_disagreement": [{"server": "192.0.2.5", "name": "a.test", "type": "A"}]} | 192.0.2.5 a.test A
dns-serial-skew | {"serials": 1} | {"serials": 2} |
dns-delegation | {"delegation": {"servers": {"192.0.2.53": {"name": "ns1.a.test", "state": "ok"}}}} | {"delegation": {"servers": {"192.0.2.53": {"name": "ns1.a.test", "state": "ok"}, "192.0.2.54": {"name": "ns2.a.test", "state": "lame"}}}} | 192.0.2.54
dns-delegation-mismatch | {"delegation": {"mismatch": []}} | {"delegation": {"mismatch": [{"ns": "ns3.a.test"}]}} | ns3.a.test
dns-ns-count | {"delegation": {"count": 2}} | {"delegation": {"count": 1}} |
dns-dnssec | {"dnssec": {"192.0.2.53": {"state": "insecure"}}} | {"dnssec": {"192.0.2.53": {"state": "bogus"}}} | 192.0.2.53
dns-dnssec-expiry | {"dnssec": {"192.0.2.53": {"expires": "@9d"}}} | {"dnssec": {"192.0.2.53": {"expires": "@0d"}}} | 192.0.2.53
dns-dnssec-unsigned | {"dnssec": {"192.0.2.53": {"state": "secure"}}} | {"dnssec": {"192.0.2.53": {"state": "insecure"}}} | 192.0.2.53
dns-ds-digest | {"ds": [{"key_tag": 4711, "algorithm": 13, "digest_type": 2, "matches": true}]} | {"ds": [{"key_tag": 4711, "algorithm": 13, "digest_type": 1, "matches": true}]} | 4711 1
dns-nsec3 | {"nsec3": {"192.0.2.53": {"iterations": 0, "salt": "-"}}} | {"nsec3": {"192.0.2.53": {"iterations": 10, "salt": "AB"}}} | 192.0.2.53
dns-cds | {"cds": [{"key_tag": 4711, "digest_type": 2, "in_ds": true}]} | {"cds": [{"key_tag": 4712, "digest_type": 2, "in_ds": false}]} | 4712 2
dns-wildcard | {"wildcard": {"192.0.2.53": "nxdomain", "192.0.2.54": "error:timeout"}} | {"wildcard": {"192.0.2.53": ["192.0.2.9"]}} | 192.0.2.53 192.0.2.9
dns-delegation-glue | {"delegation": {"glue": {}}} | {"delegation": {"glue": {"ns1.a.test": {"parent": ["192.0.2.1"], "child": ["192.0.2.2"]}}}} | ns1.a.test
dns-delegation-name | {"delegation": {"names": {"ns1.a.test": {"problem": "none"}}}} | {"delegation": {"names": {"ns1.a.test": {"problem": "cname"}}}} | ns1.a.test
dns-ns-diversity | {"delegation": {"networks": 2}} | {"delegation": {"networks": 1}} |
dns-soa-expire | {"soa": {"192.0.2.53": {"expire": 1209600}}} | {"soa": {"192.0.2.53": {"expire": 3600}}} | 192.0.2.53
dns-soa-refresh | {"soa": {"192.0.2.53": {"refresh": 7200}}} | {"soa": {"192.0.2.53": {"refresh": 60}}} | 192.0.2.53
dns-soa-minimum | {"soa": {"192.0.2.53": {"minimum": 300}}} | {"soa": {"192.0.2.53": {"minimum": 604800}}} | 192.0.2.53
dns-spf-lookups | {"mail": {"spf": {"lookups": 10}}} | {"mail": {"spf": {"lookups": 11}}} |
dns-spf-void-lookups | {"mail": {"spf": {"void_lookups": 2}}} | {"mail": {"spf": {"void_lookups": 3}}} |
dns-spf-errors | {"mail": {"spf": {"errors": ["multiple_records"]}}} | {"mail": {"spf": {"errors": ["loop"]}}} | loop
dns-dmarc-errors | {"mail": {"dmarc": {"errors": []}}} | {"mail": {"dmarc": {"errors": ["syntax"]}}} | syntax
dns-dkim-key | {"mail": {"dkim": {"s1": {"key_bits": 2048}}}} | {"mail": {"dkim": {"s1": {"key_bits": 1024}}}} | s1
dns-mx | {"mail": {"mx": {"mx.a.test": {"preference": 1, "problem": "none"}}}} | {"mail": {"mx": {"mx.a.test": {"preference": 1, "problem": "nxdomain"}}}} | mx.a.test
dns-mta-sts-policy | {"mail": {"mta_sts": {"policy": {"errors": []}}}} | {"mail": {"mta_sts": {"policy": {"errors": ["certificate"]}}}} | certificate
dns-mta-sts-mx | {"mail": {"mta_sts": {"policy": {"unmatched": []}}}} | {"mail": {"mta_sts": {"policy": {"unmatched": ["mx.a.test"]}}}} | mx.a.test
dns-mta-sts-mode | {"mail": {"mta_sts": {"policy": {"mode": "enforce"}}}} | {"mail": {"mta_sts": {"policy": {"mode": "testing"}}}} |
dns-mta-sts-max-age | {"mail": {"mta_sts": {"policy": {"max_age": 604800}}}} | {"mail": {"mta_sts": {"policy": {"max_age": 86400}}}} |
dns-registration-expiry | {"registration": {"expires": "@60d"}} | {"registration": {"expires": "@9d"}} |
dns-registration-status | {"registration": {"status": ["active"]}} | {"registration": {"status": ["client hold"]}} | client hold
dns-mta-sts-missing | {"mail": {"mta_sts": {"records": 1}}} | {"mail": {"mta_sts": {"records": 0}}} |
dns-tls-rpt-missing | {"mail": {"tls_rpt": {"records": 1}}} | {"mail": {"tls_rpt": {"records": 0}}} |
dns-dangling | {"dangling": {"a.test": {"type": "CNAME", "target": "b.test", "risk": "unproven"}}} | {"dangling": {"a.test": {"type": "CNAME", "target": "b.test", "risk": "takeover"}}} | a.test
dns-dangling-unproven | {"dangling": {"a.test": {"type": "MX", "target": "b.test", "risk": "broken"}}} | {"dangling": {"a.test": {"type": "CNAME", "target": "b.test", "risk": "unproven"}}} | a.test
dns-edns | {"servers": {"192.0.2.53": {"edns": true}}} | {"servers": {"192.0.2.53": {"edns": false}}} | 192.0.2.53
dns-keeps-case | {"servers": {"192.0.2.53": {"keeps_case": true}}} | {"servers": {"192.0.2.53": {"keeps_case": false}}} | 192.0.2.53
dns-latency | {"servers": {"192.0.2.53": {"latency_seconds": 0.1}}} | {"servers": {"192.0.2.53": {"latency_seconds": 1.9}}} | 192.0.2.53
dns-version | {"servers": {"192.0.2.53": {"version": ""}}} | {"servers": {"192.0.2.53": {"version": "9.18.1"}}} | 192.0.2.53
dns-caa-issuer | {"caa": {"issuance": {"Let's Encrypt": {"permitted": true}}}} | {"caa": {"issuance": {"DigiCert Inc": {"permitted": false}}}} | DigiCert Inc
dns-tlsa | {"tlsa": {"_443._tcp.a.test": {"records": [], "matches": true}}} | {"tlsa": {"_443._tcp.a.test": {"records": [], "matches": false}}} | _443._tcp.a.test
dns-caa | {"caa": {"present": true}} | {"caa": {"present": false}} |
dns-spf-missing | {"mail": {"spf": {"records": 1}}} | {"mail": {"spf": {"records": 0}}} |
dns-spf-duplicate | {"mail": {"spf": {"records": 1}}} | {"mail": {"spf": {"records": 2}}} |
dns-spf-permissive | {"mail": {"spf": {"records": 1, "all": "-"}}} | {"mail": {"spf": {"records": 1, "all": "+"}}} |
dns-spf-neutral | {"mail": {"spf": {"records": 1, "all": "~"}}} | {"mail": {"spf": {"records": 1, "all": "?"}}} |
dns-dmarc-missing | {"mail": {"dmarc": {"records": 1}}} | {"mail": {"dmarc": {"records": 0}}} |
dns-dmarc-policy | {"mail": {"dmarc": {"records": 1, "policy": "reject"}}} | {"mail": {"dmarc": {"records": 1, "policy": "none"}}} |
dns-open-recursion | {"recursion": {"192.0.2.53": false}} | {"recursion": {"192.0.2.53": false, "192.0.2.54": true}} | 192.0.2.54
dns-transfer | {"transfer": {"192.0.2.53": "refused"}} | {"transfer": {"192.0.2.53": "error:timeout", "192.0.2.54": "open"}} | 192.0.2.54
"#;

fn measurements(text: &str) -> Value {
    let dated = text.split('@').enumerate().map(|(at, part)| match part.split_once('d') {
        Some((days, rest)) if at > 0 => {
            let time = now() + chrono::TimeDelta::days(days.parse().expect("days"));
            format!("{}{rest}", time.to_rfc3339())
        }
        _ => part.to_owned(),
    });
    serde_json::from_str(&dated.collect::<String>()).expect(text)
}

#[test]
fn every_shipped_rule_accepts_what_is_sound_and_names_what_is_not() {
    let mut left: Vec<_> =
        RuleSet::builtin().rules().iter().map(|rule| rule.id.to_string()).collect();
    for line in EXAMPLES.lines().filter(|line| !line.is_empty()) {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let [id, sound, broken, subject] = columns[..] else { panic!("{line}") };
        left.retain(|other| other != id);
        let probe = id.split('-').next().expect("a prefix").parse().expect("a probe");
        let judged = judgement_of(id, &sample(probe, measurements(sound)));
        assert_eq!(judged.verdict, Verdict::InRange, "{id}: {judged:?}");
        let judged = judgement_of(id, &sample(probe, measurements(broken)));
        let subjects: Vec<_> = judged.breaches.iter().map(|breach| &*breach.subject).collect();
        assert_eq!((judged.verdict, &subjects[..]), (Verdict::OutOfRange, &[subject][..]), "{id}");
    }
    assert!(left.is_empty(), "no example for {left:?}");
}

#[test]
fn what_a_milder_risk_profile_finds_in_any_example_a_stricter_one_finds_too() {
    let select = |profile: &str| {
        RuleSet::builtin().select(&[profile.to_owned()], &BTreeMap::new()).expect(profile)
    };
    for (milder, stricter) in [("baseline", "standard"), ("standard", "strict")] {
        let (mild, strict) = (select(milder), select(stricter));
        for line in EXAMPLES.lines().filter(|line| !line.is_empty()) {
            let columns: Vec<_> = line.split('|').map(str::trim).collect();
            let [id, sound, broken, _] = columns[..] else { panic!("{line}") };
            let probe = id.split('-').next().expect("a prefix").parse().expect("a probe");
            for text in [sound, broken] {
                let found = |selection: &Selection| -> Vec<_> {
                    let judgements = selection.evaluate(&sample(probe, measurements(text)));
                    let broken = judgements.into_iter().flat_map(|judgement| {
                        let id = judgement.rule.id.to_string();
                        judgement.breaches.into_iter().map(move |b| (id.clone(), b.subject))
                    });
                    broken.collect()
                };
                let strictly = found(&strict);
                for breach in found(&mild) {
                    assert!(strictly.contains(&breach), "{breach:?} of {milder}, {text}");
                }
            }
        }
    }
}
