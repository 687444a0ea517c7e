//! The envelope: CloudEvents 1.0, Kafka binding, binary mode (`ce_*` headers), plus W3C `traceparent`.

use jiff::Timestamp;

use super::schema::type_of;
use super::{Event, Refusal, Topic};
use crate::ids::{EventId, derive};

/// Headers of one record, in the order they are written.
pub type Headers = Vec<(String, String)>;

/// The envelope of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `ce_id`: what the inbox deduplicates by.
    pub id: EventId,
    /// `ce_type`, with the version.
    pub kind: String,
    /// `ce_source`: the stage that wrote it.
    pub source: String,
    /// `ce_time`: event time.
    pub time: Timestamp,
    /// `ce_subject`: what it is about.
    pub subject: String,
    /// `traceparent`, continued from the input or derived from the subject.
    pub traceparent: String,
}

impl Envelope {
    /// Builds the envelope of an event. `parent` is the `traceparent` of the input that caused it.
    pub fn of<E: Event>(event: &E, id: EventId, source: &str, time: Timestamp, parent: Option<&str>) -> Self {
        let subject = event.subject();
        let traceparent = child_of(parent, &subject, id);
        Self {
            id,
            kind: E::TYPE.to_owned(),
            source: format!("firewatch/{source}"),
            time,
            subject,
            traceparent,
        }
    }

    /// Makes the event part of the trace of `parent`, if that is a valid `traceparent`.
    pub fn continue_trace(&mut self, parent: Option<&str>) {
        if let Some(parent) = parent.filter(|parent| ids_of(parent).is_some()) {
            self.traceparent = child_of(Some(parent), &self.subject, self.id);
        }
    }

    /// Writes the headers.
    pub fn to_headers(&self) -> Headers {
        [
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", self.id.to_string()),
            ("ce_type", self.kind.clone()),
            ("ce_source", self.source.clone()),
            ("ce_time", self.time.to_string()),
            ("ce_subject", self.subject.clone()),
            ("content-type", "application/json".to_owned()),
            ("traceparent", self.traceparent.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

/// Returns the header of that name.
pub fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Returns the id of a record's envelope, if it has one.
pub fn own_id(headers: &[(String, String)]) -> Option<EventId> {
    header(headers, "ce_id")?.parse().ok()
}

/// Returns the id of a record: its envelope's, or one by its place in the log.
pub fn id_of(headers: &[(String, String)], topic: Topic, partition: i32, offset: i64) -> EventId {
    own_id(headers).unwrap_or_else(|| EventId::of_record(topic.name(), partition, offset))
}

/// Checks that a record's type, if it names one, is what its topic carries. A reader knows one version of each type:
/// what another version means is not guessed from the fields that happen to fit.
pub fn expect_type(topic: Topic, headers: &[(String, String)]) -> Result<(), Refusal> {
    match (header(headers, "ce_type"), type_of(topic)) {
        (Some(found), Some(expected)) if found != expected => {
            Err(Refusal::OtherType { found: found.chars().take(128).collect(), expected })
        }
        _ => Ok(()),
    }
}

/// Continues a trace. Without a valid parent the trace id is derived from the subject, so that all events of one
/// incident share a trace.
fn child_of(parent: Option<&str>, subject: &str, id: EventId) -> String {
    let trace = parent
        .and_then(ids_of)
        .map_or_else(|| derive(&["trace", subject]).simple().to_string(), |(trace, _)| trace.to_owned());
    let span = &id.0.simple().to_string()[16..];
    format!("00-{trace}-{span}-01")
}

/// Returns trace id and span id of a valid `traceparent`, each in hexadecimal.
pub(crate) fn ids_of(traceparent: &str) -> Option<(&str, &str)> {
    let mut parts = traceparent.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (version == "00" && trace.len() == 32 && span.len() == 16 && hex(trace) && hex(span))
        .then_some((trace, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_and_a_bad_one_is_replaced() {
        let id = EventId(derive(&["x"]));
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(child_of(Some(parent), "s", id).starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert_eq!(child_of(Some("00-zz"), "s", id), child_of(None, "s", id));
    }

    #[test]
    fn an_event_joins_the_trace_of_its_record_under_its_own_span() {
        let fault: crate::events::Fault =
            serde_json::from_str(include_str!("../../tests/golden/firewatch.fault.v1/full.json")).unwrap();
        let id = EventId(derive(&["x"]));
        let mut envelope = Envelope::of(&fault, id, "detection", Timestamp::UNIX_EPOCH, None);
        let alone = envelope.traceparent.clone();
        for invalid in [None, Some(""), Some("00-zz-zz-01")] {
            envelope.continue_trace(invalid);
            assert_eq!(envelope.traceparent, alone, "{invalid:?}");
        }
        envelope.continue_trace(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        let own = ids_of(&alone).unwrap().1;
        assert_eq!(ids_of(&envelope.traceparent), Some(("4bf92f3577b34da6a3ce929d0e0e4736", own)));
    }
}
