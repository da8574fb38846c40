//! Against the real Alertmanager (Debian: prometheus-alertmanager), killed in the middle.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fakes::*;
use crate::alert::{Timing, run};
use crate::sample::Severity;

const BINARY: &str = "/usr/bin/prometheus-alertmanager";

struct Alertmanager(Child);

impl Alertmanager {
    fn start(folder: &Path, port: u16) -> Self {
        let child = Command::new(BINARY)
            .arg(format!("--config.file={}", folder.join("am.yml").display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the Alertmanager starts");
        Self(child)
    }
}

/// kill -9: nothing is saved.
impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hook_statuses(hook: &Fake) -> Vec<String> {
    let bodies = lock(&hook.bodies);
    let mut statuses: Vec<_> =
        bodies.iter().map(|(_, body)| body["status"].as_str().unwrap_or_default().into()).collect();
    statuses.dedup();
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_alertmanager_killed_before_the_resolve_still_closes_the_page() {
    assert!(Path::new(BINARY).exists(), "install Debian's prometheus-alertmanager");
    let folder = tempfile::tempdir().expect("a folder");
    let hook = Fake::start(None).await;
    let config = format!(
        "route: {{receiver: hook, group_wait: 1s, group_interval: 1s, group_by: [target]}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{}/hook'}}]}}]\n",
        hook.port
    );
    std::fs::write(folder.path().join("am.yml"), config).expect("written");
    let port = listen(None).await.local_addr().expect("an address").port();
    let peer = Alertmanager::start(folder.path(), port);

    // The peer compares endsAt with its own clock, so this test runs on the real one.
    #[allow(clippy::disallowed_methods)]
    let clock = Clock { epoch: chrono::Utc::now(), started: Instant::now() };
    let outbox = MemoryOutbox::new(&["am"], clock);
    let timing = Timing {
        resend: TimeDelta::seconds(2),
        min_firing: TimeDelta::seconds(3),
        status_interval: TimeDelta::milliseconds(500),
        backoff_min: TimeDelta::milliseconds(100),
        backoff_max: TimeDelta::milliseconds(500),
        ..Timing::default()
    };
    let delivery = delivery(&outbox, timing);
    let metrics = Arc::clone(&delivery.metrics);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(run(vec![alertmanager("am", port)], delivery, shutdown.clone()));

    let firing = alert("a", Severity::High, clock.now());
    outbox.set(&firing);
    eventually("it is paged", || hook_statuses(&hook) == ["firing"]).await;

    drop(peer);
    outbox.set(&resolved(&firing, clock.now()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let peer = Alertmanager::start(folder.path(), port);
    eventually("the page is closed", || {
        hook_statuses(&hook).last().is_some_and(|status| status == "resolved")
    })
    .await;
    assert!(metrics.receiver_restarts.with_label_values(&["am"]).get() >= 1);

    // Killed again after it accepted the resolve: it is told once more, and closes once more.
    let count = lock(&hook.bodies).len();
    drop(peer);
    let peer = Alertmanager::start(folder.path(), port);
    eventually("the page is closed again", || {
        lock(&hook.bodies).len() > count
            && hook_statuses(&hook).last().is_some_and(|status| status == "resolved")
    })
    .await;
    shutdown.cancel();
    task.await.expect("ends").expect("the receiver can be used");
    drop(peer);
}
