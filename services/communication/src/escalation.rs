//! Who is called next where nobody acknowledges an incident. The chain is a row of the timers: it survives whatever restarts.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::events::Severity;
use shared::events::incident::Incident;
use shared::ids::IncidentId;
use shared::stage::{Error, Timer, TimerPayload};

use crate::content::{News, Update};
use crate::options::Options;

/// Payload of the timer that calls the next level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalate {
    /// Incident.
    pub incident_id: IncidentId,
    /// How often the incident had been opened again when the chain began: an incident that opens again has a chain of its own.
    pub reopened: u32,
    /// What began the chain: a revision of the incident.
    pub began: u32,
    /// When the chain began, by the wall clock.
    pub since: Timestamp,
    /// Place in the chain, from 0, over all rounds.
    pub step: u32,
}

impl TimerPayload for Escalate {
    const NAME: &'static str = "escalate";
}

/// What follows when a level is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// The chain is over: somebody has acknowledged, or the incident is.
    Over,
    /// Nobody is called this time, but the chain goes on: the incident is muted.
    Quiet,
    /// The level is called.
    Call {
        /// Level, from 1.
        level: u32,
        /// How often the chain has begun again.
        round: u32,
        /// Minutes since the chain began.
        minutes: u32,
    },
}

/// Returns whether incidents of that severity are escalated.
pub fn applies(severity: Severity, options: &Options) -> bool {
    severity >= Severity::Sev2 && !options.escalation_minutes.is_empty()
}

/// Returns the timer that begins the chain of an incident; none where it is not escalated.
pub fn begin(incident: &Incident, now: Timestamp, options: &Options) -> Result<Option<Timer>, Error> {
    if !applies(incident.severity, options) || incident.acknowledged.is_some() {
        return Ok(None);
    }
    let first = Escalate {
        incident_id: incident.incident_id,
        reopened: incident.reopened,
        began: incident.revision,
        since: now,
        step: 0,
    };
    timer(&first, options)
}

/// Returns the timer of a step; none where the chain ends before it.
pub fn timer(step: &Escalate, options: &Options) -> Result<Option<Timer>, Error> {
    let Some(minutes) = minutes(step.step, options) else { return Ok(None) };
    let due = step.since.saturating_add(SignedDuration::from_mins(i64::from(minutes)));
    let seed = [step.reopened, step.began, step.step].map(|number| number.to_string());
    let seed: Vec<&str> = seed.iter().map(String::as_str).collect();
    // a queue of its own: a delayed message must not delay the call of the next level
    let key = format!("{}/escalation", step.incident_id);
    Timer::new(key, &seed, due.unwrap_or(Timestamp::MAX), step).map(Some)
}

/// Decides on a step that is due, for the incident as it stands.
pub fn decide(step: &Escalate, incident: &Incident, now: Timestamp, options: &Options) -> Due {
    let is_of_this_time = incident.reopened == step.reopened && incident.state.is_open();
    if !is_of_this_time || incident.acknowledged.is_some() || !applies(incident.severity, options) {
        return Due::Over;
    }
    if incident.is_muted(now) {
        return Due::Quiet;
    }
    let levels = options.escalation_minutes.len() as u32;
    match minutes(step.step, options) {
        Some(minutes) => Due::Call { level: step.step % levels + 1, round: step.step / levels, minutes },
        None => Due::Over,
    }
}

/// Returns the news of a level that is called.
pub fn news(step: &Escalate, incident: &Incident, level: u32, round: u32, minutes: u32) -> Update {
    let at = step.since.saturating_add(SignedDuration::from_mins(i64::from(minutes)));
    Update {
        incident_id: incident.incident_id,
        at: at.unwrap_or(step.since),
        // differs for each step of each chain
        revision: step.began.saturating_mul(1_000).saturating_add(step.step),
        news: News::Escalated { minutes, level, round },
    }
}

/// Returns the minutes from the begin of the chain to a step: each round begins after the last level of the one before.
fn minutes(step: u32, options: &Options) -> Option<u32> {
    let levels = &options.escalation_minutes;
    let count = u32::try_from(levels.len()).ok().filter(|count| *count > 0)?;
    let (round, level) = (step / count, step % count);
    let last = *levels.last()?;
    (round <= options.escalation_repeats)
        .then(|| round.saturating_mul(last).saturating_add(levels[level as usize]))
}
