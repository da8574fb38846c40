//! Real peers: one nginx that answers for any number of https targets, and daemons to measure.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::{Datelike as _, TimeDelta};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use secchi::schedule::{Clock as _, SystemClock};
use tokio::time::Instant;

/// A child that is killed when the bench ends, however it ends.
pub struct Process(Child);

impl Process {
    /// Starts it, with its output in a file of the folder.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let log = std::fs::File::create(folder.join(format!("{name}.log"))).expect("a log file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        Self(command.spawn().unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The daemon under test, with its config and data in the folder.
pub fn secchi(folder: &Path, port: u16) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secchi"));
    command.env_remove("SECCHI_CONFIG").env("RUST_LOG", "warn").arg("run");
    command.arg("--config").arg(folder.join("secchi.yaml"));
    command.arg("--data-dir").arg(folder.join("data"));
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    Process::start("secchi", &mut command, folder)
}

/// Asks every 10 ms until the path answers 200; how long that took.
pub fn wait_for(process: &mut Process, port: u16, path: &str, patience: Duration) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        assert!(!process.has_ended(), "it ended; see its log");
        if super::get(port, path).is_some_and(|(status, ..)| status == 200) {
            return begun.elapsed();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no answer on {path} within {patience:?}");
}

/// Loopback addresses that nginx listens on. One connection at a time to an address is the rule, so
/// a fleet needs many.
pub const ADDRESSES: usize = 1000;

/// The address that target `n` has.
pub fn address(n: usize) -> String {
    let n = n % ADDRESSES;
    format!("127.0.{}.{}", n / 250, n % 250 + 1)
}

/// nginx with a certificate for `*.fleet.test` of a CA of its own (`ca.pem`); plain HTTP on the next
/// port of 127.0.0.1.
pub fn nginx(folder: &Path, port: u16) -> Process {
    certificate(folder);
    let mut listens = String::new();
    for n in 0..ADDRESSES {
        let _ = writeln!(listens, "listen {}:{port} ssl http2;", address(n));
    }
    let dir = folder.display();
    let config = format!(
        "worker_processes 1; pid {dir}/nginx.pid;\nevents {{ worker_connections 4096; }}\nhttp {{\n\
         access_log off; server_tokens off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;\n\
         fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
         ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets off; ssl_prefer_server_ciphers on;\n\
         ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305;\n\
         server {{ {listens} server_name *.fleet.test;\n\
         ssl_certificate {dir}/leaf.pem; ssl_certificate_key {dir}/leaf.key;\n\
         add_header Strict-Transport-Security 'max-age=63072000; includeSubDomains' always;\n\
         add_header Content-Security-Policy \"default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'\" always;\n\
         add_header X-Content-Type-Options nosniff always;\n\
         add_header X-Frame-Options DENY always;\n\
         add_header Referrer-Policy strict-origin-when-cross-origin always;\n\
         add_header Set-Cookie 'session=0123456789abcdef; Secure; HttpOnly; SameSite=Lax; Path=/' always;\n\
         default_type text/html; location / {{ return 200 '<!doctype html><title>ok</title><p>ok</p>'; }} }}\n\
         server {{ listen 127.0.0.1:{}; default_type text/html;\n\
         location / {{ return 200 '<!doctype html><title>ok</title><p>ok</p>'; }} }} }}\n",
        port + 1
    );
    std::fs::write(folder.join("nginx.conf"), config).expect("a config");
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(folder);
    command.args(["-e", "nginx-error.log", "-g", "daemon off; master_process off;"]);
    let process = Process::start("nginx", &mut command, folder);
    let begun = Instant::now();
    let address = ([127, 0, 0, 1], port).into();
    let patience = Duration::from_secs(5);
    while std::net::TcpStream::connect_timeout(&address, patience).is_err() {
        assert!(begun.elapsed() < patience, "nginx does not listen; see its log");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

fn certificate(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Bench CA");
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a certificate");
    std::fs::write(folder.join("ca.pem"), ca.pem()).expect("a file");
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["*.fleet.test".to_owned()]).expect("params");
    params.distinguished_name.push(DnType::CommonName, "fleet.test");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = |from_now| {
        let day = SystemClock.now() + TimeDelta::days(from_now);
        date_time_ymd(day.year(), day.month() as u8, day.day() as u8)
    };
    (params.not_before, params.not_after) = (day(-10), day(80));
    let key = KeyPair::generate().expect("a key");
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    std::fs::write(folder.join("leaf.pem"), leaf.pem()).expect("a file");
    std::fs::write(folder.join("leaf.key"), key.serialize_pem()).expect("a file");
}
