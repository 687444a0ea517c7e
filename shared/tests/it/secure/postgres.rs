//! PostgreSQL: a cluster with `ssl = on` whose certificate is changed while it runs.

use std::path::PathBuf;

use shared::secret::Secret;
use shared::service::{Readiness, wait_for};
use shared::store::{Options, Store, Tls};
use shared::testing;
use stack::parts::postgres::Postgres;
use tokio_util::sync::CancellationToken;

use super::authority::{Authority, Identity, text};
use super::down;
use super::log::Log;

const PASSWORD: &str = "s3cr3t-of-postgres-user";
const WRONG: &str = "wr0ng-s3cr3t-of-postgres-user";

const ACCESS: &str = "\
host    all firewatch 127.0.0.1/32 trust
hostssl all fw        127.0.0.1/32 scram-sha-256
hostssl all mutual    127.0.0.1/32 cert
";

/// Puts a certificate for `host` in force.
async fn present(postgres: &Postgres, host: &str, expired: bool) {
    let Identity { certificate, key } = Authority::ours().identity(host, expired);
    Authority::ours().write("postgres.pem", &certificate);
    Authority::ours().write("postgres.key", &key);
    let admin = Store::new(&Options { url: postgres.url("postgres"), ..Options::default() }, "test").unwrap();
    testing::client(&admin).await.unwrap().batch_execute("select pg_reload_conf()").await.unwrap();
    // the server takes new certificates over in its own time
    stack::parts::probe::until("the new certificate", super::CLEAR, async || {
        let options = options(postgres, "verify-full", "fw", PASSWORD, Authority::ours().ca());
        let outcome = Store::new(&options, "test")?.ping().await;
        anyhow::ensure!(outcome.is_ok() == (host == "localhost" && !expired), "{outcome:?}");
        Ok(())
    })
    .await
    .unwrap();
}

fn options(postgres: &Postgres, mode: &str, user: &str, password: &str, ca_file: PathBuf) -> Options {
    Options {
        url: format!("postgres://{user}@localhost:{}/firewatch?sslmode={mode}", postgres.port()),
        password: Secret::new(password),
        tls: Tls { ca_file, ..Tls::default() },
        ..Options::default()
    }
}

/// Whether the session of these options is encrypted.
async fn encrypted(options: &Options) -> bool {
    let client = testing::client(&Store::new(options, "test").unwrap()).await.unwrap();
    let query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    client.query_one(query, &[]).await.unwrap().try_get(0).unwrap()
}

/// The failure is logged and reported with its cause in time.
async fn fails(options: Options, words: &'static str) {
    let log = Log::capture();
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let store = Store::new(&options, "test").unwrap();
    let waiting = tokio::spawn({
        let (readiness, shutdown) = (readiness.clone(), shutdown.clone());
        async move { wait_for("postgres", &readiness, &shutdown, || store.ping()).await }
    });
    let logged = ["postgres", words];
    tokio::join!(down(&readiness, words), log.says(&logged));
    shutdown.cancel();
    assert!(waiting.await.unwrap().is_none());
    log.keeps(PASSWORD);
    log.keeps(WRONG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_passwords_are_checked() {
    let log = Log::capture();
    let authority = Authority::ours();
    let Identity { certificate, key } = authority.identity("localhost", false);
    let settings = [
        ("ssl_cert_file", authority.write("postgres.pem", &certificate)),
        ("ssl_key_file", authority.write("postgres.key", &key)),
        ("ssl_ca_file", authority.ca()),
        ("hba_file", authority.write("pg_hba.conf", ACCESS)),
    ]
    .map(|(name, path)| format!("{name}={}", text(&path)));
    let settings = [&settings[..], &["ssl=on".to_owned()]].concat();
    let postgres = stack::testing::postgres_with(&settings).await.unwrap();
    let admin = Store::new(&Options { url: postgres.url("postgres"), ..Options::default() }, "test").unwrap();
    let users = format!("create role fw login password '{PASSWORD}'; create role mutual login");
    testing::client(&admin).await.unwrap().batch_execute(&users).await.unwrap();
    let ca = || authority.ca();
    let none = PathBuf::new;

    // the right password over TLS, by each mode; what is not asked for is not encrypted
    for mode in ["require", "verify-ca", "verify-full"] {
        assert!(encrypted(&options(&postgres, mode, "fw", PASSWORD, ca())).await, "{mode}");
    }
    assert!(encrypted(&options(&postgres, "prefer", "fw", PASSWORD, none())).await);
    assert!(!encrypted(&options(&postgres, "disable", "firewatch", "", none())).await);
    let (cert_file, key_file) = authority.files("mutual", "mutual");
    let mutual = options(&postgres, "verify-full", "mutual", "", ca());
    let mutual = Options { tls: Tls { cert_file, key_file, ..mutual.tls }, ..mutual };
    assert_eq!(mutual.validate(), Vec::<String>::new());
    assert!(encrypted(&mutual).await);

    let strange = Authority::strange().ca();
    tokio::join!(
        fails(options(&postgres, "verify-full", "fw", WRONG, ca()), "password authentication failed"),
        fails(options(&postgres, "require", "fw", PASSWORD, strange), "signed by a CA that is not trusted"),
        fails(options(&postgres, "verify-full", "mutual", "", ca()), "valid client certificate"),
        fails(options(&postgres, "disable", "fw", PASSWORD, none()), "no pg_hba.conf entry"),
    );

    present(&postgres, "elsewhere.example", false).await;
    assert!(encrypted(&options(&postgres, "verify-ca", "fw", PASSWORD, ca())).await);
    fails(options(&postgres, "require", "fw", PASSWORD, ca()), "not valid for host name localhost, only for")
        .await;

    present(&postgres, "localhost", true).await;
    fails(options(&postgres, "verify-ca", "fw", PASSWORD, ca()), "has expired").await;

    postgres.process().stop().await.unwrap();
    fails(options(&postgres, "verify-full", "fw", PASSWORD, ca()), "Connection refused").await;
    log.keeps(PASSWORD);
}
