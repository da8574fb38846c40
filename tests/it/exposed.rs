//! Servers of Debian's packages on the ports where they are at home: that one is exposed and that it
//! lets everyone in are two facts.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::net::{Net, THERE};
use crate::support::peers::{find, is_skipped};
use crate::support::{Process, check_json, eventually, free_port, http};

/// A server on the host, and what is to be said of it.
struct Peer {
    package: &'static str,
    program: &'static str,
    /// Separated by spaces; `DIR` is its own folder.
    args: &'static str,
    port: u16,
    service: &'static str,
    exposure: &'static str,
}

/// Of most, one that lets everyone in or talks to everyone, and one that asks who it is.
const PEERS: &[Peer] = &[
    Peer {
        package: "vsftpd",
        program: "vsftpd",
        args: "-olisten=YES -olisten_port=21 -obackground=NO -oanonymous_enable=YES \
               -orun_as_launching_user=YES -osecure_chroot_dir=DIR",
        port: 21,
        service: "ftp",
        exposure: "none",
    },
    Peer {
        package: "exim4-daemon-light",
        program: "exim4",
        args: "-bdf -oX 0.0.0.0.25",
        port: 25,
        service: "smtp",
        exposure: "none",
    },
    Peer {
        package: "dovecot-imapd",
        program: "dovecot",
        args: "-F -c DIR/config",
        port: 143,
        service: "imap",
        exposure: "none",
    },
    Peer {
        package: "slapd",
        program: "slapd",
        args: "-f DIR/config -h ldap://0.0.0.0:389 -d 0",
        port: 389,
        service: "ldap",
        exposure: "none",
    },
    Peer {
        package: "slapd",
        program: "slapd",
        args: "-f DIR/config -h ldap://0.0.0.0:3268 -d 0",
        port: 3268,
        service: "ldap",
        exposure: "auth",
    },
    Peer {
        package: "samba",
        program: "smbd",
        args: "-F --no-process-group -s DIR/config",
        port: 445,
        service: "smb",
        exposure: "auth",
    },
    Peer {
        package: "mariadb-server-core",
        program: "mariadbd",
        args: "--no-defaults --user=root --datadir=DIR --socket=DIR/socket --skip-grant-tables \
               --skip-networking=0 --port=3306 --skip-innodb --default-storage-engine=Aria",
        port: 3306,
        service: "mysql",
        exposure: "auth",
    },
    Peer {
        package: "etcd-server",
        program: "etcd",
        args: "--data-dir DIR/data --listen-client-urls http://0.0.0.0:2379 \
               --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380",
        port: 2379,
        service: "etcd",
        exposure: "unauthenticated",
    },
    Peer {
        package: "etcd-server",
        program: "etcd",
        args: "--data-dir DIR/data --listen-client-urls http://0.0.0.0:4001 \
               --advertise-client-urls http://127.0.0.1:4001 --listen-peer-urls http://127.0.0.1:2381",
        port: 4001,
        service: "etcd",
        exposure: "auth",
    },
    Peer {
        package: "tigervnc-standalone-server",
        program: "Xtigervnc",
        args: "DISPLAY -nolock -nolisten unix -listen local -SecurityTypes None -rfbport 5900",
        port: 5900,
        service: "vnc",
        exposure: "unauthenticated",
    },
    Peer {
        package: "tigervnc-standalone-server",
        program: "Xtigervnc",
        args: "DISPLAY -nolock -nolisten unix -listen local -SecurityTypes VncAuth -PasswordFile DIR/config -rfbport 5901",
        port: 5901,
        service: "vnc",
        exposure: "auth",
    },
    Peer {
        package: "prometheus",
        program: "prometheus",
        args: "--config.file=DIR/config --storage.tsdb.path=DIR/data --web.listen-address=0.0.0.0:9090",
        port: 9090,
        service: "prometheus",
        exposure: "unauthenticated",
    },
    Peer {
        package: "prometheus",
        program: "prometheus",
        args: "--config.file=DIR/config --storage.tsdb.path=DIR/data --web.listen-address=0.0.0.0:9091 \
               --web.config.file=DIR/web",
        port: 9091,
        service: "http",
        exposure: "auth",
    },
];

/// What a server wants to find in its folder.
fn furnish(peer: &Peer, folder: &Path) {
    let dir = folder.display();
    let put = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text.replace("DIR", &dir.to_string())).expect("a file");
    };
    match (peer.program, peer.port) {
        ("dovecot", _) => put("config", DOVECOT),
        ("slapd", 389) => put("config", SLAPD),
        ("slapd", _) => put("config", &format!("{SLAPD}require authc\ndisallow bind_anon\n")),
        ("smbd", _) => put("config", SAMBA),
        ("Xtigervnc", _) => put("config", "\x17Rk\x06#NX\x07"),
        ("prometheus", port) => {
            put("config", "scrape_configs: []\n");
            if port == 9091 {
                // `x` as bcrypt writes it.
                put(
                    "web",
                    "basic_auth_users: {x: $2y$10$EYxs8lOG46m9CtpB/XlPxO1ei7E4BjAen0SUv6di7mD4keR/8JO6m}\n",
                );
            }
        }
        _ => {}
    }
}

#[test]
fn that_a_server_is_exposed_and_that_it_lets_everyone_in_are_two_facts() {
    let Some(net) = Net::start("servers of Debian's packages") else { return };
    let folder = TempDir::new().expect("a folder");
    // Some give up root's rights.
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("permissions");
    let peers: Vec<&Peer> = PEERS.iter().filter(|peer| !is_skipped(peer.package)).collect();
    let start = |peer: &&Peer| {
        let name = format!("{}-{}", peer.program, peer.port);
        let home = folder.path().join(&name);
        std::fs::create_dir(&home).expect("a folder");
        furnish(peer, &home);
        if (peer.program, peer.exposure) == ("etcd", "auth") {
            lock_etcd(&home);
        }
        let display = format!(":{}", 100 + (std::process::id() + u32::from(peer.port)) % 50_000);
        let args = peer.args.replace("DIR", home.to_str().expect("text"));
        let args = args.replace("DISPLAY", &display);
        let args: Vec<&str> = args.split_whitespace().collect();
        net.serve(&name, &find(peer.program), &args, folder.path())
    };
    let _servers: Vec<Process> = peers.iter().map(start).collect();
    peers.iter().for_each(|peer| net.wait_port(peer.port));
    let ports: Vec<String> = peers.iter().map(|peer| peer.port.to_string()).collect();
    let (_, report) = net.check(&[THERE, "--ports", &ports.join(",")]);
    let open = report["samples"][0]["measurements"]["addresses"][0]["open"].clone();
    let open = open.as_array().unwrap_or_else(|| panic!("{report:#}"));
    for peer in &peers {
        let item = open.iter().find(|item| item["port"] == peer.port);
        let item = item.unwrap_or_else(|| panic!("{} is not open: {open:#?}", peer.port));
        let (service, exposure) = (item["service"].as_str(), item["exposure"].as_str());
        let expected = (Some(peer.service), Some(peer.exposure));
        assert_eq!((service, exposure), expected, "{item:#}");
    }
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().filter(|finding| finding["rule"] == "ports-unauthenticated");
    let found: Vec<Value> = found.map(|finding| finding["subject"].clone()).collect();
    let lets_in = |peer: &&&Peer| peer.exposure == "unauthenticated";
    let expected = peers.iter().filter(lets_in).map(|peer| format!("{}/tcp", peer.port));
    assert_eq!(found, expected.map(Value::from).collect::<Vec<_>>(), "{findings:#?}");
}

/// Gives an etcd a root who has a password, before it is seen.
fn lock_etcd(home: &Path) {
    let (port, peer) = (free_port(), free_port());
    let mut command = Command::new(find("etcd"));
    command.arg("--data-dir").arg(home.join("data"));
    command.arg(format!("--listen-client-urls=http://127.0.0.1:{port}"));
    command.arg(format!("--advertise-client-urls=http://127.0.0.1:{port}"));
    command.arg(format!("--listen-peer-urls=http://127.0.0.1:{peer}"));
    let _etcd = Process::start("etcd-to-lock", &mut command, home);
    let root = r#"{"name": "root", "password": "of the lab"}"#;
    let role = r#"{"user": "root", "role": "root"}"#;
    for (path, body) in [
        ("user/add", root),
        ("role/add", r#"{"name": "root"}"#),
        ("user/grant", role),
        ("enable", "{}"),
    ] {
        let path = format!("/v3/auth/{path}");
        eventually(&path, Duration::from_secs(15), || {
            http("POST", port, &path, &[], body).filter(|(status, _)| *status == 200)
        });
    }
}

#[test]
fn a_real_telnetd_is_known_by_what_it_asks_for_first() {
    if is_skipped("inetutils-telnetd") {
        return;
    }
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    // telnetd takes a connection from whoever accepted it.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let output = stream.try_clone().expect("a second handle");
            let (input, output) = (OwnedFd::from(stream), OwnedFd::from(output));
            let mut command = Command::new(find("telnetd"));
            command.stdin(input).stdout(output).stderr(Stdio::null());
            let mut child = command.spawn().expect("telnetd runs");
            thread::spawn(move || child.wait());
        }
    });
    let (_, report) = check_json(&["127.0.0.1", "--probe=ports", &format!("--ports={port}")]);
    let item = &report["samples"][0]["measurements"]["addresses"][0]["open"][0];
    assert_eq!((&item["service"], &item["exposure"]), (&"telnet".into(), &"none".into()), "{item}");
}

const DOVECOT: &str = "\
protocols = imap
base_dir = DIR/run
state_dir = DIR/run
log_path = DIR/log
ssl = no
passdb {
  driver = static
  args = nopassword=y
}
service imap-login {
  chroot =
  inet_listener imap {
    port = 143
  }
  inet_listener imaps {
    port = 0
  }
}
";

const SLAPD: &str = "include /etc/ldap/schema/core.schema\npidfile DIR/pid\n";

const SAMBA: &str = "\
[global]
smb ports = 445
private dir = DIR
lock directory = DIR
state directory = DIR
cache directory = DIR
pid directory = DIR
ncalrpc dir = DIR/ncalrpc
log file = DIR/log
disable spoolss = yes
load printers = no
";
