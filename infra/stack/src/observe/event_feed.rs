//! The topics that people follow and the mailbox of a running pipeline, as one feed of events.

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

/// Most events that wait for their reader.
const CAPACITY: usize = 1_000;
/// Time between two requests to the mailbox.
const MAILBOX_INTERVAL: Duration = Duration::from_millis(200);

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The simulator started or ended a fault.
    Fault(Fault),
    /// A deployment was reported.
    Deployment(Deployment),
    /// A series left its band or returned to it.
    Anomaly(Anomaly),
    /// An incident was announced.
    Opened(Incident),
    /// An incident changed.
    Updated(Incident),
    /// An incident was resolved.
    Resolved(Incident),
    /// Causes were ranked.
    Cause(RootCause),
    /// A plan was made.
    Plan(Plan),
    /// A postmortem was written.
    Postmortem(Postmortem),
    /// The mail sink accepted a mail.
    Mail(Mail),
    /// A stage could not handle a record.
    DeadLetter {
        /// Name of the topic.
        topic: &'static str,
        /// Why the stage refused the record.
        reason: String,
        /// When it was written.
        at: Timestamp,
    },
}

/// Follows everything from the beginning. Ends when the receiver is dropped.
pub fn follow(brokers: &str, mailbox: Mailbox) -> Result<Receiver<Event>> {
    let (events, receiver) = mpsc::channel(CAPACITY);
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
        let (options, events) = (options.clone(), events.clone());
        thread::Builder::new()
            .name(topic.name().to_owned())
            .spawn(move || read(&options, topic, &events))
            .context("starting a reader")?;
    }
    tokio::spawn(async move { poll(&mailbox, &events).await });
    Ok(receiver)
}

/// Reads one topic until the receiver is dropped. Retries while the broker is down.
fn read(options: &bus::Options, topic: Topic, events: &Sender<Event>) {
    const PAUSE: Duration = Duration::from_millis(300);
    let mut reader = None;
    while !events.is_closed() {
        let Some(reader) = &mut reader else {
            reader =
                reader::Reader::open(options, topic, None, reader::From::Beginning, Duration::from_secs(5))
                    .ok();
            continue;
        };
        match reader.next(PAUSE) {
            // a mark records what an operator decided about a dead letter; it is none itself
            Ok(Some(line))
                if matches!(topic, Topic::DeadLetters(_)) && bus::dead_letter::is_mark(&line.headers) => {}
            Ok(Some(line)) => {
                // the stage that reads the topic counts records that do not parse
                let Ok(item) = parse(topic, &line) else { continue };
                if events.blocking_send(item).is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn parse(topic: Topic, line: &reader::Line) -> Result<Event, Refusal> {
    let payload = line.payload.as_deref().unwrap_or_default();
    Ok(match topic {
        Topic::SimFaults => Event::Fault(decode(payload)?),
        Topic::RawDeployments => Event::Deployment(decode(payload)?),
        Topic::Anomalies => Event::Anomaly(decode(payload)?),
        Topic::IncidentsOpened => Event::Opened(decode(payload)?),
        Topic::IncidentsUpdated => Event::Updated(decode(payload)?),
        Topic::IncidentsResolved => Event::Resolved(decode(payload)?),
        Topic::RcaCompleted => Event::Cause(decode(payload)?),
        Topic::Plans => Event::Plan(decode(payload)?),
        Topic::Postmortems => Event::Postmortem(decode(payload)?),
        other => Event::DeadLetter {
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

/// Reads the mailbox until the receiver is dropped. Retries while the mail sink is down.
async fn poll(mailbox: &Mailbox, events: &Sender<Event>) {
    let mut seen = 0;
    while !events.is_closed() {
        if let Ok(mails) = mailbox.mails_after(seen).await {
            seen += mails.len();
            for mail in mails {
                if events.send(Event::Mail(mail)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(MAILBOX_INTERVAL).await;
    }
}
