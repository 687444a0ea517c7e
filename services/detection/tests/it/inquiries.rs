//! A service is missed only where no partition knows better: partitions ask each other, in the log.

use std::collections::VecDeque;
use std::sync::Arc;

use detection::{At, Outcome, Partition, Settings};
use shared::bus::partitioned::{Notice, To};
use shared::events::anomaly::{Anomaly, Status};
use shared::events::{Kind, Topic};

use crate::shop::START_MS;

/// Partitions of one topic, with logs of their own.
struct Wards {
    logs: Vec<Log>,
    /// Partitions whose records wait to be read, as behind a backlog.
    behind: Vec<usize>,
    /// Time of the records that are written now, seconds.
    now_s: i64,
    /// How far the clock of the host is ahead that reports `ahead` to the first partition.
    ahead_ms: i64,
    told: Vec<Anomaly>,
}

struct Log {
    partition: Partition,
    records: VecDeque<(Record, i64)>,
    /// Records that were read.
    read: i64,
    /// What was read since the last snapshot.
    since: Vec<(Record, i64)>,
}

#[derive(Clone)]
enum Record {
    Payload(String),
    Notice { body: String, partitions: Option<i32> },
}

fn fresh(number: i32) -> Partition {
    Partition::new(number, Arc::new(Settings::default())).among_others()
}

impl Wards {
    fn new(count: i32) -> Self {
        let mut wards =
            Self { logs: Vec::new(), behind: Vec::new(), now_s: 0, ahead_ms: 0, told: Vec::new() };
        wards.grow(count);
        wards
    }

    fn grow(&mut self, count: i32) {
        for number in self.logs.len() as i32..count {
            let (records, since) = (VecDeque::new(), Vec::new());
            self.logs.push(Log { partition: fresh(number), records, read: 0, since });
        }
    }

    fn write(&mut self, partition: usize, record: Record) {
        self.logs[partition].records.push_back((record, self.now_s));
    }

    fn hear(&mut self, partition: usize, service: &str) {
        let is_ahead = partition == 0 && service == "ahead";
        let ts_ms = START_MS + self.now_s * 1000 + if is_ahead { self.ahead_ms } else { 0 };
        let sample = format!(r#"{{"service":"{service}","metric":"m","value":1,"ts_ms":{ts_ms}}}"#);
        self.write(partition, Record::Payload(sample));
    }

    /// Lets services report each second to the partition that `place` names, and everything be read that may be.
    fn report(&mut self, seconds: i64, mut place: impl FnMut(i64) -> Vec<(usize, &'static str)>) {
        for _ in 0..seconds {
            self.now_s += 1;
            for (partition, service) in place(self.now_s) {
                self.hear(partition, service);
            }
            self.read();
            self.tick();
        }
    }

    /// Writes ticks where patience asks for them, as the runtime does after five seconds without a record.
    fn tick(&mut self) {
        for partition in 0..self.logs.len() {
            let log = &self.logs[partition];
            let quiet_s = self.now_s - log.since.last().map_or(self.now_s, |(_, at_s)| *at_s);
            let is_due = log.partition.patience_ms().is_some_and(|patience_ms| quiet_s * 1000 >= patience_ms);
            if quiet_s >= 5 && is_due && !self.behind.contains(&partition) {
                self.write(partition, Record::Payload("[]".to_owned()));
            }
        }
        self.read();
    }

    fn read(&mut self) {
        while let Some(partition) =
            (0..self.logs.len()).find(|at| !self.behind.contains(at) && !self.logs[*at].records.is_empty())
        {
            self.read_one(partition);
        }
    }

    fn read_one(&mut self, partition: usize) {
        let log = &mut self.logs[partition];
        let (record, at_s) = log.records.pop_front().unwrap();
        log.since.push((record.clone(), at_s));
        let outcome = taken(&mut log.partition, &record, log.read, at_s);
        log.read += 1;
        assert!(outcome.refused.is_none(), "{:?}", outcome.refused);
        crate::words::check(&outcome.anomalies);
        self.told.extend(outcome.anomalies.into_iter().filter(|one| one.kind == Kind::Silence));
        for Notice { to, body, topic } in outcome.notices {
            assert_eq!(topic, Topic::RawMetrics);
            let count = self.logs.len();
            match to {
                To::One(to) => self.write(to as usize, Record::Notice { body, partitions: None }),
                To::All => {
                    for to in 0..count {
                        let partitions = Some(count as i32);
                        self.write(to, Record::Notice { body: body.clone(), partitions });
                    }
                }
            }
        }
    }

    /// Returns who was told what.
    fn told(&self) -> Vec<(&str, Status)> {
        self.told.iter().map(|one| (&*one.service, one.status)).collect()
    }
}

fn taken(partition: &mut Partition, record: &Record, offset: i64, at_s: i64) -> Outcome {
    let at = At { offset, timestamp_ms: Some(START_MS + at_s * 1000) };
    match record {
        Record::Payload(payload) => partition.metrics(payload.as_bytes(), at),
        Record::Notice { body, partitions } => partition.notice(body, *partitions, at),
    }
}

#[test]
fn a_service_that_stops_is_missed_among_several_partitions_as_in_one() {
    for count in [1, 6] {
        let mut wards = Wards::new(count);
        wards.report(120, |_| vec![(0, "a"), (0, "b")]);
        wards.report(100, |_| vec![(0, "a")]);
        assert_eq!(wards.told(), [("b", Status::Suspect), ("b", Status::Firing)], "{count} partitions");
        wards.report(60, |_| vec![(0, "a"), (0, "b")]);
        assert_eq!(wards.told()[2..], [("b", Status::Cleared)]);
    }
    // and the only one of its partition, by ticks
    let mut wards = Wards::new(3);
    wards.report(120, |_| vec![(1, "a")]);
    wards.report(150, |_| vec![]);
    assert_eq!(wards.told(), [("a", Status::Suspect), ("a", Status::Firing)]);
}

#[test]
fn a_service_that_moves_to_a_new_partition_is_not_missed_and_is_judged_there() {
    let mut wards = Wards::new(3);
    wards.report(120, |_| vec![(0, "a"), (0, "b"), (1, "c")]);
    wards.grow(6);
    wards.report(600, |_| vec![(0, "a"), (5, "b"), (4, "c")]);
    assert_eq!(wards.told(), []);
    wards.report(200, |_| vec![(0, "a"), (4, "c")]);
    assert_eq!(wards.told(), [("b", Status::Suspect), ("b", Status::Firing)]);
}

#[test]
fn a_partition_that_is_behind_is_waited_for() {
    let mut wards = Wards::new(3);
    wards.report(120, |_| vec![(0, "a"), (0, "b")]);
    // b has moved, but the partition it moved to is not read
    wards.behind.push(2);
    wards.report(600, |_| vec![(0, "a"), (2, "b")]);
    assert_eq!(wards.told(), []);
    wards.behind.clear();
    wards.report(600, |_| vec![(0, "a"), (2, "b")]);
    assert_eq!(wards.told(), []);
}

#[test]
fn services_that_wander_are_not_missed_and_one_that_stops_everywhere_is() {
    // to another partition every 40 s, and then with each record
    let wander = |stay_s: i64, services: &'static [&'static str]| {
        move |now_s: i64| {
            let of = |(i, service): (usize, &&'static str)| {
                ((now_s / stay_s + i as i64 * 3) as usize % 4, *service)
            };
            services.iter().enumerate().map(of).collect()
        }
    };
    let mut wards = Wards::new(4);
    wards.report(1200, wander(40, &["a", "b", "c"]));
    assert_eq!(wards.told(), []);
    let mut wards = Wards::new(4);
    wards.report(300, wander(1, &["a", "b", "c"]));
    assert_eq!(wards.told(), []);
    wards.report(300, wander(1, &["a", "b"]));
    assert!(wards.told().contains(&("c", Status::Firing)), "{:?}", wards.told());
    assert!(wards.told().iter().all(|(service, _)| *service == "c"), "{:?}", wards.told());
}

#[test]
fn a_service_in_two_partitions_is_missed_once_it_reports_in_neither() {
    let mut wards = Wards::new(2);
    wards.report(120, |_| vec![(0, "a"), (1, "a"), (0, "b"), (1, "b")]);
    wards.report(300, |_| vec![(0, "a"), (0, "b"), (1, "b")]);
    assert_eq!(wards.told(), [], "one of its hosts has stopped");
    wards.report(150, |_| vec![(0, "b"), (1, "b")]);
    assert_eq!(wards.told(), [("a", Status::Suspect), ("a", Status::Firing)]);
    // and is found again in a partition that had given it up
    wards.report(200, |_| vec![(1, "a"), (0, "b"), (1, "b")]);
    assert_eq!(wards.told()[2..], [("a", Status::Cleared)]);
    insta::assert_snapshot!(wards.told[2].explanation);
}

#[test]
fn hosts_of_one_service_need_not_agree_on_the_time() {
    let mut wards = Wards::new(2);
    wards.ahead_ms = 120_000;
    wards.report(120, |_| vec![(0, "ahead"), (1, "ahead"), (0, "b"), (1, "b")]);
    wards.report(300, |_| vec![(1, "ahead"), (0, "b"), (1, "b")]);
    assert_eq!(wards.told(), []);
}

#[test]
fn a_retirement_that_lies_in_another_partition_counts() {
    let mut wards = Wards::new(2);
    wards.report(120, |_| vec![(0, "a"), (0, "b")]);
    let ts_ms = START_MS + 121_000;
    let retired = format!(r#"{{"service":"b","version":"1","change_type":"retire","ts_ms":{ts_ms}}}"#);
    let at = At { offset: 0, timestamp_ms: Some(ts_ms) };
    let outcome = wards.logs[1].partition.deployment(retired.as_bytes(), at);
    assert!(outcome.refused.is_none(), "{:?}", outcome.refused);
    wards.report(300, |_| vec![(0, "a")]);
    assert_eq!(wards.told(), []);
}

#[test]
fn the_same_log_yields_the_same_questions_with_a_restart_anywhere() {
    let settings = Arc::new(Settings::default());
    let mut wards = Wards::new(3);
    wards.report(120, |_| vec![(0, "a"), (0, "b"), (0, "c")]);
    wards.report(200, |_| vec![(0, "a"), (2, "b")]);
    let log = &wards.logs[0].since;
    let replay = |restarts: &[usize]| {
        let (mut partition, mut told) = (fresh(0), Vec::new());
        for (offset, (record, at_s)) in log.iter().enumerate() {
            if restarts.contains(&offset) {
                let snapshot = partition.snapshot();
                let records = snapshot.records.iter().map(|one| (&one.key, &one.value));
                let restored = Partition::restore(0, Arc::clone(&settings), records);
                assert_eq!(restored.refused, [""; 0]);
                partition = restored.partition.among_others();
            }
            let outcome = taken(&mut partition, record, offset as i64, *at_s);
            let asked = outcome.notices.into_iter().map(|notice| notice.body);
            let anomalies = outcome.anomalies.iter().map(|one| serde_json::to_string(one).unwrap());
            told.extend(asked.chain(anomalies));
        }
        told
    };
    let straight = replay(&[]);
    assert!(straight.len() > 3, "{straight:?}");
    for restart in (100..log.len()).step_by(3) {
        assert_eq!(replay(&[restart]), straight, "restarted before record {restart}");
    }
}

#[test]
fn a_log_that_begins_anew_is_taken_in_from_its_beginning() {
    let settings = Arc::new(Settings::default());
    let sample = |at_s: i64| {
        let ts_ms = START_MS + at_s * 1000;
        Record::Payload(format!(r#"{{"service":"a","metric":"m","value":1,"ts_ms":{ts_ms}}}"#))
    };
    let mut partition = fresh(0);
    for at_s in 0..50 {
        taken(&mut partition, &sample(at_s), at_s, at_s);
    }
    let old = partition.snapshot();
    partition.saved(old.version);
    let restore = |records: &[detection::partition::Record]| {
        let records = records.iter().map(|one| (&one.key, &one.value));
        Partition::restore(0, Arc::clone(&settings), records).partition.among_others()
    };
    let mut restored = restore(&old.records);
    assert_eq!(taken(&mut restored, &sample(50), 0, 50).used, 1);
    let unaware = restored.snapshot();
    let mut restored = restore(&old.records);
    restored.begin_anew(Topic::RawMetrics);
    assert_eq!(restored.applied().metrics, -1);
    for offset in 0..10 {
        taken(&mut restored, &sample(50 + offset), offset, 50 + offset);
    }
    assert_eq!(restored.applied().metrics, 9);
    let new = restored.snapshot();
    assert_ne!(new.records, unaware.records);
    // the older state reflects higher offsets, of another log, and may still lie in the topic, before or after
    for all in [[&*old.records, &*new.records].concat(), [&*new.records, &*old.records].concat()] {
        let again = restore(&all);
        assert_eq!(again.applied().metrics, 9);
        assert_eq!(again.snapshot().records.len(), 0);
    }
}
