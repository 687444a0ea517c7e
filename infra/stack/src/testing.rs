//! Real parts for the tests of other crates.
//!
//! Under `stack run -- cargo test` (that is `make test`) the tests of all crates share one broker, one cluster and one mail
//! sink, found through the environment. Without it each test process starts the parts it needs, once, and the guard removes
//! them afterwards, so that a plain `cargo test -p CRATE` works too.

pub mod bench;
pub mod collector;
pub mod durations;
pub mod usage;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use shared::store::{Options, Store};
use tokio::sync::OnceCell;

use crate::parts::guard::Guard;
use crate::parts::kafka::{Further, Kafka};
use crate::parts::mail::Mail;
use crate::parts::mailbox::Mailbox;
use crate::parts::postgres::{Durability, Postgres, create_database, drop_database};
use crate::run::fetch::{self, Fetched};
use crate::run::layout::{self, Layout};
use crate::run::progress::Progress;

/// Variable with the address of the shared broker.
pub const KAFKA: &str = "FIREWATCH_TEST_KAFKA";
/// Variable with the URL of the database `postgres` of the shared cluster.
pub const POSTGRES: &str = "FIREWATCH_TEST_POSTGRES";
/// Variable with the SMTP URL of the shared mail sink.
pub const SMTP: &str = "FIREWATCH_TEST_SMTP";
/// Variable with the web URL of the shared mail sink.
pub const MAIL: &str = "FIREWATCH_TEST_MAIL";

/// A database for one test, with the schema, removed when this is dropped.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Returns its URL.
    pub fn url(&self) -> String {
        in_cluster(&self.server, &self.name)
    }

    /// Opens it.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::new(&Options { url: self.url(), ..Options::default() }, "test")?)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // the runtime of the test may be shutting down
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(drop_database(&server, &name)))
        });
        // a database that cannot be removed ends with the cluster
        let _ = removal.join();
    }
}

/// Returns a new database with the schema.
pub async fn postgres() -> Result<Database> {
    static TEMPLATE: OnceCell<(String, String)> = OnceCell::const_new();
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    let (server, template) = TEMPLATE
        .get_or_try_init(async || {
            let server = cluster().await?;
            let template = format!("template_{process}");
            create_database(&server, &template, None).await?;
            let url = in_cluster(&server, &template);
            let store = Store::new(&Options { url, max_connections: 1, ..Options::default() }, "test")?;
            shared::testing::migrate(&store).await?;
            anyhow::Ok((server, template))
        })
        .await?;
    let name = format!("test_{process}_{}", CALLS.fetch_add(1, Ordering::Relaxed));
    create_database(server, &name, Some(template)).await.context("cloning the template database")?;
    Ok(Database { server: server.clone(), name })
}

/// Returns the address of a broker. It is shared: tests distinguish their records by key, and use consumer groups and topics
/// of their own.
pub async fn kafka() -> Result<String> {
    static OWN: OnceCell<Kafka> = OnceCell::const_new();
    if let Ok(brokers) = std::env::var(KAFKA) {
        return Ok(brokers);
    }
    let kafka = OWN
        .get_or_try_init(async || {
            let place = place().await?;
            Kafka::start(&place.fetched.kafka, &place.layout, &place.guard).await
        })
        .await?;
    Ok(kafka.brokers().to_owned())
}

/// Returns the SMTP URL of a mail sink, and a reader of its mails. It is shared: tests distinguish their mails by recipient.
pub async fn mail() -> Result<(String, Mailbox)> {
    static OWN: OnceCell<Mail> = OnceCell::const_new();
    if let (Ok(smtp), Ok(web)) = (std::env::var(SMTP), std::env::var(MAIL)) {
        return Ok((smtp, Mailbox::maildev(web)));
    }
    let mail = OWN
        .get_or_try_init(async || {
            let place = place().await?;
            Mail::start(&place.fetched.maildev, &place.layout, &place.guard).await
        })
        .await?;
    Ok((mail.smtp_url(), mail.mailbox()))
}

/// Returns a broker with further listeners. It is not shared, and ends when it is dropped.
pub async fn kafka_with(further: &Further) -> Result<Kafka> {
    let jars = place().await?.fetched.kafka.clone();
    let (layout, guard) = scratch()?;
    Kafka::start_with(&jars, &layout, &guard, further).await
}

/// Returns a cluster with further settings. It is not shared, and ends when it is dropped.
pub async fn postgres_with(further: &[String]) -> Result<Postgres> {
    let (layout, guard) = scratch()?;
    Postgres::start_with(&layout, &guard, Durability::Disposable, further).await
}

/// Returns a temporary folder. The guard removes it, at the latest when the process ends.
pub fn scratch() -> Result<(Layout, Arc<Guard>)> {
    let layout = Layout::create(&layout::scratch())?;
    let guard = Arc::new(Guard::start(Some(layout.dir()))?);
    Ok((layout, guard))
}

/// Returns the folder with the embedding model, `knowledge.model_dir`.
pub async fn model() -> Result<PathBuf> {
    Ok(fetch::all(Progress::Slow).await?.model)
}

async fn cluster() -> Result<String> {
    static OWN: OnceCell<Postgres> = OnceCell::const_new();
    if let Ok(server) = std::env::var(POSTGRES) {
        return Ok(server);
    }
    let postgres = OWN
        .get_or_try_init(async || {
            let place = place().await?;
            Postgres::start(&place.layout, &place.guard, Durability::Disposable).await
        })
        .await?;
    Ok(postgres.url("postgres"))
}

/// Folders and guard of the parts of this process.
struct Place {
    fetched: Fetched,
    layout: Layout,
    guard: Arc<Guard>,
}

async fn place() -> Result<&'static Place> {
    static PLACE: OnceCell<Place> = OnceCell::const_new();
    PLACE
        .get_or_try_init(async || {
            let fetched = fetch::all(Progress::Slow).await?;
            let layout = Layout::create(&layout::scratch())?;
            let guard = Arc::new(Guard::start(Some(layout.dir()))?);
            Ok(Place { fetched, layout, guard })
        })
        .await
}

fn in_cluster(server: &str, database: &str) -> String {
    let cluster = server.rsplit_once('/').map_or(server, |(cluster, _)| cluster);
    format!("{cluster}/{database}")
}
