//! Real servers from Debian's packages, each on free ports and in a folder of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Process, eventually, free_port, http};

/// Whether the reader of the tests chose to skip a peer by name (`SECCHI_SKIP_PEERS="nginx-light"`).
pub fn is_skipped(package: &str) -> bool {
    let skipped = std::env::var("SECCHI_SKIP_PEERS").unwrap_or_default();
    let skip = skipped.split_whitespace().any(|name| name == package);
    if skip {
        eprintln!("skipped: SECCHI_SKIP_PEERS names {package}");
    }
    skip
}

/// nginx with one https server and one plain one that redirects to it.
pub struct Nginx {
    _process: Process,
    /// The port of https.
    pub https: u16,
    /// The port of http.
    pub http: u16,
}

impl Nginx {
    /// Starts it with `lines` inside the https server's block.
    pub fn start(folder: &Path, certificate: &Path, key: &Path, lines: &str) -> Self {
        let (https, plain) = (free_port(), free_port());
        let servers = format!(
            "server {{ listen 127.0.0.1:{https} ssl http2; ssl_certificate {}; ssl_certificate_key {};\n\
             {lines}\nlocation / {{ return 200 'ok'; }} }}\n\
             server {{ listen 127.0.0.1:{plain}; return 301 https://$host$request_uri; }}\n",
            certificate.display(),
            key.display(),
        );
        let process = nginx(folder, &servers);
        eventually("nginx", Duration::from_secs(10), || http("GET", plain, "/", &[], ""));
        Self { _process: process, https, http: plain }
    }
}

/// nginx with these `server` blocks. One process, so that nothing of it outlives its end.
pub fn nginx(folder: &Path, servers: &str) -> Process {
    let config = folder.join("nginx.conf");
    let text = format!(
        "master_process off; pid {0}/nginx.pid;\nevents {{ worker_connections 512; }}\nhttp {{\n\
         access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p;\n\
         fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n{servers}}}\n",
        folder.display(),
    );
    std::fs::write(&config, text).expect("a config");
    let mut command = Command::new(find("nginx"));
    command.arg("-c").arg(&config).arg("-p").arg(folder);
    command.args(["-e", "nginx-error.log", "-g", "daemon off;"]);
    Process::start("nginx", &mut command, folder)
}

/// `openssl s_server` with further arguments.
pub fn s_server(
    folder: &Path,
    certificate: &Path,
    key: &Path,
    arguments: &[&str],
) -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")]);
    command.arg("-cert").arg(certificate).arg("-key").arg(key).args(arguments);
    let process = Process::start("s_server", &mut command, folder);
    wait_port(port);
    (process, port)
}

/// Prometheus with a config file of the test's.
pub fn prometheus(folder: &Path, config: &str) -> (Process, u16) {
    let port = free_port();
    std::fs::write(folder.join("prometheus.yml"), config).expect("a config");
    let mut command = Command::new(find("prometheus"));
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let process = Process::start("prometheus", &mut command, folder);
    eventually("prometheus", Duration::from_secs(30), || {
        http("GET", port, "/-/ready", &[], "").filter(|(status, _)| *status == 200)
    });
    (process, port)
}

/// Alertmanager with a config that sends everything to one webhook.
pub struct Alertmanager {
    /// The process.
    pub process: Process,
    /// Its port.
    pub port: u16,
    folder: std::path::PathBuf,
}

impl Alertmanager {
    /// Starts it; groups are told after 1 s.
    pub fn start(folder: &Path, webhook: &str) -> Self {
        let config = format!(
            "route: {{receiver: hook, group_by: [rule, target], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}\n\
             receivers:\n- name: hook\n  webhook_configs: [{{url: '{webhook}', send_resolved: true}}]\n"
        );
        std::fs::write(folder.join("alertmanager.yml"), config).expect("a config");
        let port = free_port();
        let process = Self::launch(folder, port);
        let alertmanager = Self { process, port, folder: folder.to_owned() };
        alertmanager.wait_ready();
        alertmanager
    }

    /// `kill -9`, and start again.
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        self.process = Self::launch(&self.folder, self.port);
        self.wait_ready();
    }

    fn launch(folder: &Path, port: u16) -> Process {
        let mut command = Command::new(find("prometheus-alertmanager"));
        command.arg(format!("--config.file={}", folder.join("alertmanager.yml").display()));
        command.arg(format!("--storage.path={}", folder.join("am-data").display()));
        command
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        Process::start("alertmanager", &mut command, folder)
    }

    fn wait_ready(&self) {
        eventually("alertmanager", Duration::from_secs(20), || {
            http("GET", self.port, "/-/ready", &[], "").filter(|(status, _)| *status == 200)
        });
    }
}

/// BIND with a config of the test's; `named.conf` is in the folder.
pub fn named(folder: &Path, config: &str) -> Process {
    std::fs::write(folder.join("named.conf"), config).expect("a config");
    let mut command = Command::new(find("named"));
    command.args(["-g", "-c"]).arg(folder.join("named.conf"));
    Process::start("named", &mut command, folder)
}

/// Waits until something listens.
pub fn wait_port(port: u16) {
    eventually(&format!("port {port}"), Duration::from_secs(10), || {
        #[expect(clippy::disallowed_methods, reason = "a test's client, not a probe")]
        let stream = std::net::TcpStream::connect(("127.0.0.1", port));
        stream.ok()
    });
}

/// A binary on the path or in /usr/sbin.
pub fn find(name: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/bin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; run tests/run, which installs it"))
}
