//! How an incident ends: why, who is still waited for, and until when it takes in what is new. Pure.
//!
//! Detection states why each episode ended. What it cannot state, because it has lost the series, is decided here: a
//! member of which nothing has come for many of its intervals ends as `source_gone`.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::ending;
use shared::events::anomaly::{Ended, Status};
use shared::events::incident::{Incident, Signal};
use shared::events::{Kind, Severity};
use shared::ids::{AnomalyId, IncidentId};
use shared::store::Neighbourhood;
use shared::text::format::{between, counted};

use crate::options::Options;

/// Most members that are asked about at once. Others follow when those have ended.
const MAX_ASKED: usize = 200;

/// A member that is waited for, as it stood when the wait began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its id.
    pub anomaly_id: AnomalyId,
    /// Its last revision.
    pub revision: u32,
}

/// A wait for news of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The members.
    pub asked: Vec<Asked>,
    /// How long it takes.
    pub wait: SignedDuration,
}

/// Returns how bad an end is: a fault whose source is gone is the least known to be over.
fn rank(ended: Ended) -> u8 {
    match ended {
        Ended::Recovered => 0,
        Ended::Retired => 1,
        Ended::NewLevel => 2,
        Ended::Forced => 3,
        Ended::Manual => 4,
        Ended::SourceGone => 5,
    }
}

/// Returns why an incident of these members is over: the worst end among those that decide. Members that have fired
/// decide; where none has, all that have cleared do.
pub fn resolution(members: &[Arc<Signal>]) -> Ended {
    let fired =
        members.iter().filter(|member| member.severity > Severity::Sev4).filter_map(|member| member.end());
    fired
        .max_by_key(|ended| rank(*ended))
        .or_else(|| members.iter().filter_map(|member| member.end()).max_by_key(|ended| rank(*ended)))
        .unwrap_or(Ended::Recovered)
}

/// Says why an incident of these members is over, for the audit trail. `at` is when the last one cleared.
pub fn sentence(incident: &Incident, members: &[Arc<Signal>], at: Timestamp) -> String {
    let lasted = between(incident.started_at, at);
    let ended = resolution(members);
    if ended.is_recovery() {
        return format!("All signals are back inside their bands, {lasted} after the first symptom.");
    }
    let named = members
        .iter()
        .filter(|member| member.end() == Some(ended))
        .max_by(|a, b| a.evidence.total_cmp(&b.evidence).then(b.anomaly_id.cmp(&a.anomaly_id)));
    let what = named.map_or_else(String::new, |member| format!(": {}", ending::sentence(member)));
    let recovered = members.iter().filter(|member| member.end() == Some(Ended::Recovered)).count();
    let others = match recovered {
        0 => String::new(),
        count => format!("; {} recovered", counted(count, "other signal")),
    };
    format!("{}, {lasted} after the first symptom{what}{others}.", ending::headline(ended))
}

/// Returns whether detection repeats a member while it fires: those of a series' own episodes. A rule reports once, and
/// then only what changes.
fn is_repeated(member: &Signal) -> bool {
    let is_series = !matches!(member.kind, Kind::Logs | Kind::Silence | Kind::Certificate | Kind::Restarts);
    // what a detector derives is named after its series (`disk_used_percent:time_to_full`)
    is_series
        && !member.metric.contains(':')
        && !matches!(member.metric.as_str(), "joint" | "unusable_samples")
}

/// Returns how long nothing may come of a member that fires.
fn patience(member: &Signal, options: &Options) -> SignedDuration {
    let wait_ms = (member.interval_ms as f64 * options.unseen_intervals).max(options.unseen_min_ms as f64);
    // as it is cast, what is too large becomes the most that fits
    SignedDuration::from_millis(wait_ms.min(MAX_WAIT_MS) as i64)
}

/// Longest wait: a year. Only an absurd interval reaches it.
const MAX_WAIT_MS: f64 = 31_536_000_000.0;

/// Returns the next wait of an open incident: for the members that fire and are repeated while they do, and as long as the
/// slowest of them may take. Where there is none it is the shortest wait, for one may fire again.
pub fn wait(members: &[Arc<Signal>], options: &Options) -> Wait {
    let mut firing: Vec<&Arc<Signal>> =
        members.iter().filter(|member| member.status == Status::Firing && is_repeated(member)).collect();
    firing.sort_by_key(|member| (member.observed_at, member.anomaly_id));
    firing.truncate(MAX_ASKED);
    let shortest = SignedDuration::from_millis(options.unseen_min_ms as i64);
    let wait = firing.iter().map(|member| patience(member, options)).max().unwrap_or(shortest);
    let asked =
        firing.iter().map(|member| Asked { anomaly_id: member.anomaly_id, revision: member.revision });
    Wait { asked: asked.collect(), wait }
}

/// Returns the members that were asked about and of which nothing has come since, as they end: with their source gone.
pub fn unseen(members: &[Arc<Signal>], asked: &[Asked], options: &Options) -> Vec<Arc<Signal>> {
    let is_unseen = |member: &&Arc<Signal>| {
        let same = |one: &Asked| (one.anomaly_id, one.revision) == (member.anomaly_id, member.revision);
        member.status == Status::Firing && asked.iter().any(same)
    };
    members
        .iter()
        .filter(is_unseen)
        .map(|member| {
            Arc::new(Signal {
                status: Status::Cleared,
                ended: Some(Ended::SourceGone),
                cleared_at: Some(
                    member.observed_at.saturating_add(patience(member, options)).unwrap_or(Timestamp::MAX),
                ),
                ..Signal::clone(member)
            })
        })
        .collect()
}

/// Says that a member has ended because nothing has come of it.
pub fn unseen_sentence(member: &Signal) -> String {
    let waited =
        member.cleared_at.map_or_else(String::new, |at| format!(" for {}", between(member.observed_at, at)));
    format!(
        "{} of {} has not been observed{waited}: it is not waited for any more.",
        member.series(),
        member.service
    )
}

/// Returns whether an incident takes in a signal that is no member yet. One that is older than `max_age_hours` goes on
/// with the series of its members only: what else breaks is another incident.
pub fn absorbs(
    incident: &Incident,
    signal: &Signal,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> bool {
    let is_old = signal.observed_at.duration_since(incident.opened_at) > max_age(options);
    let is_own = |(member, of): &(Arc<Signal>, Option<IncidentId>)| {
        *of == Some(incident.incident_id) && member.is_same_series(signal)
    };
    !is_old || neighbourhood.signals.iter().any(is_own)
}

/// Returns the age at which a person is asked to look at an incident.
pub fn max_age(options: &Options) -> SignedDuration {
    SignedDuration::from_hours(i64::from(options.max_age_hours))
}

/// Says that a person should look at an incident.
pub fn overdue_sentence(incident: &Incident, members: &[Arc<Signal>], options: &Options) -> String {
    let firing = members.iter().filter(|member| member.status == Status::Firing).count();
    format!(
        "Open for {} with {}: a person should look at it. Anomalies of other series open incidents of their own from \
         now on; #{} goes on with the series of its members.",
        counted(options.max_age_hours as usize, "hour"),
        counted(firing, "firing signal"),
        incident.number
    )
}
