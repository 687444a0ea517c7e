//! What may be configured, and what is refused before anything is connected to.

use std::collections::HashMap;

use shared::bus::Mechanism;
use shared::service::Config;
use shared::service::config::{NoOptions, Problems};

use super::authority::{Authority, text};

const SECRET: &str = "s3cr3t-of-a-file";

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config<NoOptions>, Problems> {
    let variables: HashMap<_, _> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::from_sources("correlation", Some(file), variables)
}

#[test]
fn every_secret_can_come_from_a_file() {
    let file = text(&Authority::ours().write("secret", &format!("{SECRET}\n")));
    let url = text(&Authority::ours().write("url", &format!("postgres://u:{SECRET}@db/x\n")));
    let config = load(
        &format!("[kafka.tls]\nkey_password_file = '{file}'\n"),
        &[
            ("FIREWATCH_KAFKA__TLS__ENABLED", "true"),
            ("FIREWATCH_KAFKA__TLS__CA_FILE", &text(&Authority::ours().ca())),
            ("FIREWATCH_KAFKA__TLS__CERT_FILE", &text(&Authority::ours().ca())),
            ("FIREWATCH_KAFKA__TLS__KEY_FILE", &file),
            ("FIREWATCH_KAFKA__SASL__MECHANISM", "SCRAM-SHA-512"),
            ("FIREWATCH_KAFKA__SASL__USERNAME", "fw"),
            ("FIREWATCH_KAFKA__SASL__PASSWORD", ""),
            ("FIREWATCH_KAFKA__SASL__PASSWORD_FILE", &file),
            ("FIREWATCH_POSTGRES__URL_FILE", &url),
            ("FIREWATCH_KNOWLEDGE__QDRANT_API_KEY_FILE", &file),
        ],
    )
    .unwrap();
    let common = &config.common;
    assert_eq!(common.kafka.sasl.mechanism, Mechanism::ScramSha512);
    for secret in
        [&common.kafka.sasl.password, &common.kafka.tls.key_password, &common.knowledge.qdrant_api_key]
    {
        assert_eq!(secret.expose(), SECRET);
    }
    assert_eq!(common.postgres.url, format!("postgres://u:{SECRET}@db/x"));
    assert_eq!(common.kafka.client_id, "firewatch-correlation");
    let shown = format!("{} {config:?}", config.to_toml());
    assert!(!shown.contains(SECRET) && shown.contains("***"), "{shown}");
}

#[test]
fn all_problems_are_reported_at_once_and_without_secrets() {
    let Problems(problems) = load(
        "",
        &[
            ("FIREWATCH_KAFKA__TLS__CA_FILE", "/nowhere/ca.pem"),
            ("FIREWATCH_KAFKA__TLS__CERT_FILE", &text(&Authority::ours().ca())),
            ("FIREWATCH_KAFKA__SASL__MECHANISM", "OAUTHBEARER"),
            ("FIREWATCH_KAFKA__SASL__PASSWORD", SECRET),
            ("FIREWATCH_POSTGRES__URL", &format!("postgres://u:{SECRET}@db/x?sslmode=prefer")),
            ("FIREWATCH_POSTGRES__PASSWORD", SECRET),
            ("FIREWATCH_POSTGRES__TLS__CA_FILE", &text(&Authority::ours().ca())),
            ("FIREWATCH_POSTGRES__URL_FILE", "/nowhere/url"),
        ],
    )
    .unwrap_err();
    let expected = [
        "postgres.url and postgres.url_file are both set",
        "kafka.tls.ca_file: /nowhere/ca.pem: No such file",
        "kafka.tls.cert_file and kafka.tls.key_file are set together",
        "kafka.tls.ca_file is set, and kafka.tls.enabled is not",
        "kafka.tls.cert_file is set, and kafka.tls.enabled is not",
        "kafka.sasl.password is set, and kafka.sasl.mechanism is OAUTHBEARER",
        "kafka.sasl.token is empty, and kafka.sasl.mechanism is OAUTHBEARER",
        "postgres.password is set, and postgres.url has a password as well",
        "postgres.tls is set, and postgres.url says sslmode=prefer",
    ];
    for words in expected {
        assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    assert!(!problems.iter().any(|problem| problem.contains(SECRET)), "{problems:#?}");
}

#[test]
fn plain_text_over_a_network_is_warned_of_once_a_dependency() {
    let names = |variables: &[(&str, &str)]| -> Vec<String> {
        let warnings = load("", variables).unwrap().warnings();
        warnings.iter().map(|line| line.split(" at ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), Vec::<String>::new());
    let away = [
        ("FIREWATCH_KAFKA__BROKERS", "127.0.0.1:9092,kafka:9092"),
        ("FIREWATCH_POSTGRES__URL", "postgres://u@db/x"),
        ("FIREWATCH_KNOWLEDGE__INDEX", "qdrant"),
        ("FIREWATCH_KNOWLEDGE__QDRANT_URL", "http://qdrant:6334"),
    ];
    assert_eq!(names(&away), ["Kafka", "PostgreSQL", "Qdrant"]);
    let protected = [
        ("FIREWATCH_KAFKA__BROKERS", "kafka:9092"),
        ("FIREWATCH_KAFKA__TLS__ENABLED", "true"),
        ("FIREWATCH_POSTGRES__URL", "postgres://u@db/x?sslmode=require"),
        ("FIREWATCH_KNOWLEDGE__INDEX", "qdrant"),
        ("FIREWATCH_KNOWLEDGE__QDRANT_URL", "https://qdrant:6334"),
    ];
    assert_eq!(names(&protected), Vec::<String>::new());
}
