//! Healthy weeks with deployments: what fires and is decided though nothing is wrong.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::decoys::{DAY_MS, HealthyShop, Tally, Ward};
use crate::naive::{Alarm, Naive};
use crate::noises::{NOISES, SEED, thousandths};
use crate::shop::{METRICS, Noise, SERVICES};

/// What fired in a stretch is spelled out up to here.
const SPELLED_OUT: usize = 5;

/// Figures a day by noise and cadence.
pub(crate) struct Weeks {
    pub(crate) fired: Value,
    pub(crate) decided: Value,
    pub(crate) naive: Value,
    /// How often each detector fired and decided, in all and within an hour after a deployment of the service.
    pub(crate) by_detector: Value,
    /// The same without deployments.
    pub(crate) by_detector_undeployed: Value,
    /// Deployments of one week.
    pub(crate) deployments: u32,
}

/// A stretch of healthy time.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) tally: Tally,
    pub(crate) naive: u32,
}

/// A healthy shop under watch, by a partition and by the naive way.
pub(crate) struct Channel {
    interval_s: i64,
    shop: HealthyShop,
    ward: Ward,
    windows: Vec<Naive>,
}

impl Channel {
    /// Begins with a shop that has deployments.
    pub(crate) fn new(noise: Noise, interval_s: i64, seed: u64) -> Self {
        Self {
            interval_s,
            shop: HealthyShop::new(noise, interval_s * 1000, seed),
            ward: Ward::new(),
            windows: vec![Naive::default(); SERVICES.len() * METRICS.len()],
        }
    }

    /// Cancels the deployments.
    pub(crate) fn without_deployments(self) -> Self {
        Self { shop: self.shop.without_deployments(), ..self }
    }

    /// Watches for so many days. Says on standard error why some of what fired did so.
    pub(crate) fn watch(&mut self, days: i64) -> Stretch {
        let mut naive = 0;
        for _ in 0..days * DAY_MS / (self.interval_s * 1000) {
            let tick = self.shop.tick();
            for (window, value) in self.windows.iter_mut().zip(tick.values.as_flattened()) {
                naive += u32::from(window.take(*value) == Alarm::Begins);
            }
            self.ward.take(&tick);
        }
        let tally = std::mem::take(&mut self.ward.tally);
        for why in tally.fired.iter().take(SPELLED_OUT) {
            eprintln!("  fired at {why}");
        }
        Stretch { tally, naive }
    }
}

impl Stretch {
    /// Returns episodes that fired, decisions, and runs of alarms of the naive way, a day.
    pub(crate) fn a_day(&self, days: i64) -> [f64; 3] {
        let (fired, decided) = (self.tally.all(|count| count.fired), self.tally.all(|count| count.decided));
        [fired, decided, self.naive].map(|count| f64::from(count) / days as f64)
    }
}

/// Runs the healthy shop under each noise.
pub(crate) fn score(days: i64, page: &mut String) -> Weeks {
    let _ = write!(
        page,
        "\n## Healthy weeks\n\nSix services with seven series each that follow the day, {days} days, through one partition that judges \
         series, services and deployments. Each service is deployed every one to three days (not at weekends, between 9 and 17 h): for \
         one or two samples traffic is a tenth lower and latency a tenth longer, and latency, processor and memory stay 1 to 3 % higher \
         or lower from then on. A day and over all 42 series: episodes that began to fire / decisions that something is abnormal for \
         certain (`score` 1 of `detection replay`) / runs of alarms of the naive way (three deviations of the last 240 samples).\n\n\
         | noise | 10 s a sample | 1 min | 5 min |\n|---|---|---|---|\n"
    );
    let mut figures = <[Map<String, Value>; 5]>::default();
    let (mut all, mut undeployed, mut deployments) = (Tally::default(), Tally::default(), 0);
    for (name, noise) in NOISES {
        let mut row = <[Map<String, Value>; 5]>::default();
        let _ = write!(page, "| {name} |");
        for interval_s in [10, 60, 300] {
            eprintln!("{name}, {interval_s} s");
            let watch = || Channel::new(noise, interval_s, SEED);
            let week = watch().watch(days);
            let counts = week.a_day(days);
            let _ = write!(page, " {:.2} / {:.2} / {:.0} |", counts[0], counts[1], counts[2]);
            for (row, count) in row.iter_mut().zip(counts) {
                row.insert(format!("{interval_s}s"), thousandths(count));
            }
            row[3].insert(format!("{interval_s}s"), detectors(&week.tally));
            deployments = week.tally.deployments;
            all.add(&week.tally);
            eprintln!("{name}, {interval_s} s, without deployments");
            let week = watch().without_deployments().watch(days);
            row[4].insert(format!("{interval_s}s"), detectors(&week.tally));
            undeployed.add(&week.tally);
        }
        page.push('\n');
        for (figures, row) in figures.iter_mut().zip(row) {
            figures.insert(name.to_owned(), Value::Object(row));
        }
    }
    let share = f64::from(deployments) / (SERVICES.len() as f64 * days as f64 * 24.0);
    let _ = write!(
        page,
        "\nWhich detector it was, in all {} weeks together with their {deployments} deployments each; how much of it came within the hour \
         after a deployment of the same service ({:.1} % of the time); and what the same weeks make of the same noise without any \
         deployment. Suspected are all episodes that were begun. Detectors that are not named began none.\n\n",
        NOISES.len() * 3,
        100.0 * share
    );
    write_detectors(&all, &undeployed, page);
    let [fired, decided, naive, by_detector, by_detector_undeployed] = figures.map(Value::Object);
    Weeks { fired, decided, naive, by_detector, by_detector_undeployed, deployments }
}

/// Writes what each detector told, with deployments and without.
fn write_detectors(deployed: &Tally, undeployed: &Tally, page: &mut String) {
    page.push_str(
        "| detector | suspected / fired / decided | fired / decided within the hour after a deployment | suspected / fired / decided \
         without deployments |\n|---|---|---|---|\n",
    );
    for detector in deployed.by_detector.keys().chain(undeployed.by_detector.keys()).collect::<BTreeSet<_>>()
    {
        let count = |tally: &Tally| tally.by_detector.get(detector).copied().unwrap_or_default();
        let (with, without) = (count(deployed), count(undeployed));
        let _ = writeln!(
            page,
            "| `{detector}` | {} / {} / {} | {} / {} | {} / {} / {} |",
            with.suspected,
            with.fired,
            with.decided,
            with.fired_after_deployment,
            with.decided_after_deployment,
            without.suspected,
            without.fired,
            without.decided
        );
    }
}

/// Returns the counts of a week, by detector.
fn detectors(tally: &Tally) -> Value {
    let counts = tally.by_detector.iter().map(|(detector, count)| {
        let count = json!({ "suspected": count.suspected, "fired": count.fired, "fired_after_deployment": count.fired_after_deployment,
            "decided": count.decided, "decided_after_deployment": count.decided_after_deployment });
        (detector.clone(), count)
    });
    Value::Object(counts.collect())
}
