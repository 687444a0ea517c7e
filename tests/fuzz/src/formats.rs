//! Bodies of requests to the gateway, but those of OTLP.

use std::collections::BTreeMap;

use gateway::formats::generic::{Kind, cloudevents};
use gateway::formats::{
    Context, Unreadable, alertmanager, deployments, generic, influx, kubernetes, remote_write,
};
use gateway::identity::Rules;
use gateway::telemetry::{Batch, Limits, Record, Taken};
use ring::hmac;
use shared::events::{Alert, Deployment, Event, LogRecord, MetricSample, Span, Topic, decode};
use shared::secret::Secret;

/// When requests come, milliseconds since the Unix epoch: near the times of the seeds.
const NOW_MS: i64 = 1_772_359_210_000;
const SECRET: &str = "secret";

type Headers = BTreeMap<String, String>;
type Read<'a> = &'a dyn Fn(&Context<'_>, &mut Batch) -> Result<(), Unreadable>;

/// Reads an input as the body of a request in each format. Returns how many items were taken, of all together.
///
/// What is taken can be read by those that read the raw topics, and it is counted.
pub fn check(input: &[u8]) -> usize {
    let write = |version| {
        move |ctx: &Context<'_>, batch: &mut Batch| {
            remote_write::read_plain(input.to_vec(), version, ctx, batch).map(drop)
        }
    };
    let alerts = alertmanager::Settings::default();
    let events = kubernetes::Settings { normal_events: true, ..kubernetes::Settings::default() };
    let plain: [Read<'_>; 7] = [
        &write(remote_write::Version::V1),
        &write(remote_write::Version::V2),
        &|ctx, batch| remote_write::read(input, remote_write::Version::V1, 1 << 20, ctx, batch).map(drop),
        &|ctx, batch| alertmanager::webhook(input, &alerts, ctx, batch).map(drop),
        &|ctx, batch| alertmanager::posted(input, &alerts, ctx, batch).map(drop),
        &|ctx, batch| kubernetes::read(input, &events, ctx, batch).map(drop),
        &|ctx, batch| influx::read(input, influx::Precision::Nanoseconds, ctx, batch).map(drop),
    ];
    let taken: usize = plain.into_iter().map(|read| run(&Headers::new(), read)).sum();
    taken + own(input) + deployed(input)
}

/// Reads an input as our own JSON and as CloudEvents.
fn own(input: &[u8]) -> usize {
    let lines = headers(&[("content-type", "application/x-ndjson")]);
    let by_kind = Kind::ALL.into_iter().flat_map(|kind| {
        let read = move |ctx: &Context<'_>, batch: &mut Batch| generic::read(input, kind, ctx, batch);
        [run(&Headers::new(), &read), run(&lines, &read)]
    });
    let binary = |kind: Kind| {
        headers(&[
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/"),
            ("ce-type", kind.event_type()),
        ])
    };
    let modes = [
        headers(&[("content-type", "application/cloudevents+json")]),
        headers(&[("content-type", "application/cloudevents-batch+json")]),
    ];
    let modes = modes.into_iter().chain(Kind::ALL.map(binary));
    let events = modes.map(|headers| run(&headers, &|ctx, batch| cloudevents::read(input, ctx, batch)));
    by_kind.sum::<usize>() + events.sum::<usize>()
}

/// Reads an input as a signed request of each source of deployments.
fn deployed(input: &[u8]) -> usize {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = format!("sha256={}", hex::encode(hmac::sign(&key, input)));
    let bearer = format!("Bearer {SECRET}");
    let headers = headers(&[
        ("x-github-event", "deployment_status"),
        ("x-hub-signature-256", &signature),
        ("x-gitlab-token", SECRET),
        ("authorization", &bearer),
        ("x-signature", &signature),
    ]);
    let mut settings = deployments::Settings::default();
    settings.github.secret = Secret::new(SECRET);
    settings.gitlab.secret = Secret::new(SECRET);
    settings.argocd.secret = Secret::new(SECRET);
    settings.flux.secret = Secret::new(SECRET);
    let sources = deployments::Source::ALL.into_iter().map(|source| {
        run(&headers, &|ctx, batch| {
            let answer = deployments::read(input, source, &settings, ctx, batch);
            assert_ne!(
                answer,
                Err(Unreadable::Signature),
                "a signed request of {} is refused",
                source.name()
            );
            answer.map(drop)
        })
    });
    sources.sum()
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Reads a request, checks what was taken of it, and returns how much that is.
fn run(headers: &Headers, read: Read<'_>) -> usize {
    let identity = Rules::default();
    let mut batch = Batch::new(&Limits::default(), NOW_MS);
    if read(&Context { identity: &identity, now_ms: NOW_MS, headers }, &mut batch).is_err() {
        return 0;
    }
    let Taken { samples, histograms, lines, spans, deployments, alerts } = batch.taken;
    let taken = samples + histograms + lines + spans + deployments + alerts;
    let written: usize = batch.into_records().iter().map(items).sum();
    assert_eq!(taken, written, "what was taken is not what is written");
    taken
}

/// Returns how many items a record has, each of which its readers take.
fn items(record: &Record) -> usize {
    match record.topic {
        Topic::RawMetrics => {
            let samples: Vec<MetricSample> = serde_json::from_slice(&record.payload)
                .unwrap_or_else(|error| panic!("samples are not read again: {error}"));
            for sample in &samples {
                assert!(sample.validate().is_ok(), "a sample is invalid: {sample:?}");
            }
            samples.len()
        }
        Topic::RawLogs => one::<LogRecord>(record),
        Topic::RawSpans => one::<Span>(record),
        Topic::RawDeployments => one::<Deployment>(record),
        Topic::RawAlerts => one::<Alert>(record),
        other => panic!("a record is for {other}"),
    }
}

fn one<E: Event>(record: &Record) -> usize {
    let read = decode::<E>(&record.payload);
    assert!(read.is_ok(), "{} is not read again: {:?}", E::TYPE, read.err());
    1
}
