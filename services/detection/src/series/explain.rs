//! One sentence per anomaly: what was seen, what was expected, since when, why it counts.

use shared::events::Kind;
use shared::events::anomaly::{Band, Direction, Status};
use shared::text::format::side;

use crate::alert::format::{after_deployment, duration, expectation, percent, quantity, range, time};
use crate::metric_profile::{Bounded, Role};
use crate::series::Change;
use crate::series::baseline::NOTICED_SPREADS;
use crate::series::episode::{CALM_SAMPLES, Transition};
use crate::series::weight::Hold;

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
    /// Why it does not fire though it is certain, if that is so.
    pub(crate) hold: Option<Hold>,
}

/// Returns the sentence.
pub(crate) fn sentence(context: SeriesContext<'_>, change: &Change, observed_ms: i64) -> String {
    let SeriesContext { service, metric, bounded, deployed, hold } = context;
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
            let inside = match side(change.observed, &change.expected, &profile.unit) {
                None => "inside",
                Some(_) => "close to",
            };
            format!(
                "{metric} of {service} is back at {observed}, {inside} {expected} for {CALM_SAMPLES} samples; it left \
                 that range at {since}, {lasted} ago, and its worst value was {worst}"
            )
        }
        Transition::Accepted => {
            let lasted = duration(observed_ms.saturating_sub(episode.alert.started_ms));
            format!(
                "{metric} of {service} did not recover: the new level around {observed} was accepted after {lasted} \
                 ({samples} samples since {since}); before, {expected} was expected"
            )
        }
        Transition::Ongoing => {
            let plural = if samples == 1 { "" } else { "s" };
            let why = reason(change, bounded);
            let caveat = match episode.alert.status {
                Status::Suspect if !profile.bad_direction.includes(episode.direction) => {
                    "; this direction is not harmful".to_owned()
                }
                Status::Suspect if change.is_known => "; it has done the same at this time before".to_owned(),
                Status::Suspect if episode.is_certain => hold.map_or_else(
                    || "; certain for this series, but above the false alarm budget of the fleet".to_owned(),
                    Hold::sentence,
                ),
                Status::Suspect => "; not yet certain".to_owned(),
                _ => consequence(change, bounded),
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

/// Says what a deviation that fires comes to: for users, or for the room that is left. Nothing where that is not known.
fn consequence(change: &Change, bounded: Bounded<'_>) -> String {
    let (value, Band { center, .. }) = (change.observed, change.expected);
    let direction = change.episode.direction;
    match (bounded.profile.kind, bounded.ceiling) {
        (Kind::Errors, Some(ceiling)) if bounded.profile.role == Role::Share => {
            let share = if direction == Direction::Down { 1.0 - value / ceiling } else { value / ceiling };
            format!("; {} of all requests fail", percent(share))
        }
        (Kind::Errors, _) if direction == Direction::Up => "; requests fail".to_owned(),
        (Kind::Latency, _) if value > center => "; users wait longer".to_owned(),
        (Kind::Traffic, _) if direction == Direction::Down => "; requests are missing".to_owned(),
        (Kind::Lag, _) => "; what waits is served late".to_owned(),
        (Kind::Cpu | Kind::Memory | Kind::Disk | Kind::Pool, Some(ceiling))
            if direction == Direction::Up && center < ceiling && !bounded.is_nearly_full(value) =>
        {
            let used = percent((value - center) / (ceiling - center));
            format!("; {used} of the room that was left is used up")
        }
        _ => String::new(),
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
