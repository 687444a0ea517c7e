//! Fetches the parts that are not on the machine: the jars of the broker, the embedding model, the mail sink. `infra/fetch.sh`
//! does it, so that it can run beside a build; this module returns the paths.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::run::layout;
use crate::run::progress::Progress;

/// Where the fetched parts are.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Folder with the jars of the broker.
    pub kafka: PathBuf,
    /// Folder with the embedding model, its tokenizer and the ONNX Runtime.
    pub model: PathBuf,
    /// The program of the mail sink, run by `node`.
    pub maildev: PathBuf,
}

/// Fetches what is missing. If several processes call it at once, one fetches and the others wait.
pub async fn all(progress: Progress) -> Result<Fetched> {
    // nothing is printed if everything was fetched before
    let progress = if progress == Progress::Every { Progress::Slow } else { progress };
    let script = layout::root().join("infra/fetch.sh");
    let child = Command::new(&script)
        .arg(layout::tools())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("running {}", script.display()))?;
    let output =
        progress.step("fetching Kafka, the model and the mail sink", child.wait_with_output()).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let parts: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
    let [kafka, model, mail] = &parts[..] else {
        bail!("fetching failed: {}", crate::parts::process::describe(output.status));
    };
    Ok(Fetched {
        kafka: kafka.join("libs"),
        model: model.clone(),
        maildev: mail.join("node_modules/maildev/bin/maildev"),
    })
}
