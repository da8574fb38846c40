//! The demo's own little production: https, dns and port targets on loopback, in process. One
//! switch breaks them, and mends them again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use super::{names, web};

/// Where the demo's targets are.
pub(super) struct Lab {
    /// The folder with the demo's CA, config and data; deleted with the lab.
    pub(super) dir: PathBuf,
    /// http and https of the shop.
    pub(super) shop: (u16, u16),
    /// http and https of the site that nobody cares for.
    pub(super) legacy: (u16, u16),
    /// The port of both name servers.
    pub(super) dns: u16,
    /// A port that ought to be open, and one that ought not.
    pub(super) ports: (u16, u16),
    broken: watch::Sender<bool>,
}

impl Lab {
    /// Starts every target, healthy but for `legacy.demo.test`.
    pub(super) async fn start(dir: PathBuf, seed: u64) -> anyhow::Result<Self> {
        let mut free = FreePorts(fastrand::Rng::with_seed(seed));
        let (broken, state) = watch::channel(false);
        let authority = web::Authority::new().context("making the demo's certificates")?;
        std::fs::write(dir.join("ca.pem"), authority.pem())?;

        let shop = Self::site(&mut free, &authority, web::Site::Shop, &state).await?;
        let legacy = Self::site(&mut free, &authority, web::Site::Legacy, &state).await?;
        let dns = Self::name_servers(&mut free, &state).await?;
        let (expected, listener) = free.tcp(LOCALHOST).await?;
        tokio::spawn(web::banner(listener));
        let (rogue, listener) = free.tcp(LOCALHOST).await?;
        drop(listener);
        tokio::spawn(rogue_port(rogue, state));
        Ok(Self { dir, shop, legacy, dns, ports: (expected, rogue), broken })
    }

    /// Breaks the targets, or mends them.
    pub(super) fn set_broken(&self, broken: bool) {
        self.broken.send_replace(broken);
    }

    /// A file of the lab.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.dir).join(name)
    }

    async fn site(
        free: &mut FreePorts,
        authority: &web::Authority,
        site: web::Site,
        state: &watch::Receiver<bool>,
    ) -> anyhow::Result<(u16, u16)> {
        let (http, listener) = free.tcp(LOCALHOST).await?;
        tokio::spawn(web::serve_http(listener, site));
        let (https, listener) = free.tcp(LOCALHOST).await?;
        let acceptor = authority.acceptor(site)?;
        tokio::spawn(web::serve_https(listener, acceptor, site, state.clone()));
        Ok((http, https))
    }

    /// The root's server and the zone's two, on one port of three addresses, as `dns_port` wants it.
    async fn name_servers(
        free: &mut FreePorts,
        state: &watch::Receiver<bool>,
    ) -> anyhow::Result<u16> {
        for _ in 0..TRIES {
            let port = free.next();
            let Some(root) = Sockets::bind(names::ROOT, port).await else { continue };
            let Some(first) = Sockets::bind(names::ZONE[0], port).await else { continue };
            let Some(second) = Sockets::bind(names::ZONE[1], port).await else { continue };
            names::serve(root.udp, root.tcp, names::Role::Root, state.clone());
            names::serve(first.udp, first.tcp, names::Role::Zone, state.clone());
            names::serve(second.udp, second.tcp, names::Role::Zone, state.clone());
            return Ok(port);
        }
        anyhow::bail!("no free port for the demo's name servers")
    }
}

struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    async fn bind(address: Ipv4Addr, port: u16) -> Option<Self> {
        let udp = UdpSocket::bind((address, port)).await.ok()?;
        let tcp = TcpListener::bind((address, port)).await.ok()?;
        Some(Self { udp, tcp })
    }
}

/// The port that opens only while the lab is broken.
async fn rogue_port(port: u16, mut state: watch::Receiver<bool>) {
    let mut open: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        let broken = *state.borrow_and_update();
        match (broken, &open) {
            (true, None) => {
                if let Ok(listener) = TcpListener::bind((LOCALHOST, port)).await {
                    open = Some(tokio::spawn(web::banner(listener)));
                }
            }
            (false, Some(task)) => {
                task.abort();
                open = None;
            }
            _ => {}
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Ports below the ephemeral range, so that no outgoing connection can take one meanwhile.
struct FreePorts(fastrand::Rng);

impl FreePorts {
    fn next(&mut self) -> u16 {
        self.0.u16(20_000..32_000)
    }

    async fn tcp(&mut self, address: IpAddr) -> anyhow::Result<(u16, TcpListener)> {
        for _ in 0..TRIES {
            let at = SocketAddr::new(address, self.next());
            if let Ok(listener) = TcpListener::bind(at).await {
                return Ok((at.port(), listener));
            }
        }
        anyhow::bail!("no free port on {address}")
    }
}

/// Finds a free port for the daemon's own listener.
pub(super) async fn free_port(seed: u64) -> anyhow::Result<u16> {
    let mut free = FreePorts(fastrand::Rng::with_seed(seed));
    Ok(free.tcp(LOCALHOST).await?.0)
}

/// The lab's servers share one acceptor type.
pub(super) type Acceptor = Arc<tokio_rustls::TlsAcceptor>;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TRIES: usize = 64;
