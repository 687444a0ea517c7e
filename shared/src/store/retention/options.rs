//! How long rows are kept.

use serde::{Deserialize, Serialize};

use crate::events::Topic;
use crate::events::topic::Retention;

/// Longest age that can be set, days: a hundred years.
const MAX_DAYS: u32 = 36_500;
/// Shortest time for which an incident that is over is kept, days. Within it a person may open it again, and its last events are
/// handled.
const MIN_INCIDENT_DAYS: u32 = 30;
/// Rows of one transaction.
const BATCH_ROWS: std::ops::RangeInclusive<u32> = 10..=10_000;
/// Longest pause between two transactions, milliseconds.
const MAX_PAUSE_MS: u64 = 60_000;

/// Ages after which rows are removed, days; 0 keeps them for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Incidents that are over, with all that belongs to them but their audit trail.
    pub incidents_days: u32,
    /// Audit trail of incidents that are removed.
    pub audit_days: u32,
    /// Commands about no incident on record: silences, services out of operation, refusals.
    pub commands_days: u32,
    /// Silences that are over, once no notification on record names them.
    pub silences_days: u32,
    /// Signals that joined no incident.
    pub signals_days: u32,
    /// Deployments.
    pub deployments_days: u32,
    /// Edges of the service graph, and services that have sent spans, since they were last seen.
    pub graph_days: u32,
    /// Inbox rows, results of outside work, and timers that are done. Never below twice the retention of Kafka's topics: a record
    /// that is read again would be handled again.
    pub inbox_days: u32,
    /// Outbox rows that are published.
    pub outbox_days: u32,
    /// Outbox rows that were set aside because they cannot be read.
    pub rejected_days: u32,
    /// Most rows that one transaction removes.
    pub batch_rows: u32,
    /// Pause between two transactions, milliseconds.
    pub pause_ms: u64,
    /// Time between two turns of an agent, minutes; 0: agents remove nothing, `firewatch retention run` does.
    pub every_min: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            incidents_days: 400,
            audit_days: 1_100,
            commands_days: 400,
            silences_days: 400,
            signals_days: 30,
            deployments_days: 90,
            graph_days: 90,
            inbox_days: 30,
            outbox_days: 1,
            rejected_days: 30,
            batch_rows: 1_000,
            pause_ms: 50,
            every_min: 60,
        }
    }
}

impl Options {
    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, days) in self.ages() {
            if days > MAX_DAYS {
                problems
                    .push(format!("{name} is {days}; at most {MAX_DAYS} days, or 0 to keep rows for ever"));
            }
        }
        // a dead letter that is redriven on its last day is a new record
        let inbox = 2 * longest_retention_days() + 1;
        for (name, days, least, why) in [
            (
                "inbox_days",
                self.inbox_days,
                inbox,
                "an event is known for longer than Kafka keeps its record, redriven or not",
            ),
            ("commands_days", self.commands_days, inbox, "a command is known for longer than Kafka keeps it"),
            ("incidents_days", self.incidents_days, MIN_INCIDENT_DAYS, "an incident may be opened again"),
        ] {
            if days != 0 && days < least {
                problems.push(format!(
                    "{name} is {days}; at least {least}, so that {why}, or 0 to keep rows for ever"
                ));
            }
        }
        if self.audit_days != 0 && (self.incidents_days == 0 || self.audit_days < self.incidents_days) {
            problems.push(format!(
                "audit_days is {}, less than incidents_days; the audit trail is kept for as long as its incident or longer",
                self.audit_days
            ));
        }
        if !BATCH_ROWS.contains(&self.batch_rows) {
            let (least, most) = (BATCH_ROWS.start(), BATCH_ROWS.end());
            problems.push(format!("batch_rows is {}; between {least} and {most}", self.batch_rows));
        }
        if self.pause_ms > MAX_PAUSE_MS {
            problems.push(format!("pause_ms is {}; at most {MAX_PAUSE_MS}", self.pause_ms));
        }
        problems
    }

    /// Returns the settings that are ages, days.
    pub fn ages(&self) -> [(&'static str, u32); 10] {
        [
            ("incidents_days", self.incidents_days),
            ("audit_days", self.audit_days),
            ("commands_days", self.commands_days),
            ("silences_days", self.silences_days),
            ("signals_days", self.signals_days),
            ("deployments_days", self.deployments_days),
            ("graph_days", self.graph_days),
            ("inbox_days", self.inbox_days),
            ("outbox_days", self.outbox_days),
            ("rejected_days", self.rejected_days),
        ]
    }
}

/// Returns how long the topic that keeps its records longest keeps them, days.
fn longest_retention_days() -> u32 {
    let hours = Topic::all().into_iter().map(|topic| match topic.retention() {
        Retention::Hours(hours) => hours,
        Retention::Compacted => 0,
    });
    hours.max().unwrap_or_default().div_ceil(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_from_the_start_is_allowed_and_0_keeps_rows_for_ever() {
        assert_eq!(Options::default().validate(), Vec::<String>::new());
        let for_ever = Options {
            incidents_days: 0,
            audit_days: 0,
            commands_days: 0,
            inbox_days: 0,
            outbox_days: 0,
            ..Options::default()
        };
        assert_eq!(for_ever.validate(), Vec::<String>::new());
    }

    #[test]
    fn an_event_is_known_for_longer_than_kafka_keeps_its_record() {
        let problems = |inbox_days| Options { inbox_days, ..Options::default() }.validate();
        assert_eq!(problems(29), Vec::<String>::new());
        assert!(problems(28)[0].starts_with("inbox_days is 28; at least 29"), "{:?}", problems(28));
        assert_eq!(Options { commands_days: 3, ..Options::default() }.validate().len(), 1);
    }

    #[test]
    fn the_audit_trail_is_kept_for_longer_than_its_incident() {
        let problems = |incidents_days, audit_days| {
            Options { incidents_days, audit_days, ..Options::default() }.validate().len()
        };
        assert_eq!((problems(400, 400), problems(400, 0), problems(400, 399)), (0, 0, 1));
        // incidents for ever, and their trail not
        assert_eq!(problems(0, 1_000), 1);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = Options {
            incidents_days: 1,
            audit_days: 40_000,
            batch_rows: 1_000_000,
            pause_ms: 3_600_000,
            ..Options::default()
        };
        assert_eq!(wrong.validate().len(), 4, "{:?}", wrong.validate());
    }
}
