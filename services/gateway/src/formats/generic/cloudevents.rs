//! CloudEvents 1.0: structured, in batches and in binary mode.
//!
//! The type of an event says what it is: one of `firewatch.{metric,log,deployment,span,alert}.v1`. Its id is not needed: items
//! have identities of their own.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::text::sanitize::one_line;

use super::{Context, Fault, Kind, item, refuse};
use crate::formats::Unreadable;
use crate::formats::detail::detail;
use crate::refusals::Reason;
use crate::telemetry::Batch;

/// Name of the format in refusals.
const FORMAT: &str = "CloudEvents";

/// Attributes that are read, and the data.
#[derive(Deserialize)]
struct Received<'a> {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    time: Option<Timestamp>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

/// Reads a request in the mode that its headers say: `application/cloudevents+json` is structured,
/// `application/cloudevents-batch+json` a batch, and a header `ce-specversion` stands for the binary mode.
pub fn read(body: &[u8], ctx: &Context<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
    let text = str::from_utf8(body).map_err(|error| malformed(&error))?;
    let header = |name: &str| ctx.headers.get(name).map(String::as_str);
    let content_type = header("content-type").unwrap_or_default().to_ascii_lowercase();
    if content_type.starts_with("application/cloudevents-batch") {
        let events: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        for (index, event) in events.iter().enumerate() {
            let added = structured(event.get(), ctx, batch);
            refuse(added, &format_args!("event {index}"), batch);
        }
    } else if content_type.starts_with("application/cloudevents") {
        let event: &RawValue = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        refuse(structured(event.get(), ctx, batch), &"event 0", batch);
    } else if let Some(version) = header("ce-specversion") {
        let missing = |name: &str| malformed(&format!("the header ce-{name} is missing"));
        let attribute = |name: &str| header(&format!("ce-{name}")).ok_or_else(|| missing(name));
        let time = header("ce-time").map(str::parse).transpose();
        let time = time.map_err(|error: jiff::Error| malformed(&format!("the header ce-time: {error}")))?;
        let attributes = [attribute("id")?, attribute("source")?, attribute("type")?];
        let added = kind(version, attributes).and_then(|kind| item(text, kind, time, ctx, batch));
        refuse(added, &"event 0", batch);
    } else {
        let needed = "content type application/cloudevents+json or application/cloudevents-batch+json";
        return Err(malformed(&format!("neither {needed} nor a header ce-specversion")));
    }
    Ok(())
}

fn malformed(reason: &impl Display) -> Unreadable {
    Unreadable::Malformed { format: FORMAT, reason: detail(reason) }
}

fn structured(event: &str, ctx: &Context<'_>, batch: &mut Batch) -> Result<(), Fault> {
    let invalid = |detail: String| (Reason::Invalid, detail);
    let read: Received<'_> = serde_json::from_str(event).map_err(|error| invalid(error.to_string()))?;
    let kind = kind(&read.specversion, [&read.id, &read.source, &read.kind])?;
    match (read.data, read.data_base64) {
        (Some(data), None) => item(data.get(), kind, read.time, ctx, batch),
        (None, Some(encoded)) => {
            let data = STANDARD.decode(encoded).map_err(|error| invalid(format!("data_base64: {error}")))?;
            let data = String::from_utf8(data).map_err(|error| invalid(format!("data_base64: {error}")))?;
            item(&data, kind, read.time, ctx, batch)
        }
        (None, None) => Err(invalid("it has no data".into())),
        (Some(_), Some(_)) => Err(invalid("it has both data and data_base64".into())),
    }
}

/// Returns what the event is, by its required attributes: id, source, type.
fn kind(version: &str, attributes: [&str; 3]) -> Result<Kind, Fault> {
    if version != "1.0" {
        let version = one_line(version, 20);
        return Err((Reason::Unsupported, format!("specversion {version:?} is not supported, only 1.0 is")));
    }
    if attributes.iter().any(|attribute| attribute.is_empty()) {
        return Err((Reason::Invalid, "its id, source or type is empty".into()));
    }
    let [.., named] = attributes;
    Kind::ALL.into_iter().find(|kind| kind.event_type() == named).ok_or_else(|| {
        let known = Kind::ALL.map(Kind::event_type).join(", ");
        (Reason::Unsupported, format!("type {:?} is none of {known}", one_line(named, 80)))
    })
}
