//! What happens in the house, as it happens: the topics that people care about, and the mails.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use shared::agent::Agent;
use shared::bus::{self, reader};
use shared::clock::from_ms;
use shared::events::{
    Anomaly, Deployment, Fault, Incident, Plan, Postmortem, Refusal, RootCause, Topic, decode,
};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::parts::mailbox::{Mail, Mailbox};

/// News that may wait for their reader.
const AHEAD: usize = 1_000;
/// Time between two looks into the mailbox.
const MAILBOX: Duration = Duration::from_millis(200);

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum News {
    /// The simulator set something on fire or put it out.
    Fault(Fault),
    /// A change was rolled out.
    Deployment(Deployment),
    /// A series left its band or came back.
    Anomaly(Anomaly),
    /// An incident was announced.
    Opened(Incident),
    /// An incident changed.
    Updated(Incident),
    /// An incident is over.
    Resolved(Incident),
    /// Causes were ranked.
    Cause(RootCause),
    /// A plan was made.
    Plan(Plan),
    /// A postmortem was written.
    Postmortem(Postmortem),
    /// A mail arrived.
    Mail(Mail),
    /// A stage could not handle a record.
    DeadLetter {
        /// Name of the topic.
        topic: &'static str,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

/// Follows everything from the beginning. Ends when the receiver is dropped.
pub fn follow(brokers: &str, mailbox: Mailbox) -> Result<Receiver<News>> {
    let (news, receiver) = mpsc::channel(AHEAD);
    let options = bus::Options { brokers: brokers.to_owned(), ..bus::Options::default() };
    let topics = [
        Topic::SimFaults,
        Topic::RawDeployments,
        Topic::Anomalies,
        Topic::IncidentsOpened,
        Topic::IncidentsUpdated,
        Topic::IncidentsResolved,
        Topic::RcaCompleted,
        Topic::Plans,
        Topic::Postmortems,
    ];
    for topic in topics.into_iter().chain(Agent::ALL.iter().map(|agent| agent.dead_letters())) {
        let (options, news) = (options.clone(), news.clone());
        thread::Builder::new()
            .name(topic.name().to_owned())
            .spawn(move || read(&options, topic, &news))
            .context("starting a reader")?;
    }
    tokio::spawn(async move { open(&mailbox, &news).await });
    Ok(receiver)
}

/// Reads one topic until nobody listens. A broker that is away is waited for.
fn read(options: &bus::Options, topic: Topic, news: &Sender<News>) {
    const PAUSE: Duration = Duration::from_millis(300);
    let mut reader = None;
    while !news.is_closed() {
        let Some(reader) = &mut reader else {
            reader =
                reader::Reader::open(options, topic, None, reader::From::Beginning, Duration::from_secs(5))
                    .ok();
            continue;
        };
        match reader.next(PAUSE) {
            // what people decide about dead letters is no dead letter
            Ok(Some(line))
                if matches!(topic, Topic::DeadLetters(_)) && bus::dead_letter::is_mark(&line.headers) => {}
            Ok(Some(line)) => {
                // what cannot be read is the business of its stage, which counts it
                let Ok(item) = understand(topic, &line) else { continue };
                if news.blocking_send(item).is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn understand(topic: Topic, line: &reader::Line) -> Result<News, Refusal> {
    let payload = line.payload.as_deref().unwrap_or_default();
    Ok(match topic {
        Topic::SimFaults => News::Fault(decode(payload)?),
        Topic::RawDeployments => News::Deployment(decode(payload)?),
        Topic::Anomalies => News::Anomaly(decode(payload)?),
        Topic::IncidentsOpened => News::Opened(decode(payload)?),
        Topic::IncidentsUpdated => News::Updated(decode(payload)?),
        Topic::IncidentsResolved => News::Resolved(decode(payload)?),
        Topic::RcaCompleted => News::Cause(decode(payload)?),
        Topic::Plans => News::Plan(decode(payload)?),
        Topic::Postmortems => News::Postmortem(decode(payload)?),
        other => News::DeadLetter {
            topic: other.name(),
            reason: header(line, bus::dead_letter::header::REASON),
            at: from_ms(line.timestamp_ms.unwrap_or_default()),
        },
    })
}

fn header(line: &reader::Line, name: &str) -> String {
    let found = line.headers.iter().find(|(key, _)| key == name);
    found.map_or_else(|| "no reason given".to_owned(), |(_, value)| value.clone())
}

/// Looks into the mailbox until nobody listens. A mail sink that is away is waited for.
async fn open(mailbox: &Mailbox, news: &Sender<News>) {
    let mut seen = 0;
    while !news.is_closed() {
        if let Ok(mails) = mailbox.mails_after(seen).await {
            seen += mails.len();
            for mail in mails {
                if news.send(News::Mail(mail)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(MAILBOX).await;
    }
}
