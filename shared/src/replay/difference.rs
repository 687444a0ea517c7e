//! What differs between what production did and what the replay would have done.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::report::{Difference, Field, Ignored, Tally, Verdict};
use super::scratch::Scratch;
use super::{Error, Progress, Watch};
use crate::store::{self, row};

/// Differences that are listed; further ones are counted.
const LISTED: usize = 500;
/// Fields of one difference that are listed; further ones are counted.
const FIELDS: usize = 20;
/// Longest JSON text of a value that is given as it is, bytes.
const WHOLE: usize = 400;

/// What is not compared. Envelopes are not, but for id and subject: the rest follows from the event and its input.
pub(super) const IGNORED: [Ignored; 1] = [Ignored {
    topics: "incidents.",
    field: "number",
    reason: "counts up over all incidents: one more or less shifts every later one",
}];

/// What the comparison gave.
pub(super) struct Compared {
    pub(super) tallies: Vec<Tally>,
    pub(super) differences: Vec<Difference>,
    pub(super) unlisted: u64,
}

/// An output without its body.
struct Output {
    seq: i64,
    id: String,
    at: Timestamp,
}

/// Outputs about one subject on one topic that may belong together.
type Pair = (Option<Output>, Option<Output>);

/// Compares the outputs of both sides that one of them had at or after `from`. What production had after `end` counts
/// only where the replay has it too.
pub(super) async fn compare(
    scratch: &Scratch,
    from: Timestamp,
    end: Timestamp,
    watch: &Watch<'_>,
) -> Result<Compared, Error> {
    let client = scratch.store.client().await?;
    let rows = client
        .query(
            "select topic, subject, side, seq, id, at from replay_outputs \
             order by topic collate \"C\", subject collate \"C\", at, seq",
            &[],
        )
        .await?;
    let mut subjects: BTreeMap<(String, String), (Vec<Output>, Vec<Output>)> = BTreeMap::new();
    for found in &rows {
        let (then, now) = subjects.entry((output(found, 0)?, output(found, 1)?)).or_default();
        let of_side = Output { seq: output(found, 3)?, id: output(found, 4)?, at: output(found, 5)? };
        if output::<&str>(found, 2)? == "then" { then.push(of_side) } else { now.push(of_side) }
    }
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut differences: BTreeMap<(Timestamp, String, String, Option<i64>), Difference> = BTreeMap::new();
    let (mut unlisted, mut done) = (0, 0);
    for ((topic, subject), (then, now)) in subjects {
        for (then, now) in pairs(then, now, end) {
            let is_of_window = |output: &Option<Output>| output.as_ref().is_some_and(|it| it.at >= from);
            if !is_of_window(&then) && !is_of_window(&now) {
                continue;
            }
            done += 1;
            watch.tell(Progress { doing: "comparing", done, of: None })?;
            let tally = tallies.entry(topic.clone()).or_insert_with(|| Tally {
                topic: topic.clone(),
                same: 0,
                only_then: 0,
                only_now: 0,
                different: 0,
            });
            let Some((verdict, fields, more_fields)) = judge(scratch, &topic, (&then, &now), tally).await?
            else {
                continue;
            };
            let seq = then.as_ref().or(now.as_ref()).map(|output| output.seq);
            let difference = Difference {
                topic: topic.clone(),
                subject: subject.clone(),
                verdict,
                then: then.as_ref().map(|output| output.at),
                now: now.as_ref().map(|output| output.at),
                then_id: then.map(|output| output.id),
                now_id: now.map(|output| output.id),
                fields,
                more_fields,
            };
            let at = difference.then.or(difference.now).unwrap_or_default();
            // what one transaction wrote has one time
            differences.insert((at, topic.clone(), subject.clone(), seq), difference);
            if differences.len() > LISTED {
                differences.pop_last();
                unlisted += 1;
            }
        }
    }
    Ok(Compared {
        tallies: tallies.into_values().collect(),
        differences: differences.into_values().collect(),
        unlisted,
    })
}

/// Counts a pair and returns in what it differs; none where both outputs are the same.
async fn judge(
    scratch: &Scratch,
    topic: &str,
    pair: (&Option<Output>, &Option<Output>),
    tally: &mut Tally,
) -> Result<Option<(Verdict, Vec<Field>, usize)>, Error> {
    Ok(match pair {
        (Some(then), Some(now)) => {
            let bodies = (body(scratch, then.seq).await?, body(scratch, now.seq).await?);
            let mut fields = Vec::new();
            unlike(topic, &bodies.0, &bodies.1, &mut fields);
            if fields.is_empty() && then.id == now.id {
                tally.same += 1;
                return Ok(None);
            }
            tally.different += 1;
            let more = fields.len().saturating_sub(FIELDS);
            fields.truncate(FIELDS);
            Some((Verdict::Different, fields, more))
        }
        (Some(_), None) => {
            tally.only_then += 1;
            Some((Verdict::OnlyThen, Vec::new(), 0))
        }
        (None, _) => {
            tally.only_now += 1;
            Some((Verdict::OnlyNow, Vec::new(), 0))
        }
    })
}

fn output<'r, T: FromSql<'r>>(found: &'r Row, column: usize) -> Result<T, store::Error> {
    row::value(found, "replay_outputs", column)
}

/// Puts together what belongs together: first by id, then, of one subject, by order. One decision may have another id
/// now, for ids count revisions.
fn pairs(then: Vec<Output>, now: Vec<Output>, end: Timestamp) -> Vec<Pair> {
    let mut by_id: HashMap<String, Output> = HashMap::new();
    let mut order = Vec::with_capacity(now.len());
    for output in now {
        order.push(output.id.clone());
        by_id.insert(output.id.clone(), output);
    }
    let mut pairs: Vec<Pair> = Vec::new();
    let mut left = Vec::new();
    for output in then {
        match by_id.remove(&output.id) {
            Some(same) => pairs.push((Some(output), Some(same))),
            None => left.push(output),
        }
    }
    let mut fresh = order.into_iter().filter_map(|id| by_id.remove(&id));
    for output in left.into_iter().filter(|output| output.at <= end) {
        pairs.push((Some(output), fresh.next()));
    }
    pairs.extend(fresh.map(|output| (None, Some(output))));
    pairs
}

async fn body(scratch: &Scratch, seq: i64) -> Result<Value, Error> {
    let client = scratch.store.client().await?;
    let row = client.query_one("select body from replay_outputs where seq = $1", &[&seq]).await?;
    let body: Vec<u8> = row::first(&row)?;
    // what is no JSON is compared as text
    Ok(serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())))
}

/// Lists the fields in which two events of a topic differ.
fn unlike(topic: &str, then: &Value, now: &Value, fields: &mut Vec<Field>) {
    let ignored: Vec<&str> = IGNORED
        .iter()
        .filter(|ignored| topic.starts_with(ignored.topics))
        .map(|ignored| ignored.field)
        .collect();
    descend("", then, now, &ignored, fields);
}

fn descend(path: &str, then: &Value, now: &Value, ignored: &[&str], fields: &mut Vec<Field>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let mut names: Vec<&String> = then.keys().chain(now.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                if path.is_empty() && ignored.contains(&name.as_str()) {
                    continue;
                }
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match (then.get(name), now.get(name)) {
                    (Some(then), Some(now)) => descend(&path, then, now, &[], fields),
                    (then, now) => {
                        fields.push(Field { path, then: then.map(shortened), now: now.map(shortened) });
                    }
                }
            }
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            for (place, (then, now)) in then.iter().zip(now).enumerate() {
                descend(&format!("{path}[{place}]"), then, now, &[], fields);
            }
        }
        (then, now) if then == now => {}
        // of a document its lines, for a page beside a page says little
        (Value::String(then), Value::String(now)) if then.contains('\n') && now.contains('\n') => {
            lines(path, then, now, fields);
        }
        (then, now) => fields.push(Field {
            path: path.to_owned(),
            then: Some(shortened(then)),
            now: Some(shortened(now)),
        }),
    }
}

/// Lists the lines in which two texts differ; where their numbers differ, all from the first that does.
fn lines(path: &str, then: &str, now: &str, fields: &mut Vec<Field>) {
    let (then, now): (Vec<&str>, Vec<&str>) = (then.split('\n').collect(), now.split('\n').collect());
    let like = then.iter().zip(&now).take_while(|(then, now)| then == now).count();
    if then.len() != now.len() {
        let rest = |lines: &[&str]| Some(shortened(&Value::String(lines[like..].join("\n"))));
        return fields.push(Field {
            path: format!("{path} from line {}", like + 1),
            then: rest(&then),
            now: rest(&now),
        });
    }
    for (place, (then, now)) in then.into_iter().zip(now).enumerate().filter(|(_, (then, now))| then != now) {
        let line = |line: &str| Some(shortened(&Value::String(line.to_owned())));
        fields.push(Field { path: format!("{path} line {}", place + 1), then: line(then), now: line(now) });
    }
}

/// Returns a value that can be shown.
fn shortened(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= WHOLE {
        return value.clone();
    }
    let mut end = WHOLE;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Value::String(format!("{}… ({} bytes)", &text[..end], text.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::from_ms;

    fn output(id: &str, at_ms: i64) -> Output {
        Output { seq: at_ms, id: id.to_owned(), at: from_ms(at_ms) }
    }

    fn told(then: Vec<Output>, now: Vec<Output>, end_ms: i64) -> Vec<(Option<String>, Option<String>)> {
        let id = |output: Option<Output>| output.map(|output| output.id);
        pairs(then, now, from_ms(end_ms)).into_iter().map(|(then, now)| (id(then), id(now))).collect()
    }

    fn both(then: &str, now: &str) -> (Option<String>, Option<String>) {
        (Some(then.to_owned()), Some(now.to_owned()))
    }

    #[test]
    fn outputs_are_matched_by_id_and_what_is_left_by_order() {
        let matched = told(
            vec![output("a", 1), output("b", 2), output("c", 3)],
            vec![output("x", 1), output("b", 2), output("y", 3), output("z", 4)],
            9,
        );
        let expected = [both("b", "b"), both("a", "x"), both("c", "y"), (None, Some("z".to_owned()))];
        assert_eq!(matched, expected);
    }

    #[test]
    fn what_production_did_after_the_end_counts_only_where_the_replay_has_it_too() {
        let matched = told(vec![output("a", 8), output("b", 9)], vec![output("a", 5)], 5);
        assert_eq!(matched, [both("a", "a")]);
    }

    #[test]
    fn fields_are_named_by_their_path_and_the_number_of_an_incident_is_passed_over() {
        let then = json!({"number": 1, "suspects": [{"p": 0.5, "q": 1}], "gone": true, "list": [1]});
        let now = json!({"number": 2, "suspects": [{"p": 0.7, "q": 1}], "new": null, "list": [1, 2]});
        let mut fields = Vec::new();
        unlike("incidents.opened", &then, &now, &mut fields);
        let paths: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths, ["gone", "list", "new", "suspects[0].p"]);
        assert_eq!((&fields[3].then, &fields[3].now), (&Some(json!(0.5)), &Some(json!(0.7))));
        assert_eq!((&fields[2].then, &fields[2].now), (&None, &Some(Value::Null)));
        let mut fields = Vec::new();
        unlike("remediation.plans", &then, &now, &mut fields);
        assert!(fields.iter().any(|field| field.path == "number"));
    }

    #[test]
    fn a_document_is_compared_line_by_line() {
        let told = |then: &str, now: &str| {
            let mut fields = Vec::new();
            unlike("t", &json!({ "text": then }), &json!({ "text": now }), &mut fields);
            fields
                .into_iter()
                .map(|field| (field.path, field.then.unwrap(), field.now.unwrap()))
                .collect::<Vec<_>>()
        };
        let expected = [("text line 2".to_owned(), json!("b"), json!("x"))];
        assert_eq!(told("a\nb\nc", "a\nx\nc"), expected);
        let expected = [("text from line 2".to_owned(), json!("b"), json!("b2\nb"))];
        assert_eq!(told("a\nb", "a\nb2\nb"), expected);
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let Value::String(text) = shortened(&json!("ä".repeat(1_000))) else { panic!("not cut") };
        assert!(text.ends_with("… (2002 bytes)") && text.len() < WHOLE + 30, "{text}");
    }
}
