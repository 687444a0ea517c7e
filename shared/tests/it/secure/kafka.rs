//! Kafka: one broker with a listener for each way in.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::bus::admin::Admin;
use shared::bus::reader::{From, Reader};
use shared::bus::{Consumer, Mechanism, Options, Producer, Sasl, Tls, lag};
use shared::clock::{Clock as _, SystemClock};
use shared::events::Topic;
use shared::secret::Secret;
use shared::service::Readiness;
use stack::parts::kafka::{Further, Kafka, Listener};
use tokio::sync::{OnceCell, RwLock};
use tokio_util::sync::CancellationToken;

use super::authority::{Authority, Identity, text};
use super::log::Log;
use super::{CLEAR, down};

const TOPIC: Topic = Topic::Actions;
const PASSWORD: &str = "s3cr3t-of-kafka-user";
const WRONG: &str = "wr0ng-s3cr3t-of-kafka-user";
const WAIT: Duration = Duration::from_secs(20);

/// Held for writing by the test that restarts the broker.
static STEADY: RwLock<()> = RwLock::const_new(());

async fn broker() -> &'static Kafka {
    static BROKER: OnceCell<Kafka> = OnceCell::const_new();
    BROKER
        .get_or_init(async || {
            Log::capture();
            let kafka = stack::testing::kafka_with(&further()).await.unwrap();
            kafka.admin().provision(&[TOPIC]).await.unwrap();
            kafka
        })
        .await
}

fn further() -> Further {
    let authority = Authority::ours();
    let store = |file: &str, host: &str, expired: bool| {
        let Identity { certificate, key } = authority.identity(host, expired);
        vec![
            ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
            ("ssl.keystore.location".to_owned(), text(&authority.write(file, &(key + &certificate)))),
            ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
            ("ssl.truststore.location".to_owned(), text(&authority.ca())),
        ]
    };
    let mut login = store("login.store", "localhost", false);
    let module = "org.apache.kafka.common.security";
    for (property, value) in [
        ("sasl.enabled.mechanisms", "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER".to_owned()),
        ("scram-sha-512.sasl.jaas.config", format!("{module}.scram.ScramLoginModule required;")),
        ("scram-sha-256.sasl.jaas.config", format!("{module}.scram.ScramLoginModule required;")),
        (
            "plain.sasl.jaas.config",
            format!("{module}.plain.PlainLoginModule required user_fw=\"{PASSWORD}\";"),
        ),
        (
            "oauthbearer.sasl.jaas.config",
            format!(
                "{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"fw\";"
            ),
        ),
    ] {
        login.push((property.to_owned(), value));
    }
    let mut mutual = store("mutual.store", "localhost", false);
    mutual.push(("ssl.client.auth".to_owned(), "required".to_owned()));
    let listener = |name, protocol, properties| Listener { name, protocol, properties };
    Further {
        listeners: vec![
            listener("LOGIN", "SASL_SSL", login),
            listener("MUTUAL", "SSL", mutual),
            listener("EXPIRED", "SSL", store("expired.store", "localhost", true)),
            listener("ELSEWHERE", "SSL", store("elsewhere.store", "elsewhere.example", false)),
        ],
        scram: [("SCRAM-SHA-512", ""), ("SCRAM-SHA-256", ",iterations=4096")]
            .map(|(mechanism, more)| format!("{mechanism}=[name=fw{more},password={PASSWORD}]"))
            .to_vec(),
    }
}

fn at(kafka: &Kafka, listener: &str, ca_file: PathBuf) -> Options {
    Options {
        brokers: kafka.listener(listener).unwrap().to_owned(),
        delivery_timeout_ms: 10_000,
        tls: Tls { enabled: true, ca_file, ..Tls::default() },
        ..Options::default()
    }
}

fn login(kafka: &Kafka, mechanism: Mechanism, password: &str) -> Options {
    let sasl = Sasl {
        mechanism,
        username: "fw".to_owned(),
        password: Secret::new(password),
        token: Secret::default(),
    };
    Options { sasl, ..at(kafka, "LOGIN", Authority::ours().ca()) }
}

/// A token as the broker's validator for development takes it: not signed.
fn token() -> String {
    let now = SystemClock.now().as_second();
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let claims = format!(r#"{{"sub":"fw","iat":{now},"exp":{}}}"#, now + 3_600);
    format!("{}.{}.", part(r#"{"alg":"none"}"#.to_owned()), part(claims))
}

/// Every kind of client does its work: writes, reads in a group, reads without one, looks.
async fn works(options: Options, group: &'static str) {
    assert_eq!(options.validate(), Vec::<String>::new());
    let producer = Producer::connect(&options).unwrap();
    producer.answers(WAIT).await.unwrap();
    producer.send(TOPIC, Some(group), &Vec::new(), group.as_bytes()).await.unwrap();

    let mut consumer = Consumer::join(&options, group, &[TOPIC]).unwrap();
    loop {
        let mut record = tokio::time::timeout(WAIT, consumer.next()).await.expect("a record comes").unwrap();
        let ours = record.payload == group.as_bytes();
        assert!(record.ticket.start());
        record.ticket.finish();
        if ours {
            break;
        }
    }
    consumer.leave().await;

    let topics = Admin::new(&options).unwrap().topics(WAIT).await.unwrap();
    assert!(topics.contains_key(TOPIC.name()));
    tokio::task::spawn_blocking(move || {
        let lines = Reader::open(&options, TOPIC, None, From::Beginning, WAIT).unwrap().to_end(WAIT).unwrap();
        assert!(lines.iter().any(|line| line.payload.as_deref() == Some(group.as_bytes())));
        let extents = lag::extents(&options, &[TOPIC], WAIT).unwrap();
        assert!(lag::behind(&options, group, &extents, WAIT).unwrap().contains_key(&TOPIC));
    })
    .await
    .unwrap();
    Log::capture().keeps(PASSWORD);
}

/// The failure is logged and reported with its cause in time, by each kind of client.
async fn fails(options: Options, words: &str) {
    let log = Log::capture();
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let producer = Producer::connect(&options).unwrap();
    let watching = tokio::spawn(shared::service::watch_bus(producer, readiness.clone(), shutdown.clone()));
    // they fail alone, too
    let alone = Options { link: shared::bus::Link::default(), ..options.clone() };
    let consumer = Consumer::join(&alone, "never", &[TOPIC]).unwrap();
    let logged = [options.brokers.as_str(), words];
    tokio::join!(down(&readiness, words), log.says(&logged), async {
        stack::parts::probe::until("the consumer's own reason", CLEAR, async || {
            let refusal = alone.link.refusal().unwrap_or_default();
            anyhow::ensure!(refusal.contains(words), "{words}: {refusal}");
            Ok(())
        })
        .await
        .unwrap();
    });
    let single = Options { link: shared::bus::Link::default(), ..options.clone() };
    let error = Admin::new(&single).unwrap().topics(Duration::from_secs(5)).await.unwrap_err().to_string();
    assert!(error.contains(words), "{words}: {error}");
    shutdown.cancel();
    watching.await.unwrap();
    consumer.leave().await;
    log.keeps(PASSWORD);
    log.keeps(WRONG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_let_every_client_in() {
    let _steady = STEADY.read().await;
    let kafka = broker().await;
    tokio::join!(
        works(login(kafka, Mechanism::ScramSha512, PASSWORD), "secure-scram-512"),
        works(login(kafka, Mechanism::ScramSha256, PASSWORD), "secure-scram-256"),
        works(login(kafka, Mechanism::Plain, PASSWORD), "secure-plain"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_and_a_client_certificate_let_every_client_in() {
    let _steady = STEADY.read().await;
    let kafka = broker().await;
    let token = token();
    let by_token = Options {
        sasl: Sasl {
            mechanism: Mechanism::OauthBearer,
            token: Secret::new(token.clone()),
            ..Sasl::default()
        },
        ..at(kafka, "LOGIN", Authority::ours().ca())
    };
    let (cert_file, key_file) = Authority::ours().files("client", "fw");
    let mut mutual = at(kafka, "MUTUAL", Authority::ours().ca());
    mutual.tls = Tls { cert_file, key_file, ..mutual.tls };
    tokio::join!(works(by_token, "secure-token"), works(mutual, "secure-mutual"));
    Log::capture().keeps(&token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_is_reported_with_its_cause_in_time() {
    let _steady = STEADY.read().await;
    let kafka = broker().await;
    let ca = || Authority::ours().ca();
    let nameless = at(kafka, "MUTUAL", ca());
    let garbled = Options {
        sasl: Sasl {
            mechanism: Mechanism::OauthBearer,
            token: Secret::new(format!("{WRONG}.e30.x")),
            ..Sasl::default()
        },
        ..at(kafka, "LOGIN", ca())
    };
    tokio::join!(
        fails(login(kafka, Mechanism::ScramSha512, WRONG), "invalid credentials"),
        fails(login(kafka, Mechanism::Plain, WRONG), "Invalid username or password"),
        fails(at(kafka, "LOGIN", Authority::strange().ca()), "signed by a CA that is not trusted"),
        fails(at(kafka, "EXPIRED", ca()), "has expired"),
        fails(at(kafka, "ELSEWHERE", ca()), "not valid for host name localhost"),
        fails(nameless, "the broker asks for a client certificate"),
        fails(garbled, "invalid_token"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_broker_is_logged_in_a_few_lines() {
    let _alone = STEADY.write().await;
    let kafka = broker().await;
    let log = Log::capture();
    let options = Options { brokers: kafka.brokers().to_owned(), ..Options::default() };
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let producer = Producer::connect(&options).unwrap();
    let mut consumer = Consumer::join(&options, "secure-restart", &[TOPIC]).unwrap();
    let second = Producer::connect(&options).unwrap();
    let watching =
        tokio::spawn(shared::service::watch_bus(producer.clone(), readiness.clone(), shutdown.clone()));
    let up = async || {
        stack::parts::probe::until("connected", WAIT, async || {
            anyhow::ensure!(readiness.report().0, "{}", readiness.report().1);
            Ok(())
        })
        .await
        .unwrap();
        second.send(TOPIC, None, &Vec::new(), b"restart").await.unwrap();
        tokio::time::timeout(WAIT, consumer.next()).await.expect("a record comes").unwrap();
    };
    let mut up = up;
    up().await;
    let words = [kafka.brokers()];
    let before = log.shown(&words).len();
    kafka.process().kill9();
    log.says(&[kafka.brokers(), "no Kafka broker is connected"]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    kafka.restart().await.unwrap();
    up().await;
    log.says(&[kafka.brokers(), "connected again"]).await;
    let lines = log.shown(&words).split_off(before);
    assert!((2..=6).contains(&lines.len()), "{lines:#?}");
    shutdown.cancel();
    watching.await.unwrap();
    consumer.leave().await;
}
