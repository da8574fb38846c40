//! Measurements of the tls probe (CONTRACT §tls).

use crate::sample::{Kind, Measure, Unit};

pub(super) const MEASURES: &[Measure] = &[
    Measure::new("tls.versions", Kind::Set, "Protocol versions offered: SSLv2 … TLSv1.3."),
    Measure::new(
        "tls.witnesses",
        Kind::MapOf(&Kind::Text),
        "With what suite and certificate each version was seen.",
    ),
    Measure::new(
        "tls.cipher_suites",
        Kind::MapOf(&Kind::Set),
        "Cipher suites seen, by version, IANA names.",
    ),
    Measure::new(
        "tls.server_order",
        Kind::MapOf(&Kind::Bool),
        "Whether the server's order of suites rules, by version.",
    )
    .unpromised(),
    Measure::new(
        "tls.chacha20_prioritized",
        Kind::Bool,
        "Whether ChaCha20 wins where the client puts it first, though the server's order rules.",
    )
    .unpromised(),
    Measure::new(
        "tls.intolerances",
        Kind::Set,
        "Forms of hello that it cannot bear: alpn, grease, long_hello, many_suites, split_hello, tls13_hello.",
    )
    .unpromised(),
    Measure::new("tls.groups", Kind::MapOf(&Kind::Set), "Key exchange groups seen, by version.")
        .unpromised(),
    Measure::new(
        "tls.signature_schemes",
        Kind::MapOf(&Kind::Set),
        "Signature schemes seen, by version.",
    )
    .unpromised(),
    Measure::new(
        "tls.negotiated",
        Kind::Object,
        "What a current client comes to: version, suite, group.",
    ),
    Measure::new("tls.negotiated.version", Kind::Text, "The version a current client gets."),
    Measure::new("tls.negotiated.cipher_suite", Kind::Text, "The suite a current client gets."),
    Measure::new("tls.negotiated.group", Kind::Text, "The group a current client gets."),
    Measure::new(
        "tls.negotiated.alpn",
        Kind::Text,
        "The application protocol a current client gets.",
    ),
    Measure::new("tls.dh_prime_bits", Kind::Integer, "The smallest Diffie-Hellman prime seen.")
        .unit(Unit::Bits),
    Measure::new(
        "tls.dh_primes",
        Kind::Set,
        "Diffie-Hellman primes seen, by the RFC's name (modp…: 2409, 3526; ffdhe…: 7919; rfc5114-…), else by SHA-256.",
    ),
    Measure::new("tls.alpn", Kind::Set, "Application protocols accepted."),
    Measure::new("tls.certificates", Kind::Items, "Leaf certificates, one a key type served.")
        .subject(&["key_type"]),
    Measure::new("tls.certificates.subject", Kind::Text, "The leaf's subject."),
    Measure::new("tls.certificates.issuer", Kind::Text, "The leaf's issuer."),
    Measure::new("tls.certificates.san", Kind::Set, "The leaf's alternative names."),
    Measure::new("tls.certificates.serial", Kind::Text, "The leaf's serial number, hexadecimal."),
    Measure::new("tls.certificates.not_before", Kind::Timestamp, "When the leaf becomes valid."),
    Measure::new("tls.certificates.not_after", Kind::Timestamp, "When the leaf expires.")
        .unit(Unit::Seconds),
    Measure::new(
        "tls.certificates.lifetime_seconds",
        Kind::Integer,
        "How long the leaf is valid in all.",
    )
    .unit(Unit::Seconds),
    Measure::new(
        "tls.certificates.key_type",
        Kind::Text,
        "rsa, rsa-pss, ec, ed25519, ed448 or dsa.",
    ),
    Measure::new("tls.certificates.key_bits", Kind::Integer, "The leaf's key size.")
        .unit(Unit::Bits),
    Measure::new(
        "tls.certificates.signature_algorithm",
        Kind::Text,
        "OpenSSL's long name of the leaf's signature.",
    ),
    Measure::new(
        "tls.certificates.scts",
        Kind::Integer,
        "Signed certificate timestamps in the leaf.",
    ),
    Measure::new(
        "tls.certificates.must_staple",
        Kind::Bool,
        "Whether the leaf demands a staple (RFC 7633).",
    ),
    Measure::new("tls.certificates.sha256", Kind::Text, "The leaf's fingerprint."),
    Measure::new("tls.certificates.spki_sha256", Kind::Text, "The fingerprint of the leaf's key."),
    Measure::new("tls.certificates.chain", Kind::Items, "What was sent after the leaf, in order."),
    Measure::new(
        "tls.certificates.trusted",
        Kind::Bool,
        "A path from this leaf to an anchor with valid dates.",
    ),
    Measure::new("tls.certificates.reason", Kind::Text, "Why this leaf is not trusted."),
    Measure::new(
        "tls.certificates.hostname_matches",
        Kind::Bool,
        "Whether a SAN of this leaf covers the name.",
    ),
    Measure::new(
        "tls.certificates.order_ok",
        Kind::Bool,
        "Whether each certificate behind this leaf certifies the one before.",
    ),
    Measure::new(
        "tls.certificates.extra",
        Kind::Integer,
        "Certificates sent with this leaf that are not on its path.",
    ),
    Measure::new(
        "tls.certificates.incomplete",
        Kind::Bool,
        "Whether an intermediate is missing behind this leaf.",
    ),
    Measure::new(
        "tls.certificates.root_sent",
        Kind::Bool,
        "Whether a self-issued certificate was sent behind this leaf.",
    ),
    Measure::new("tls.chain", Kind::Object, "The worst of the served chains."),
    Measure::new(
        "tls.chain.trusted",
        Kind::Bool,
        "A path to an anchor with valid dates; says nothing of the name.",
    ),
    Measure::new(
        "tls.chain.reason",
        Kind::Text,
        "Why not: expired, not_yet_valid, self_signed, unknown_issuer, incomplete, revoked, weak_signature, bad_constraints.",
    ),
    Measure::new(
        "tls.chain.hostname_matches",
        Kind::Bool,
        "Whether a SAN covers the name; the CN never counts.",
    ),
    Measure::new(
        "tls.chain.order_ok",
        Kind::Bool,
        "Whether each certificate certifies the one before.",
    ),
    Measure::new("tls.chain.extra", Kind::Integer, "Certificates sent that are not on the path."),
    Measure::new("tls.chain.incomplete", Kind::Bool, "Whether an intermediate is missing."),
    Measure::new("tls.chain.root_sent", Kind::Bool, "Whether the anchor itself was sent."),
    Measure::new("tls.ocsp_staple", Kind::Object, "The stapled OCSP response."),
    Measure::new("tls.ocsp_staple.present", Kind::Bool, "Whether one was stapled."),
    Measure::new(
        "tls.ocsp_staple.status",
        Kind::Text,
        "good, revoked, unknown, expired or invalid.",
    ),
    Measure::new("tls.ocsp_staple.matches", Kind::Bool, "Whether it belongs to the served leaf."),
    Measure::new("tls.ocsp_staple.next_update", Kind::Timestamp, "When it must be renewed.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new("tls.client_auth", Kind::Text, "none, requested or required."),
    Measure::new(
        "tls.client_auth_authorities",
        Kind::Set,
        "Whose client certificates are taken, as the peer names them.",
    ),
    Measure::new("tls.starttls", Kind::Text, "null (not asked), offered or not_offered."),
    Measure::new(
        "tls.starttls_injection",
        Kind::Set,
        "Ways for words in clear into the session: command (sent behind STARTTLS and carried out inside TLS), response (sent behind the go-ahead).",
    )
    .unpromised(),
    Measure::new("tls.secure_renegotiation", Kind::Bool, "Whether RFC 5746 is supported."),
    Measure::new("tls.extended_master_secret", Kind::Bool, "Whether RFC 7627 is supported."),
    Measure::new("tls.encrypt_then_mac", Kind::Bool, "Whether RFC 7366 is supported."),
    Measure::new(
        "tls.client_renegotiation",
        Kind::Bool,
        "Whether a client may renegotiate; measured only when asked for.",
    )
    .unpromised(),
    Measure::new("tls.fallback_scsv", Kind::Bool, "Whether RFC 7507 is supported.").unpromised(),
    Measure::new("tls.session_tickets", Kind::Bool, "Whether a ticket was issued."),
    Measure::new(
        "tls.session_ticket_lifetime",
        Kind::MapOf(&Kind::Integer),
        "How long a ticket may be used, by version; in TLS 1.2 a hint.",
    )
    .unit(Unit::Seconds)
    .unpromised()
    .volatile(),
    Measure::new(
        "tls.resumption",
        Kind::MapOf(&Kind::Bool),
        "Whether a session is taken up again, by version.",
    )
    .unpromised(),
    Measure::new(
        "tls.certificate_compression",
        Kind::Set,
        "Algorithms of RFC 8879 that certificates come in: zlib, brotli, zstd.",
    )
    .unpromised(),
    Measure::new("tls.without_sni", Kind::Object, "What a client gets that sends no server name."),
    Measure::new("tls.without_sni.accepted", Kind::Bool, "Whether it is served at all.")
        .unpromised(),
    Measure::new("tls.without_sni.alert", Kind::Text, "The alert that turns it away.").unpromised(),
    Measure::new(
        "tls.without_sni.same_certificate",
        Kind::Bool,
        "Whether it gets the certificate that a client with the name gets.",
    )
    .unpromised(),
    Measure::new("tls.without_sni.sha256", Kind::Text, "The fingerprint of the leaf it gets.")
        .unpromised(),
    Measure::new("tls.compression", Kind::Set, "Compression methods accepted: DEFLATE or none."),
    Measure::new("tls.early_data", Kind::Integer, "max_early_data_size, 0 if off.")
        .unit(Unit::Bytes)
        .unpromised(),
    Measure::new(
        "tls.post_quantum",
        Kind::Text,
        "preferred (a current client gets it), offered or absent.",
    ),
    Measure::new(
        "tls.grade",
        Kind::Text,
        "The letter of the SSL Server Rating Guide 2009r: A, A-, B … F, T (not trusted), M (name mismatch).",
    )
    .unpromised(),
    Measure::new("tls.grade_reasons", Kind::Set, "What the letter hangs on.").unpromised(),
    Measure::new(
        "tls.vulnerabilities",
        Kind::MapOf(&Kind::Bool),
        "What follows from the rest or was asked for.",
    )
    .unpromised(),
    Measure::new(
        "tls.configurations",
        Kind::Integer,
        "Distinct configurations seen behind the address.",
    )
    .unpromised(),
    Measure::new(
        "tls.configuration_shares",
        Kind::MapOf(&Kind::Number),
        "The configurations by what tells them apart, each with its share of answers in percent.",
    )
    .unpromised()
    .volatile(),
    Measure::new(
        "tls.last_confirmed",
        Kind::MapOf(&Kind::Timestamp),
        "When each known fact was confirmed last, by its path.",
    )
    .unpromised()
    .volatile(),
    Measure::new(
        "tls.recalled",
        Kind::Set,
        "Measurements that this sample did not look at, or not whole: they stand as earlier ones showed them, and it is no observation of them.",
    )
    .unpromised()
    .volatile(),
    Measure::new("tls.handshake_seconds", Kind::Number, "How long the full handshake took.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new(
        "tls.cost",
        Kind::Object,
        "What the run took: received_bytes, sent_bytes, cpu_seconds.",
    )
    .volatile(),
];
