//! Talking to a running daemon's API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Method};
use serde_json::Value;

/// Where the daemon is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Api {
    /// The daemon's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9640", env = "SECCHI_URL")]
    url: String,
    /// A file with the token that allows it
    #[arg(long, value_name = "FILE", env = "SECCHI_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

impl Api {
    /// A daemon at this address, without a token.
    pub(super) fn at(url: String) -> Self {
        Self { url, token_file: None }
    }

    /// Whether the daemon is ready.
    pub(super) async fn is_ready(&self) -> anyhow::Result<()> {
        let response = client()?.get(self.endpoint("/-/ready")).send().await?;
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
        let mut request = client()?.request(method, self.endpoint(path));
        if let Some(file) = &self.token_file {
            let token =
                std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            request = request.bearer_auth(token.trim());
        }
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

    fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }
}

fn client() -> reqwest::Result<Client> {
    crate::daemon::install_crypto();
    Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
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

const TIMEOUT: Duration = Duration::from_secs(10);
const MOST_PAGES: usize = 1000;
