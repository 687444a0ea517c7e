//! What signals carry to be shown, and decisions do not rest on: stored once, beside the signal, and put back into an
//! incident where it is read by people or leaves the house.

use std::collections::BTreeMap;

use tokio_postgres::GenericClient;
use uuid::Uuid;

#[cfg(feature = "stage")]
use super::Write;
use super::{Error, row};
use crate::events::Incident;
use crate::events::anomaly::Context;
use crate::events::incident::Signal;
use crate::lifecycle::{MAX_CONTEXT, MAX_FULL_SIGNALS};

/// Takes the context out of a signal.
pub(super) fn take(signal: &mut Signal) -> Context {
    Context {
        samples: std::mem::take(&mut signal.samples),
        siblings: std::mem::take(&mut signal.siblings),
        logs: std::mem::take(&mut signal.logs),
        requests: Vec::new(),
        sealed: std::mem::take(&mut signal.sealed),
    }
}

/// Puts the context into a signal, unless the signal was stored with its own.
pub(super) fn put(signal: &mut Signal, context: Context) {
    if is_bare(signal) {
        (signal.samples, signal.siblings, signal.logs) = (context.samples, context.siblings, context.logs);
        signal.sealed = context.sealed;
    }
}

fn is_bare(signal: &Signal) -> bool {
    signal.samples.is_empty()
        && signal.siblings.is_empty()
        && signal.logs.is_empty()
        && signal.sealed.is_empty()
}

/// Returns the incident as it is stored: its signals without context.
#[cfg(feature = "stage")]
pub(super) fn without(incident: &Incident) -> Incident {
    let mut incident = incident.clone();
    for signal in &mut incident.signals {
        take(signal);
    }
    incident
}

/// Contexts of signals that are not stored yet, by anomaly.
pub(super) type Contexts = BTreeMap<Uuid, Context>;

/// Adds the contexts of signals that are about to be written.
#[cfg(feature = "stage")]
pub(super) fn collect(writes: &[Write], contexts: &mut Contexts) {
    for write in writes {
        if let Write::Signal { signal, .. } = write
            && !is_bare(signal)
        {
            contexts.insert(signal.anomaly_id.0, take(&mut signal.as_ref().clone()));
        }
    }
}

/// Gives the strongest signals of an incident their context, the one in `fresh` or else the stored one, as far as there is room.
pub(super) async fn attach<C: GenericClient + Sync>(
    client: &C,
    incident: &mut Incident,
    fresh: &Contexts,
) -> Result<(), Error> {
    let (mut bare, mut contexts) = (Vec::new(), Contexts::new());
    for signal in incident.signals.iter().take(MAX_FULL_SIGNALS).filter(|signal| is_bare(signal)) {
        let id = signal.anomaly_id.0;
        match fresh.get(&id) {
            Some(context) => _ = contexts.insert(id, context.clone()),
            None => bare.push(id),
        }
    }
    if !bare.is_empty() {
        let rows = client
            .query("select anomaly_id, context from signals where anomaly_id = any ($1)", &[&bare])
            .await?;
        for found in &rows {
            contexts.insert(row::value(found, "signals", 0)?, row::document(found, "signals", 1)?);
        }
    }
    fill(incident, contexts)
}

fn fill(incident: &mut Incident, mut contexts: Contexts) -> Result<(), Error> {
    let mut room = MAX_CONTEXT;
    for (place, signal) in incident.signals.iter_mut().enumerate() {
        let stored = contexts.remove(&signal.anomaly_id.0).unwrap_or_default();
        put(signal, stored);
        // who is concerned is read from the members only, by people with the key
        let context = Context { sealed: Vec::new(), ..take(signal) };
        let size = serde_json::to_vec(&context)?.len();
        if place < MAX_FULL_SIGNALS && size <= room {
            room -= size;
            put(signal, context);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_ms;
    use crate::events::anomaly::Point;
    use crate::events::incident::{BlastRadius, State};
    use crate::events::{Severity, encode};
    use crate::ids::{IncidentId, derive};
    use crate::lifecycle::tests::signal;
    use crate::text::seal::Sealed;

    fn incident(signals: usize) -> Incident {
        Incident {
            incident_id: IncidentId(derive(&["incident"])),
            number: 1,
            revision: 1,
            state: State::Correlating,
            severity: Severity::Sev3,
            title: String::new(),
            environment: "production".into(),
            suspects: Vec::new(),
            challenger: None,
            members: Vec::new(),
            affected_services: Vec::new(),
            blast_radius: BlastRadius::default(),
            impact: None,
            signals: (0..signals).map(signal).collect(),
            deployment: None,
            started_at: from_ms(0),
            opened_at: from_ms(0),
            resolved_at: None,
            resolution: None,
            closed_at: None,
            reopened: 0,
            storm: false,
            links: Vec::new(),
            acknowledged: None,
            assignee: None,
            severity_override: None,
            mute: None,
            kept_open: None,
            resolved_by: None,
        }
    }

    fn context(points: usize) -> Context {
        Context {
            samples: vec![Point { ts_ms: 1_700_000_000_000, value: 1.5 }; points],
            ..Context::default()
        }
    }

    fn filled(points: impl Fn(usize) -> usize) -> Incident {
        let mut incident = incident(20);
        let contexts = incident.signals.iter().enumerate();
        let contexts =
            contexts.map(|(place, signal)| (signal.anomaly_id.0, context(points(place)))).collect();
        fill(&mut incident, contexts).unwrap();
        incident
    }

    #[test]
    fn the_strongest_are_shown_in_full_and_the_rest_without() {
        let incident = filled(|_| 120);
        let full: Vec<bool> = incident.signals.iter().map(|signal| signal.samples.len() == 120).collect();
        assert_eq!(full, [[true; MAX_FULL_SIGNALS].as_slice(), &[false; 8]].concat());
    }

    #[test]
    fn a_context_of_any_size_leaves_room_for_the_others_and_the_incident_fits_on_the_bus() {
        let incident = filled(|place| if place == 0 { 100_000 } else { 120 });
        assert!(incident.signals[0].samples.is_empty() && incident.signals[1].samples.len() == 120);
        assert!(encode(&incident).is_ok());
    }

    #[test]
    fn what_is_taken_out_and_put_back_is_the_same() {
        let before = filled(|_| 3);
        let mut after = without(&before);
        assert!(after.signals.iter().all(is_bare));
        let contexts = before.signals.iter().take(MAX_FULL_SIGNALS);
        fill(&mut after, contexts.map(|signal| (signal.anomaly_id.0, context(3))).collect()).unwrap();
        assert_eq!(after, before);
    }

    #[test]
    fn sealed_values_are_kept_beside_a_member_and_are_in_no_incident() {
        let sealed = vec![Sealed { placeholder: "[email 3f2a]".into(), value: "00".into() }];
        let mut member = signal(0);
        member.sealed.clone_from(&sealed);
        let kept = take(&mut member);
        assert!(is_bare(&member));
        put(&mut member, kept.clone());
        assert_eq!(member.sealed, sealed);
        let mut incident = incident(1);
        let id = incident.signals[0].anomaly_id.0;
        fill(&mut incident, [(id, Context { sealed, ..context(3) })].into()).unwrap();
        assert_eq!((incident.signals[0].samples.len(), incident.signals[0].sealed.len()), (3, 0));
    }
}
