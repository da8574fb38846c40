//! Products that speak HTTP, and whether they gave access.

use super::identity::{Identity, Next, contains};
use super::questions::Words;

/// What an HTTP answer tells.
pub(super) fn recognise_http(words: Words, said: &[u8]) -> (Identity, Next) {
    let answer = Answer::of(said);
    let path = match words {
        Words::Http(path) => path,
        Words::EtcdRange => "/v3/kv/range",
        // It answered HTTP to something else: ask it in its own tongue.
        _ => return (Identity::new("http", "none"), Next::Ask(Words::Http("/"))),
    };
    let product = match path {
        "/" => front_door(&answer),
        "/version" => version(&answer),
        "/pods?limit=1" => pods(&answer),
        "/v3/kv/range" => etcd(&answer),
        _ => proof(path, &answer),
    };
    product.unwrap_or_else(|| plain(&answer))
}

/// A status and what follows it.
struct Answer<'a> {
    status: u16,
    head: Vec<u8>,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    fn of(said: &'a [u8]) -> Self {
        let status = said.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let end = said.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = match end {
            Some(end) => (&said[..end], &said[end + 4..]),
            None => (said, &said[said.len()..]),
        };
        Self {
            status: status.and_then(|digits| digits.parse().ok()).unwrap_or_default(),
            head: head.to_ascii_lowercase(),
            body,
        }
    }

    /// Whether a header line is there; lower case.
    fn heads(&self, words: &str) -> bool {
        contains(&self.head, words.as_bytes())
    }

    fn says(&self, words: &str) -> bool {
        contains(self.body, words.as_bytes())
    }

    fn is_refused(&self) -> bool {
        matches!(self.status, 401 | 403)
    }
}

type Known = Option<(Identity, Next)>;

fn done(service: &'static str, exposure: &'static str) -> Known {
    Some((Identity::new(service, exposure), Next::Done))
}

fn ask(service: &'static str, path: &'static str) -> Known {
    Some((Identity::new(service, "none"), Next::Ask(Words::Http(path))))
}

/// `GET /`.
fn front_door(answer: &Answer<'_>) -> Known {
    match answer.status {
        200 if answer.says("You Know, for Search") || answer.says("The OpenSearch Project") => {
            done("elasticsearch", "unauthenticated")
        }
        401 if answer.says("missing authentication credentials")
            || answer.heads("x-elastic-product")
            || answer.heads("realm=\"security\"") =>
        {
            done("elasticsearch", "auth")
        }
        200 if answer.says("\"couchdb\":\"Welcome\"") => ask("couchdb", "/_all_dbs?limit=1"),
        200 if answer.heads("x-clickhouse") || answer.body == b"Ok.\n" => {
            ask("clickhouse", "/?query=SELECT%201")
        }
        200 if answer.says("RabbitMQ Management") => ask("rabbitmq", "/api/whoami"),
        301 | 302 if answer.heads("location: /login") => ask("http", "/api/health"),
        200 if answer.says("<title>Grafana</title>") => ask("grafana", "/api/search?limit=1"),
        302 if PROMETHEUS.iter().any(|place| answer.heads(place)) => {
            ask("prometheus", "/api/v1/status/buildinfo")
        }
        301 if answer.heads("location: /ui/") => ask("http", "/v1/agent/self"),
        401 | 403 if is_kubernetes(answer) => ask("kubernetes", "/api/v1/namespaces?limit=1"),
        404 if answer.heads("docker-experimental") || answer.heads("server: docker/") => {
            ask("docker", "/version")
        }
        404 if answer.body.starts_with(b"404 page not found") => ask("http", "/version"),
        _ => None,
    }
}

fn is_kubernetes(answer: &Answer<'_>) -> bool {
    answer.says("\"kind\"") && answer.says("\"Status\"") && answer.says("\"apiVersion\"")
}

fn version(answer: &Answer<'_>) -> Known {
    match answer.status {
        200 if answer.says("\"ApiVersion\"") => done("docker", "unauthenticated"),
        200 if answer.says("\"etcdserver\"") => {
            Some((Identity::new("etcd", "none"), Next::Ask(Words::EtcdRange)))
        }
        200 if answer.says("\"gitVersion\"") => ask("kubernetes", "/api/v1/namespaces?limit=1"),
        401 | 403 if is_kubernetes(answer) => ask("kubernetes", "/api/v1/namespaces?limit=1"),
        // Go's own words for a path that it does not have: the kubelet has another one.
        404 if answer.body.starts_with(b"404 page not found") => ask("http", "/pods?limit=1"),
        401 if answer.body.trim_ascii() == b"Unauthorized" => ask("http", "/pods?limit=1"),
        _ => None,
    }
}

fn pods(answer: &Answer<'_>) -> Known {
    match answer.status {
        200 if answer.says("PodList") => done("kubelet", "unauthenticated"),
        401 if answer.body.trim_ascii() == b"Unauthorized" => done("kubelet", "auth"),
        403 if answer.says("Forbidden (user=") => done("kubelet", "auth"),
        _ => None,
    }
}

fn etcd(answer: &Answer<'_>) -> Known {
    match answer.status {
        200 if answer.says("\"header\"") && answer.says("\"revision\"") => {
            done("etcd", "unauthenticated")
        }
        400 | 401 | 403
            if answer.says("user name is empty") || answer.says("permission denied") =>
        {
            done("etcd", "auth")
        }
        404 => ask("http", "/version"),
        _ => None,
    }
}

/// Requests that were made to prove access.
fn proof(path: &str, answer: &Answer<'_>) -> Known {
    let refused = if answer.is_refused() { "auth" } else { "none" };
    let is_ok = answer.status == 200;
    let proven = |service, is_proven: bool| {
        done(service, if is_ok && is_proven { "unauthenticated" } else { refused })
    };
    match path {
        "/_all_dbs?limit=1" => proven("couchdb", answer.body.trim_ascii().starts_with(b"[")),
        "/?query=SELECT%201" => proven("clickhouse", answer.body.trim_ascii() == b"1"),
        "/api/whoami" => proven("rabbitmq", answer.says("\"name\"")),
        "/api/health" if is_ok && answer.says("\"database\"") && answer.says("\"version\"") => {
            // Its front door led to the login.
            done("grafana", "auth")
        }
        "/api/search?limit=1" => proven("grafana", answer.body.trim_ascii().starts_with(b"[")),
        "/api/v1/status/buildinfo" => proven("prometheus", answer.says("\"goVersion\"")),
        "/v1/agent/self" if is_ok && answer.says("\"Config\"") => done("consul", "unauthenticated"),
        "/v1/agent/self" if answer.is_refused() && answer.says("ermission denied") => {
            done("consul", "auth")
        }
        "/api/v1/namespaces?limit=1" if is_ok && answer.says("NamespaceList") => {
            done("kubernetes", "unauthenticated")
        }
        "/api/v1/namespaces?limit=1" if is_kubernetes(answer) => done("kubernetes", refused),
        _ => None,
    }
}

/// No product that we know.
fn plain(answer: &Answer<'_>) -> (Identity, Next) {
    let exposure = if answer.status == 401 { "auth" } else { "none" };
    (Identity::new("http", exposure), Next::Done)
}

/// Where Prometheus' front door leads: of version 2, of 3, and of Debian's.
const PROMETHEUS: [&str; 3] = ["location: /graph", "location: /query", "location: /classic/graph"];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        words: Words,
        status: u16,
        head: &str,
        body: &str,
    ) -> (&'static str, &'static str, Next) {
        let said = format!("HTTP/1.1 {status} X\r\nA: b\r\n{head}\r\n\r\n{body}")
            .replace("\r\n\r\n\r\n", "\r\n\r\n");
        let (identity, next) = recognise_http(words, said.as_bytes());
        (identity.service, identity.exposure, next)
    }

    #[test]
    fn products_are_known_by_their_front_door_and_then_asked_for_proof() {
        let search = r#"{"name":"n","version":{"number":"8.1"},"tagline":"You Know, for Search"}"#;
        let front = |status, head, body| told(Words::Http("/"), status, head, body);
        let done = |service, exposure| (service, exposure, Next::Done);
        assert_eq!(front(200, "", search), done("elasticsearch", "unauthenticated"));
        let denied =
            r#"{"error":{"reason":"missing authentication credentials for REST request [/]"}}"#;
        assert_eq!(front(401, "", denied), done("elasticsearch", "auth"));
        assert_eq!(front(200, "Server: nginx", "<html>"), done("http", "none"));
        assert_eq!(front(401, "WWW-Authenticate: Basic", ""), done("http", "auth"));
        for (status, head, body, path) in [
            (200, "Server: CouchDB/3.3", r#"{"couchdb":"Welcome"}"#, "/_all_dbs?limit=1"),
            (200, "X-ClickHouse-Summary: {}", "Ok.\n", "/?query=SELECT%201"),
            (302, "Location: /login", "", "/api/health"),
            (302, "Location: /graph", "", "/api/v1/status/buildinfo"),
            (302, "Location: /classic/graph", "", "/api/v1/status/buildinfo"),
            (301, "Location: /ui/", "", "/v1/agent/self"),
            (403, "", r#"{"kind":"Status","apiVersion":"v1"}"#, "/api/v1/namespaces?limit=1"),
            (404, "Docker-Experimental: false", "{}", "/version"),
            (404, "", "404 page not found\n", "/version"),
        ] {
            assert_eq!(front(status, head, body).2, Next::Ask(Words::Http(path)), "{path}");
        }
    }

    #[test]
    fn access_is_proven_by_a_complete_answer_and_refusal_by_a_refusal() {
        let forbidden = r#"{"kind":"Status","apiVersion":"v1","status":"Failure"}"#;
        for (path, status, body, service, exposure) in [
            ("/version", 200, r#"{"ApiVersion":"1.43"}"#, "docker", "unauthenticated"),
            ("/pods?limit=1", 200, r#"{"kind":"PodList"}"#, "kubelet", "unauthenticated"),
            ("/pods?limit=1", 401, "Unauthorized", "kubelet", "auth"),
            ("/pods?limit=1", 403, "Forbidden (user=system:anonymous, verb=get", "kubelet", "auth"),
            ("/_all_dbs?limit=1", 200, "[]\n", "couchdb", "unauthenticated"),
            ("/_all_dbs?limit=1", 401, r#"{"error":"unauthorized"}"#, "couchdb", "auth"),
            ("/?query=SELECT%201", 200, "1\n", "clickhouse", "unauthenticated"),
            ("/?query=SELECT%201", 403, "Code: 516. Authentication failed", "clickhouse", "auth"),
            ("/api/health", 200, r#"{"database":"ok","version":"10"}"#, "grafana", "auth"),
            ("/api/search?limit=1", 200, "[]", "grafana", "unauthenticated"),
            (
                "/api/v1/status/buildinfo",
                200,
                r#"{"status":"success","data":{"goVersion":"go1"}}"#,
                "prometheus",
                "unauthenticated",
            ),
            ("/v1/agent/self", 200, r#"{"Config":{}}"#, "consul", "unauthenticated"),
            ("/v1/agent/self", 403, "Permission denied: anonymous token", "consul", "auth"),
            (
                "/api/v1/namespaces?limit=1",
                200,
                r#"{"kind":"NamespaceList"}"#,
                "kubernetes",
                "unauthenticated",
            ),
            ("/api/v1/namespaces?limit=1", 403, forbidden, "kubernetes", "auth"),
        ] {
            let seen = told(Words::Http(path), status, "", body);
            assert_eq!(seen, (service, exposure, Next::Done), "{path} {status}");
        }
        let range = r#"{"header":{"cluster_id":"1","revision":"5"},"count":"1"}"#;
        let etcd = |status, body| told(Words::EtcdRange, status, "", body);
        assert_eq!(etcd(200, range), ("etcd", "unauthenticated", Next::Done));
        let empty = r#"{"error":"etcdserver: user name is empty"}"#;
        assert_eq!(etcd(400, empty), ("etcd", "auth", Next::Done));
    }
}
