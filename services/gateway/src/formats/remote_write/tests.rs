use std::collections::BTreeMap;

use proptest::prelude::*;
use shared::events::{Event as _, Histogram as Converted, MetricSample};

use super::histogram::{Count, Histogram, Span, ZeroCount};
use super::v2::build::One;
use super::*;
use crate::telemetry::Limits;

const NOW_MS: i64 = 1_772_359_210_000;
const MAX_BYTES: usize = 1 << 20;

/// Labels as Prometheus sends them.
const REQUESTS: [(&str, &str); 5] = [
    (NAME, "http_requests_total"),
    ("code", "200"),
    ("env", "staging"),
    ("instance", "10.0.0.7:8080"),
    ("job", "payment"),
];

fn with<T>(run: impl FnOnce(&Context<'_>, &mut Batch) -> T) -> (T, Batch) {
    let (identity, headers) = (Rules::default(), BTreeMap::new());
    let ctx = Context { identity: &identity, now_ms: NOW_MS, headers: &headers };
    let mut batch = Batch::new(&Limits::default(), NOW_MS);
    let result = run(&ctx, &mut batch);
    (result, batch)
}

fn taken(body: Vec<u8>, version: Version) -> (Result<Answer, Unreadable>, Batch) {
    with(|ctx, batch| read_plain(body, version, ctx, batch))
}

fn samples(batch: Batch) -> Vec<MetricSample> {
    let read = |payload: &[u8]| serde_json::from_slice::<Vec<MetricSample>>(payload).unwrap();
    let samples: Vec<_> = batch.into_records().iter().flat_map(|record| read(&record.payload)).collect();
    assert!(samples.iter().all(|sample| sample.validate().is_ok()));
    samples
}

fn compressed(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

fn exponential(schema: i32, spans: &[(i32, u32)], deltas: &[i64]) -> Histogram {
    Histogram {
        count: Some(Count::Integer(20)),
        sum: 18.4,
        schema,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::Integer(2)),
        positive_spans: spans
            .iter()
            .map(|(offset, length)| Span { offset: *offset, length: *length })
            .collect(),
        positive_deltas: deltas.to_vec(),
        timestamp: NOW_MS,
        ..Histogram::default()
    }
}

#[test]
fn version_1_becomes_samples_of_the_service_that_its_labels_name() {
    let body = v1::build::request(&[(&REQUESTS, &[(41.0, NOW_MS - 15_000), (42.0, NOW_MS)], &[])]);
    let (answer, batch) = with(|ctx, batch| read(&compressed(&body), Version::V1, MAX_BYTES, ctx, batch));
    let answer = answer.unwrap();
    assert_eq!(answer.written, Written { samples: 2, ..Written::default() });
    assert_eq!((answer.exemplars, Answer::status(&batch.refused)), (1, 204));
    assert_eq!(answer.headers()[0].1, "2");
    let mut expected = MetricSample::of("payment", "http_requests_total", 41.0, NOW_MS - 15_000);
    expected.environment = "staging".into();
    expected.instrument = Some(Instrument::Counter);
    expected.labels =
        [("code", "200"), ("instance", "10.0.0.7:8080")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(samples(batch)[0], expected);
}

#[test]
fn version_2_has_types_units_and_the_time_of_the_start() {
    let symbols = ["", NAME, "rpc_seconds_sum", "job", "order", "seconds", "queue_depth"];
    let one = |refs, kind, unit| One {
        refs,
        samples: &[(7.5, NOW_MS)],
        histograms: &[],
        metadata: (kind, unit),
        created: NOW_MS - 60_000,
    };
    let body = v2::build::request(&symbols, &[one(&[1, 2, 3, 4], 3, 5), one(&[1, 6, 3, 4], 2, 0)]);
    let (answer, batch) = taken(body, Version::V2);
    assert_eq!(answer.unwrap().written.samples, 2);
    let read = samples(batch);
    let shown: Vec<_> =
        read.iter().map(|it| (&*it.metric, it.unit.as_deref(), it.instrument, it.start_ms)).collect();
    let start = Some(NOW_MS - 60_000);
    assert_eq!(
        shown,
        [
            ("rpc_seconds_sum", Some("seconds"), Some(Instrument::Counter), start),
            ("queue_depth", None, Some(Instrument::Gauge), start)
        ]
    );
}

/// Both versions of the same series, encoded by Prometheus itself.
#[test]
fn what_prometheus_encodes_is_read() {
    for (version, body) in [
        (Version::V1, &include_bytes!("../../../tests/bodies/remote-write-1.bin")[..]),
        (Version::V2, include_bytes!("../../../tests/bodies/remote-write-2.bin")),
    ] {
        let (answer, batch) = taken(body.to_vec(), version);
        let written = Written { samples: 3, histograms: 3, exemplars: 0 };
        assert_eq!(answer, Ok(Answer { written, stale: 1, not_finite: 0, exemplars: 1 }));
        assert_eq!(batch.refused.message(), "");
        let read = samples(batch);
        let is_2 = version == Version::V2;
        let start = is_2.then_some(NOW_MS - 60_000);
        let [counter, _, native, floats, custom] = &read[..] else { panic!("{read:?}") };
        let shown =
            (&*counter.service, &*counter.environment, counter.value, counter.ts_ms, counter.start_ms);
        assert_eq!(shown, ("payment", "staging", 41.0, NOW_MS - 15_000, start));
        assert_eq!(counter.unit.as_deref(), is_2.then_some("requests"));
        assert_eq!(counter.instrument, Some(Instrument::Counter));
        assert_eq!(
            (native.value, native.start_ms, native.unit.as_deref()),
            (14.0, start, is_2.then_some("seconds"))
        );
        let buckets = |sample: &MetricSample| sample.histogram.clone().unwrap();
        let positive = buckets(native).positive.unwrap();
        assert_eq!((positive.offset, positive.counts), (-1, vec![3.0, 5.0, 0.0, 0.0, 4.0]));
        let negative = buckets(floats).negative.unwrap();
        assert_eq!((floats.value, negative.offset, negative.counts), (2.5, -4, vec![2.5]));
        assert_eq!(
            (buckets(custom).bounds, buckets(custom).counts),
            (vec![0.1, 0.5, 1.0], vec![12.0, 0.0, 0.0, 8.0])
        );
    }
}

#[test]
fn a_native_histogram_keeps_its_buckets_one_index_lower() {
    // buckets 0, 1 and 4: 3, 5 and 4 values
    let body = v1::build::request(&[(&REQUESTS, &[], &[exponential(3, &[(0, 2), (2, 1)], &[3, 2, -1])])]);
    let (answer, batch) = taken(body, Version::V1);
    assert_eq!(answer.unwrap().written.histograms, 1);
    let read = samples(batch).remove(0);
    let histogram = read.histogram.unwrap();
    assert_eq!((read.value, histogram.sum, histogram.scale), (20.0, Some(18.4), Some(3)));
    assert_eq!((histogram.zero_count, histogram.zero_threshold), (2.0, 0.001));
    let positive = histogram.positive.unwrap();
    assert_eq!((positive.offset, positive.counts), (-1, vec![3.0, 5.0, 0.0, 0.0, 4.0]));
    assert_eq!(histogram.negative, None);
}

#[test]
fn a_histogram_of_floats_with_negative_buckets_is_read() {
    let histogram = Histogram {
        count: Some(Count::Float(2.5)),
        sum: f64::NAN,
        schema: 0,
        negative_spans: vec![Span { offset: -3, length: 1 }],
        negative_counts: vec![2.5],
        reset_hint: 3,
        timestamp: NOW_MS,
        ..Histogram::default()
    };
    let (count, converted) = histogram.convert().unwrap();
    let negative = converted.negative.unwrap();
    assert_eq!((count, converted.sum, histogram.is_gauge()), (2.5, None, true));
    assert_eq!((negative.offset, negative.counts), (-4, vec![2.5]));
}

#[test]
fn custom_buckets_become_explicit_ones() {
    let histogram = Histogram {
        custom_values: vec![0.1, 0.5, 1.0],
        zero_count: None,
        ..exponential(-53, &[(0, 1), (2, 1)], &[12, -4])
    };
    let (_, converted) = histogram.convert().unwrap();
    assert_eq!((converted.bounds, converted.counts), (vec![0.1, 0.5, 1.0], vec![12.0, 0.0, 0.0, 8.0]));
    assert_eq!(converted.scale, None);
    let beyond = Histogram { positive_spans: vec![Span { offset: 3, length: 2 }], ..histogram };
    assert_eq!(beyond.convert().unwrap_err().0, Reason::Value);
}

#[test]
fn buckets_far_apart_are_merged_until_they_fit() {
    let (_, converted) = exponential(8, &[(-2_000, 1), (3_998, 1)], &[7, 4]).convert().unwrap();
    let positive = converted.positive.as_ref().unwrap();
    assert_eq!(converted.scale, Some(4));
    assert_eq!((positive.counts.iter().sum::<f64>(), positive.counts.len()), (18.0, 251));
    assert!(converted.validate().is_ok());
}

#[test]
fn hostile_histograms_are_refused_with_words() {
    for (histogram, reason) in [
        (exponential(3, &[(0, 3)], &[1]), Reason::Value),
        (exponential(3, &[(0, u32::MAX)], &[1]), Reason::Value),
        (exponential(3, &[(0, 1), (-1, 1)], &[1, 1]), Reason::Value),
        (exponential(3, &[(0, 1)], &[-1]), Reason::Value),
        (exponential(3, &[(0, 2)], &[i64::MAX, 1]), Reason::Value),
        (exponential(-4, &[(0, 1), (i32::MAX, 1)], &[1, 1]), Reason::Value),
        (exponential(3, &[(i32::MIN, 1), (i32::MAX, 1), (i32::MAX, 1)], &[1, 1, 1]), Reason::Value),
        (exponential(20, &[(i32::MIN, 1)], &[1]), Reason::Value),
        (exponential(-9, &[(0, 1)], &[1]), Reason::Unsupported),
        (exponential(i32::MIN, &[(0, 1)], &[1]), Reason::Unsupported),
        (Histogram { positive_counts: vec![1.0], ..exponential(3, &[(0, 1)], &[1]) }, Reason::Value),
    ] {
        let (found, detail) = histogram.convert().unwrap_err();
        assert_eq!(found, reason, "{histogram:?}: {detail}");
        let (answer, batch) = taken(v1::build::request(&[(&REQUESTS, &[], &[histogram])]), Version::V1);
        assert_eq!((answer.unwrap().written.histograms, batch.refused.count(reason)), (0, 1));
        assert_eq!(Answer::status(&batch.refused), 400);
    }
}

#[test]
fn stale_markers_and_values_that_are_not_finite_are_skipped_and_count_as_written() {
    let stale = f64::from_bits(STALE);
    let values = [(stale, NOW_MS), (f64::NAN, NOW_MS), (f64::INFINITY, NOW_MS), (1.0, NOW_MS)];
    let ended = Histogram { sum: stale, ..exponential(3, &[], &[]) };
    let (answer, batch) = taken(v1::build::request(&[(&REQUESTS, &values, &[ended])]), Version::V1);
    let answer = answer.unwrap();
    assert_eq!((answer.stale, answer.not_finite), (2, 2));
    assert_eq!(answer.written, Written { samples: 4, histograms: 1, exemplars: 0 });
    assert_eq!((batch.taken.samples, batch.taken.histograms, batch.refused.total()), (1, 0, 0));
}

#[test]
fn labels_that_break_the_rules_refuse_their_samples_alone() {
    for (labels, reason) in [
        (vec![(NAME, "m"), ("job", "a"), ("code", "1")], Reason::Labels),
        (vec![(NAME, "m"), ("job", "a"), ("job", "b")], Reason::Labels),
        (vec![("", "x"), (NAME, "m"), ("job", "a")], Reason::Labels),
        (vec![("job", "a")], Reason::Name),
        (vec![(NAME, ""), ("job", "a")], Reason::Name),
        (vec![(NAME, "m"), ("le", "1")], Reason::NoService),
    ] {
        let two = [(1.0, NOW_MS), (2.0, NOW_MS)];
        let body = v1::build::request(&[(&labels, &two, &[]), (&REQUESTS, &two, &[])]);
        let (answer, batch) = taken(body, Version::V1);
        assert_eq!((answer.unwrap().written.samples, batch.refused.count(reason)), (2, 2), "{labels:?}");
        assert_eq!(batch.refused.total(), 2);
    }
}

#[test]
fn symbols_that_are_missing_refuse_their_series_alone() {
    let symbols = ["", NAME, "m", "job", "a"];
    let one = |refs| One { refs, samples: &[(1.0, NOW_MS)], histograms: &[], metadata: (0, 99), created: 0 };
    let body = v2::build::request(&symbols, &[one(&[1, 2, 3, 5]), one(&[1, 2, 3]), one(&[1, 2, 3, 4])]);
    let (answer, batch) = taken(body, Version::V2);
    assert_eq!((answer.unwrap().written.samples, batch.refused.count(Reason::Labels)), (1, 2));
    let (answer, _) = taken(v2::build::request(&symbols[1..], &[]), Version::V2);
    assert!(matches!(answer, Err(Unreadable::Malformed { .. })));
}

#[test]
fn a_bomb_is_refused_before_it_is_decompressed() {
    let read = |body: &[u8]| with(|ctx, batch| read(body, Version::V1, MAX_BYTES, ctx, batch)).0;
    // the header of a snappy block of 4 GiB, and of one of 1 MB without content
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), Err(Unreadable::TooLarge(MAX_BYTES)));
    assert!(matches!(read(&[0xc0, 0x84, 0x3d, 0]), Err(Unreadable::Malformed { .. })));
    assert_eq!(read(&compressed(&vec![0; MAX_BYTES + 1])), Err(Unreadable::TooLarge(MAX_BYTES)));
    for body in [&[][..], b"not snappy", &compressed(b"no protobuf")] {
        assert!(matches!(read(body), Err(Unreadable::Malformed { .. })), "{body:?}");
    }
    let plain = v1::build::request(&[(&REQUESTS, &[(1.0, NOW_MS)], &[])]);
    let truncated = compressed(&plain[..plain.len() - 1]);
    assert!(matches!(read(&truncated), Err(Unreadable::Malformed { .. })));
    let many = vec![(1.0, NOW_MS); 20_000];
    let huge = v1::build::request(&[(&REQUESTS, &many, &[])]);
    assert!(matches!(read(&compressed(&huge)), Err(Unreadable::Malformed { .. })));
}

#[test]
fn the_content_type_says_which_version_a_body_is() {
    for (content_type, version) in [
        ("application/x-protobuf", Some(Version::V1)),
        ("application/x-protobuf;proto=prometheus.WriteRequest", Some(Version::V1)),
        ("application/x-protobuf; proto=\"io.prometheus.write.v2.Request\"", Some(Version::V2)),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", None),
        ("application/json", None),
    ] {
        assert_eq!(Version::of(content_type), version, "{content_type}");
    }
}

fn total(histogram: &Converted) -> f64 {
    let sides = [&histogram.positive, &histogram.negative];
    sides.into_iter().flatten().flat_map(|side| &side.counts).sum()
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for version in [Version::V1, Version::V2] {
            let (_, batch) = taken(body.clone(), version);
            samples(batch);
            let _ = with(|ctx, batch| read(&body, version, MAX_BYTES, ctx, batch));
        }
    }

    #[test]
    fn a_histogram_keeps_all_of_its_values(
        schema in -4..=8_i32,
        first in -300..300_i32,
        spans in proptest::collection::vec((0..200_i32, 1..6_usize), 1..6),
        counts in proptest::collection::vec(0..1_000_i64, 30),
    ) {
        let length: usize = spans.iter().map(|(_, length)| length).sum();
        let counts = &counts[..length];
        let deltas: Vec<i64> = (0..length).map(|at| counts[at] - if at == 0 { 0 } else { counts[at - 1] }).collect();
        let spans: Vec<_> = spans
            .iter()
            .enumerate()
            .map(|(at, (gap, length))| (if at == 0 { first } else { *gap }, *length as u32))
            .collect();
        if let Ok((_, converted)) = exponential(schema, &spans, &deltas).convert() {
            prop_assert_eq!(total(&converted), counts.iter().sum::<i64>() as f64);
            prop_assert!(converted.validate().is_ok());
        }
    }
}
