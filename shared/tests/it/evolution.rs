//! Schema evolution: an old consumer reads a new producer, and the reverse. `tests/golden` keeps what was released: of
//! each version some messages as they lay on the bus, and the schema of its reader. Those files are never edited.
//! `docs/schemas/README.md` has the rules.

mod breaks;
mod compare;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shared::agent::Agent;
use shared::events::envelope::{Envelope, Headers, expect_type};
use shared::events::remediation::ActionResult;
use shared::events::schema::{self, type_of};
use shared::events::{
    Alert, Anomaly, CatalogueService, Command, Deployment, Event, Fault, Incident, LogRecord, MetricSample,
    Plan, Postmortem, Refusal, RootCause, Span, Topic, decode, encode,
};
use shared::ids::{AnomalyId, EventId, IncidentId};

use compare::{Difference, What, differences};
use shape::Shape;

/// Words that were added to an enum of a released version, as (type, path, word). A reader that was released before
/// sends them to its dead letters: an entry here says that all readers were released before the first writer.
const ADDED: &[(&str, &str, &str)] = &[
    ("firewatch.command.v1", "action.verb", "complete_action_item"),
    ("firewatch.command.v1", "action.verb", "reopen_action_item"),
    ("firewatch.command.v1", "action.verb", "drop_action_item"),
    ("firewatch.rca.v1", "evidence[].source.kind", "deployments"),
    ("firewatch.rca.v1", "evidence[].source.kind", "query"),
    ("firewatch.rca.v1", "evidence[].source.kind", "edge_times"),
    ("firewatch.anomaly.v1", "ended", "manual"),
    ("firewatch.incident.v1", "resolution", "manual"),
    ("firewatch.incident.v1", "signals[].ended", "manual"),
    ("firewatch.anomaly.v1", "kind", "silence"),
    ("firewatch.anomaly.v1", "kind", "restarts"),
    ("firewatch.anomaly.v1", "kind", "logs"),
    ("firewatch.anomaly.v1", "kind", "data_loss"),
    ("firewatch.anomaly.v1", "kind", "security"),
    ("firewatch.incident.v1", "signals[].kind", "data_loss"),
    ("firewatch.incident.v1", "signals[].kind", "security"),
    ("firewatch.incident.v1", "signals[].kind", "silence"),
    ("firewatch.incident.v1", "signals[].kind", "restarts"),
    ("firewatch.incident.v1", "signals[].kind", "logs"),
    ("firewatch.incident.v1", "challenger.category", "down"),
    ("firewatch.incident.v1", "suspects[].category", "down"),
    ("firewatch.fault.v1", "scenario", "certificate-expiry"),
    ("firewatch.fault.v1", "scenario", "dependency-outage"),
    ("firewatch.fault.v1", "scenario", "disk-filling"),
    ("firewatch.fault.v1", "scenario", "network-partition"),
    ("firewatch.fault.v1", "scenario", "noisy-neighbour"),
    ("firewatch.fault.v1", "scenario", "retirement"),
    ("firewatch.fault.v1", "scenario", "traffic-drop"),
    ("firewatch.plan.v1", "category", "down"),
    ("firewatch.rca.v1", "candidates[].category", "down"),
];

/// Today's reader and writer of one type.
struct Kind {
    name: &'static str,
    /// Reads a payload and writes what was read.
    reread: fn(&[u8]) -> Result<Value, Refusal>,
    /// Builds the headers of a payload.
    headers: fn(&[u8], &BTreeMap<String, String>) -> Headers,
}

fn kind<E: Event>() -> Kind {
    Kind {
        name: E::TYPE,
        reread: |payload| Ok(serde_json::from_slice(&encode(&decode::<E>(payload)?)?).unwrap()),
        headers: |payload, kept| {
            let (id, time) = (kept["ce_id"].parse().unwrap(), kept["ce_time"].parse().unwrap());
            let source = kept["ce_source"].strip_prefix("firewatch/").unwrap();
            let parent = kept.get("traceparent").map(String::as_str);
            Envelope::of(&decode::<E>(payload).unwrap(), id, source, time, parent).to_headers()
        },
    }
}

fn kinds() -> [Kind; 14] {
    [
        kind::<MetricSample>(),
        kind::<LogRecord>(),
        kind::<Deployment>(),
        kind::<Span>(),
        kind::<Alert>(),
        kind::<CatalogueService>(),
        kind::<Command>(),
        kind::<Anomaly>(),
        kind::<Incident>(),
        kind::<RootCause>(),
        kind::<Plan>(),
        kind::<ActionResult>(),
        kind::<Postmortem>(),
        kind::<Fault>(),
    ]
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn kept(kind: &str, file: &str) -> Value {
    let path = golden().join(kind).join(file);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the names of a type's kept files that begin and end like this.
fn files(kind: &str, prefix: &str, suffix: &str) -> Vec<String> {
    let folder = std::fs::read_dir(golden().join(kind)).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with(prefix) && name.ends_with(suffix)).collect();
    names.sort_unstable();
    names
}

/// Returns the kept messages of a type: file, what lay on the bus, and what a reader makes of it.
fn messages(kind: &str) -> Vec<(String, Value, Value)> {
    let all = files(kind, "", ".json").into_iter();
    let named = all.filter(|file| {
        !file.starts_with("schema") && !file.ends_with(".read.json") && file != "headers.json"
    });
    named
        .map(|file| {
            let message = kept(kind, &file);
            let read = file.replace(".json", ".read.json");
            let read = match file.as_str() {
                "unknown-fields.json" => kept(kind, "full.json"),
                _ if golden().join(kind).join(&read).exists() => kept(kind, &read),
                _ => message.clone(),
            };
            (file, message, read)
        })
        .collect()
}

/// Returns the shapes of a type's readers, as they were released.
fn released(kind: &str) -> Vec<Shape> {
    let shapes: Vec<Shape> =
        files(kind, "schema", ".json").iter().map(|file| Shape::of(&kept(kind, file))).collect();
    assert!(!shapes.is_empty(), "{kind} has no kept schema");
    shapes
}

/// Returns where `whole` lacks or changes what `part` has. What `whole` has beside it is new and optional.
fn lacks(whole: &Value, part: &Value, path: &str) -> Option<String> {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().find_map(|(name, value)| {
            let path = format!("{path}/{name}");
            whole.get(name).map_or(Some(format!("{path} is lost")), |found| lacks(found, value, &path))
        }),
        (Value::Array(whole), Value::Array(part)) if whole.len() == part.len() => {
            let mut pairs = whole.iter().zip(part).enumerate();
            pairs.find_map(|(index, (whole, part))| lacks(whole, part, &format!("{path}/{index}")))
        }
        _ => (whole != part).then(|| format!("{path} is {whole} where {part} was meant")),
    }
}

#[test]
fn every_type_has_its_messages_and_its_schema_kept() {
    let live: BTreeSet<String> = schema::all().into_iter().map(|(name, _)| name.to_owned()).collect();
    let read: BTreeSet<String> = kinds().iter().map(|kind| kind.name.to_owned()).collect();
    let folders = std::fs::read_dir(golden()).unwrap();
    let kept: BTreeSet<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(read, live, "the types of this test and those of `schema::all`");
    assert_eq!(kept, live, "the folders of tests/golden and the types; see docs/schemas/README.md");
    for kind in &live {
        let files: Vec<String> = messages(kind).into_iter().map(|(file, ..)| file).collect();
        for needed in ["full.json", "minimal.json", "unknown-fields.json"] {
            assert!(files.iter().any(|file| file == needed), "{kind} has no {needed}: {files:?}");
        }
        assert!(!released(kind).is_empty());
    }
}

/// A new consumer, an old producer.
#[test]
fn todays_reader_reads_what_each_version_wrote() {
    for kind in kinds() {
        for (file, message, read) in messages(kind.name) {
            let found = (kind.reread)(message.to_string().as_bytes())
                .unwrap_or_else(|refusal| panic!("{}/{file} is refused: {refusal}", kind.name));
            if let Some(lost) = lacks(&found, &read, "") {
                panic!("{}/{file} is read otherwise than when it was written: {lost}", kind.name);
            }
        }
    }
}

/// An old consumer, a new producer.
#[test]
fn readers_of_each_version_take_what_is_written_today() {
    for kind in kinds() {
        for old in released(kind.name) {
            for (file, message, _) in messages(kind.name) {
                let written = (kind.reread)(message.to_string().as_bytes()).unwrap();
                let refusal = old.refusal(&written);
                assert_eq!(refusal, None, "{}/{file}, written by today's producer", kind.name);
            }
        }
    }
}

#[test]
fn todays_types_can_live_beside_each_released_version_of_them() {
    let mut breaks = Vec::new();
    for (name, schema) in schema::all() {
        let today = Shape::of(schema.as_value());
        for old in released(name) {
            let found = differences(&old, &today).into_iter().filter(|difference| {
                let Difference { path, what } = difference;
                !matches!(what, What::WordAdded(word) if ADDED.contains(&(name, path.as_str(), word.as_str())))
            });
            breaks.extend(found.map(|difference| format!("{name} {difference}")));
        }
    }
    assert!(
        breaks.is_empty(),
        "readers and writers of today and of before no longer understand each other:\n  {}\n\
         Undo it, or leave the version as it is and add the next one beside it. A word that an enum only gains is \
         released readers first, then listed in ADDED. docs/schemas/README.md says how; files in tests/golden are \
         never edited.",
        breaks.join("\n  ")
    );
}

/// The schema stands for the reader, also when both are old: it must refuse what a reader refuses, or the above would
/// prove nothing.
#[test]
fn a_schema_takes_and_refuses_what_its_reader_does() {
    let schemas: BTreeMap<&str, Shape> =
        schema::all().into_iter().map(|(name, schema)| (name, Shape::of(schema.as_value()))).collect();
    for kind in kinds() {
        let (mut taken, mut refused) = (0, 0);
        for file in ["full.json", "minimal.json"] {
            for (what, changed) in variations(&kept(kind.name, file)) {
                let by_reader = match (kind.reread)(changed.to_string().as_bytes()) {
                    // a rule that no schema tells
                    Ok(_) | Err(Refusal::Invalid(_)) => None,
                    Err(refusal) => Some(refusal.to_string()),
                };
                let by_schema = schemas[kind.name].refusal(&changed);
                assert_eq!(
                    by_reader.is_some(),
                    by_schema.is_some(),
                    "{}/{file}, {what}: the reader says {by_reader:?}, the schema {by_schema:?}",
                    kind.name
                );
                *(if by_reader.is_some() { &mut refused } else { &mut taken }) += 1;
            }
        }
        assert!(taken > 0 && refused > 0, "{}: {taken} taken, {refused} refused", kind.name);
    }
}

/// Returns a message with each of its fields left out or replaced, one at a time.
fn variations(message: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    collect(message, String::new(), &mut places);
    let mut variations = Vec::new();
    for place in places {
        for other in [Value::Null, json!("x"), json!(-1), json!(0.5), json!(true), json!({})] {
            let mut changed = message.clone();
            *changed.pointer_mut(&place).unwrap() = other.clone();
            variations.push((format!("{place} = {other}"), changed));
        }
        let (parent, name) = place.rsplit_once('/').unwrap();
        let mut changed = message.clone();
        if let Some(Value::Object(fields)) = changed.pointer_mut(parent) {
            fields.remove(name);
            variations.push((format!("no {place}"), changed));
        }
    }
    variations
}

fn collect(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                collect(field, format!("{place}/{name}"), places);
            }
        }
        // one element stands for all
        Value::Array(items) => {
            if let Some(item) = items.first() {
                collect(item, format!("{place}/0"), places);
            }
        }
        _ => {}
    }
    if !place.is_empty() {
        places.push(place);
    }
}

/// What a word means that a reader does not know is not guessed.
#[test]
fn a_word_of_a_newer_producer_is_refused_and_the_reason_names_the_known_ones() {
    for (kind, place, known) in [
        ("firewatch.anomaly.v1", "/status", "`firing`"),
        ("firewatch.anomaly.v1", "/context/logs/0/level", "`error`"),
        ("firewatch.incident.v1", "/state", "`remediating`"),
        ("firewatch.incident.v1", "/suspects/0/category", "`certificate`"),
        ("firewatch.rca.v1", "/evidence/0/source/kind", "`samples`"),
        ("firewatch.plan.v1", "/steps/0/action/type", "`toggle_flag`"),
        ("firewatch.fault.v1", "/scenario", "`memory-leak`"),
    ] {
        let mut message = kept(kind, "full.json");
        *message.pointer_mut(place).unwrap() = json!("from_the_future");
        let kinds = kinds();
        let reader = kinds.iter().find(|one| one.name == kind).unwrap();
        let refusal = (reader.reread)(message.to_string().as_bytes()).unwrap_err();
        assert_eq!(refusal.reason(), "malformed");
        let reason = refusal.to_string();
        assert!(reason.contains("unknown variant `from_the_future`") && reason.contains(known), "{reason}");
    }
}

#[test]
fn headers_are_those_that_each_version_wrote() {
    for kind in kinds() {
        let topics: Vec<Topic> =
            Topic::all().into_iter().filter(|topic| type_of(*topic) == Some(kind.name)).collect();
        assert!(!topics.is_empty(), "no topic carries {}", kind.name);
        if !golden().join(kind.name).join("headers.json").exists() {
            // written by anyone
            let raw = topics
                .iter()
                .all(|topic| topic.name().starts_with("raw.") || *topic == Topic::CatalogueServices);
            assert!(raw, "{} travels in an envelope, and none is kept", kind.name);
            continue;
        }
        let old: BTreeMap<String, String> = serde_json::from_value(kept(kind.name, "headers.json")).unwrap();
        let payload = kept(kind.name, "full.json").to_string();
        let new = (kind.headers)(payload.as_bytes(), &old);
        for (name, value) in &old {
            let found = new.iter().find(|(found, _)| found == name).map(|(_, value)| value);
            assert_eq!(found, Some(value), "header {name} of {}", kind.name);
        }
        for topic in topics {
            expect_type(topic, &old.clone().into_iter().collect::<Headers>()).unwrap();
        }
    }
}

/// An upgrade between a crash and the retry must not make a second event of the first: its inbox goes by the id.
#[test]
fn ids_are_derived_as_each_version_derived_them() {
    let anomaly = AnomalyId::of_episode("production", "payment", "db_connections", 1_772_359_210_000);
    let incident = IncidentId::opened_by(anomaly);
    for (id, expected) in [
        (anomaly.to_string(), "c5c75d3e-def8-506a-85e5-9e17ac3d8f1a"),
        (incident.to_string(), "29ad7393-b24e-5da3-a67b-6c4f739c9724"),
        (EventId::of("anomaly", &anomaly.to_string(), 2).to_string(), "e5de9909-d733-5bb0-b799-8561f63a8a20"),
        (
            EventId::of("incidents.resolved", &incident.to_string(), 7).to_string(),
            "1e951f4e-cc02-553c-9701-f0119d04c017",
        ),
        (IncidentId::reopened_by(incident, anomaly, 2).to_string(), "ac58f20a-d514-54ad-bccc-fd55aaa6202d"),
        (EventId::of_record("raw.deployments", 4, 1234).to_string(), "52e98928-88bf-5e94-86e6-aea979d0dfa6"),
    ] {
        assert_eq!(id, expected);
    }
}

#[test]
fn a_type_is_refused_where_its_topic_carries_another() {
    let of = |kind: &str| vec![("ce_type".to_owned(), kind.to_owned())];
    for (topic, headers) in [
        (Topic::Anomalies, of("firewatch.anomaly.v1")),
        (Topic::RawMetrics, Vec::new()),
        (Topic::RawMetrics, of("firewatch.metric.v1")),
        (Topic::IncidentsUpdated, of("firewatch.incident.v1")),
        (Topic::DeadLetters(Agent::Detection), of("firewatch.metric.v1")),
    ] {
        assert!(expect_type(topic, &headers).is_ok(), "{topic} {headers:?}");
    }
    for (topic, kind) in [
        (Topic::Anomalies, "firewatch.anomaly.v2"),
        (Topic::Anomalies, "firewatch.incident.v1"),
        (Topic::RawMetrics, "firewatch.metric.v2"),
        (Topic::Anomalies, "firewatch.anomaly"),
        (Topic::Anomalies, ""),
    ] {
        let refusal = expect_type(topic, &of(kind)).unwrap_err();
        assert_eq!(refusal.reason(), "other_type");
        assert!(refusal.to_string().contains(&format!("{kind:?}")), "{refusal}");
        assert!(refusal.to_string().contains(type_of(topic).unwrap()), "{refusal}");
    }
}
