//! Mail policy, CAA and pointers against a scripted internet.

use serde_json::{Value, json};

use super::lab::{Lab, Script, Way};
use super::tests::{asked, fact};

const ROOT: &str = ". 60 SOA 1
    . 60 NS a.root.test
    a.root.test 60 A 127.0.0.1
    test 60 NS ns.tld.test
    ns.tld.test 60 A 127.0.0.2
    io 60 NS ns.tld.test";

const TLD: &str = "test 60 SOA 1
    test 60 NS ns.tld.test
    ns.tld.test 60 A 127.0.0.2
    shop.test 60 NS ns.shop.test
    ns.shop.test 60 A 127.0.0.3
    cdn.test 60 NS ns.cdn.test
    ns.cdn.test 60 A 127.0.0.5
    lost.test 60 NS ns.never-sold.test
    mute.test 60 NS ns.mute.test
    ns.mute.test 60 A 127.0.0.9";

const IO: &str = "io 60 SOA 1
    github.io 60 NS ns.cdn.test";

const CDN: &str = "cdn.test 60 SOA 1
    cdn.test 60 NS ns.cdn.test
    ns.cdn.test 60 A 127.0.0.5
    edge.cdn.test 60 A 198.51.100.7
    alias.cdn.test 60 CNAME gone.cdn.test
    _spf.cdn.test 60 TXT v=spf1 a:edge.cdn.test -all";

const GITHUB: &str = "github.io 60 SOA 1
    team.github.io 60 A 198.51.100.9";

const SHOP: &str = "shop.test 300 SOA 7
    shop.test 300 NS ns.shop.test
    ns.shop.test 300 A 127.0.0.3
    shop.test 300 A 192.0.2.1
    shop.test 300 CAA 0 issue \"ca.test\"
    shop.test 300 MX 10 mail.shop.test
    shop.test 300 MX 20 gone.shop.test
    shop.test 300 MX 30 alias.shop.test
    mail.shop.test 300 A 192.0.2.25
    alias.shop.test 300 CNAME mail.shop.test
    _dmarc.shop.test 300 TXT v=DMARC1; p=reject; sp=none
    _mta-sts.shop.test 300 TXT v=STSv1; id=1;
    _smtp._tls.shop.test 300 TXT v=TLSRPTv1
    s1._domainkey.shop.test 300 TXT v=DKIM1; p=
    own._domainkey.shop.test 300 TXT v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
    sold.shop.test 300 CNAME www.never-sold.test
    unserved.shop.test 300 CNAME www.lost.test
    mute.shop.test 300 CNAME www.mute.test
    broken.shop.test 300 CNAME nothing.shop.test
    foreign.shop.test 300 CNAME gone.cdn.test
    fine.shop.test 300 CNAME edge.cdn.test
    service.shop.test 300 CNAME old.github.io";

async fn internet(spf: &str) -> Lab {
    let shop = format!("{SHOP}\n{spf}");
    Lab::start(vec![
        (1, Script::of(&[(".", ROOT)])),
        (2, Script::of(&[("test", TLD), ("io", IO)])),
        (3, Script::of(&[("shop.test", &shop)])),
        (5, Script::of(&[("cdn.test", CDN), ("github.io", GITHUB)])),
        (9, Script::of(&[("mute.test", "mute.test 60 SOA 1")]).way(Way::Mute)),
    ])
    .await
}

async fn spf(records: &str) -> Value {
    let lab = internet(records).await;
    let m = asked(&lab).facts("shop.test").await;
    fact(&m, &["mail", "spf"]).clone()
}

#[tokio::test]
async fn spf_is_followed_and_counted_as_receivers_do() {
    let found = spf("shop.test 1 TXT v=spf1 include:_spf.cdn.test mx a:void.shop.test ~all").await;
    let wanted = json!({
        "records": 1, "lookups": 4, "void_lookups": 1, "all": "~", "errors": [],
    });
    assert_eq!(found, wanted);

    let many: Vec<String> = (0..12).map(|at| format!("a:v{at}.shop.test")).collect();
    let found = spf(&format!("shop.test 1 TXT v=spf1 {} -all", many.join(" "))).await;
    assert_eq!((&found["lookups"], &found["void_lookups"]), (&json!(12), &json!(12)));
    assert_eq!(found["errors"], json!(["too_many_lookups", "too_many_void_lookups"]));

    let looped = "shop.test 1 TXT v=spf1 include:b.shop.test -all
        b.shop.test 1 TXT v=spf1 redirect=shop.test";
    let found = spf(looped).await;
    assert_eq!((&found["errors"], &found["lookups"]), (&json!(["loop"]), &json!(2)));

    let found = spf("shop.test 1 TXT v=spf1 include:mail.shop.test -all").await;
    assert_eq!((&found["errors"], &found["void_lookups"]), (&json!(["missing_record"]), &json!(1)));
    let two = "shop.test 1 TXT v=spf1 -all\nshop.test 1 TXT v=spf1 +all";
    assert_eq!(spf(two).await["errors"], json!(["multiple_records"]));
}

#[tokio::test]
async fn what_an_unreached_server_keeps_from_spf_is_unknown_and_no_void() {
    let lab = internet("shop.test 1 TXT v=spf1 include:www.mute.test -all").await;
    let m = asked(&lab).facts("shop.test").await;
    let found = fact(&m, &["mail", "spf"]);
    assert_eq!((&found["lookups"], &found["void_lookups"]), (&json!(1), &json!(0)));
    assert!(m.unknowns().contains_key("mail.spf.lookups"), "{:?}", m.unknowns());
}

#[tokio::test]
async fn mail_records_are_told_with_what_is_wrong() {
    let lab = internet("").await;
    let pins = json!({"own._domainkey.shop.test": {"TXT": {"agree": true}}});
    let m = asked(&lab).pins(pins).facts("shop.test").await;
    let mail = |path: &[&'static str]| fact(&m, &[&["mail"], path].concat()).clone();
    assert_eq!(mail(&["null_mx"]), false);
    for (exchange, problem) in
        [("mail.shop.test", "none"), ("gone.shop.test", "nxdomain"), ("alias.shop.test", "cname")]
    {
        assert_eq!(mail(&["mx", exchange, "problem"]), problem, "{exchange}");
    }
    assert_eq!(mail(&["dmarc", "policy"]), "reject");
    assert_eq!(mail(&["dkim", "s1", "errors"]), json!(["revoked"]));
    assert_eq!(mail(&["dkim", "own", "key_bits"]), 256);
    let mta_sts = mail(&["mta_sts"]);
    assert_eq!((&mta_sts["records"], &mta_sts["id"]), (&json!(1), &json!("1")));
    assert_eq!(mta_sts["errors"], json!([]));
    assert_eq!(mta_sts["policy"]["errors"], json!(["no_address"]));
    assert_eq!(mail(&["tls_rpt", "errors"]), json!(["syntax"]));
    let m = asked(&lab).facts("fine.shop.test").await;
    let dmarc = fact(&m, &["mail", "dmarc"]);
    assert_eq!(dmarc["policy"], "none", "a name below is held to `sp`: {dmarc}");
    assert_eq!(dmarc["found_at"], "shop.test");
    let caa = fact(&m, &["caa"]);
    assert_eq!((&caa["found_at"], &caa["issue"]), (&json!("shop.test"), &json!(["ca.test"])));
}

#[tokio::test]
async fn pointers_are_ranked_by_what_is_proven() {
    let lab = internet("").await;
    for (name, risk) in [
        ("sold.shop.test", "takeover"),
        ("unserved.shop.test", "takeover"),
        ("broken.shop.test", "broken"),
        ("foreign.shop.test", "unproven"),
        ("service.shop.test", "unproven"),
    ] {
        let m = asked(&lab).facts(name).await;
        let found = fact(&m, &["dangling", name]);
        assert_eq!((&found["type"], &found["risk"]), (&json!("CNAME"), &json!(risk)), "{name}");
    }
    let m = asked(&lab).facts("fine.shop.test").await;
    assert_eq!(fact(&m, &["dangling"]), &json!({}));
    let m = asked(&lab).facts("mute.shop.test").await;
    assert_eq!(fact(&m, &["dangling"]), &json!({}), "silence proves nothing");
    assert!(m.unknowns().keys().any(|path| path.contains("dangling[mute.shop.test]")));
    let m = asked(&lab).facts("shop.test").await;
    let found = fact(&m, &["dangling", "shop.test"]);
    assert_eq!(found, &json!({"type": "MX", "target": "gone.shop.test", "risk": "broken"}));
}
