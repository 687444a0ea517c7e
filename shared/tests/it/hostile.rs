//! Bad input at the edge: each is refused with a reason, and no reader panics.

use proptest::prelude::*;
use shared::events::{Anomaly, Deployment, Incident, LogRecord, MetricSample, Span, decode};

#[test]
fn each_kind_of_bad_record_has_its_reason() {
    let huge = format!(r#"{{"service":"{}","metric":"m","value":1,"ts_ms":1}}"#, "x".repeat(600_000));
    let long = format!(r#"{{"service":"{}","metric":"m","value":1,"ts_ms":1}}"#, "x".repeat(300));
    for (payload, reason) in [
        ("", "empty"),
        ("{", "malformed"),
        ("null", "malformed"),
        (r#"{"service":"a","metric":"m","ts_ms":1}"#, "malformed"),
        (r#"{"service":"a","metric":"m","value":NaN,"ts_ms":1}"#, "malformed"),
        (r#"{"service":"a","metric":"m","value":"NaN","ts_ms":1}"#, "malformed"),
        (r#"{"service":"a","metric":"m","value":1e999,"ts_ms":1}"#, "malformed"),
        (r#"{"service":"","metric":"m","value":1,"ts_ms":1}"#, "invalid"),
        (long.as_str(), "invalid"),
        (huge.as_str(), "too_large"),
    ] {
        let refusal = decode::<MetricSample>(payload.as_bytes()).unwrap_err();
        assert_eq!(refusal.reason(), reason, "{}", &payload[..payload.len().min(80)]);
    }
    let unknown_level = r#"{"service":"a","level":"loud","message":"m","ts_ms":1}"#;
    assert_eq!(decode::<LogRecord>(unknown_level.as_bytes()).unwrap_err().reason(), "malformed");
}

#[test]
fn unknown_fields_are_ignored() {
    let payload = br#"{"service":"a","metric":"m","value":1,"ts_ms":1,"from_the_future":{"x":[1,2]}}"#;
    assert_eq!(decode::<MetricSample>(payload).unwrap().value, 1.0);
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<MetricSample>(&bytes);
        let _ = decode::<LogRecord>(&bytes);
        let _ = decode::<Deployment>(&bytes);
        let _ = decode::<Span>(&bytes);
        let _ = decode::<Anomaly>(&bytes);
        let _ = decode::<Incident>(&bytes);
    }

    #[test]
    fn what_is_written_is_read_back(value in any::<f64>(), ts_ms in any::<i64>(), service in "[a-z\"\\\\é]{1,20}") {
        let sample = MetricSample::of(service, "m", value, ts_ms);
        match shared::events::encode(&sample) {
            Ok(bytes) => prop_assert_eq!(decode::<MetricSample>(&bytes).unwrap(), sample),
            Err(_) => prop_assert!(!value.is_finite()),
        }
    }
}
