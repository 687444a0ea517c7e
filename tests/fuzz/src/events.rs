//! Payloads and headers of the bus.

use std::collections::BTreeMap;
use std::fmt::Debug;

use jiff::Timestamp;
use shared::events::envelope::{Envelope, Headers, expect_type, header, own_id};
use shared::events::remediation::ActionResult;
use shared::events::schema::type_of;
use shared::events::{
    Alert, Anomaly, CatalogueService, Command, Deployment, Event, Fault, Incident, LogRecord, MetricSample,
    Plan, Postmortem, RootCause, Span, Topic, decode, encode,
};
use shared::ids::{EventId, derive};

/// Reads an input as the payload of each type, and as headers. Returns how many of them it is fit for.
///
/// An event is the same after it was written and read again. Envelopes that follow from headers keep their trace.
pub fn check(input: &[u8]) -> usize {
    let payloads = [
        payload::<MetricSample>,
        payload::<LogRecord>,
        payload::<Deployment>,
        payload::<Span>,
        payload::<Alert>,
        payload::<Anomaly>,
        payload::<Incident>,
        payload::<RootCause>,
        payload::<Plan>,
        payload::<ActionResult>,
        payload::<Postmortem>,
        payload::<Fault>,
        payload::<CatalogueService>,
        payload::<Command>,
    ];
    payloads.into_iter().filter(|read| read(input)).count() + usize::from(headers(input))
}

/// Returns whether an input can be read as this type.
fn payload<E: Event + PartialEq + Debug>(input: &[u8]) -> bool {
    let Ok(event) = decode::<E>(input) else { return false };
    let written = encode(&event).unwrap_or_else(|refusal| panic!("{} is not written: {refusal}", E::TYPE));
    let again: E =
        decode(&written).unwrap_or_else(|refusal| panic!("{} is not read again: {refusal}", E::TYPE));
    assert_eq!(event, again, "an event changes when it is written and read");
    true
}

/// Returns whether an input can be read as headers: a JSON object of strings.
fn headers(input: &[u8]) -> bool {
    let Ok(fields) = serde_json::from_slice::<BTreeMap<String, String>>(input) else { return false };
    let headers: Headers = fields.into_iter().collect();
    for topic in Topic::all() {
        let types = header(&headers, "ce_type").zip(type_of(topic));
        let is_other = types.is_some_and(|(found, expected)| found != expected);
        assert_eq!(expect_type(topic, &headers).is_err(), is_other, "{topic}");
    }
    let parent = header(&headers, "traceparent");
    let id = own_id(&headers).unwrap_or_else(|| EventId(derive(&["first"])));
    let first = follow(id, parent);
    assert_eq!(own_id(&first), Some(id), "an envelope has another id than its event");
    let second = follow(EventId(derive(&["second"])), header(&first, "traceparent"));
    assert_eq!(trace(&first), trace(&second), "a trace is not continued");
    true
}

/// Returns the headers of an event that a record with this `traceparent` caused.
fn follow(id: EventId, parent: Option<&str>) -> Headers {
    let event = Deployment {
        service: "payment".to_owned(),
        version: "1".to_owned(),
        ts_ms: 0,
        environment: "production".to_owned(),
        change_type: "deploy".to_owned(),
        git_sha: None,
        deployed_by: None,
        description: None,
        known_risks: Vec::new(),
    };
    Envelope::of(&event, id, "fuzz", Timestamp::UNIX_EPOCH, parent).to_headers()
}

/// Returns the trace id of headers that we wrote.
fn trace(headers: &Headers) -> Option<&str> {
    header(headers, "traceparent")?.split('-').nth(1)
}
