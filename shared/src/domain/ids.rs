//! Identifiers. Each is derived from what it names, so that the same input always yields the same id and a
//! replay changes nothing downstream. Only commands are named by their senders.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The namespace of every id that Firewatch derives (RFC 9562, version 5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6669_7265_7761_7463_6800_0000_0000_0001);

/// Derives a version 5 UUID from its parts. Parts are length-prefixed, so `["ab", "c"]` and `["a", "bc"]` differ.
pub fn derive(parts: &[&str]) -> Uuid {
    let mut name = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

id!(
    /// One event on the bus (`ce_id`): what the inbox deduplicates by.
    EventId
);
id!(
    /// One episode of one series, from its start until it cleared.
    AnomalyId
);
id!(
    /// One incident.
    IncidentId
);
id!(
    /// One remediation plan of an incident.
    PlanId
);
id!(
    /// One postmortem of an incident.
    PostmortemId
);
id!(
    /// One token, by its hash.
    TokenId
);
id!(
    /// One action item of a postmortem.
    ActionItemId
);
id!(
    /// One command of a person, chosen by the sender.
    CommandId
);
id!(
    /// One record of evidence of an incident.
    EvidenceId
);
id!(
    /// One request that services have handled, by the trace id of their log lines.
    RequestId
);
id!(
    /// What a log line complains of that services share: an address, a far end, or the words of the line.
    ComplaintId
);

impl AnomalyId {
    /// Returns the id of the episode that began at `started_at_ms` in one series.
    pub fn of_episode(environment: &str, service: &str, metric: &str, started_at_ms: i64) -> Self {
        Self(derive(&["anomaly", environment, service, metric, &started_at_ms.to_string()]))
    }

    /// Returns the id of the episode of a series that dimensions tell from others of the same metric. Without any it is the
    /// one of [`Self::of_episode`].
    pub fn of_dimensions(
        environment: &str,
        service: &str,
        metric: &str,
        dimensions: &BTreeMap<String, String>,
        started_at_ms: i64,
    ) -> Self {
        if dimensions.is_empty() {
            return Self::of_episode(environment, service, metric, started_at_ms);
        }
        let started_at_ms = started_at_ms.to_string();
        let mut parts = vec!["anomaly", environment, service, metric, &started_at_ms];
        parts.extend(dimensions.iter().flat_map(|(label, value)| [label.as_str(), value.as_str()]));
        Self(derive(&parts))
    }
}

impl IncidentId {
    /// Returns the id of the incident that `first` opened.
    pub fn opened_by(first: AnomalyId) -> Self {
        Self(derive(&["incident", &first.to_string()]))
    }

    /// Returns the id of the incident that a revision of an episode opened after the episode's own incident was over.
    pub fn reopened_by(past: Self, anomaly: AnomalyId, revision: u32) -> Self {
        Self(derive(&["incident", &past.to_string(), &anomaly.to_string(), &revision.to_string()]))
    }

    /// Returns the id of the incident that members of `whole` became when a person asked for it.
    pub fn split_by(whole: Self, command: CommandId) -> Self {
        Self(derive(&["split", &whole.to_string(), &command.to_string()]))
    }

    /// Returns the id of the incident that members of `whole` became when a revision of an episode was decided on.
    pub fn split_from(whole: Self, anomaly: AnomalyId, revision: u32) -> Self {
        Self(derive(&["split", &whole.to_string(), &anomaly.to_string(), &revision.to_string()]))
    }
}

impl ActionItemId {
    /// Returns the id of the item of that title. A later revision of the postmortem that has the item has the same id.
    pub fn of(incident: IncidentId, title: &str) -> Self {
        Self(derive(&["action_item", &incident.to_string(), title]))
    }

    /// Returns the name for people, e.g. `12-3f2a9c`: the number of the incident and the first digits of the id.
    pub fn name(self, incident_number: i64) -> String {
        let hex = self.0.simple().to_string();
        format!("{incident_number}-{}", hex.get(..6).unwrap_or_default())
    }
}

impl CommandId {
    /// Draws the id of a command that is sent for the first time.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl EvidenceId {
    /// Returns the id of what a source held; `source` and `content` are JSON.
    pub fn of(incident: IncidentId, source: &str, content: &str) -> Self {
        Self(derive(&["evidence", &incident.to_string(), source, content]))
    }
}

impl EventId {
    /// Returns the id of the `revision`-th event of `kind` about `subject`.
    pub fn of(kind: &str, subject: &str, revision: u32) -> Self {
        Self(derive(&["event", kind, subject, &revision.to_string()]))
    }

    /// Returns the id of a record without an envelope: where it lies in the log.
    pub fn of_record(topic: &str, partition: i32, offset: i64) -> Self {
        Self(derive(&["record", topic, &partition.to_string(), &offset.to_string()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_run_into_each_other() {
        assert_ne!(derive(&["ab", "c"]), derive(&["a", "bc"]));
        assert_eq!(derive(&["ab", "c"]), derive(&["ab", "c"]));
    }

    #[test]
    fn an_episode_keeps_its_id_on_replay() {
        let id = AnomalyId::of_episode("prod", "payment", "latency_p99_ms", 1_700_000_000_000);
        assert_eq!(id, AnomalyId::of_episode("prod", "payment", "latency_p99_ms", 1_700_000_000_000));
        assert_ne!(id, AnomalyId::of_episode("prod", "payment", "latency_p99_ms", 1_700_000_010_000));
        let of = |dimensions: &[(&str, &str)]| {
            let dimensions = dimensions.iter().map(|&(label, value)| (label.to_owned(), value.to_owned()));
            AnomalyId::of_dimensions(
                "prod",
                "payment",
                "latency_p99_ms",
                &dimensions.collect(),
                1_700_000_000_000,
            )
        };
        assert_eq!(id, of(&[]), "series without dimensions keep their ids");
        assert_ne!(id, of(&[("route", "/pay")]));
        assert_ne!(of(&[("route", "/cart")]), of(&[("route", "/pay")]));
    }
}
