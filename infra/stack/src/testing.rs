//! Real parts for the tests of other crates.
//!
//! Under `stack run -- cargo test` (that is `make test`) the tests of all crates share one broker, one cluster and one
//! mail sink, found through the environment. Without it each test process starts what it asks for, once, and the guard
//! removes it after the process, so that a plain `cargo test -p CRATE` works too.

pub mod bench;

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

/// Names the shared broker.
pub const KAFKA: &str = "FIREWATCH_TEST_KAFKA";
/// Names the shared cluster, by the URL of its database `postgres`.
pub const POSTGRES: &str = "FIREWATCH_TEST_POSTGRES";
/// Names where the shared mail sink takes mails.
pub const SMTP: &str = "FIREWATCH_TEST_SMTP";
/// Names where the shared mail sink shows mails.
pub const MAIL: &str = "FIREWATCH_TEST_MAIL";

/// A database of its own for one test, with the schema, removed when it is dropped.
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
        // a runtime of its own: that of the test may be going down
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(drop_database(&server, &name)))
        });
        // what cannot be removed goes with the cluster
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

/// Returns the address of a broker. It is shared: tests tell their records apart by key, and take consumer groups and
/// topics of their own.
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

/// Returns where a mail sink takes mails, and a reader of it. It is shared: tests tell their mails apart by recipient.
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

/// Returns a broker of the caller's own with further listeners. It lives as long as it is held.
pub async fn kafka_with(further: &Further) -> Result<Kafka> {
    let jars = place().await?.fetched.kafka.clone();
    let (layout, guard) = scratch()?;
    Kafka::start_with(&jars, &layout, &guard, further).await
}

/// Returns a cluster of the caller's own with further settings. It lives as long as it is held.
pub async fn postgres_with(further: &[String]) -> Result<Postgres> {
    let (layout, guard) = scratch()?;
    Postgres::start_with(&layout, &guard, Durability::Disposable, further).await
}

/// Returns a folder that is removed with the guard, at the latest when the process ends.
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

/// Where this process's own parts live.
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
