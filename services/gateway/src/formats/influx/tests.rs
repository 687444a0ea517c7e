use std::collections::BTreeMap;

use proptest::prelude::*;
use shared::events::MetricSample;

use super::line::Fault;
use super::*;
use crate::identity::Rules;
use crate::telemetry::Limits;

const NOW_MS: i64 = 1_772_359_210_000;

fn with(body: &[u8], precision: Precision) -> (Result<Answer, Unreadable>, Batch) {
    let (identity, headers) = (Rules::default(), BTreeMap::new());
    let ctx = Context { identity: &identity, now_ms: NOW_MS, headers: &headers };
    let mut batch = Batch::new(&Limits::default(), NOW_MS);
    let answer = read(body, precision, &ctx, &mut batch);
    (answer, batch)
}

fn lines(body: &str) -> (Answer, Batch) {
    let (answer, batch) = with(body.as_bytes(), Precision::Nanoseconds);
    (answer.unwrap(), batch)
}

fn samples(batch: Batch) -> Vec<MetricSample> {
    let records = batch.into_records();
    records.iter().flat_map(|it| serde_json::from_slice::<Vec<MetricSample>>(&it.payload).unwrap()).collect()
}

#[test]
fn fields_become_points_of_the_service_that_a_tag_names() {
    let (answer, batch) = lines(concat!(
        "# a comment\n\n",
        "cpu,host=web\\ 1,service=payment,env=staging usage_user=12.5,usage=3i,up=true,note=\"a, \\\"b\\\" c=d\",n=7u ",
        "1772359200000000000\r\n",
        "queue\\,depth,service=order value=4\n",
    ));
    assert_eq!((answer.texts, batch.refused.message()), (1, String::new()));
    let read = samples(batch);
    let shown: Vec<_> = read.iter().map(|it| (&*it.service, &*it.metric, it.value, it.ts_ms)).collect();
    let at = 1_772_359_200_000;
    assert_eq!(
        shown,
        [
            ("order", "queue,depth", 4.0, NOW_MS),
            ("payment", "cpu_usage_user", 12.5, at),
            ("payment", "cpu_usage", 3.0, at),
            ("payment", "cpu_up", 1.0, at),
            ("payment", "cpu_n", 7.0, at),
        ]
    );
    assert_eq!(read[1].labels, [("host".to_owned(), "web 1".to_owned())].into());
    assert_eq!(read[1].environment, "staging");
}

#[test]
fn a_text_may_have_line_breaks_and_lines_keep_their_numbers() {
    let (answer, batch) = lines("a,job=x s=\"one\ntwo\",v=1\nb,job=x v=oops\nc,job=x v=2 ");
    assert_eq!((answer.texts, batch.taken.samples), (1, 2));
    assert!(batch.refused.message().contains("line 3: a field is neither"), "{}", batch.refused.message());
}

#[test]
fn a_text_that_is_not_closed_swallows_no_other_line() {
    let (_, batch) = lines("a,job=x s=\"open\nb,job=x v=1\n");
    assert_eq!((batch.taken.samples, batch.refused.count(Reason::Invalid)), (1, 1));
    // each line ends within quotes: they are looked at once, not once a line
    let (_, batch) = lines(&"m v=\"\\\"\n".repeat(200_001));
    assert_eq!(batch.taken.samples, 0);
    assert!(batch.refused.total() > 0);
}

#[test]
fn what_is_no_line_is_refused_with_words() {
    for (line, fault) in [
        ("m", Fault::NoFields),
        ("m ", Fault::NoFields),
        (",job=x v=1", Fault::Measurement),
        ("m,job v=1", Fault::Tag),
        ("m,job= v=1", Fault::Tag),
        ("m,=x v=1", Fault::Tag),
        ("m,a=b=c v=1", Fault::Tag),
        ("m, v=1", Fault::Tag),
        ("m v", Fault::Field),
        ("m =1", Fault::Field),
        ("m v=1,", Fault::Field),
        ("m v=1,,w=2", Fault::Field),
        ("m v=", Fault::Value),
        ("m v=inf", Fault::Value),
        ("m v=NaN", Fault::Value),
        ("m v=1.5i", Fault::Value),
        ("m v=-1u", Fault::Value),
        ("m v=99999999999999999999i", Fault::Value),
        ("m v=\"x\"y", Fault::Value),
        ("m v=\"x", Fault::OpenText),
        ("m v=1 soon", Fault::Time),
        ("m v=1 1.5", Fault::Time),
        ("m v=1 1 2", Fault::Time),
        ("m v=1 99999999999999999999", Fault::Time),
    ] {
        assert_eq!(Line::parse(line).unwrap_err(), fault, "{line}");
    }
    let many = format!("m {}v=1", "v=1,".repeat(1_000));
    assert_eq!(Line::parse(&many).unwrap_err(), Fault::TooMany);
    assert!(with(b"m v=\xff", Precision::Nanoseconds).0.is_err());
}

#[test]
fn a_number_beyond_what_a_float_holds_is_refused() {
    let (_, batch) = lines("m,job=x v=1e999 1772359200000000000");
    assert_eq!(batch.refused.count(Reason::Value), 1);
}

#[test]
fn a_line_without_a_service_is_refused_with_a_hint() {
    let (_, batch) = lines("cpu,host=web1 v=1");
    assert_eq!(batch.refused.count(Reason::NoService), 1);
    assert!(batch.refused.message().contains("gateway.identity.service_labels"));
}

#[test]
fn times_have_the_precision_of_the_request() {
    for (parameter, time) in [
        ("ns", NOW_MS * 1_000_000),
        ("n", NOW_MS * 1_000_000),
        ("us", NOW_MS * 1_000),
        ("u", NOW_MS * 1_000),
        ("ms", NOW_MS),
        ("s", NOW_MS / 1_000),
    ] {
        let precision = Precision::of(parameter).unwrap();
        let (_, batch) = with(format!("m,job=x v=1 {time}").as_bytes(), precision);
        assert_eq!(samples(batch)[0].ts_ms, NOW_MS, "{parameter}");
    }
    assert_eq!(Precision::of("h"), None);
}

#[test]
fn a_time_in_another_unit_is_refused_with_the_unit_in_words() {
    for (precision, time, unit) in [
        (
            Precision::Nanoseconds,
            NOW_MS / 1_000,
            "its time is in seconds, but the precision of the request is ns",
        ),
        (
            Precision::Seconds,
            NOW_MS * 1_000_000,
            "its time is in nanoseconds, but the precision of the request is s",
        ),
        (
            Precision::Nanoseconds,
            NOW_MS,
            "its time is in milliseconds, but the precision of the request is ns",
        ),
        (Precision::Milliseconds, i64::MIN, "between the years 2000 and 2100"),
        (Precision::Seconds, i64::MAX, "between the years 2000 and 2100"),
    ] {
        let (_, batch) = with(format!("m,job=x v=1 {time}").as_bytes(), precision);
        assert_eq!(batch.refused.count(Reason::Clock), 1);
        assert!(batch.refused.message().contains(unit), "{}", batch.refused.message());
    }
}

/// Writes a name as the protocol has it.
fn escaped(name: &str) -> String {
    let escape = |character: char| matches!(character, ',' | '=' | ' ' | '\\').then_some('\\');
    name.chars().flat_map(|character| escape(character).into_iter().chain([character])).collect()
}

proptest! {
    #[test]
    fn a_line_that_is_written_is_read_again(
        names in proptest::collection::vec("[a-zé ,=\\\\\"#]{1,8}", 4),
        number in any::<f64>().prop_filter("finite", |number| number.is_finite()),
        time in any::<i64>(),
    ) {
        let [measurement, tag, value, field] = [0, 1, 2, 3].map(|at| &names[at]);
        let written = [measurement, tag, value, field].map(|name| escaped(name));
        let text = format!("{},{}={} {}={number:?} {time}", written[0], written[1], written[2], written[3]);
        let read = Line::parse(&text).unwrap();
        prop_assert_eq!(&*read.measurement, measurement.as_str());
        prop_assert_eq!((&*read.tags[0].0, &*read.tags[0].1), (tag.as_str(), value.as_str()));
        prop_assert_eq!((&*read.fields[0].0, read.fields[0].1), (field.as_str(), Field::Number(number)));
        prop_assert_eq!(read.time, Some(time));
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in "[a-z0-9 ,=\\\\\"#\n.]{0,200}") {
        let (_, batch) = lines(&body);
        samples(batch);
    }
}
