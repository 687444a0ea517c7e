//! An environment as decisions see it, carried on in memory by what they come to. A decision after another one does not read
//! it anew: it is as the database would return it, as long as the version there is the one it was left at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use shared::events::anomaly::Status;
use shared::events::incident::{Incident, Signal};
use shared::ids::{AnomalyId, IncidentId};
use shared::lifecycle::{self, Change, IllegalTransition};
use shared::stage::{Effects, IncidentChange};
use shared::store::read::{MAX_LOOSE_SIGNALS, MAX_MEMBERS};
use shared::store::{Neighbourhood, Write};

/// Most signals of all environments that are held, those inside incidents counted as well: about 1 KiB each.
const MAX_HELD: usize = 20_000;

/// Environments as the last decision on each left them.
#[derive(Default)]
pub struct Environments(Mutex<HashMap<String, Neighbourhood>>);

impl Environments {
    /// Takes out an environment, if it is held.
    pub fn take(&self, name: &str) -> Option<Neighbourhood> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// Holds an environment, unless it is too large. Others make room.
    pub fn keep(&self, name: &str, neighbourhood: Neighbourhood) {
        let size = held(&neighbourhood);
        if size > MAX_HELD || !is_whole(&neighbourhood) {
            return;
        }
        let mut environments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if size + environments.values().map(held).sum::<usize>() > MAX_HELD {
            environments.clear();
        }
        environments.insert(name.to_owned(), neighbourhood);
    }
}

fn held(neighbourhood: &Neighbourhood) -> usize {
    let inside = neighbourhood.incidents.iter().map(|incident| incident.signals.len());
    neighbourhood.signals.len() + inside.sum::<usize>()
}

/// Returns whether the database would return all of it: beyond these numbers it leaves some out.
fn is_whole(neighbourhood: &Neighbourhood) -> bool {
    let open: HashSet<IncidentId> = neighbourhood.incidents.iter().map(|one| one.incident_id).collect();
    let members =
        neighbourhood.signals.iter().filter(|(_, of)| of.is_some_and(|of| open.contains(&of))).count();
    members <= MAX_MEMBERS && neighbourhood.signals.len() - members <= MAX_LOOSE_SIGNALS
}

/// A signal and the incident it belongs or belonged to.
type Kept = (Arc<Signal>, Option<IncidentId>);

/// An environment on which several decisions are made, one after another.
pub struct Environment {
    /// As it stands after the decisions so far. An incident that they opened has no number yet.
    pub neighbourhood: Neighbourhood,
    /// The episodes that are decided on, each with everything it carries.
    episodes: BTreeMap<AnomalyId, Kept>,
}

impl Environment {
    /// Begins with what was read, and with the known ones among the episodes that will be decided on.
    pub fn new(neighbourhood: Neighbourhood, episodes: Vec<Kept>) -> Self {
        let episodes = episodes.into_iter().map(|kept| (kept.0.anomaly_id, kept)).collect();
        Self { neighbourhood, episodes }
    }

    /// Puts in what is known of an episode: in full, and also where it is one of too many or over. What is known of the episode
    /// itself decides what is news of it.
    pub fn look_at(&mut self, episode: AnomalyId) {
        if let Some(known) = self.episodes.get(&episode) {
            let signals = &mut self.neighbourhood.signals;
            signals.retain(|(signal, _)| signal.anomaly_id != episode);
            signals.push(known.clone());
        }
    }

    /// Carries the environment on: what the effects of a decision change there.
    pub fn advance(&mut self, effects: &Effects) -> Result<(), IllegalTransition> {
        for change in &effects.incidents {
            change_incident(&mut self.neighbourhood, change)?;
        }
        for write in &effects.writes {
            match write {
                Write::Signal { signal, incident_id, .. } => self.put(signal, *incident_id),
                Write::Deployment(deployment) => {
                    self.neighbourhood.deployments.insert(0, deployment.clone());
                }
                Write::Edge { .. }
                | Write::SpanService { .. }
                | Write::Artifact { .. }
                | Write::Evidence { .. }
                | Write::Command(_)
                | Write::Feedback { .. }
                | Write::Notification(_)
                | Write::Silenced(_)
                | Write::Held(_)
                | Write::Summarized(_)
                | Write::Silence(_)
                | Write::EndSilence { .. }
                | Write::Attempt(_) => {}
            }
        }
        let Neighbourhood { signals, incidents, .. } = &mut self.neighbourhood;
        signals.retain(|(signal, of)| {
            signal.status != Status::Cleared || incidents.iter().any(|one| Some(one.incident_id) == *of)
        });
        Ok(())
    }

    fn put(&mut self, signal: &Arc<Signal>, incident: Option<IncidentId>) {
        let id = signal.anomaly_id;
        let signals = &mut self.neighbourhood.signals;
        match signals.iter_mut().find(|(known, _)| known.anomaly_id == id) {
            Some(known) => put(known, signal, incident),
            None => signals.push((Arc::clone(signal), incident)),
        }
        let new = || (Arc::clone(signal), incident);
        self.episodes.entry(id).and_modify(|known| put(known, signal, incident)).or_insert_with(new);
    }

    /// Returns it as the next decision would read it, at `version`.
    pub fn finish(self, version: i64) -> Neighbourhood {
        let mut neighbourhood = self.neighbourhood;
        neighbourhood.version = version;
        for (signal, _) in neighbourhood.signals.iter_mut().filter(|(signal, _)| !is_bare(signal)) {
            bare(Arc::make_mut(signal));
        }
        neighbourhood.past.clear();
        neighbourhood
    }
}

/// Replaces a signal, as the database does.
fn put((known, of): &mut Kept, signal: &Arc<Signal>, incident: Option<IncidentId>) {
    *of = incident.or(*of);
    let before = std::mem::replace(known, Arc::clone(signal));
    // one that only joins an incident comes without its context
    if known.revision == before.revision && !is_bare(&before) {
        let known = Arc::make_mut(known);
        known.samples.clone_from(&before.samples);
        known.siblings.clone_from(&before.siblings);
        known.logs.clone_from(&before.logs);
        known.sealed.clone_from(&before.sealed);
    }
}

fn is_bare(signal: &Signal) -> bool {
    signal.samples.is_empty()
        && signal.siblings.is_empty()
        && signal.logs.is_empty()
        && signal.sealed.is_empty()
}

/// Takes from a signal what the database keeps beside it.
fn bare(signal: &mut Signal) {
    signal.samples = Vec::new();
    signal.siblings = Vec::new();
    signal.logs = Vec::new();
    signal.sealed = Vec::new();
}

fn change_incident(
    neighbourhood: &mut Neighbourhood,
    IncidentChange { incident_id, change, .. }: &IncidentChange,
) -> Result<(), IllegalTransition> {
    let take = |incidents: &mut Vec<Incident>| {
        let place = incidents.iter().position(|one| one.incident_id == *incident_id)?;
        Some(incidents.remove(place))
    };
    let before = take(&mut neighbourhood.incidents).or_else(|| take(&mut neighbourhood.past));
    // one that is over is held only where it was asked for, and a link does not open it again
    if before.is_none() && matches!(change, Change::Linked(_)) {
        return Ok(());
    }
    let mut after = lifecycle::apply(before, *incident_id, change.clone())?;
    after.signals.iter_mut().for_each(bare);
    // both as the database sorts them; one without a number is the newest
    if after.state.is_open() {
        let number = |one: &Incident| if one.number == 0 { i64::MAX } else { one.number };
        let place = neighbourhood.incidents.partition_point(|one| number(one) <= number(&after));
        neighbourhood.incidents.insert(place, after);
    } else {
        let key = |one: &Incident| (one.resolved_at, one.number);
        let place = neighbourhood.past.partition_point(|one| key(one) > key(&after));
        neighbourhood.past.insert(place, after);
    }
    Ok(())
}
