//! Prints how long a decision takes in an environment with many open incidents, over real PostgreSQL, from the anomaly to the
//! rows: `make score-decisions`. Each anomaly is decided and written by itself, which is the slowest way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use correlation::input::Input;
use correlation::{Correlation, Options};
use jiff::{SignedDuration, Timestamp};
use shared::agent::Agent;
use shared::calls::Calls;
use shared::clock::{Clock as _, SystemClock};
use shared::events::anomaly::{Anomaly, Band, Context, Direction, Point, Status};
use shared::events::{Kind, Severity};
use shared::graph::Callee;
use shared::ids::{AnomalyId, EventId, derive};
use shared::stage::{Effects, Stage as _};
use shared::store::{EdgeCalls, Store, Write};
use shared::testing;
use stack::testing::durations::Durations;

/// Open incidents, each of a service of its own that two others call, and decisions that are timed.
const INCIDENTS: usize = 1_000;
const DECISIONS: usize = 1_000;
/// One decision in so many is made by a replica that has read nothing yet.
const COLD_EVERY: usize = 10;
const INTERVAL_MS: u64 = 10_000;
const SERIES: [(&str, Kind); 3] =
    [("error_rate", Kind::Errors), ("latency_p99_ms", Kind::Latency), ("cpu_percent", Kind::Cpu)];

fn anomaly(service: &str, series: usize, began: Timestamp, revision: u32) -> Anomaly {
    let (metric, kind) = SERIES[series];
    let point = |i: i64| Point { ts_ms: began.as_millisecond() + i * INTERVAL_MS as i64, value: 90.0 };
    Anomaly {
        dimensions: std::collections::BTreeMap::new(),
        anomaly_id: AnomalyId::of_episode("production", service, metric, began.as_millisecond()),
        revision,
        status: Status::Firing,
        kind,
        environment: "production".into(),
        service: service.into(),
        metric: metric.into(),
        unit: "%".into(),
        severity: Severity::Sev3,
        evidence: 6.0,
        direction: Direction::Up,
        observed: 90.0,
        expected: Band { lower: 20.0, center: 30.0, upper: 40.0 },
        started_at: began,
        observed_at: began + SignedDuration::from_secs(20 + i64::from(revision)),
        interval_ms: INTERVAL_MS,
        detector: "latency".into(),
        explanation: format!("{metric} of {service} is 90 %, expected 20 to 40 %"),
        ended: None,
        burn_rate: None,
        impact: None,
        context: Context { samples: (-59..=0).map(point).collect(), ..Context::default() },
    }
}

/// Decides on one anomaly and writes what follows. Returns the time for both, and whether an incident opened.
async fn decide(stage: &Correlation, store: &Store, anomaly: Anomaly) -> Result<(Duration, bool)> {
    let seed = [&anomaly.anomaly_id.to_string(), &*anomaly.revision.to_string()];
    let event = EventId(derive(&seed));
    let context = testing::context(store, Agent::Correlation, event, Arc::new(SystemClock));
    let input = Input::Anomaly(Box::new(anomaly));
    let begin = Instant::now();
    let effects = stage.handle(&input, &context).await.map_err(anyhow::Error::msg)?;
    let opens = effects.timers.iter().any(|timer| timer.name == "settle");
    testing::apply_all(store, Agent::Correlation.name(), &[(event, effects)]).await?;
    Ok((begin.elapsed(), opens))
}

/// Stores the calls of two callers to each service.
async fn store_calls(store: &Store, now: Timestamp) -> Result<()> {
    let edge = |caller: String, callee: String| Write::Edge {
        environment: "production".into(),
        caller,
        callee,
        last_seen: now,
        seen: Box::new(EdgeCalls { kind: Callee::Service, first_seen: now, calls: Calls::default() }),
    };
    let edges =
        (0..INCIDENTS).flat_map(|i| ["web", "batch"].map(|of| (format!("{of}-{i}"), format!("service-{i}"))));
    let writes = edges.map(|(caller, callee)| edge(caller, callee)).collect();
    let id = EventId(derive(&["edges"]));
    testing::apply_all(store, Agent::Correlation.name(), &[(id, Effects { writes, ..Effects::none() })])
        .await?;
    Ok(())
}

fn print(what: &str, times: &Durations) {
    println!("{what:<34} {} decisions: {times}", times.number());
}

#[tokio::main]
async fn main() -> Result<()> {
    let database = stack::testing::postgres().await?;
    let store = database.store()?;
    let now = SystemClock.now();
    store_calls(&store, now).await?;
    // a storm would take in what opens after the first twenty
    let options = || Options { storm_incidents: 0, ..Options::default() };
    let stage = Correlation::new(options());
    let began = now - SignedDuration::from_mins(2);
    let (mut opening, mut opened) = (Durations::default(), 0);
    for i in 0..INCIDENTS {
        let (time, opens) = decide(&stage, &store, anomaly(&format!("service-{i}"), 0, began, 1)).await?;
        opening.push(time);
        opened += usize::from(opens);
    }
    ensure!(opened == INCIDENTS, "{opened} incidents have opened");

    let (mut warm, mut cold) = (Durations::default(), Durations::default());
    for i in 0..DECISIONS {
        let place = i * 7 % INCIDENTS;
        let service = format!("service-{place}");
        // a revision of what is known, another series of the service, and a symptom of a caller
        let next = match i % 3 {
            0 => anomaly(&service, 0, began, 2),
            1 => anomaly(&service, 1, began, 1),
            _ => anomaly(&format!("web-{place}"), 0, began, 1),
        };
        let is_cold = i % COLD_EVERY == 0;
        let replica = is_cold.then(|| Correlation::new(options()));
        let (time, opens) = decide(replica.as_ref().unwrap_or(&stage), &store, next).await?;
        ensure!(!opens, "a symptom of {service} has opened an incident");
        // after another replica's decision, the environment that is held is not up to date
        if i % COLD_EVERY <= 1 { cold.push(time) } else { warm.push(time) }
    }
    print("with 0 to 999 open incidents", &opening);
    print("with 1,000, as held in memory", &warm);
    print("with 1,000, environment read anew", &cold);
    Ok(())
}
