//! A snapshot's sections: what is unknown, missing or of another version costs its own warm-up and no other.

use std::collections::BTreeSet;
use std::sync::Arc;

use detection::partition::Record;
use detection::sections::{Raw, Sections, Writer};
use detection::{At, Partition, Settings};

use crate::shop::{Noise, START_MS, Source};

const INTERVAL_MS: i64 = 10_000;
/// Ticks before the snapshot: enough for a baseline.
const BEFORE: i64 = 45;
/// Ticks after it. All series lie far out in the last ones.
const AFTER: i64 = 6;

/// A partition of some services with many series each.
struct Fleet {
    services: usize,
    series: usize,
}

impl Fleet {
    fn all(&self) -> usize {
        self.services * self.series
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::new(Settings { max_series: self.all(), ..Settings::default() })
    }

    /// Takes the ticks of this range, and returns each anomaly as JSON.
    fn feed(&self, partition: &mut Partition, ticks: std::ops::Range<i64>) -> Vec<String> {
        let mut told = Vec::new();
        for tick in ticks {
            let mut source = Source::new(Noise::Gaussian, tick.unsigned_abs());
            let ts_ms = START_MS + tick * INTERVAL_MS;
            let factor = if tick >= BEFORE + 3 { 3.0 } else { 1.0 };
            for service in 0..self.services {
                let samples: Vec<String> = (0..self.series)
                    .map(|series| {
                        let value = factor * (100.0 + series as f64) * (1.0 + 0.02 * source.draw());
                        format!(
                            r#"{{"service":"s{service}","metric":"latency_{series}_ms","value":{value},"ts_ms":{ts_ms}}}"#
                        )
                    })
                    .collect();
                let payload = format!("[{}]", samples.join(","));
                let offset = tick * self.services as i64 + service as i64;
                let outcome = partition.metrics(payload.as_bytes(), At { offset, timestamp_ms: Some(ts_ms) });
                assert_eq!(outcome.used as usize, self.series);
                told.extend(outcome.anomalies.iter().map(|anomaly| serde_json::to_string(anomaly).unwrap()));
            }
        }
        told
    }

    /// Restores the records with each section changed by `change`, goes on at tick `from`, and returns the anomalies and
    /// what was refused.
    fn after(
        &self,
        records: &[Record],
        from: i64,
        change: impl Fn(Raw<'_>) -> Option<Raw<'_>>,
    ) -> (Vec<String>, Vec<String>) {
        let changed = records.iter().map(|record| {
            let mut writer = Writer::default();
            Sections::parse(&record.value)
                .unwrap()
                .iter()
                .filter_map(&change)
                .for_each(|raw| writer.put_raw(raw));
            writer.put_raw(Raw { name: "of a later release", version: 1, bytes: b"something" });
            (record.key.clone(), writer.finish())
        });
        let restored = Partition::restore(0, self.settings(), changed.collect::<Vec<_>>());
        let mut partition = restored.partition;
        assert_eq!(partition.series(), self.all());
        (self.feed(&mut partition, from..from + AFTER), restored.refused)
    }

    /// Adds, removes and changes sections of a snapshot of this fleet.
    fn keeps_its_baselines(&self) {
        let mut partition = Partition::new(0, self.settings());
        self.feed(&mut partition, 0..BEFORE);
        let records = partition.snapshot().records;
        let expected = self.feed(&mut partition, BEFORE..BEFORE + AFTER);
        let fired: BTreeSet<&str> = expected
            .iter()
            .filter(|anomaly| anomaly.contains(r#""status":"firing""#))
            .filter_map(|anomaly| {
                anomaly.split_once(r#""anomaly_id":""#)?.1.split_once('"').map(|(id, _)| id)
            })
            .collect();
        assert!(fired.len() >= self.all(), "{} fired", fired.len());

        let (added, refused) = self.after(&records, BEFORE, |raw| (!raw.name.is_empty()).then_some(raw));
        assert_eq!((added == expected, refused.len()), (true, 0), "one section more");
        let (removed, refused) = self.after(&records, BEFORE, |raw| (raw.name != "history").then_some(raw));
        assert_eq!((removed == expected, refused.len()), (true, 0), "one section less");
        let (bumped, refused) = self.after(&records, BEFORE, |raw| {
            Some(Raw { version: raw.version + u16::from(raw.name == "history"), ..raw })
        });
        assert_eq!((bumped == expected, refused.len()), (true, self.services), "another version");
    }
}

#[test]
fn thousands_of_series_keep_their_baselines_whatever_becomes_of_other_sections() {
    Fleet { services: 8, series: 250 }.keeps_its_baselines();
}

#[test]
#[ignore = "takes minutes and gigabytes; run it in release"]
fn a_hundred_thousand_series_keep_their_baselines_whatever_becomes_of_other_sections() {
    Fleet { services: 200, series: 500 }.keeps_its_baselines();
}

#[test]
fn any_section_may_be_lost_damaged_or_of_another_version() {
    let fleet = Fleet { services: 2, series: 8 };
    let mut partition = Partition::new(0, fleet.settings());
    fleet.feed(&mut partition, 0..BEFORE + AFTER);
    let records = partition.snapshot().records;
    let names: BTreeSet<String> = records
        .iter()
        .flat_map(|record| {
            Sections::parse(&record.value).unwrap().iter().map(|raw| raw.name.to_owned()).collect::<Vec<_>>()
        })
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in
        names.iter().map(String::as_str).filter(|name| !["offsets", "service", "series"].contains(name))
    {
        let holders = records
            .iter()
            .filter(|record| Sections::parse(&record.value).unwrap().iter().any(|raw| raw.name == name))
            .count();
        let (_, refused) = fleet.after(&records, BEFORE + AFTER, |raw| (raw.name != name).then_some(raw));
        assert_eq!(refused, [""; 0], "{name} removed");
        let (_, refused) = fleet.after(&records, BEFORE + AFTER, |raw| {
            Some(Raw { version: raw.version + u16::from(raw.name == name), ..raw })
        });
        assert_eq!(refused.len(), holders, "{name} of another version: {refused:?}");
        assert!(refused.iter().all(|reason| reason.contains(name)), "{refused:?}");
        let (_, refused) = fleet.after(&records, BEFORE + AFTER, |raw| {
            let kept = if raw.name == name { raw.bytes.len() - 1 } else { raw.bytes.len() };
            Some(Raw { bytes: &raw.bytes[..kept], ..raw })
        });
        assert_eq!(refused.len(), holders, "{name} damaged: {refused:?}");
    }
}
