//! A partition as the runtime of partitioned stages wants it.

use std::sync::Arc;
use std::time::Duration;

use shared::bus::partitioned::{Output, Part, Task};
use shared::error::Error;
use shared::events::{Event as _, Outgoing, Topic};
use shared::ids::EventId;

use super::state::Version;
use crate::config::Settings;
use crate::partition::metrics;
use crate::partition::{At, Outcome, Partition};

/// Time after which it is logged again that services report in other partitions, milliseconds.
const REMIND_MS: i64 = 600_000;

/// One partition and how far the snapshot goes that is on its way.
pub struct Assigned {
    number: i32,
    settings: Arc<Settings>,
    partition: Partition,
    snapshot: Version,
    used: metrics::Used,
    /// Time of the last record that had one, milliseconds.
    newest_record_ms: Option<i64>,
    /// Time of a record from which on it is logged again that services report in other partitions, milliseconds.
    remind_ms: i64,
}

impl Assigned {
    /// Takes over a partition with what its last owner left in `detection.state`.
    pub fn restore(number: i32, settings: Arc<Settings>, parts: &mut dyn Iterator<Item = Part>) -> Self {
        let records = parts.map(|part| (part.key, part.payload));
        let restored = Partition::restore(number, Arc::clone(&settings), records);
        for reason in &restored.refused {
            tracing::warn!(partition = number, reason, "state could not be read and warms up again");
        }
        Self {
            number,
            settings,
            partition: restored.partition.among_others(),
            snapshot: Version::default(),
            used: metrics::Used::default(),
            newest_record_ms: None,
            remind_ms: i64::MIN,
        }
    }

    /// Returns whether the state reflects a record already: it was read again after a crash between a snapshot and the
    /// commit of its offsets.
    fn reflects(&self, topic: Topic, offset: i64) -> bool {
        self.partition.applied().of(topic).is_some_and(|applied| offset <= applied)
    }

    /// Returns where a record lies, and notes its time.
    fn at(&mut self, offset: i64, timestamp_ms: i64) -> At {
        // the runtime says so of a record without a time
        let timestamp_ms = (timestamp_ms < i64::MAX).then_some(timestamp_ms);
        self.newest_record_ms = timestamp_ms.or(self.newest_record_ms);
        At { offset, timestamp_ms }
    }

    /// Counts what came of a record of `topic`, and returns what is to be published of it.
    fn conclude(&mut self, topic: Topic, outcome: Outcome) -> Output {
        self.used.count(topic, outcome.used);
        metrics::count(topic.name(), &outcome);
        let now_ms = self.newest_record_ms.unwrap_or_default();
        if let Some((service, reports_in)) = outcome.elsewhere.first()
            && now_ms >= self.remind_ms
        {
            self.remind_ms = now_ms.saturating_add(REMIND_MS);
            tracing::warn!(
                service,
                topic = topic.name(),
                partition = self.number,
                reports_in,
                "a service reports in another partition and is learned anew there; if that goes on key its records by service"
            );
        }
        self.output(outcome)
    }

    /// Returns what is to be published of an outcome. An anomaly that breaks the contract is counted, and logged, as
    /// dropped.
    fn output(&self, mut outcome: Outcome) -> Output {
        let mut publish = Vec::with_capacity(outcome.anomalies.len());
        for anomaly in &mut outcome.anomalies {
            let context = &mut anomaly.context;
            let redactor = &self.settings.redactor;
            redactor.anomaly(&mut anomaly.explanation, &mut context.logs, &mut context.sealed);
            // values of labels are as free as lines are
            anomaly.dimensions.values_mut().for_each(|value| redactor.apply(value));
            let labelled = context.siblings.iter_mut().filter(|sibling| sibling.metric.contains('{'));
            labelled.for_each(|sibling| redactor.apply(&mut sibling.metric));
            let id = EventId::of("anomaly", &anomaly.anomaly_id.to_string(), anomaly.revision);
            match Outgoing::new(Topic::Anomalies, anomaly, id, "detection", anomaly.observed_at, None) {
                Ok(outgoing) => {
                    metrics::count_published(anomaly);
                    publish.push(outgoing);
                }
                Err(error) => {
                    metrics::count_invalid();
                    tracing::error!(%error, subject = anomaly.subject(), "dropped an invalid anomaly");
                }
            }
        }
        let refused = outcome.refused.map(|refusal| refusal.to_string());
        Output { publish, notices: outcome.notices, refused }
    }
}

impl Task for Assigned {
    fn record(
        &mut self,
        topic: Topic,
        offset: i64,
        timestamp_ms: i64,
        payload: &[u8],
    ) -> Result<Output, Error> {
        if self.reflects(topic, offset) {
            return Ok(Output::default());
        }
        let at = self.at(offset, timestamp_ms);
        let outcome = match topic {
            Topic::RawMetrics => self.partition.metrics(payload, at),
            Topic::RawLogs => self.partition.log(payload, at),
            Topic::RawDeployments => self.partition.deployment(payload, at),
            Topic::RawAlerts => self.partition.alert(payload, at),
            Topic::CatalogueServices => self.partition.catalogue(payload, at),
            // the runtime reads the inputs of the agent only, so this is an error of the program
            other => return Err(Error::fatal(anyhow::anyhow!("{other} is not an input of detection"))),
        };
        Ok(self.conclude(topic, outcome))
    }

    fn removed(&mut self, topic: Topic, offset: i64, timestamp_ms: i64, key: &[u8]) -> Result<Output, Error> {
        if topic != Topic::CatalogueServices {
            return self.record(topic, offset, timestamp_ms, &[]);
        }
        let at = self.at(offset, timestamp_ms);
        let service = std::str::from_utf8(key).map_err(Error::reject)?;
        let outcome = self.partition.withdrawn(service, at);
        Ok(self.conclude(topic, outcome))
    }

    fn notice(
        &mut self,
        topic: Topic,
        offset: i64,
        timestamp_ms: i64,
        body: &str,
        partitions: Option<i32>,
    ) -> Output {
        if topic != Topic::RawMetrics || self.reflects(topic, offset) {
            return Output::default();
        }
        let at = self.at(offset, timestamp_ms);
        let outcome = self.partition.notice(body, partitions, at);
        self.conclude(topic, outcome)
    }

    fn spread_among(&mut self, partitions: i32) {
        self.partition.spread_among(partitions.max(1).unsigned_abs());
    }

    fn applied(&self, topic: Topic) -> Option<i64> {
        match topic {
            Topic::CatalogueServices => Some(self.partition.catalogue_applied()),
            other => self.partition.applied().of(other),
        }
    }

    fn begin_anew(&mut self, topic: Topic) {
        self.partition.begin_anew(topic);
    }

    fn patience(&self, topic: Topic) -> Option<Duration> {
        let ms = match topic {
            Topic::RawMetrics => self.partition.patience_ms(),
            Topic::RawLogs => self.partition.log_patience_ms(),
            Topic::RawAlerts => self.partition.alert_patience_ms(),
            _ => None,
        };
        ms.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs()))
    }

    fn snapshot(&mut self) -> Box<dyn Iterator<Item = Part> + Send + '_> {
        metrics::show(self.number, &self.partition, self.newest_record_ms);
        self.snapshot = self.partition.version();
        Box::new(self.partition.changed().map(|record| Part { key: record.key, payload: record.value }))
    }

    fn saved(&mut self) {
        self.partition.saved(self.snapshot);
    }
}

#[cfg(test)]
mod tests {
    use shared::error::Class;

    use super::*;

    #[test]
    fn a_record_of_a_topic_that_is_no_input_is_fatal() {
        let mut task = Assigned::restore(0, Arc::new(Settings::default()), &mut std::iter::empty());
        let error = task.record(Topic::Plans, 0, 0, b"{}").unwrap_err();
        assert_eq!(error.class(), Class::Fatal);
        assert!(task.record(Topic::RawMetrics, 0, 0, b"{}").is_ok());
    }
}
