//! A service that stops reporting has an incident, which resolves when the service reports again: while other services of the
//! partition report, and while none does (`docs/adr/0009-time-is-written-into-the-log.md`).

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
use stack::observe::missing::Missing;
use stack::observe::run_summary::RunObservation;
use tests::Pipeline;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The service that stops reporting.
const SERVICE: &str = "payment";
/// Setting `silence_after_s`: the shortest silence after which ticks are written.
const SILENCE_AFTER_S: &str = "5";
/// Time between two reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);
/// Reports after which detection knows the cadence of a service.
const CADENCE_REPORTS: u32 = 30;
/// Longest time from the last report to the incident, and from the next report to its resolution, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);
/// Time after completion in which a second incident would still be found.
const SETTLED: Duration = Duration::from_secs(3);

/// Sends a sample of each service to one partition at each interval, except of [`SERVICE`] while it is silent. Never ends.
async fn report(
    producer: Producer,
    services: &'static [&'static str],
    is_silent: Arc<AtomicBool>,
    reports: watch::Sender<u32>,
) -> Result<()> {
    let mut interval = tokio::time::interval(REPORT_INTERVAL);
    loop {
        interval.tick().await;
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

/// Stops the reports of one of `services`, and resumes them. Returns how many ticks were written meanwhile.
async fn one_stops_reporting(services: &'static [&'static str]) -> Result<usize> {
    let mut options = Options::throw_away()?;
    options.settings.insert("FIREWATCH_DETECTION__SILENCE_AFTER_S".to_owned(), SILENCE_AFTER_S.to_owned());
    let mut pipeline = Pipeline::start_with(options, 1).await?;
    let broker = bus::Options { brokers: pipeline.stack.brokers().to_owned(), ..bus::Options::default() };
    let (is_silent, (reports, mut reported)) = (Arc::new(AtomicBool::new(false)), watch::channel(0));
    let mut source = JoinSet::new();
    source.spawn(report(Producer::connect(&broker)?, services, is_silent.clone(), reports));
    reported.wait_for(|reports| *reports >= CADENCE_REPORTS).await?;

    is_silent.store(true, Ordering::Relaxed);
    pipeline.wait_for(DEADLINE, Duration::ZERO, |observation| missing(observation, Status::Firing)).await?;
    let incident = pipeline.observation.incident().expect("nothing is missing");
    ensure!(incident.suspect().is_some_and(|suspect| suspect.service == SERVICE), "{:?}", incident.suspect());

    is_silent.store(false, Ordering::Relaxed);
    pipeline.wait_for(DEADLINE, SETTLED, |observation| missing(observation, Status::Cleared)).await?;
    ensure!(source.try_join_next().is_none(), "the source of reports has ended");
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

/// Returns what is missing of exactly one incident, of one silence with this status, that is resolved if it has cleared.
fn missing(observation: &RunObservation, status: Status) -> Vec<String> {
    let Some(incident) = observation.incident() else { return vec![Missing::Incident.to_string()] };
    let mut missing = Vec::new();
    let mut expect = |met: bool, sentence: String| {
        if !met {
            missing.push(sentence);
        }
    };
    let opened = observation.incidents.len();
    expect(opened == 1, Missing::SurplusIncidents { opened }.to_string());
    let members: Vec<_> =
        incident.signals.iter().map(|signal| (&*signal.service, signal.kind, signal.status)).collect();
    expect(members == [(SERVICE, Kind::Silence, status)], format!("the members are {members:?}"));
    let is_resolved = status == Status::Cleared;
    expect(incident.resolved_at.is_some() == is_resolved, format!("resolved: {:?}", incident.resolved_at));
    missing
}

#[tokio::test]
async fn while_other_services_of_its_partition_report() -> Result<()> {
    // a machine that stalls for seconds may write a tick here as well
    one_stops_reporting(&[SERVICE, "user"]).await?;
    Ok(())
}

#[tokio::test]
async fn as_the_only_service_of_its_partition() -> Result<()> {
    let ticks = one_stops_reporting(&[SERVICE]).await?;
    ensure!(ticks >= 2, "only {ticks} ticks were written");
    Ok(())
}
