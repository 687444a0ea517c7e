//! HTTP as sources are asked: one host, a deadline, a bounded body, no redirects, no proxy.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context as _, Result, ensure};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use shared::secret::Secret;
use shared::tls::{Check, Files, client};
use tokio::time::Instant;

use super::source::Failure;

/// Most that is read of one answer, bytes.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// Where a source is, and how it is logged in to.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// `http://` or `https://` address; a path in front of the API may be there.
    pub url: &'a str,
    /// Bearer token; empty: none.
    pub token: &'a Secret,
    /// User of basic authentication; empty: none.
    pub user: &'a str,
    /// Its password.
    pub password: &'a Secret,
    /// CA certificates to trust instead of the system's.
    pub ca_file: &'a Path,
}

impl<'a> Access<'a> {
    /// Returns an address without a login.
    pub fn without_login(url: &'a str, ca_file: &'a Path) -> Self {
        static NONE: LazyLock<Secret> = LazyLock::new(Secret::default);
        Self { url, token: &NONE, user: "", password: &NONE, ca_file }
    }

    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(problem) = self.address() {
            problems.push(format!("url: {problem:#}"));
        }
        if !self.token.is_empty() && !self.user.is_empty() {
            problems.push("token and user are set; a source takes one of them".to_owned());
        }
        if self.user.is_empty() && !self.password.is_empty() {
            problems.push("password is set without user".to_owned());
        }
        if HeaderValue::from_str(self.token.expose()).is_err() {
            problems.push("token has characters that a header cannot carry".to_owned());
        }
        problems.extend(self.files().validate("tls").into_iter().map(|problem| problem.replace("tls.", "")));
        problems
    }

    fn files(&self) -> Files<'_> {
        Files { ca: self.ca_file, certificate: Path::new(""), key: Path::new("") }
    }

    fn address(&self) -> Result<Url> {
        let url = Url::parse(self.url).context("is no address")?;
        ensure!(["http", "https"].contains(&url.scheme()), "begins with neither http:// nor https://");
        ensure!(url.has_host() && !url.cannot_be_a_base(), "names no host");
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "holds a login; set user and password"
        );
        ensure!(url.query().is_none() && url.fragment().is_none(), "has a query or a fragment");
        Ok(url)
    }
}

/// A client of one source.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    headers: HeaderMap,
    user: String,
    password: Secret,
}

impl Client {
    /// Makes a client; nothing is connected yet.
    pub fn new(access: Access<'_>) -> Result<Self> {
        let base = access.address()?;
        let mut builder = reqwest::Client::builder().redirect(Policy::none()).no_proxy();
        if base.scheme() == "https" {
            builder = builder.use_preconfigured_tls(client(access.files(), Check::Full)?);
        }
        let mut headers = HeaderMap::new();
        if !access.token.is_empty() {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", access.token.expose()))?;
            value.set_sensitive(true);
            headers.insert(reqwest::header::AUTHORIZATION, value);
        }
        let (user, password) = (access.user.to_owned(), access.password.clone());
        Ok(Self { http: builder.build()?, base, headers, user, password })
    }

    /// Adds a header to every request; an empty value adds none.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Result<Self> {
        if !value.is_empty() {
            self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        Ok(self)
    }

    /// Gets a document by path segments, each escaped, and a query.
    pub async fn get(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        self.send(self.http.get(self.url(segments, query)?), deadline).await
    }

    /// Gets a JSON document.
    pub async fn json<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        deadline: Instant,
    ) -> Result<T, Failure> {
        parse(&self.get(segments, query, deadline).await?)
    }

    /// Posts a JSON document, and reads one.
    pub async fn post<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &serde_json::Value,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let request = self.http.post(self.url(segments, &[])?).json(body);
        parse(&self.send(request, deadline).await?)
    }

    /// Returns the address.
    pub fn address(&self) -> &Url {
        &self.base
    }

    /// Posts a body to the address itself. Returns status and body of the answer, that of an error too.
    pub async fn post_raw(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let request = self.http.post(self.base.clone()).headers(headers).body(body);
        self.within(deadline, request, async |response| Ok((response.status(), read(response).await?))).await
    }

    fn url(&self, segments: &[&str], query: &[(&str, String)]) -> Result<Url, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Unreachable("the address cannot have a path".to_owned()))?
            .pop_if_empty()
            .extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn send(&self, request: RequestBuilder, deadline: Instant) -> Result<Vec<u8>, Failure> {
        self.within(deadline, request, async |response| {
            if response.status().is_success() {
                read(response).await
            } else {
                Err(Failure::Status(response.status().as_u16()))
            }
        })
        .await
    }

    /// Sends a request with the login, and reads the answer until the deadline.
    async fn within<T>(
        &self,
        deadline: Instant,
        request: RequestBuilder,
        read: impl AsyncFnOnce(Response) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let allowed = deadline.saturating_duration_since(Instant::now());
        let mut request = request.headers(self.headers.clone());
        if !self.user.is_empty() {
            request = request.basic_auth(&self.user, Some(self.password.expose()));
        }
        let answer = async { read(request.send().await.map_err(lost)?).await };
        tokio::time::timeout_at(deadline, answer)
            .await
            .unwrap_or(Err(Failure::Timeout(allowed.as_millis() as u64)))
    }
}

fn lost(error: reqwest::Error) -> Failure {
    Failure::Unreachable(shared::error::chain(&error.without_url()))
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads a JSON document.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Malformed(error.to_string()))
}
