//! A partition as the runtime of partitioned stages wants it.

use std::sync::Arc;
use std::time::Duration;

use shared::bus::partitioned::{Output, Part, Task};
use shared::events::{Event as _, Outgoing, Topic};
use shared::ids::EventId;

use super::state::Version;
use crate::config::Settings;
use crate::partition::metrics;
use crate::partition::{At, Outcome, Partition};

/// One partition and how far the snapshot goes that is on its way.
pub struct Assigned {
    number: i32,
    partition: Partition,
    snapshot: Version,
    used: metrics::Used,
    now_ms: i64,
}

impl Assigned {
    /// Takes over a partition with what its last owner left in `detection.state`.
    pub fn restore(number: i32, settings: Arc<Settings>, parts: &mut dyn Iterator<Item = Part>) -> Self {
        let records = parts.map(|part| (part.key, part.payload));
        let restored = Partition::restore(number, settings, records);
        for reason in &restored.refused {
            tracing::warn!(partition = number, reason, "state could not be read and warms up again");
        }
        Self {
            number,
            partition: restored.partition,
            snapshot: Version::default(),
            used: metrics::Used::default(),
            now_ms: 0,
        }
    }

    fn output(outcome: Outcome) -> Output {
        let publish = outcome.anomalies.iter().filter_map(|anomaly| {
            let id = EventId::of("anomaly", &anomaly.anomaly_id.to_string(), anomaly.revision);
            let outgoing =
                Outgoing::new(Topic::Anomalies, anomaly, id, "detection", anomaly.observed_at, None);
            outgoing
                .inspect_err(
                    |error| tracing::error!(%error, subject = anomaly.subject(), "anomaly is not valid"),
                )
                .ok()
        });
        Output { publish: publish.collect(), refused: outcome.refused.map(|refusal| refusal.to_string()) }
    }
}

impl Task for Assigned {
    fn record(&mut self, topic: Topic, offset: i64, timestamp_ms: i64, payload: &[u8]) -> Output {
        let at = At { offset, timestamp_ms };
        self.now_ms = timestamp_ms;
        let outcome = match topic {
            Topic::RawLogs => self.partition.log(payload, at),
            Topic::RawDeployments => self.partition.deployment(payload, at),
            _ => self.partition.metrics(payload, at),
        };
        self.used.count(topic, outcome.used);
        metrics::count(topic.name(), &outcome);
        Self::output(outcome)
    }

    fn patience(&self, topic: Topic) -> Option<Duration> {
        let ms = match topic {
            Topic::RawMetrics => self.partition.patience_ms(),
            Topic::RawLogs => self.partition.log_patience_ms(),
            _ => None,
        };
        ms.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs()))
    }

    fn snapshot(&mut self) -> Box<dyn Iterator<Item = Part> + Send + '_> {
        metrics::show(self.number, &self.partition, self.now_ms);
        self.snapshot = self.partition.version();
        Box::new(self.partition.changed().map(|record| Part { key: record.key, payload: record.value }))
    }

    fn saved(&mut self) {
        self.partition.saved(self.snapshot);
    }
}
