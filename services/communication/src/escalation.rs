//! Who is called next where nobody acknowledges an incident. The chain is a row of the timers: it survives whatever restarts.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::events::Severity;
use shared::events::incident::Incident;
use shared::ids::IncidentId;
use shared::oncall::Policy;
use shared::stage::{Error, Timer, TimerPayload};

use crate::content::{News, Update};
use crate::options::Options;
use crate::recipients::written;

/// Payload of the timer that calls the next level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalate {
    /// Incident.
    pub incident_id: IncidentId,
    /// How often the incident had been opened again when the chain began: an incident that opens again has a chain of its own.
    pub reopened: u32,
    /// The chain as it was when it began.
    pub chain: Chain,
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
    /// Nobody is called this time, but the chain goes on: the incident is muted, or less severe for now.
    Quiet,
    /// The level is called.
    Call(Call),
}

/// Levels in their order, over all rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain(Vec<Call>);

/// A level that is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Level, from 1.
    pub level: u32,
    /// How often the chain has begun again.
    pub round: u32,
    /// Minutes since the chain began.
    pub minutes: u32,
    /// Whom it calls: entries as the settings and the catalogue have them.
    pub called: Vec<String>,
}

impl Chain {
    /// Returns the chain of a policy. A level without a wait is left out of the first round where it calls only those who are
    /// `notified` of the opening anyway.
    pub fn of(policy: &Policy, notified: &[String]) -> Self {
        let levels = policy.levels.len().max(1);
        let calls = policy.steps().enumerate().map(|(place, (minutes, level))| Call {
            level: number(place % levels).saturating_add(1),
            round: number(place / levels),
            minutes,
            called: level.notify.iter().map(written).collect(),
        });
        let is_known = |call: &Call| call.called.iter().all(|whom| notified.contains(whom));
        Self(calls.filter(|call| call.minutes > 0 || !is_known(call)).collect())
    }

    /// Returns the chain of the settings, of which the first level calls `first` and all others `others`.
    pub fn of_settings(options: &Options, first: &[String], others: &[String]) -> Self {
        let minutes = &options.escalation_minutes;
        let last = minutes.last().copied().unwrap_or_default();
        let calls = (0..=options.escalation_repeats).flat_map(|round| {
            minutes.iter().enumerate().map(move |(place, after)| Call {
                level: number(place).saturating_add(1),
                round,
                minutes: round.saturating_mul(last).saturating_add(*after),
                called: if place == 0 { first.to_vec() } else { others.to_vec() },
            })
        });
        Self(calls.collect())
    }

    fn call(&self, step: u32) -> Option<&Call> {
        self.0.get(step as usize)
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Returns whether incidents of that severity are escalated.
fn applies(severity: Severity) -> bool {
    severity >= Severity::Sev2
}

/// Returns the timer that begins the chain of an incident at a time, once for each time it was opened; none where it is not escalated.
pub fn begin(incident: &Incident, since: Timestamp, chain: Chain) -> Result<Option<Timer>, Error> {
    let is_open = incident.state.is_open() && incident.acknowledged.is_none();
    if !is_open || !applies(incident.severity) {
        return Ok(None);
    }
    let (incident_id, reopened) = (incident.incident_id, incident.reopened);
    timer(&Escalate { incident_id, reopened, chain, since, step: 0 }, since)
}

/// Returns the timer of the step after one that was due; none where the chain ends with that. Where levels are overdue, because
/// nothing ran for a time, they keep their distance.
pub fn after(step: &Escalate, now: Timestamp) -> Result<Option<Timer>, Error> {
    let next = Escalate { step: step.step.saturating_add(1), ..step.clone() };
    let minutes = |step: &Escalate| step.chain.call(step.step).map_or(0, |call| call.minutes);
    let distance = i64::from(minutes(&next).saturating_sub(minutes(step)));
    timer(&next, now.saturating_add(SignedDuration::from_mins(distance)).unwrap_or(now))
}

/// Returns the timer of a step, due at `earliest` or later.
fn timer(step: &Escalate, earliest: Timestamp) -> Result<Option<Timer>, Error> {
    let Some(call) = step.chain.call(step.step) else { return Ok(None) };
    let due = step.since.saturating_add(SignedDuration::from_mins(i64::from(call.minutes)));
    let seed = [step.reopened, step.step].map(|number| number.to_string());
    let seed: Vec<&str> = seed.iter().map(String::as_str).collect();
    // a queue of its own: a delayed message must not delay the call of the next level
    let key = match step.reopened {
        0 => format!("{}/escalation", step.incident_id),
        // a level of an earlier time that still waits must not delay it
        again => format!("{}/escalation/{again}", step.incident_id),
    };
    Timer::new(key, &seed, due.unwrap_or(Timestamp::MAX).max(earliest), step).map(Some)
}

/// Decides on a step that is due, for the incident as it stands.
pub fn decide(step: &Escalate, incident: &Incident, now: Timestamp) -> Due {
    let is_of_this_time = incident.reopened == step.reopened && incident.state.is_open();
    if !is_of_this_time || incident.acknowledged.is_some() {
        return Due::Over;
    }
    // it may rise again
    if incident.is_muted(now) || !applies(incident.severity) {
        return Due::Quiet;
    }
    step.chain.call(step.step).map_or(Due::Over, |call| Due::Call(call.clone()))
}

/// Returns the news of a level that is called.
pub fn news(step: &Escalate, incident: &Incident, call: &Call) -> Update {
    let Call { level, round, minutes, .. } = *call;
    let at = step.since.saturating_add(SignedDuration::from_mins(i64::from(minutes)));
    Update {
        incident_id: incident.incident_id,
        at: at.unwrap_or(step.since),
        // differs for each step of each time that it was opened
        revision: step.reopened.saturating_mul(10_000).saturating_add(step.step),
        news: News::Escalated { minutes, level, round },
    }
}
