//! Detection over the partitions of the raw topics.

use std::sync::Arc;

use detection::{At, Partition, Settings};
use jiff::Timestamp;
use shared::events::{Anomaly, Topic};
use simulator::record::Record;

/// Partitions of the raw topics.
const PARTITIONS: usize = 6;

/// The partitions of one deployment of Firewatch.
pub struct Detection {
    partitions: Vec<Partition>,
    offset: i64,
}

impl Default for Detection {
    fn default() -> Self {
        let settings = Arc::new(Settings::default());
        let partition = |number| Partition::new(number as i32, settings.clone());
        Self { partitions: (0..PARTITIONS).map(partition).collect(), offset: 0 }
    }
}

impl Detection {
    /// Takes one record, written at `at`, and returns the anomalies that are due.
    pub fn take(&mut self, record: &Record, at: Timestamp) -> Vec<Anomaly> {
        self.offset += 1;
        let at = At { offset: self.offset, timestamp_ms: Some(at.as_millisecond()) };
        let number = record.key.bytes().map(usize::from).sum::<usize>() % PARTITIONS;
        let partition = &mut self.partitions[number];
        match record.topic {
            Topic::RawMetrics => partition.metrics(&record.payload, at).anomalies,
            Topic::RawLogs => partition.log(&record.payload, at).anomalies,
            Topic::RawDeployments => partition.deployment(&record.payload, at).anomalies,
            _ => Vec::new(),
        }
    }
}
