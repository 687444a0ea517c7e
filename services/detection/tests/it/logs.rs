//! What a service logs: found when it is not as usual, quiet when it is, and over when it is over.

use std::sync::Arc;
use std::time::Instant;

use detection::{At, Partition, Settings};
use shared::events::anomaly::{Anomaly, Status};
use shared::events::fault::Scenario;
use shared::events::{Kind, Severity};
use simulator::noise::Noise;
use simulator::schedule::Faults;

use crate::fire::{watch, watch_every};
use crate::shop::START_MS;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// One partition, and what it has told.
pub(crate) struct Log {
    partition: Partition,
    offset: i64,
    pub(crate) told: Vec<Anomaly>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { partition: Partition::new(0, Arc::default()), offset: 0, told: Vec::new() }
    }

    pub(crate) fn write(&mut self, service: &str, level: &str, message: &str, ms: i64) {
        let line = serde_json::json!({
            "service": service, "level": level, "message": message, "ts_ms": START_MS + ms,
        });
        self.record(line.to_string().as_bytes(), ms);
    }

    fn record(&mut self, payload: &[u8], ms: i64) {
        self.offset += 1;
        let at = At { offset: self.offset, timestamp_ms: Some(START_MS + ms) };
        let outcome = self.partition.log(payload, at);
        assert!(outcome.refused.is_none());
        crate::words::check(&outcome.anomalies);
        self.told.extend(outcome.anomalies);
    }

    /// Writes what `user` usually writes: a line a second, and an error every ten seconds.
    fn usual(&mut self, from_ms: i64, to_ms: i64) {
        for second in from_ms / SECOND_MS..to_ms / SECOND_MS {
            let ms = second * SECOND_MS;
            self.write("user", "INFO", &format!("session {second} renewed in {} ms", second % 90), ms);
            if second % 10 == 0 {
                self.write("user", "ERROR", &format!("profile {second} not written: conflict"), ms);
            }
        }
    }

    /// Returns metric, status and time (milliseconds since the start) of all revisions that changed the status.
    pub(crate) fn turns(&self) -> Vec<(&str, Status, i64)> {
        let mut turns: Vec<(&str, Status, i64)> = Vec::new();
        for one in &self.told {
            let last = turns.iter().rev().find(|(metric, ..)| *metric == one.metric);
            if last.is_none_or(|(_, status, _)| *status != one.status) {
                turns.push((&one.metric, one.status, one.observed_at.as_millisecond() - START_MS));
            }
        }
        turns
    }

    pub(crate) fn fired(&self) -> Vec<&str> {
        let turns = self.turns().into_iter();
        turns.filter(|(_, status, _)| *status == Status::Firing).map(|(metric, ..)| metric).collect()
    }
}

#[test]
fn more_errors_than_usual_fire_once_name_the_template_and_clear_soon() {
    let mut log = Log::new();
    log.usual(0, 20 * MINUTE_MS);
    assert!(log.told.is_empty(), "{:?}", log.told);
    let begin = 20 * MINUTE_MS;
    for tenth in 0..1200 {
        log.write("user", "ERROR", &format!("profile {tenth} not written: conflict"), begin + tenth * 100);
    }
    log.usual(begin + 2 * MINUTE_MS, begin + 5 * MINUTE_MS);
    let turns = log.turns();
    let [(.., suspect), (.., firing), (.., cleared)] = turns[..] else { panic!("{turns:?}") };
    assert!(turns.iter().all(|(metric, ..)| *metric == "logs:errors"), "{turns:?}");
    assert!(suspect - begin <= 5 * SECOND_MS && firing - begin <= 20 * SECOND_MS, "{turns:?}");
    assert!((0..=20 * SECOND_MS).contains(&(cleared - begin - 2 * MINUTE_MS)), "{turns:?}");
    let firing = log.told.iter().find(|one| one.status == Status::Firing).unwrap();
    assert_eq!((firing.kind, firing.severity), (Kind::Logs, Severity::Sev3));
    assert!(firing.evidence > 5.0 && firing.observed > firing.expected.upper, "{firing:?}");
    let named = "profile <*> not written: conflict";
    assert!(firing.explanation.contains(named), "{}", firing.explanation);
    assert!(!firing.context.samples.is_empty() && firing.context.logs.len() == 1);
    // the window in which it began had a minute; whoever waits for some more must not wait for so long
    assert!(log.told.iter().all(|one| one.interval_ms == 10_000));
}

/// What is written while an alert of each kind is due: the metric, and how to write what it is about at a time.
const COMPLAINTS: [(&str, &str, &[&str]); 4] = [
    ("logs:errors", "ERROR", &["profile 7 not written: conflict"; 3]),
    ("logs:new_template", "ERROR", &["column store_id does not exist", "unhandled exception in GetProfile"]),
    ("logs:volume", "INFO", &["session 7 renewed in 9 ms"; 20]),
    ("logs:critical", "ERROR", &["allocation of 90 MiB failed: out of memory"]),
];

/// Returns when alerts of a metric began and cleared, seconds.
fn episodes(log: &Log, metric: &str) -> Vec<(i64, Option<i64>)> {
    let mut episodes: Vec<(i64, Option<i64>)> = Vec::new();
    for (_, status, at) in log.turns().into_iter().filter(|(of, ..)| *of == metric) {
        match (status, episodes.last_mut()) {
            (Status::Cleared, Some(last)) => last.1 = Some(at / SECOND_MS),
            (_, Some((_, None))) => {}
            _ => episodes.push((at / SECOND_MS, None)),
        }
    }
    episodes
}

/// Writes as usual, and a complaint in the seconds that `complains` names, counted from the 600th.
fn complain(level: &str, lines: &[&str], until: i64, complains: impl Fn(i64) -> bool) -> Log {
    let mut log = Log::new();
    log.usual(0, 600 * SECOND_MS);
    for second in 600..until {
        log.usual(second * SECOND_MS, (second + 1) * SECOND_MS);
        if complains(second - 600) {
            for line in lines {
                log.write("user", level, line, second * SECOND_MS + 500);
            }
        }
    }
    log
}

#[test]
fn an_alert_clears_within_twenty_seconds_once_what_raised_it_has_stopped() {
    for (metric, level, lines) in COMPLAINTS {
        // windows begin anywhere
        for lasts in 80..90 {
            let log = complain(level, lines, 800, |second| second < lasts);
            let [(_, Some(cleared))] = episodes(&log, metric)[..] else {
                panic!("{metric} for {lasts} s: {:?}", log.turns())
            };
            let after = cleared - 600 - lasts;
            assert!((5..=21).contains(&after), "{metric} for {lasts} s: {after} s after its end");
        }
    }
}

#[test]
fn the_simulators_faults_clear_from_the_logs_soon_at_a_sample_a_second() {
    let mut all = Vec::new();
    for scenario in Scenario::ROTATION {
        for seed in 0..6 {
            let run =
                watch_every(1000, Faults::Once(Some(scenario)), Noise::Gaussian, seed, 400, 6, 520, |_| {});
            crate::words::check(&run.anomalies);
            let ends = run.burns[0].1;
            let logs = run.anomalies.iter().filter(|one| one.kind == Kind::Logs);
            for one in logs.clone().filter(|one| one.status == Status::Cleared) {
                let after = (one.observed_at.as_millisecond() - ends) / SECOND_MS;
                assert!(
                    after <= 32,
                    "{scenario:?} seed {seed}: {after} s after its end: {}",
                    one.explanation
                );
                all.push(after);
            }
            let ids = |status| logs.clone().filter(move |one| one.status == status).map(|one| one.anomaly_id);
            let cleared: Vec<_> = ids(Status::Cleared).collect();
            assert!(ids(Status::Firing).all(|id| cleared.contains(&id)), "{scenario:?} seed {seed}");
        }
    }
    all.sort_unstable();
    assert!(all[all.len() / 2] <= 20 && all[all.len() * 9 / 10] <= 28, "{all:?}");
}

#[test]
fn a_complaint_that_comes_in_pauses_is_one_alert() {
    for (metric, level, lines) in COMPLAINTS {
        for (pause, lasts) in [(15, 3), (30, 1), (30, 12), (40, 8)] {
            let often: Vec<&str> = lines.iter().copied().cycle().take(6 * lines.len()).collect();
            let lines = if metric == "logs:critical" { lines } else { &often };
            let complains = |second: i64| second < 600 && second % pause < lasts;
            let log = complain(level, lines, 1500, complains);
            let episodes = episodes(&log, metric);
            let case = format!("{metric} for {lasts} s every {pause} s: {episodes:?}");
            // lines in a row before the first pause look like all there is; its second return is expected
            let most = if lasts > 3 { 2 } else { 1 };
            assert!((1..=most).contains(&episodes.len()), "{case}");
            let after = episodes.last().unwrap().1.expect("it clears") - 1200;
            assert!(after <= 5 * pause / 2 + 21, "{case}: {after} s after its end");
        }
    }
}

#[test]
fn a_surge_that_wavers_is_one_alert() {
    for seed in 0..20 {
        let mut source = crate::shop::Source::new(crate::shop::Noise::Gaussian, seed);
        let mut log = Log::new();
        log.usual(0, 600 * SECOND_MS);
        for second in 600..1200 {
            log.usual(second * SECOND_MS, (second + 1) * SECOND_MS);
            // three a second on average, in no order
            let lines = (3.0 + 2.0 * source.draw()).round().max(0.0) as usize;
            for _ in 0..lines {
                log.write("user", "ERROR", "profile 7 not written: conflict", second * SECOND_MS + 500);
            }
        }
        assert_eq!(episodes(&log, "logs:errors").len(), 1, "seed {seed}: {:?}", log.turns());
    }
}

#[test]
fn one_burst_is_suspected_and_no_more() {
    let mut log = Log::new();
    log.usual(0, 20 * MINUTE_MS);
    for i in 0..60 {
        log.write("user", "ERROR", &format!("profile {i} not written: conflict"), 20 * MINUTE_MS + i * 10);
    }
    log.usual(20 * MINUTE_MS + SECOND_MS, 30 * MINUTE_MS);
    let statuses: Vec<Status> = log.turns().iter().map(|(_, status, _)| *status).collect();
    assert_eq!(statuses, [Status::Suspect, Status::Cleared]);
}

#[test]
fn a_rare_template_that_explodes_is_found_among_many_others() {
    let mut log = Log::new();
    let noisy = |log: &mut Log, from: i64, to: i64, every: i64| {
        for second in from..to {
            for i in 0..5 {
                log.write("user", "WARN", &format!("quota of {second} near, {i}"), second * SECOND_MS);
            }
            if second % every == 0 {
                log.write("user", "ERROR", &format!("mailbox {second} is locked"), second * SECOND_MS);
            }
        }
    };
    noisy(&mut log, 0, 3600, 900);
    assert!(log.told.is_empty(), "{:?}", log.told);
    noisy(&mut log, 3600, 3660, 1);
    assert_eq!(log.fired(), ["logs:errors"]);
    assert!(log.told[0].explanation.contains("mailbox <*> is locked"), "{}", log.told[0].explanation);
    assert!(!log.told[0].explanation.contains("quota"), "{}", log.told[0].explanation);
}

#[test]
fn what_was_never_written_before_is_one_alert_whatever_the_number_of_templates() {
    let mut log = Log::new();
    log.usual(0, 10 * MINUTE_MS);
    let begin = 10 * MINUTE_MS;
    let deployed = format!(r#"{{"service":"user","version":"build-2","ts_ms":{}}}"#, START_MS + begin);
    log.partition.deployment(deployed.as_bytes(), At { offset: 0, timestamp_ms: Some(START_MS + begin) });
    for i in 0..30 {
        log.usual(begin + 2 * i * SECOND_MS, begin + 2 * (i + 1) * SECOND_MS);
        let line = match i % 3 {
            0 => format!("profile {i}: column store_id does not exist"),
            1 => format!("unhandled exception in GetProfile, answered {i}"),
            _ => "template of the welcome mail is missing".to_owned(),
        };
        log.write("user", "ERROR", &line, begin + 2 * (i + 1) * SECOND_MS);
    }
    log.usual(begin + MINUTE_MS, begin + 5 * MINUTE_MS);
    let turns = log.turns();
    let statuses: Vec<_> = turns.iter().map(|(metric, status, _)| (*metric, *status)).collect();
    let new = "logs:new_template";
    assert_eq!(statuses, [(new, Status::Suspect), (new, Status::Firing), (new, Status::Cleared)]);
    assert!(turns[0].2 - begin <= 10 * SECOND_MS && turns[1].2 - begin <= 30 * SECOND_MS, "{turns:?}");
    let firing = log.told.iter().find(|one| one.status == Status::Firing).unwrap();
    for part in ["column store_id", "GetProfile", "welcome mail", "build-2"] {
        assert!(firing.explanation.contains(part), "{}", firing.explanation);
    }
}

#[test]
fn new_information_and_new_warnings_alone_fire_nothing() {
    let mut log = Log::new();
    log.usual(0, 10 * MINUTE_MS);
    for i in 0..120 {
        let ms = 10 * MINUTE_MS + i * SECOND_MS;
        log.write("user", "INFO", &format!("listening on port {i}"), ms);
        log.write("user", "INFO", "configuration loaded", ms);
        log.write("user", "WARN", &format!("option {i} is deprecated"), ms);
    }
    assert_eq!(log.fired(), [""; 0]);
    assert_eq!(log.turns()[0].1, Status::Suspect);
}

#[test]
fn the_first_critical_line_fires_at_once() {
    for (line, severity) in [
        ("java.lang.OutOfMemoryError: Java heap space", Severity::Sev2),
        ("panic: runtime error: index out of range", Severity::Sev3),
    ] {
        let mut log = Log::new();
        log.usual(0, 10 * MINUTE_MS);
        log.write("user", "ERROR", line, 10 * MINUTE_MS);
        let [fired] = &log.told[..] else { panic!("{:?}", log.told) };
        assert_eq!((&*fired.metric, fired.status), ("logs:critical", Status::Firing));
        assert_eq!((fired.severity, fired.revision), (severity, 1));
        assert!(fired.explanation.contains(line), "{}", fired.explanation);
        log.usual(10 * MINUTE_MS, 12 * MINUTE_MS);
        assert_eq!(log.turns()[1].1, Status::Cleared);
    }
    let mut log = Log::new();
    log.write("user", "ERROR", "a non-fatal glitch, no panic", 0);
    log.write("user", "INFO", "kernel panic", 0);
    assert_eq!(log.fired(), [""; 0]);
}

#[test]
fn critical_lines_that_are_a_habit_fire_nothing_more() {
    let mut log = Log::new();
    for minute in 0..600 {
        log.usual(minute * MINUTE_MS, minute * MINUTE_MS + 20 * SECOND_MS);
        if minute >= 20 && minute % 5 == 0 {
            log.write("user", "ERROR", "FATAL: password authentication failed", minute * MINUTE_MS);
        }
    }
    let late = log.turns().iter().filter(|(.., at)| *at > 2 * HOUR_MS).count();
    assert!(!log.fired().is_empty() && late == 0, "{:?}", log.turns());
    log.write("user", "ERROR", "panic: runtime error: index out of range", 600 * MINUTE_MS);
    assert_eq!(log.told.last().unwrap().status, Status::Firing, "another kind is no habit");
}

#[test]
fn what_a_service_says_from_its_first_line_on_is_a_habit_and_never_fires() {
    for (every, length) in [(30, 5), (60, 1), (300, 5), (1800, 20)] {
        let mut log = Log::new();
        for second in (0..3 * 3600).step_by(length) {
            let ms = i64::from(second) * SECOND_MS;
            log.write("user", "INFO", &format!("request {second} served in {} ms", second % 70), ms);
            if second % every == 0 {
                log.write("user", "ERROR", "FATAL:  role \"root\" does not exist", ms + 2);
            }
        }
        assert_eq!(log.fired(), [""; 0], "every {every} s");
        assert_eq!(log.told.last().unwrap().status, Status::Cleared);
        // what comes for the first time fires all the same
        log.write("user", "ERROR", "panic: runtime error: index out of range", 3 * HOUR_MS);
        assert_eq!(log.told.last().unwrap().status, Status::Firing);
    }
}

#[test]
fn what_loses_data_fires_from_the_first_line_on() {
    let mut log = Log::new();
    log.write("user", "ERROR", "write /data/7: no space left on device", 0);
    assert_eq!(log.fired(), ["logs:critical"]);
}

#[test]
fn an_alert_clears_when_the_service_is_silent_for_other_services_and_ticks_tell_the_time() {
    for ticks in [false, true] {
        let mut log = Log::new();
        log.write("user", "FATAL", "bye", 0);
        assert!(log.partition.log_patience_ms().is_some());
        for second in (0..=240).step_by(5) {
            if ticks {
                log.record(b" [] ", second * SECOND_MS);
            } else {
                log.write("order", "INFO", "order placed", second * SECOND_MS);
            }
        }
        let [_, (_, status, at)] = log.turns()[..] else { panic!("{:?}", log.turns()) };
        assert_eq!(status, Status::Cleared);
        assert!((20..=100).contains(&(at / SECOND_MS)), "{at}");
        assert!(log.partition.log_patience_ms().is_none());
    }
}

#[test]
fn what_lasts_for_an_hour_is_usual_from_then_on() {
    let mut log = Log::new();
    log.usual(0, 20 * MINUTE_MS);
    let worse = |log: &mut Log, from: i64, to: i64| {
        for second in from / SECOND_MS..to / SECOND_MS {
            log.write(
                "user",
                "ERROR",
                &format!("profile {second} not written: conflict"),
                second * SECOND_MS,
            );
        }
    };
    worse(&mut log, 20 * MINUTE_MS, 79 * MINUTE_MS);
    assert_eq!(log.turns().last().unwrap().1, Status::Firing);
    worse(&mut log, 79 * MINUTE_MS, 83 * MINUTE_MS);
    let turns = log.turns().len();
    assert_eq!(log.turns().last().unwrap().1, Status::Cleared);
    insta::assert_snapshot!(log.told.last().unwrap().explanation);
    worse(&mut log, 83 * MINUTE_MS, 200 * MINUTE_MS);
    assert_eq!(log.turns().len(), turns, "{:?}", log.turns());
}

#[test]
fn a_day_of_usual_errors_in_clumps_fires_nothing_and_suspects_little() {
    let mut source = crate::shop::Source::new(crate::shop::Noise::Bursty, 1);
    let mut log = Log::new();
    let mut number = 0;
    for step in 0..8640 {
        let ms = step * 10_000;
        let day = 1.0 + 0.6 * (std::f64::consts::TAU * ms as f64 / 86_400_000.0).sin();
        let (calls, errors) = (8.0 * day + source.draw(), 1.2 * day + source.draw());
        for _ in 0..calls.max(0.0) as u32 {
            number += 1;
            log.write("user", "INFO", &format!("session {number} renewed"), ms);
        }
        for _ in 0..errors.max(0.0) as u32 {
            number += 1;
            let retries = if number % 7 == 0 { 3 } else { 1 };
            for _ in 0..retries {
                log.write("user", "ERROR", &format!("profile {number} not written: conflict"), ms);
            }
        }
        if step % 200 == 0 {
            log.write("user", "WARN", &format!("certificate of {number} was renewed late"), ms);
        }
    }
    assert_eq!(log.fired(), [""; 0]);
    let suspects = log.turns().iter().filter(|(_, status, _)| *status == Status::Suspect).count();
    assert!(suspects <= 2, "{:?}", log.turns());
}

#[test]
fn the_simulators_quiet_hours_say_nothing_and_its_faults_are_found_and_cleared() {
    for seed in 0..4 {
        let run = watch(Faults::Quiet, Noise::Gaussian, seed, 1, 1, 2160);
        let logs: Vec<_> = run.anomalies.iter().filter(|one| one.kind == Kind::Logs).collect();
        assert!(logs.is_empty(), "seed {seed}: {}", logs[0].explanation);
    }
    for scenario in Scenario::ROTATION {
        let culprit = simulator::fault::culprit(scenario).name();
        let lasts = simulator::fault::duration(scenario) as i64;
        for seed in 0..4 {
            let case = format!("{scenario:?} seed {seed}");
            let run = watch(Faults::Once(Some(scenario)), Noise::Gaussian, seed, 60, 6, 60 + lasts + 20);
            let logs: Vec<_> = run.anomalies.iter().filter(|one| one.kind == Kind::Logs).collect();
            let own = logs.iter().find(|one| one.service == culprit && one.status != Status::Cleared);
            let own = own.unwrap_or_else(|| panic!("{case}: not in the logs"));
            let (began, ends) = run.burns[0];
            let at = own.observed_at.as_millisecond();
            assert!((began - 10_000..began + 60_000).contains(&at), "{case}: {} s", (at - began) / 1000);
            for one in logs.iter().filter(|one| one.revision == 1) {
                let same = |other: &&&Anomaly| other.anomaly_id == one.anomaly_id;
                let last = logs.iter().rfind(same).unwrap();
                let after = (last.observed_at.as_millisecond() - ends) / 1000;
                assert!(last.status == Status::Cleared && after <= 120, "{case}: {after} s {last:?}");
            }
            let alerts = logs.iter().filter(|one| one.service == culprit && one.revision == 1).count();
            let most = if scenario == Scenario::MemoryLeak { 2 } else { 1 };
            let said = logs.iter().filter(|one| one.service == culprit).map(|one| {
                format!(
                    "{} {}: {}",
                    (one.observed_at.as_millisecond() - began) / SECOND_MS,
                    one.status,
                    one.explanation
                )
            });
            assert!(alerts <= most, "{case}: {alerts} alerts of {culprit}: {:#?}", said.collect::<Vec<_>>());
        }
    }
}

/// Words without a digit, all different.
fn babble(mut number: u64) -> String {
    let mut text = String::new();
    for _ in 0..30 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend((0..6).map(|i| char::from(b'g' + (number >> (8 * i + 16)) as u8 % 20)));
        text.push(if number.is_multiple_of(11) { '\u{1F525}' } else { ' ' });
    }
    text
}

#[test]
fn hostile_text_leaves_the_state_of_a_service_small() {
    let mut log = Log::new();
    for i in 0..20_000_u64 {
        let level = ["INFO", "WARN", "ERROR", "FATAL"][(i % 4) as usize];
        log.write("user", level, &babble(i), i as i64 * 500);
        log.write("user", level, &"\u{10FFFF} ".repeat(1 + i as usize % 700), i as i64 * 500);
    }
    let bytes = log.partition.snapshot().records[0].value.len();
    assert!(bytes < 45_000, "{bytes} bytes");
    for anomaly in &log.told {
        shared::events::encode(anomaly).unwrap();
    }
    assert!(log.told.len() < 500, "{} revisions", log.told.len());
}

/// `cargo test --release -p detection --test it lines_a_second -- --ignored --nocapture`
#[test]
#[ignore = "measures; it proves nothing on a busy machine"]
fn lines_a_second() {
    let mut shop = simulator::Shop::new(simulator::Options { seed: 1, ..simulator::Options::default() });
    let mut records = Vec::new();
    for i in 0..20_000 {
        let tick = shop.tick(START_MS + i * 10_000);
        records.extend(tick.logs.iter().map(|line| (serde_json::to_vec(line).unwrap(), tick.ts_ms)));
    }
    for _ in 0..3 {
        let mut partition = Partition::new(0, Arc::new(Settings::default()));
        let begun = Instant::now();
        for (offset, (payload, ts_ms)) in records.iter().enumerate() {
            partition.log(payload, At { offset: offset as i64, timestamp_ms: Some(*ts_ms) });
        }
        let bytes: usize = partition.snapshot().records.iter().map(|record| record.value.len()).sum();
        let per_second = records.len() as f64 / begun.elapsed().as_secs_f64();
        println!("{} lines, {per_second:.0} a second, {bytes} bytes of state", records.len());
    }
}
