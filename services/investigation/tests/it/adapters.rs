//! Each adapter against a double of the documented API.

mod cloudwatch;
mod kubernetes;
mod logs;
mod misbehaviour;
mod prometheus;
mod real;
mod traces;

use std::time::Duration;

use investigation::query::options::Options;
use investigation::query::source::{Failure, QuerySource};
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::secret::Secret;
use shared::text::secrets::Redactor;
use tokio::time::Instant;

/// Asks a source with two seconds' time.
async fn ask(source: &dyn QuerySource, question: &Question) -> Result<Answer, Failure> {
    source.ask(question, Instant::now() + Duration::from_secs(2)).await
}

#[test]
fn settings_are_checked_and_nothing_is_asked_without_an_address() {
    let options = Options::default();
    assert!(options.validate().is_empty() && options.warnings().is_empty());
    assert!(options.looker(3, &Redactor::default()).unwrap().is_none());

    let mut options = Options { timeout_ms: 0, queries: 0, ..Options::default() };
    options.prometheus.url = "prometheus:9090".into();
    options.prometheus.templates.insert(shared::events::question::Role::Restarts, "up".into());
    options.jaeger.url = "http://user:secret@jaeger".into();
    options.loki.url = "https://loki".into();
    options.loki.selector = "{app=\"x\"}".into();
    options.loki.ca_file = "/nowhere/ca.pem".into();
    (options.tempo.url, options.tempo.token) = ("http://tempo".into(), Secret::new("a\nb"));
    options.tempo.user = "u".into();
    options.kubernetes.namespace = " ".into();
    let problems = options.validate();
    for part in [
        "timeout_ms 0",
        "queries 0",
        "prometheus.url",
        "prometheus.templates.restarts contains neither",
        "jaeger.url: holds a login",
        "kubernetes.namespace is empty",
        "loki.selector",
        "loki.ca_file",
        "tempo.token and user are set",
        "tempo.token has characters",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(part)), "{part}: {problems:#?}");
    }
    assert!(!format!("{problems:?} {options:?}").contains("a\\nb"));
    assert!(options.warnings().iter().any(|warning| warning.starts_with("a login is sent to tempo")));
}

#[test]
fn settings_are_read_from_a_file_and_the_environment() {
    let file = "[investigation.queries]\ntimeout_ms = 500\n[investigation.queries.prometheus]\nurl = 'http://127.0.0.1:9090'\n\
                [investigation.queries.prometheus.templates]\nrestarts = 'sum(restarts{app=\"$service\"})'\n";
    let secret = std::env::temp_dir().join(format!("firewatch-token-{}", std::process::id()));
    std::fs::write(&secret, "p4ss\n").unwrap();
    let variables = [
        ("FIREWATCH_INVESTIGATION__QUERIES__PROMETHEUS__TOKEN", "t0ken"),
        ("FIREWATCH_INVESTIGATION__QUERIES__LOKI__PASSWORD_FILE", secret.to_str().unwrap()),
        ("FIREWATCH_INVESTIGATION__QUERIES__LOKI__URL", "https://loki"),
        ("FIREWATCH_INVESTIGATION__QUERIES__LOKI__USER", "firewatch"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = shared::service::Config::<investigation::Options>::from_sources(
        "investigation",
        Some(file),
        variables,
    );
    let config = config.unwrap();
    let queries = &config.stage.queries;
    assert_eq!((queries.timeout_ms, queries.prometheus.token.expose()), (500, "t0ken"));
    assert_eq!(queries.prometheus.templates.len(), 1);
    assert_eq!(queries.loki.password.expose(), "p4ss");
    let printed = config.to_toml();
    assert!(!printed.contains("t0ken") && !printed.contains("p4ss"), "{printed}");
    std::fs::remove_file(&secret).unwrap();
}
