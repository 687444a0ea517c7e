//! The gateway, built for release.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use stack::parts::process::Process;
use stack::parts::{ports, probe};

use crate::requests::Format;
use crate::{Place, Target};

pub(crate) const NAME: &str = "gateway";
/// Longest time until it is ready.
const READY: Duration = Duration::from_mins(1);

/// A running gateway with default settings.
pub(crate) struct Gateway {
    process: Process,
    listen: String,
    http: String,
    client: reqwest::Client,
}

impl Gateway {
    /// Starts the binary that lies beside this one's folder.
    pub(crate) async fn start(place: &Place) -> Result<Self> {
        let here = std::env::current_exe()?;
        let binary: PathBuf = here.ancestors().nth(2).context("no folder")?.join(NAME);
        ensure!(binary.exists(), "{} is not built", binary.display());
        let [listen, http] = ports::free()?.map(|port: u16| format!("127.0.0.1:{port}"));
        let environment = [
            ("FIREWATCH_KAFKA__BROKERS", place.brokers.clone()),
            ("FIREWATCH_HTTP__LISTEN", http.clone()),
            ("FIREWATCH_GATEWAY__LISTEN", listen.clone()),
            ("FIREWATCH_GATEWAY__GRPC_LISTEN", String::new()),
        ];
        let process = Process::new(NAME, place.layout.log(NAME), place.guard.clone(), move || {
            let mut command = Command::new(&binary);
            command.envs(environment.clone());
            command
        });
        process.start()?;
        let client = probe::client();
        let ready = format!("http://{http}/readyz");
        process.until("readiness", READY, async || probe::http(&client, &ready).await).await?;
        Ok(Self { process, listen, http, client })
    }

    /// Returns where requests of a format go.
    pub(crate) fn url(&self, format: Format) -> String {
        format!("http://{}{}", self.listen, format.path())
    }
}

impl Target for Gateway {
    fn process(&self) -> &Process {
        &self.process
    }

    async fn written(&self) -> Result<f64> {
        let text = exposed(&self.client, &self.http).await?;
        Ok(sum(&text, "firewatch_gateway_items_total"))
    }
}

/// Scrapes a process.
pub(crate) async fn exposed(client: &reqwest::Client, http: &str) -> Result<String> {
    let answer = client.get(format!("http://{http}/metrics")).send().await?.error_for_status()?;
    Ok(answer.text().await?)
}

/// Returns the sum of a metric over its labels.
pub(crate) fn sum(text: &str, name: &str) -> f64 {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let labels = series.strip_prefix(name)?;
        (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<f64>().ok())?
    });
    values.sum()
}
