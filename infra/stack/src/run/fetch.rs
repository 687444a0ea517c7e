//! Fetches what is not on the machine: the broker's jars, the embedding model, the mail sink. `infra/fetch.sh` does it,
//! so that it can go on beside a build; here is where what it fetched lies.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::run::layout;
use crate::run::progress::Progress;

/// Where the fetched parts are.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Folder with the broker's jars.
    pub kafka: PathBuf,
    /// Folder with the embedding model, its tokenizer and the ONNX Runtime.
    pub model: PathBuf,
    /// The mail sink's program, run by `node`.
    pub maildev: PathBuf,
}

/// Fetches what is missing. Several processes may do it at once; one does, the others wait.
pub async fn all(progress: Progress) -> Result<Fetched> {
    // what is fetched already takes no time, and is not worth a line
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
        bail!(
            "what Firewatch runs over could not be fetched: {}",
            crate::parts::process::describe(output.status)
        );
    };
    Ok(Fetched {
        kafka: kafka.join("libs"),
        model: model.clone(),
        maildev: mail.join("node_modules/maildev/bin/maildev"),
    })
}
