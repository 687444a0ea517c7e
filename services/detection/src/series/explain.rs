//! One sentence per anomaly: what was seen, what was expected, since when, why it counts.

use shared::events::Kind;
use shared::events::anomaly::{Direction, Status};

use crate::alert::format::{after_deployment, duration, expectation, quantity, range, time};
use crate::metric_profile::Bounded;
use crate::series::Change;
use crate::series::baseline::NOTICED_SPREADS;
use crate::series::episode::{CALM_SAMPLES, Transition};

/// What the sentence is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesContext<'a> {
    /// Service.
    pub(crate) service: &'a str,
    /// Metric name.
    pub(crate) metric: &'a str,
    /// What the metric means, and its ceiling.
    pub(crate) bounded: Bounded<'a>,
    /// Version and time of the service's last deployment.
    pub(crate) deployed: Option<(&'a str, i64)>,
}

/// Returns the sentence.
pub(crate) fn sentence(context: SeriesContext<'_>, change: &Change, observed_ms: i64) -> String {
    let SeriesContext { service, metric, bounded, deployed } = context;
    let profile = bounded.profile;
    let episode = &change.episode;
    let observed = quantity(change.observed, &profile.unit);
    let expected = range(&change.expected, &profile.unit);
    let since = time(episode.alert.started_ms, observed_ms);
    let samples = episode.samples;
    match change.transition {
        Transition::Recovered => {
            let lasted = duration(observed_ms.saturating_sub(episode.alert.started_ms));
            let worst = quantity(episode.worst, &profile.unit);
            format!(
                "{metric} of {service} is back at {observed}, inside {expected} for {CALM_SAMPLES} samples; it left that \
                 range at {since}, {lasted} ago, and its worst value was {worst}"
            )
        }
        Transition::Accepted => format!(
            "{metric} of {service} has stayed around {observed} since {since} ({samples} samples), which is accepted as \
             its new normal; before, {expected} was expected"
        ),
        Transition::Ongoing => {
            let plural = if samples == 1 { "" } else { "s" };
            let why = reason(change, bounded);
            let caveat = match episode.alert.status {
                Status::Suspect if !profile.harm.includes(episode.direction) => {
                    "; this direction is not harmful"
                }
                Status::Suspect if change.is_known => "; it has done the same at this time before",
                Status::Suspect if episode.is_certain => {
                    "; certain for this series, but not far enough to fire"
                }
                Status::Suspect => "; not yet certain",
                _ => "",
            };
            let deployment = after_deployment(deployed, episode.alert.started_ms);
            let expectation = expectation(change.observed, &change.expected, &profile.unit);
            format!(
                "{metric} of {service} is {observed}, {expectation}, since {since} ({samples} \
                 sample{plural}): {why}{caveat}{deployment}"
            )
        }
    }
}

/// Says why a deviation counts, in the words that fit it best.
fn reason(change: &Change, bounded: Bounded<'_>) -> String {
    let profile = bounded.profile;
    let (value, level) = (change.observed, change.expected.center);
    if let Some(ceiling) = bounded.ceiling.filter(|_| bounded.is_nearly_full(value)) {
        return format!(
            "{:.0} % of its ceiling of {}",
            100.0 * value / ceiling,
            quantity(ceiling, &profile.unit)
        );
    }
    if change.history.is_alarm && change.distance < NOTICED_SPREADS {
        let rarity = change.history.rarity;
        return if change.history.record.is_some() || rarity < 1.0 {
            "its longest or largest deviation so far".to_owned()
        } else {
            format!("its recent samples are a 1 in {:.0} event", 10_f64.powf(rarity))
        };
    }
    let ratio = if level > 0.0 { value / level } else { 0.0 };
    if ratio > 100.0 {
        "over 100 times its usual level".to_owned()
    } else if ratio >= 1.5 {
        format!("{ratio:.1} times its usual level")
    } else if level > 0.0 && change.episode.direction == Direction::Down && (0.0..=0.7).contains(&ratio) {
        let what = if profile.kind == Kind::Traffic { "lost" } else { "below its usual level" };
        format!("{:.0} % {what}", 100.0 * (1.0 - ratio))
    } else {
        let side = if value >= level { "above" } else { "below" };
        if change.distance > 1000.0 {
            format!("{side} all its earlier values")
        } else {
            format!("{:.1} times its usual spread {side} its level", change.distance)
        }
    }
}
