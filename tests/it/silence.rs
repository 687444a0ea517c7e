//! A service that stops sending is missed, and found again: where others go on, and where nobody else is left to say that
//! time passes (`docs/adr/0009-time-is-written-into-the-log.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use shared::bus::reader::{From, Reader};
use shared::bus::tick::TICK;
use shared::bus::{self, Producer};
use shared::clock::{Clock, SystemClock};
use shared::events::anomaly::Status;
use shared::events::{Kind, Topic};
use stack::Options;
use stack::observe::run_summary::RunObservation;
use tests::Pipeline;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Who falls silent.
const SERVICE: &str = "payment";
/// Seconds of silence that are forgiven: the shortest after which ticks come.
const FORGIVEN_S: &str = "5";
/// Time between two reports.
const EVERY: Duration = Duration::from_millis(250);
/// Reports after which the rhythm of a service is known for certain.
const KNOWN: u32 = 30;
/// Longest time from the last report to the incident, and from the next one to its end, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);
/// How long a second incident is waited for.
const SETTLED: Duration = Duration::from_secs(3);

/// Sends a sample of each service to one partition, of the one that is silent none, for ever.
async fn report(
    producer: Producer,
    services: &'static [&'static str],
    is_silent: Arc<AtomicBool>,
    reports: watch::Sender<u32>,
) -> Result<()> {
    let mut beat = tokio::time::interval(EVERY);
    loop {
        beat.tick().await;
        let ts_ms = SystemClock.now().as_millisecond();
        let value = 80 + *reports.borrow() * 7 % 5;
        for service in services {
            if *service == SERVICE && is_silent.load(Ordering::Relaxed) {
                continue;
            }
            let sample = format!(
                r#"{{"service":"{service}","metric":"request_rate","value":{value},"ts_ms":{ts_ms}}}"#
            );
            producer
                .enqueue_at(Topic::RawMetrics, Some(0), Some(service), &Vec::new(), sample.as_bytes())
                .await?
                .acknowledged()
                .await?;
        }
        reports.send_modify(|reports| *reports += 1);
    }
}

/// Lets one of `services` fall silent and come back. Returns how many ticks were written meanwhile.
async fn one_falls_silent(services: &'static [&'static str]) -> Result<usize> {
    let mut options = Options::throw_away()?;
    options.settings.insert("FIREWATCH_DETECTION__SILENCE_AFTER_S".to_owned(), FORGIVEN_S.to_owned());
    let mut pipeline = Pipeline::start_with(options, 1).await?;
    let broker = bus::Options { brokers: pipeline.stack.brokers().to_owned(), ..bus::Options::default() };
    let (is_silent, (reports, mut reported)) = (Arc::new(AtomicBool::new(false)), watch::channel(0));
    let mut source = JoinSet::new();
    source.spawn(report(Producer::connect(&broker)?, services, is_silent.clone(), reports));
    reported.wait_for(|reports| *reports >= KNOWN).await?;

    is_silent.store(true, Ordering::Relaxed);
    pipeline.wait_for(DEADLINE, Duration::ZERO, |observation| missing(observation, Status::Firing)).await?;
    let incident = pipeline.observation.incident().expect("nothing is missing");
    ensure!(incident.suspect().is_some_and(|suspect| suspect.service == SERVICE), "{:?}", incident.suspect());

    is_silent.store(false, Ordering::Relaxed);
    pipeline.wait_for(DEADLINE, SETTLED, |observation| missing(observation, Status::Cleared)).await?;
    ensure!(source.try_join_next().is_none(), "the source has ended by itself");
    source.shutdown().await;
    let ticks = tokio::task::spawn_blocking(move || -> Result<usize> {
        let log = Reader::open(&broker, Topic::RawMetrics, None, From::Beginning, Duration::from_secs(10))?
            .to_end(Duration::from_secs(20))?;
        Ok(log.iter().filter(|line| line.payload.as_deref() == Some(TICK)).count())
    })
    .await??;
    pipeline.stack.stop().await?;
    Ok(ticks)
}

/// Tells what is missing to one incident of one silence that stands so, and is over if it has cleared.
fn missing(observation: &RunObservation, status: Status) -> Vec<String> {
    let Some(incident) = observation.incident() else { return vec!["no incident was opened".to_owned()] };
    let mut missing = Vec::new();
    let mut expect = |met: bool, sentence: String| {
        if !met {
            missing.push(sentence);
        }
    };
    expect(
        observation.incidents.len() == 1,
        format!("{} incidents were opened instead of one", observation.incidents.len()),
    );
    let told: Vec<_> =
        incident.signals.iter().map(|signal| (&*signal.service, signal.kind, signal.status)).collect();
    expect(told == [(SERVICE, Kind::Silence, status)], format!("the incident is of {told:?}"));
    let is_over = status == Status::Cleared;
    expect(incident.resolved_at.is_some() == is_over, format!("resolved: {:?}", incident.resolved_at));
    missing
}

#[tokio::test]
async fn while_others_of_its_partition_go_on() -> Result<()> {
    // on a machine that stands still for seconds, a tick may come even so
    one_falls_silent(&[SERVICE, "user"]).await?;
    Ok(())
}

#[tokio::test]
async fn as_the_only_one_of_its_partition() -> Result<()> {
    let ticks = one_falls_silent(&[SERVICE]).await?;
    ensure!(ticks >= 2, "{ticks} ticks were written: something else has told time");
    Ok(())
}
