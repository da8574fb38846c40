//! Diffie-Hellman primes that many servers share. Who breaks one of 1024 bits reads the traffic of all
//! of them (Logjam, CVE-2015-4000), so it matters which one it is.

use aws_lc_rs::digest::{SHA256, digest};

/// What a prime is told by: the first half of the SHA-256 of its bytes, without leading noughts.
pub(super) type Mark = [u8; 16];

/// The mark of a prime as the wire has it.
pub(super) fn mark(prime: &[u8]) -> Mark {
    let leading = prime.iter().take_while(|&&byte| byte == 0).count();
    let mut mark = Mark::default();
    mark.copy_from_slice(&digest(&SHA256, &prime[leading..]).as_ref()[..16]);
    mark
}

/// The name of a prime of an RFC; any other has its mark for a name.
pub(super) fn name(mark: Mark) -> String {
    let mark = u128::from_be_bytes(mark);
    match KNOWN.iter().find(|(known, _)| *known == mark) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("sha256:{mark:032x}"),
    }
}

/// RFC 2409 §6.1 and §6.2 and RFC 3526 by their formulas, RFC 5114 §2 as OpenSSL's `dh_rfc5114` has
/// them, RFC 7919 appendix A.
const KNOWN: [(u128, &str); 16] = [
    (0xb52b_a6a3_0265_20a6_c49d_37e4_5876_0180, "modp768"),
    (0x3f35_a3f5_f6c4_376a_744a_cad4_09bb_22f8, "modp1024"),
    (0x64fc_c83e_c403_930b_f183_93db_c883_ccaa, "modp1536"),
    (0xd664_36f7_9bbd_6b2e_38c0_ffbd_079b_e904, "modp2048"),
    (0x48cf_8b09_2fbc_e435_9d98_71ab_f74f_98e2, "modp3072"),
    (0x4ee9_5187_682b_cb23_0ad2_6a95_205f_6920, "modp4096"),
    (0xd1bf_e6d0_925c_e7e4_da26_2b62_8615_14a7, "modp6144"),
    (0x39ab_4fea_b950_a312_8fb7_1acc_b9fc_3965, "modp8192"),
    (0x44c5_5cfe_e5c0_7592_7cf6_82da_5b68_1bde, "rfc5114-1024-160"),
    (0xbfe5_4586_2ca1_02ad_1eed_db5f_bfa5_bf85, "rfc5114-2048-224"),
    (0x0b78_3572_2cb6_1982_7610_c254_9fdd_a558, "rfc5114-2048-256"),
    (0x9cd3_b7f3_3687_2f46_c094_28d1_bbc1_9877, "ffdhe2048"),
    (0x0eaf_67db_3a83_9156_d501_3494_a531_8a77, "ffdhe3072"),
    (0x4648_4142_24ac_881b_3d0d_c59b_466f_96d0, "ffdhe4096"),
    (0x227a_c906_6b3d_dd9e_1936_70cd_a238_8fa8, "ffdhe6144"),
    (0x770b_14ef_af6f_0499_29c5_2311_3b3f_a99a, "ffdhe8192"),
];

#[cfg(test)]
mod tests {
    use std::process::Command;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// The first number in the parameters that OpenSSL has of this name.
    fn prime(algorithm: &str, option: &str) -> Vec<u8> {
        let made = Command::new("openssl")
            .args(["genpkey", "-genparam", "-algorithm", algorithm, "-pkeyopt", option])
            .output()
            .expect("openssl");
        let text = String::from_utf8(made.stdout).expect("PEM");
        let lines = text.lines().filter(|line| !line.starts_with('-'));
        let der = STANDARD.decode(lines.collect::<String>()).expect("base64");
        let content = |der: &[u8]| -> Vec<u8> {
            let long = usize::from(der[1]);
            let (at, length) = match long {
                0x81 => (3, usize::from(der[2])),
                0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
                short => (2, short),
            };
            der[at..at + length].to_vec()
        };
        content(&content(&der))
    }

    #[test]
    fn primes_are_named_as_openssl_has_them() {
        for (option, expected) in [
            ("dh_rfc5114:1", "rfc5114-1024-160"),
            ("dh_rfc5114:2", "rfc5114-2048-224"),
            ("dh_rfc5114:3", "rfc5114-2048-256"),
        ] {
            assert_eq!(name(mark(&prime("DHX", option))), expected);
        }
        assert_eq!(name(mark(&[0, 0, 7])), name(mark(&[7])));
        assert!(name(mark(&[7])).starts_with("sha256:"));
    }
}
