//! The one table of routes: access control, metrics and the OpenAPI description read it. What is
//! not in it is not served.

use super::access::{Access, Right};

/// One operation.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// As the router matches it.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) summary: &'static str,
    /// Query parameters: name and meaning.
    pub(super) query: &'static [(&'static str, &'static str)],
}

/// What the operation needs, if there is one.
pub(super) fn access(method: &str, path: &str) -> Option<Access> {
    let method = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().find(|route| route.method == method && route.path == path).map(|r| r.access)
}

const fn get(
    path: &'static str,
    access: Access,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
) -> Route {
    Route { method: "GET", path, access, summary, query }
}

const fn post(path: &'static str, right: Right, summary: &'static str) -> Route {
    Route { method: "POST", path, access: Access::Write(right), summary, query: &[] }
}

const LIMIT: (&str, &str) = ("limit", "At most so many; 1000 unless told, 10000 at most.");
const AFTER: (&str, &str) = ("after", "The `next` of the page before.");
const TARGET: (&str, &str) = ("target", "Only this target.");
const PROBE: (&str, &str) = ("probe", "Only this probe: tls, http, ports or dns.");
const FILTER: &[(&str, &str)] = &[
    ("state", "Comma list of suspected, confirmed, excepted, resolved, withdrawn, or `open`."),
    TARGET,
    ("rule", "Only this rule."),
    ("severity", "This severity or worse."),
    LIMIT,
    AFTER,
];

pub(super) const ROUTES: &[Route] = &[
    get("/", Access::Read, "Start page: findings for people.", FILTER),
    get("/-/healthy", Access::Health, "200 while the process serves.", &[]),
    get("/-/ready", Access::Health, "200 once config, ledger and listener stand, else 503.", &[]),
    post("/-/reload", Right::Reload, "Load the config again."),
    Route {
        method: "PUT",
        path: "/-/reload",
        access: Access::Write(Right::Reload),
        summary: "The same.",
        query: &[],
    },
    get("/metrics", Access::Metrics, "Secchi's own metrics, Prometheus text format 0.0.4.", &[]),
    get(
        "/metrics/targets",
        Access::Read,
        "Metrics of every sampling point, streamed.",
        &[("mode", "all, or failing (the default above 10,000 points).")],
    ),
    get(
        "/probe",
        Access::Read,
        "One target in blackbox_exporter's dialect; configured targets only.",
        &[
            ("target", "The target's name."),
            ("module", "tls, http, ports or dns, or a name that begins so; every probe without."),
            ("debug", "`true`: samples and metrics as text."),
        ],
    ),
    get(
        "/api/v1/baselines",
        Access::Read,
        "Accepted baselines; of one target, with what departs from it now.",
        &[TARGET, LIMIT, AFTER],
    ),
    post("/api/v1/baselines", Right::Baseline, "Accept what a target shows now."),
    get("/api/v1/deployments", Access::Read, "Marked deployments.", &[LIMIT, AFTER]),
    post("/api/v1/deployments", Right::Deploy, "Mark a deployment."),
    get(
        "/api/v1/evidence",
        Access::Read,
        "What the scheduled samples of a window prove, by sampling point and rule.",
        &[
            TARGET,
            PROBE,
            ("rule", "Only this rule."),
            (
                "window",
                "How far back: 30d unless told, from 1d to 10y; whole days (UTC), or weeks.",
            ),
            ("confidence", "How sure the bound must be: 95% unless told."),
            LIMIT,
            AFTER,
        ],
    ),
    get("/api/v1/exceptions", Access::Read, "Accepted risks.", &[LIMIT, AFTER]),
    post("/api/v1/exceptions", Right::Exception, "Accept a risk until a day."),
    get("/api/v1/findings", Access::Read, "Findings by id.", FILTER),
    get("/api/v1/findings/{id}", Access::Read, "One finding.", &[]),
    get("/api/v1/openapi.json", Access::Read, "This description.", &[]),
    get(
        "/api/v1/samples",
        Access::Read,
        "Samples of a target, latest first.",
        &[("target", "The target; needed."), PROBE, LIMIT, AFTER],
    ),
    post("/api/v1/samples", Right::Sample, "Sample a target now."),
    get("/api/v1/status", Access::Read, "The daemon's state.", &[]),
    get("/api/v1/targets", Access::Read, "Sampling points.", &[TARGET, PROBE, LIMIT, AFTER]),
    get(
        "/api/v1/targets/explain",
        Access::Read,
        "Effective settings and next due times of one target.",
        &[("target", "The target; needed.")],
    ),
];
