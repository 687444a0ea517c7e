//! What a snapshot holds of the series of one service: a section for each thing that is learned, with an entry a series.
//!
//! Only the names have to be there. Whatever else is missing or cannot be read warms up again, for all series of the
//! service; what the other sections hold stays.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Series;
use super::limit::Limit;
use super::rules::Rule;
use super::rules::slo::Slo;
use crate::config::Settings;
use crate::metric_profile::Metrics;
use crate::sections::{Section, Sections, Writer};

/// Name and unit of each series. Their order is that of the entries of all other sections.
const SERIES: Section = Section::new("series", 1);
const CADENCE: Section = Section::new("cadence", 1);
const SAMPLES: Section = Section::new("samples", 1);
const BASELINE: Section = Section::new("baseline", 2);
const HISTORY: Section = Section::new("history", 2);
/// What each series does at its time, where it does.
const RECURRENCES: Section = Section::new("recurrences", 1);
/// How far and long its deviations go that come at no time of their own.
const EPISODE_ENVELOPES: Section = Section::new("episode_envelopes", 1);
/// How often each series is zero.
const ZEROS: Section = Section::new("zeros", 1);
/// The last deviations of each series.
const DEVIATIONS: Section = Section::new("deviations", 2);
const EPISODES: Section = Section::new("episodes", 1);
/// Ceilings that other series report.
const LIMITS: Section = Section::new("limits", 1);
const FORECASTS: Section = Section::new("forecasts", 1);
const CERTIFICATES: Section = Section::new("certificates", 1);
const RESTART_SOURCES: Section = Section::new("restart_sources", 1);
/// Objectives that are missed.
const OBJECTIVES: Section = Section::new("objectives", 1);
/// How they keep to what the service catalogue states.
const SLOS: Section = Section::new("slos", 2);
/// The same as earlier releases wrote it.
const SLOS_BEFORE: Section = Section::new("slos", 1);
/// What their values have shown of counters and of what is none.
const HABITS: Section = Section::new("habits", 1);

/// When the samples of one series come.
#[derive(Debug, Serialize, Deserialize)]
struct Cadence {
    last_ms: i64,
    interval_ms: f64,
    intervals: u32,
    /// Value of a counter at that time: without the one, the other means nothing.
    counted: Option<f64>,
}

/// Writes the sections of all series of a service.
pub(crate) fn write(series: &[Series], sections: &mut Writer) {
    dense(series, sections, SERIES, |one| (&one.metric.name, &one.metric.unit));
    dense(series, sections, CADENCE, |one| Cadence {
        last_ms: one.last_ms,
        interval_ms: one.interval_ms,
        intervals: one.intervals,
        counted: one.counted,
    });
    dense(series, sections, SAMPLES, |one| &one.samples);
    dense(series, sections, BASELINE, |one| &one.baseline);
    dense(series, sections, HISTORY, |one| &one.memory);
    dense(series, sections, ZEROS, |one| &one.sparse);
    sparse(series, sections, RECURRENCES, |one| one.recurrence.as_deref());
    sparse(series, sections, EPISODE_ENVELOPES, |one| Some(&one.recurrence.as_deref()?.episodes));
    dense(series, sections, DEVIATIONS, |one| (&one.recent, one.run, one.is_known));
    sparse(series, sections, OBJECTIVES, |one| one.objective.as_deref().filter(|one| one.is_open()));
    sparse(series, sections, SLOS, |one| one.slo.as_deref().filter(|one| one.is_open()));
    sparse(series, sections, HABITS, Series::habit);
    sparse(series, sections, EPISODES, |one| one.episode.as_deref());
    sparse(series, sections, LIMITS, |one| one.limit.as_ref().map(|limit| limit.ceiling));
    sparse(series, sections, FORECASTS, |one| match one.rule.as_deref() {
        Some(Rule::Forecast(forecast)) => Some(forecast),
        _ => None,
    });
    sparse(series, sections, CERTIFICATES, |one| match one.rule.as_deref() {
        Some(Rule::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    sparse(series, sections, RESTART_SOURCES, |one| match one.rule.as_deref() {
        Some(Rule::Restarts(source)) => Some(source),
        _ => None,
    });
}

/// Reads the series of a service, each with what its metric means today. Returns nothing where their names cannot be
/// read.
pub(crate) fn read(
    sections: &mut Sections<'_>,
    service: &str,
    metrics: &mut Metrics,
    settings: &Settings,
) -> Option<Vec<Series>> {
    let names: Vec<(Box<str>, Box<str>)> = sections.get(SERIES)?;
    let metrics = names.iter().map(|(name, unit)| metrics.get(service, name, unit, &settings.metrics));
    let mut series: Vec<Series> = metrics.map(Series::new).collect();
    some(&mut series, sections, HABITS, super::Series::resume_habit);
    each(&mut series, sections, CADENCE, |one, cadence: Cadence| {
        (one.last_ms, one.counted) = (cadence.last_ms, cadence.counted);
        (one.interval_ms, one.intervals) = (cadence.interval_ms, cadence.intervals);
    });
    each(&mut series, sections, SAMPLES, |one, samples| one.samples = samples);
    each(&mut series, sections, BASELINE, |one, baseline| one.baseline = baseline);
    each(&mut series, sections, HISTORY, |one, memory| one.memory = memory);
    each(&mut series, sections, ZEROS, |one, zeros| one.sparse = zeros);
    some(&mut series, sections, RECURRENCES, |one, recurrence| one.recurrence = Some(Box::new(recurrence)));
    some(&mut series, sections, EPISODE_ENVELOPES, |one, envelope| {
        one.recurrence.get_or_insert_default().episodes = envelope;
    });
    each(&mut series, sections, DEVIATIONS, |one, deviations| {
        (one.recent, one.run, one.is_known) = deviations;
    });
    some(&mut series, sections, EPISODES, |one, episode| one.episode = Some(Box::new(episode)));
    some(&mut series, sections, LIMITS, |one, ceiling| {
        if one.profile().may_be_limited() {
            one.limit = Some(Box::new(Limit { reported_by: None, ceiling }));
        }
    });
    some(&mut series, sections, OBJECTIVES, |one, objective| {
        if one.profile().may_have_objective() {
            one.objective = Some(Box::new(objective));
        }
    });
    // what is stated is told to them later; what is not any more ends then
    if sections.has(SLOS_BEFORE) {
        some(&mut series, sections, SLOS_BEFORE, |one, before| one.slo = Some(Box::new(Slo::resume(before))));
    } else {
        some(&mut series, sections, SLOS, |one, slo| one.slo = Some(Box::new(slo)));
    }
    some(&mut series, sections, FORECASTS, |one, forecast| one.resume(Rule::Forecast(forecast)));
    some(&mut series, sections, CERTIFICATES, |one, certificate| one.resume(Rule::Certificate(certificate)));
    some(&mut series, sections, RESTART_SOURCES, |one, source| one.resume(Rule::Restarts(source)));
    Some(series)
}

impl Series {
    /// Goes on with a rule of a snapshot, unless the metric has another one by now.
    fn resume(&mut self, rule: Rule) {
        if rule.fits(self.profile()) {
            self.rule = Some(Box::new(rule));
        }
    }
}

/// Writes a section with an entry for each series.
fn dense<'a, T: Serialize>(
    series: &'a [Series],
    sections: &mut Writer,
    section: Section,
    entry: impl Fn(&'a Series) -> T,
) {
    let entries: Vec<T> = series.iter().map(entry).collect();
    sections.put(section, &entries);
}

/// Writes a section with entries for some series, each with the place of its series.
fn sparse<'a, T: Serialize>(
    series: &'a [Series],
    sections: &mut Writer,
    section: Section,
    entry: impl Fn(&'a Series) -> Option<T>,
) {
    let entries: Vec<(u32, T)> =
        (0..).zip(series).filter_map(|(place, one)| Some((place, entry(one)?))).collect();
    sections.put_all(section, &entries);
}

/// Reads a section with an entry for each series.
fn each<T: DeserializeOwned>(
    series: &mut [Series],
    sections: &mut Sections<'_>,
    section: Section,
    take: impl Fn(&mut Series, T),
) {
    let Some(entries) = sections.get::<Vec<T>>(section) else { return };
    if entries.len() == series.len() {
        series.iter_mut().zip(entries).for_each(|(one, entry)| take(one, entry));
    } else {
        let reason = format!("{} entries for {} series", entries.len(), series.len());
        sections.refuse(section, &reason);
    }
}

/// Reads a section with entries for some series.
fn some<T: DeserializeOwned>(
    series: &mut [Series],
    sections: &mut Sections<'_>,
    section: Section,
    take: impl Fn(&mut Series, T),
) {
    for (place, entry) in sections.get::<Vec<(u32, T)>>(section).into_iter().flatten() {
        if let Some(one) = series.get_mut(place as usize) {
            take(one, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Alert;
    use crate::series::rules::slo::Requests;

    /// How version 1 of [`SLOS`] was written.
    #[derive(Serialize)]
    struct SloBefore {
        missed_nats: f64,
        met_nats: f64,
        since_ms: Option<i64>,
        burn: Option<Box<BurnBefore>>,
        alert: Option<Box<Alert>>,
    }

    #[derive(Serialize)]
    struct BurnBefore {
        first_ms: i64,
        last_ms: i64,
        long: Requests,
        short: (i64, Requests),
        run: i8,
        since_ms: i64,
    }

    #[test]
    fn an_alert_of_an_objective_goes_on_from_a_snapshot_of_an_earlier_release() {
        let some = Requests { failed: 4.0, of: 100.0 };
        let burn = BurnBefore { first_ms: 1, last_ms: 9, long: some, short: (5, some), run: -3, since_ms: 4 };
        let before = SloBefore {
            missed_nats: 3.5,
            met_nats: 0.5,
            since_ms: Some(4),
            burn: Some(Box::new(burn)),
            alert: Some(Box::new(Alert::begin(4))),
        };
        let mut writer = Writer::default();
        writer.put(SERIES, [("latency_p99_ms", "ms"), ("error_rate", "%")].as_slice());
        writer.put(SLOS_BEFORE, [(1_u32, before)].as_slice());
        let record = writer.finish();
        let mut sections = Sections::parse(&record).unwrap();
        let series = read(&mut sections, "payment", &mut Metrics::default(), &Settings::default()).unwrap();
        assert_eq!(sections.into_refused(), [""; 0]);
        assert_eq!([series[0].has_slo(), series[1].has_slo()], [false, true]);
        // nothing is stated yet: what keeps it is the alert
        assert!(series[1].slo.as_ref().is_some_and(|slo| slo.is_needed() && slo.is_open()));
    }
}
