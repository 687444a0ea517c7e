//! Waiting for a condition, with a deadline that tells what was seen last.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks `probe` until it succeeds. Fails after `deadline` with what `what` was and the last answer.
pub async fn until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(error) if started.elapsed() >= deadline => {
                bail!("{what}: not within {} s: {error:#}", deadline.as_secs())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Returns a client for what runs on this machine: it goes through no proxy, whatever the environment names.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client without TLS settings can be built")
}

/// Asks an HTTP endpoint once and fails unless it answers with success.
pub async fn http(client: &reqwest::Client, url: &str) -> Result<()> {
    let response = client.get(url).timeout(Duration::from_secs(2)).send().await?;
    let status = response.status();
    if !status.is_success() {
        let body = response.text().await.unwrap_or_default();
        bail!("{url} answers {status}: {}", body.chars().take(300).collect::<String>().trim_end());
    }
    Ok(())
}
