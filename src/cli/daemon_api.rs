//! Talking to a running daemon's API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, Url};
use serde_json::Value;

use crate::outgoing::{Client, HttpClientSpec, Manner, Secret};
use crate::target::TextFile;

/// Where the daemon is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Api {
    /// The daemon's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9640", env = "SECCHI_URL")]
    url: String,
    /// A file with the token that allows it
    #[arg(long, value_name = "FILE", env = "SECCHI_TOKEN_FILE", conflicts_with = "username")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: Tls,
}

/// What a listener with exporter-toolkit's web configuration asks of its callers.
#[derive(Clone, Debug, Default, clap::Args)]
struct Tls {
    /// Trust only these anchors (PEM)
    #[arg(long, value_name = "FILE", env = "SECCHI_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The certificate to show (PEM)
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// The name that the daemon's certificate is held to, in place of the URL's
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// A user of the listener
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// A file with the user's password
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

impl Api {
    /// A daemon at this address, without a token.
    pub(super) fn at(url: String) -> Self {
        Self { url, token_file: None, tls: Tls::default() }
    }

    /// Whether the daemon is ready.
    pub(super) async fn is_ready(&self) -> anyhow::Result<()> {
        let client = self.client("/-/ready")?;
        let response = client.request(Method::GET, client.url().clone()).send().await?;
        anyhow::ensure!(response.status().is_success(), "{}", response.status());
        Ok(())
    }

    /// Reads `/api/v1/…`.
    pub(super) async fn read(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    /// Sends a wish to `/api/v1/…`; gives what was stored.
    pub(super) async fn send(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Reads every page of a list.
    pub(super) async fn read_all(
        &self,
        path: &str,
        key: &str,
        query: &str,
    ) -> anyhow::Result<Vec<Value>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let mut page = self.read(&format!("{path}?{query}{after}")).await?;
            if let Value::Array(items) = page[key].take() {
                all.extend(items);
            }
            let Some(next) = page["next"].as_str() else { return Ok(all) };
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            after = format!("&after={next}");
        }
        anyhow::bail!("{} gives more than {MOST_PAGES} pages", self.url)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let client = self.client(path)?;
        let mut request = client.request(method, client.url().clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("asking {}", self.url))?;
        let status = response.status();
        let text = response.text().await?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        if !status.is_success() {
            let words = value["error"].as_str().unwrap_or("no reason given").to_owned();
            anyhow::bail!("{} answered {status}: {words}", self.url);
        }
        Ok(value)
    }

    fn client(&self, path: &str) -> anyhow::Result<Client> {
        crate::daemon::install_crypto();
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let url = Url::parse(&url).with_context(|| format!("--url {}", self.url))?;
        let manner = Manner { user_agent: USER_AGENT, timeout: TIMEOUT, redirects: 0 };
        Ok(Client::new(&self.spec()?, &url, manner)?)
    }

    fn spec(&self) -> anyhow::Result<HttpClientSpec> {
        let tls = &self.tls;
        let secret = |path: &Path| read(path).map(|file| Secret::new(&file.text));
        let token = self.token_file.as_deref().map(secret).transpose()?;
        let password = tls.password_file.as_deref().map(secret).transpose()?;
        let certificate = tls.cert_file.as_deref().map(read).transpose()?;
        let key = tls.key_file.as_deref().map(secret).transpose()?;
        Ok(HttpClientSpec {
            authorization: token.map(|token| ("Bearer".to_owned(), token)),
            basic_auth: tls.username.clone().zip(password),
            ca_file: tls.ca_file.as_deref().map(read).transpose()?,
            certificate: certificate.zip(key),
            server_name: tls.server_name.clone(),
            ..HttpClientSpec::default()
        })
    }
}

fn read(path: &Path) -> anyhow::Result<TextFile> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(TextFile { path: path.to_owned(), text: text.into() })
}

/// What a query string holds of these, without those that are not given.
pub(super) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

const USER_AGENT: &str = concat!("secchi/", env!("CARGO_PKG_VERSION"));
const TIMEOUT: Duration = Duration::from_secs(10);
const MOST_PAGES: usize = 1000;
