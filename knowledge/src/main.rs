//! Indexes the content directory, publishes the service catalogue, says what it did and ends.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use knowledge::{Content, publish, seed};
use shared::bus::{PING, Producer};
use shared::knowledge::{Error, approved, catalogue};
use shared::service::config::NoOptions;
use shared::service::{Cli, Config, Readiness, telemetry, wait_for};
use shared::store::Store;
use tokio_util::sync::CancellationToken;

/// Checks the content and makes the index, the service catalogue and its topic equal to it.
#[derive(Parser)]
#[command(name = "seeder", version)]
struct Arguments {
    #[command(flatten)]
    common: Cli,
    /// Directory with `incidents`, `runbooks`, `services` and, where there are any, `oncall` and `routes.yaml`.
    #[arg(long, env = "FIREWATCH_CONTENT", default_value = "knowledge")]
    content: PathBuf,
    /// Only checks the content; connects to nothing.
    #[arg(long)]
    check: bool,
    /// Removes everything first and embeds it again, as after a change of the model.
    #[arg(long)]
    rebuild: bool,
    /// Longest wait for PostgreSQL, for the index and for Kafka, seconds.
    #[arg(long, default_value_t = 60)]
    wait: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::<NoOptions>::load("seeder", &arguments.common) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("seeder: the configuration is invalid:\n{problems}");
            return ExitCode::from(2);
        }
    };
    if arguments.common.print_config {
        println!("{}", config.to_toml());
        return ExitCode::SUCCESS;
    }
    let content = match Content::load(&arguments.content) {
        Ok(content) => content,
        Err(problems) => {
            let directory = arguments.content.display();
            eprintln!("seeder: the content of {directory} is invalid, nothing was touched:\n{problems}");
            return ExitCode::from(2);
        }
    };
    telemetry::logs(&config.common.log);
    config.warn();
    match run(&arguments, &config, &content).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seeder: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, config: &Config<NoOptions>, content: &Content) -> anyhow::Result<()> {
    let mut chunks = content.chunks();
    let (incidents, runbooks) = (content.incidents.len(), content.runbooks.len());
    let services = content.catalogue.services().count();
    println!("{incidents} incidents, {runbooks} runbooks, {services} services: {} chunks", chunks.len());
    if arguments.check {
        return Ok(());
    }
    let embedder = config.common.knowledge.embedder().await?;
    let store = Store::new(&config.common.postgres, "seeder")?;
    let wait = Duration::from_secs(arguments.wait);
    answers("postgresql", wait, || store.ping()).await?;
    catalogue::prepare(&store).await.context("migrating")?;
    let approved = approved::all(&store).await.context("reading approved postmortems")?;
    if !approved.is_empty() {
        println!("{} approved postmortems", approved.len());
    }
    chunks.extend(approved.into_iter().flat_map(|document| document.chunks));
    let index = config.common.knowledge.open_index(store.clone())?;
    answers("knowledge index", wait, async || match index.hashes().await {
        Err(down @ Error::Unavailable(_)) => Err(down),
        // anything else is no reason to wait
        _ => Ok(()),
    })
    .await?;
    let outcome =
        seed::seed(&chunks, &embedder, &*index, arguments.rebuild).await.context("seeding the index")?;
    println!("{outcome}");
    let change = catalogue::replace(&store, &content.catalogue).await.context("writing the catalogue")?;
    println!(
        "{} services unchanged, {} written, {} removed",
        change.unchanged, change.written, change.removed
    );
    let routes = content.routes.as_ref();
    store.replace_oncall(&content.rotations, routes).await.context("writing rotations and routes")?;
    let count = routes.map_or(0, |document| document.routes.len());
    println!("{} rotations, {count} routes", content.rotations.len());
    let kafka = &config.common.kafka;
    let producer = Producer::connect(kafka)?;
    answers("kafka", wait, || producer.answers(PING)).await?;
    let published =
        publish::publish(kafka, &content.catalogue, wait).await.context("publishing the catalogue")?;
    println!("{} services published, {} withdrawn", published.stated, published.withdrawn);
    Ok(())
}

/// Waits until a dependency answers, saying so every few seconds.
async fn answers<E, F>(what: &'static str, wait: Duration, attempt: impl FnMut() -> F) -> anyhow::Result<()>
where
    E: std::fmt::Display,
    F: Future<Output = Result<(), E>>,
{
    let never = CancellationToken::new();
    tokio::time::timeout(wait, wait_for(what, &Readiness::default(), &never, attempt))
        .await
        .with_context(|| format!("{what} has not answered for {} s", wait.as_secs()))?;
    Ok(())
}
