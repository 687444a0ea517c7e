//! Fetches what is not on the machine: the broker's jars, the embedding model, the mail sink. Each into a folder named
//! after what it is made from, so that a second run has nothing to do and a new version does not mix with the old one.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::layout;
use crate::progress::{Progress, say};

const KAFKA: &str = include_str!("../kafka/pom.xml");
const MODEL: &str = include_str!("../model/pom.xml");
const MAIL: &str = include_str!("../mail/package.json");
const MAIL_LOCK: &str = include_str!("../mail/package-lock.json");

/// Name of the ONNX Runtime's library.
const ONNX_RUNTIME: &str = "libonnxruntime.so";
/// How often a download is tried.
const TRIES: u32 = 3;
/// Longest time for one try.
const TRY: Duration = Duration::from_mins(10);

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
    let tools = layout::tools();
    std::fs::create_dir_all(&tools).with_context(|| format!("creating {}", tools.display()))?;
    let tools = tools.canonicalize()?;
    let lock = File::create(tools.join(".lock"))?;
    let locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    let _lock = Progress::Slow.step("waiting for another process that fetches", locked).await??;
    let jars = async {
        let kafka = kafka(&tools, progress).await?;
        let model = model(&tools, progress).await?;
        anyhow::Ok((kafka, model))
    };
    let ((kafka, model), mail) = tokio::try_join!(jars, mail(&tools, progress))?;
    Ok(Fetched { kafka: kafka.join("libs"), model, maildev: mail.join("node_modules/maildev/bin/maildev") })
}

async fn kafka(tools: &Path, progress: Progress) -> Result<PathBuf> {
    once(tools, "kafka", &[("pom.xml", KAFKA)], "fetching Kafka's jars", progress, |dir| {
        let mut command = maven(dir);
        command
            .arg("dependency:copy-dependencies")
            .args(["-DincludeScope=runtime", "-DoutputDirectory=libs"]);
        command
    })
    .await
}

async fn model(tools: &Path, progress: Progress) -> Result<PathBuf> {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "linux-x64",
        "aarch64" => "linux-aarch64",
        other => bail!("there is no ONNX Runtime for {other}"),
    };
    let model =
        once(tools, "model", &[("pom.xml", MODEL)], "fetching the embedding model", progress, |dir| {
            let wanted = "*.onnx,*tokenizer.json,ai/onnxruntime/native/linux-*/libonnxruntime.so";
            let mut command = maven(dir);
            command.arg("dependency:unpack-dependencies").args([
                &format!("-Dmdep.unpack.includes={wanted}"),
                "-DoutputDirectory=.",
                "-DmarkersDirectory=markers",
            ]);
            command
        })
        .await?;
    // beside the model, where it is looked for
    let library = Path::new("ai/onnxruntime/native").join(processor).join(ONNX_RUNTIME);
    match symlink(library, model.join(ONNX_RUNTIME)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).context("linking the ONNX Runtime")
        }
        _ => Ok(model),
    }
}

async fn mail(tools: &Path, progress: Progress) -> Result<PathBuf> {
    let files = [("package.json", MAIL), ("package-lock.json", MAIL_LOCK)];
    once(tools, "mail", &files, "fetching the mail sink", progress, |dir| {
        let mut command = Command::new("npm");
        command.current_dir(dir).args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
        ]);
        command
    })
    .await
}

/// Maven in batch mode, strict about checksums. Relative paths are relative to `dir`.
fn maven(dir: &Path) -> Command {
    let mut command = Command::new("mvn");
    command.current_dir(dir).args(["--batch-mode", "--quiet", "--strict-checksums", "--file", "pom.xml"]);
    command
}

/// Makes the folder `<name>-<hash of files>` by writing `files` into it and running `command` there, unless it exists.
/// It appears under its name only when it is complete; folders of other versions are removed then.
async fn once(
    tools: &Path,
    name: &str,
    files: &[(&str, &str)],
    step: &str,
    progress: Progress,
    command: impl Fn(&Path) -> Command,
) -> Result<PathBuf> {
    let mut hash = Sha256::new();
    for (file, content) in files {
        hash.update(file);
        hash.update(content);
    }
    let dir = tools.join(format!("{name}-{}", hex::encode(&hash.finalize()[..6])));
    if dir.exists() {
        return Ok(dir);
    }
    let partial = tools.join(format!("{name}.partial"));
    let log = tools.join(format!("{name}.log"));
    progress
        .step(step, async {
            for attempt in 1.. {
                fresh(&partial, files)?;
                match bounded(command(&partial), &log).await {
                    Ok(()) => break,
                    Err(error) if attempt >= TRIES => {
                        return Err(error).with_context(|| format!("{step} (tried {TRIES} times)"));
                    }
                    Err(error) => say(&format!("{step}: {error:#}; trying again")),
                }
                tokio::time::sleep(Duration::from_secs(2 * u64::from(attempt))).await;
            }
            anyhow::Ok(())
        })
        .await?;
    for entry in std::fs::read_dir(tools)?.flatten() {
        let old = entry.file_name();
        if old.to_str().and_then(|old| old.strip_prefix(name)).is_some_and(|rest| rest.starts_with('-')) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    std::fs::rename(&partial, &dir)?;
    Ok(dir)
}

fn fresh(dir: &Path, files: &[(&str, &str)]) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)?;
    for (file, content) in files {
        std::fs::write(dir.join(file), content)?;
    }
    Ok(())
}

/// Runs a command to its end with its output in `log`; fails with the end of that.
async fn bounded(mut command: Command, log: &Path) -> Result<()> {
    let output = File::create(log)?;
    let program = command.as_std().get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("running {program}"))?;
    let Ok(status) = tokio::time::timeout(TRY, child.wait()).await else {
        bail!("{program} did not end within {} minutes", TRY.as_secs() / 60)
    };
    let status = status?;
    if !status.success() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join("\n");
        bail!("{program}: {}; the end of {}:\n{tail}", crate::part::describe(status), log.display())
    }
    Ok(())
}
