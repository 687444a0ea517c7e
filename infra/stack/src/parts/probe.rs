//! Waits for a condition, with a deadline whose error names what was seen last.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Repeats `probe` until it succeeds. Fails after `deadline` with `what` was expected and the last error.
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

/// Returns a client for servers of this machine, which uses no proxy, whatever the environment names.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client without TLS settings can be built")
}

/// Requests a URL once. Fails unless the status is a success.
pub async fn http(client: &reqwest::Client, url: &str) -> Result<()> {
    let response = client.get(url).timeout(Duration::from_secs(2)).send().await?;
    let status = response.status();
    if !status.is_success() {
        let body = response.text().await.unwrap_or_default();
        bail!("{url} answered {status}: {}", body.chars().take(300).collect::<String>().trim_end());
    }
    Ok(())
}
