//! Log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord as Exported;
use shared::events::LogRecord;
use shared::events::raw::Level;

use super::attributes::{NO_SERVICE, Origin, labels, text};
use super::time::to_ms;
use crate::formats::Context;
use crate::refusals::Reason;
use crate::telemetry::Batch;

/// Adds all records of an export.
pub(super) fn add(export: &ExportLogsServiceRequest, ctx: &Context<'_>, batch: &mut Batch) {
    for resource in &export.resource_logs {
        let origin = Origin::of(resource.resource.as_ref(), ctx.identity);
        for record in resource.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            match read(record, &origin, ctx.now_ms, batch.limits().line_bytes) {
                Ok(line) => batch.line(line),
                Err((reason, detail)) => batch.refused.add(reason, &detail),
            }
        }
    }
}

fn read(
    record: &Exported,
    origin: &Origin<'_>,
    now_ms: i64,
    limit: usize,
) -> Result<LogRecord, (Reason, String)> {
    let service = origin.service.ok_or_else(|| (Reason::NoService, NO_SERVICE.to_owned()))?;
    let ts_ms = match (record.time_unix_nano, record.observed_time_unix_nano) {
        // the specification allows both to be unknown
        (0, 0) => now_ms,
        (0, observed) => to_ms("observed_time_unix_nano", observed)?,
        (time, _) => to_ms("time_unix_nano", time)?,
    };
    let mut message =
        record.body.as_ref().map(|body| text(body, limit)).unwrap_or_default().trim().to_owned();
    if message.is_empty() {
        message.clone_from(&record.event_name);
    }
    if message.is_empty() {
        return Err((Reason::Invalid, "a log record has neither body nor event name".to_owned()));
    }
    let is_id = record.trace_id.len() == 16 && record.trace_id.iter().any(|byte| *byte != 0);
    Ok(LogRecord {
        service: service.to_owned(),
        level: level(record.severity_number, &record.severity_text),
        message,
        ts_ms,
        environment: origin.environment.to_owned(),
        trace_id: is_id.then(|| hex::encode(&record.trace_id)),
        labels: labels(&origin.labels, &record.attributes)
            .into_iter()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect(),
    })
}

/// Returns the level of a severity; of one that is not set by its text. Source: OpenTelemetry logs data model, SeverityNumber.
fn level(number: i32, text: &str) -> Level {
    match number {
        1..=4 => Level::Trace,
        5..=8 => Level::Debug,
        9..=12 => Level::Info,
        13..=16 => Level::Warn,
        17..=20 => Level::Error,
        21..=24 => Level::Fatal,
        _ => named(text),
    }
}

fn named(text: &str) -> Level {
    let begins = |words: &[&str]| {
        words.iter().any(|word| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
    };
    if begins(&["fatal", "crit", "emerg", "alert", "panic"]) {
        Level::Fatal
    } else if begins(&["err", "severe"]) {
        Level::Error
    } else if begins(&["warn"]) {
        Level::Warn
    } else if begins(&["debug", "fine"]) {
        Level::Debug
    } else if begins(&["trace", "verbose"]) {
        Level::Trace
    } else {
        Level::Info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_levels() {
        for (number, text, expected) in [
            (1, "", Level::Trace),
            (8, "", Level::Debug),
            (9, "error", Level::Info),
            (13, "", Level::Warn),
            (17, "", Level::Error),
            (24, "", Level::Fatal),
            (0, "ERR", Level::Error),
            (0, "Warning", Level::Warn),
            (0, "CRITICAL", Level::Fatal),
            (0, "", Level::Info),
            (99, "é", Level::Info),
        ] {
            assert_eq!(level(number, text), expected, "{number} {text}");
        }
    }
}
