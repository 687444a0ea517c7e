//! Which hypothesis stands first once one was announced: it is replaced only by one that leads clearly and keeps
//! its lead, and by none once recovery has begun.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shared::events::anomaly::Status;
use shared::events::incident::{Challenger, Incident, Signal, State, Suspect};

use crate::assessment::explains;
use crate::hypotheses::{self, Surroundings};
use crate::options::Options;
use crate::sampling;

/// Samples for which what began after the recovery must last before it counts.
const LASTS: i32 = 10;

/// The hypotheses in the order in which they stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Best first; the first is the one that is announced.
    pub suspects: Vec<Suspect>,
    /// The hypothesis that leads over the first, if one does clearly.
    pub challenger: Option<Challenger>,
}

/// Ranks the hypotheses over `members` at event time `at`. `before` is the incident as it stands; its first suspect
/// stays first unless another hypothesis has led over it by `cause_lead_nats` for `cause_hold_intervals`.
pub fn rank(
    members: &[Arc<Signal>],
    surroundings: Surroundings<'_>,
    before: Option<&Incident>,
    at: Timestamp,
    options: &Options,
) -> Standing {
    let open = before.filter(|incident| incident.state != State::Detecting);
    let Some((incident, announced)) = open.and_then(|incident| Some((incident, incident.suspect()?))) else {
        return Standing { suspects: hypotheses::rank(members, surroundings), challenger: None };
    };
    let all = hypotheses::all(members, surroundings);
    let score = |suspect: &Suspect| {
        all.iter().find(|one| hypotheses::is_same(one, suspect)).map_or(0.0, |one| one.score)
    };
    let leader = all.first().filter(|leader| {
        !hypotheses::is_same(leader, announced)
            && leader.score - score(announced) >= options.cause_lead_nats
            && !is_recovering(members, announced, leader, at)
    });
    let challenger = leader.map(|leader| Challenger {
        service: leader.service.clone(),
        category: leader.category,
        since: incident
            .challenger
            .as_ref()
            .filter(|known| (&known.service, known.category) == (&leader.service, leader.category))
            .map_or(at, |known| known.since),
    });
    if challenger.as_ref().is_some_and(|challenger| at >= challenger.since + hold(members, options)) {
        let mut suspects = hypotheses::best(&all);
        hypotheses::give_reasons(&mut suspects, members, surroundings);
        return Standing { suspects, challenger: None };
    }
    if recovery(members, &announced.service).is_some() {
        return Standing { suspects: incident.suspects.clone(), challenger };
    }
    let first = all.iter().find(|suspect| hypotheses::is_same(suspect, announced)).unwrap_or(announced);
    let mut suspects = vec![first.clone()];
    suspects.extend(hypotheses::best(&all).into_iter().filter(|one| !hypotheses::is_same(one, announced)));
    suspects.truncate(hypotheses::MAX_SUSPECTS);
    hypotheses::give_reasons(&mut suspects, members, surroundings);
    Standing { suspects, challenger }
}

/// Returns for how long a challenger must lead before it stands first.
pub fn hold(members: &[Arc<Signal>], options: &Options) -> SignedDuration {
    let interval_ms = members.iter().map(|member| member.interval_ms).max().unwrap_or(0);
    let hold_ms = (interval_ms as f64 * options.cause_hold_intervals)
        .clamp(options.cause_hold_min_ms as f64, options.cause_hold_max_ms as f64);
    SignedDuration::from_millis(hold_ms as i64)
}

/// Returns when the recovery of a service began: when the last of its firing members cleared. None while one fires, or if none
/// ever fired.
fn recovery(members: &[Arc<Signal>], service: &str) -> Option<Timestamp> {
    let mut own = members
        .iter()
        .filter(|member| member.service == service && member.evidence > hypotheses::WEAK_NATS)
        .peekable();
    own.peek()?;
    own.map(|member| member.cleared_at).collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
}

/// Whether what speaks for `leader` comes from the way back to normal: nothing that began before the recovery, or that
/// has lasted since, fires at its service; or it is the announced service, and the signal that the announced category is
/// about has cleared there.
fn is_recovering(members: &[Arc<Signal>], announced: &Suspect, leader: &Suspect, at: Timestamp) -> bool {
    let fires = |member: &Arc<Signal>| member.status == Status::Firing;
    let recovery = recovery(members, &announced.service);
    let counts = |member: &Signal| {
        let lasts = sampling::interval(member.interval_ms) * LASTS;
        recovery.is_none_or(|since| member.started_at <= since || at >= member.started_at + lasts)
    };
    let leader_fires =
        members.iter().any(|member| member.service == leader.service && fires(member) && counts(member));
    let mut own = members
        .iter()
        .filter(|member| member.service == announced.service && explains(announced.category, member.kind))
        .peekable();
    let has_cleared = own.peek().is_some() && !own.any(fires);
    !leader_fires || (leader.service == announced.service && has_cleared)
}
