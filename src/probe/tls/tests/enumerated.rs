//! Enumerations of real servers, over ways that limit hellos, mix servers or change them.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::sample::Measurements;
use crate::testing::{Pki, scripted};

use super::peers::OpenSsl;
use super::ways::Way;
use super::{Ask, fact, why};

const SUITES: &str = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA";

pub(super) async fn server(pki: &Pki, arguments: &[&str]) -> OpenSsl {
    let leaf = pki.leaf(&["a.test"], true);
    OpenSsl::start(&[&leaf], "", &[&["-cipher", SUITES], arguments].concat()).await
}

pub(super) fn names(value: &Value) -> Vec<String> {
    let mut names: Vec<String> = serde_json::from_value(value.clone()).expect("names");
    names.sort();
    names
}

fn assert_whole(m: &Measurements, how: &str) {
    assert_eq!(
        names(&fact(m, "/cipher_suites/TLSv1.2")),
        [
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_RSA_WITH_AES_128_CBC_SHA"
        ],
        "{how}"
    );
    for path in ["cipher_suites", "cipher_suites[TLSv1.2]", "groups[TLSv1.2]", "versions[TLSv1.1]"]
    {
        assert_eq!(why(m, path), None, "{how}");
    }
}

#[tokio::test]
async fn sets_and_orders_are_the_servers() {
    let pki = Pki::new();
    let clients = server(&pki, &[]).await;
    let m = Ask::default().measure(clients.port).await;
    assert_whole(&m, "client's order");
    assert_eq!(fact(&m, "/server_order"), json!({"TLSv1.2": false, "TLSv1.3": false}));
    let own = server(&pki, &["-serverpref", "-groups", "P-384:X25519"]).await;
    let m = Ask::default().measure(own.port).await;
    assert_whole(&m, "server's order");
    assert_eq!(fact(&m, "/server_order"), json!({"TLSv1.2": true, "TLSv1.3": true}));
    let first = fact(&m, "/cipher_suites/TLSv1.2/0");
    assert_eq!(first, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    assert_eq!(names(&fact(&m, "/groups/TLSv1.3")), ["secp384r1", "x25519"]);
    assert_eq!(fact(&m, "/intolerances"), json!([]));
}

#[tokio::test]
async fn hellos_shrink_for_peers_that_reset_long_ones() {
    let pki = Pki::new();
    let backend = server(&pki, &[]).await;
    for (longest, name) in [(512, "long_hello"), (700, "long_hello")] {
        let to = backend.port;
        let port = scripted(move |_, mut stream| async move {
            let mut hello = vec![0; 5];
            if stream.read_exact(&mut hello).await.is_err() {
                return;
            }
            let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            if hello[0] == 22 && length + 5 > longest {
                return;
            }
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", to)).await else { return };
            let _ = to.write_all(&hello).await;
            let _ = copy_bidirectional(&mut stream, &mut to).await;
        })
        .await;
        let m = Ask::default().measure(port).await;
        assert_whole(&m, &format!("{longest} bytes"));
        assert_eq!(fact(&m, "/intolerances/0"), name, "{longest} bytes");
    }
}

#[tokio::test]
async fn two_unlike_servers_behind_one_address_are_never_taken_for_one() {
    let pki = Pki::new();
    let (one, two) = (server(&pki, &[]).await, server(&pki, &["-tls1_2"]).await);
    let ports = [one.port, two.port];
    let port = scripted(move |number, mut stream| async move {
        let Ok(mut to) = TcpStream::connect(("127.0.0.1", ports[number % 2])).await else { return };
        let _ = copy_bidirectional(&mut stream, &mut to).await;
    })
    .await;
    let m = Ask::default().measure(port).await;
    assert!(fact(&m, "/configurations").as_u64() > Some(1));
    assert_eq!(why(&m, "cipher_suites[TLSv1.2]").as_deref(), Some("inconsistent"));
}

/// What is called whole is whole, and what is offered is not called absent.
fn assert_nothing_false(m: &Measurements, how: &str) {
    let offered = names(&fact(m, "/versions"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let is_unknown = ["versions".to_owned(), format!("versions[{version}]")]
            .iter()
            .any(|path| why(m, path).is_some());
        let is_offered = offered.iter().any(|name| name == version);
        assert!(is_offered || is_unknown, "{version} is called absent: {how}");
    }
    let paths = ["cipher_suites", "cipher_suites[TLSv1.2]", "versions[TLSv1.2]"];
    if paths.into_iter().all(|path| why(m, path).is_none()) {
        assert_eq!(fact(m, "/cipher_suites/TLSv1.2").as_array().map(Vec::len), Some(3), "{how}");
    }
}

#[tokio::test]
async fn a_limit_of_connections_a_second_hides_nothing() {
    let pki = Pki::new();
    let backend = server(&pki, &[]).await;
    for most in [3, 8] {
        let m = Ask::default().measure(Way::Rate(most).to(backend.port).await).await;
        assert_nothing_false(&m, &format!("{most} in 200 ms"));
    }
}

#[tokio::test]
async fn a_peer_that_serves_one_at_a_time_is_known_whole() {
    let pki = Pki::new();
    let backend = server(&pki, &[]).await;
    let m = Ask::default().measure(Way::OneAtATime.to(backend.port).await).await;
    assert_nothing_false(&m, "one at a time");
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2", "TLSv1.3"]));
}

#[tokio::test]
async fn a_peer_that_resets_hellos_of_many_suites_is_known_whole() {
    let pki = Pki::new();
    let backend = server(&pki, &[]).await;
    let to = backend.port;
    let port = scripted(move |_, mut stream| async move {
        let mut start = vec![0; 5];
        if stream.read_exact(&mut start).await.is_err() {
            return;
        }
        if start[0] == 22 {
            // Up to the length of the session id, then up to that of the suites.
            start.resize(44, 0);
            let _ = stream.read_exact(&mut start[5..]).await;
            start.resize(46 + usize::from(start[43]), 0);
            let _ = stream.read_exact(&mut start[44..]).await;
            let [.., high, low] = start[..] else { return };
            if u16::from_be_bytes([high, low]) > 2 * 64 {
                // What is left unread makes it a reset.
                return;
            }
        }
        let Ok(mut to) = TcpStream::connect(("127.0.0.1", to)).await else { return };
        let _ = to.write_all(&start).await;
        let _ = copy_bidirectional(&mut stream, &mut to).await;
    })
    .await;
    let m = Ask::default().measure(port).await;
    assert_whole(&m, "64 suites");
    assert_eq!(fact(&m, "/intolerances/0"), "many_suites");
}

#[tokio::test]
async fn answers_that_dribble_or_come_in_split_records_are_read_whole() {
    let pki = Pki::new();
    let backend = server(&pki, &[]).await;
    for way in [Way::Dribble, Way::Split] {
        let m = Ask::default().measure(way.to(backend.port).await).await;
        assert_whole(&m, &format!("{way:?}"));
        assert_eq!(fact(&m, "/negotiated/version"), "TLSv1.3");
    }
}
