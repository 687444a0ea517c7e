//! What the labels of a sample say: which series it belongs to, which replica has sent it, whether it counts failures.

use crate::config::LabelOptions;
use crate::metric_profile::{is_left_in_pool, key};
use crate::sample::Detail;
use shared::events::anomaly::MAX_DIMENSIONS;

/// Longest value of a dimension, bytes. What is longer is no name of a route, a queue or a device.
const MAX_VALUE_BYTES: usize = 128;
/// Longest label of a dimension, bytes.
const MAX_LABEL_BYTES: usize = 64;
/// Value that stands for all values beyond the limits.
pub(super) const OTHER: &str = "other";
/// Class of a status, where the configuration asks for it as a dimension.
const STATUS_CLASS: &str = "status.class";

/// What the labels of one sample say.
#[derive(Debug, PartialEq)]
pub(super) struct Split {
    /// Dimensions, written as one text.
    pub(super) dimensions: String,
    /// The same labels, all with the value `other`.
    pub(super) others: String,
    /// Which counter of which replica it is.
    pub(super) stream: u64,
    /// Which replica it is of.
    pub(super) replica: u64,
    /// Whether what it counts has failed; nothing where no label tells.
    pub(super) has_failed: Option<bool>,
    /// Whether it is what is left of a pool.
    pub(super) is_left: bool,
}

impl Split {
    /// Splits the labels of a sample. What a level measures does not fail: a status is a dimension of it.
    pub(super) fn of(detail: &Detail<'_>, is_level: bool, options: &LabelOptions) -> Self {
        let mut dimensions: Vec<(&str, &str)> = Vec::new();
        let (mut stream, mut replica) = (Hash::default(), Hash::default());
        let mut has_failed: Option<bool> = None;
        let is_split_by_class = options.is_dimension(STATUS_CLASS);
        for (label, value) in &detail.labels {
            let (label, value) = (&**label, &**value);
            if label == "le" {
                continue;
            }
            stream.add(label);
            stream.add(value);
            let is_status = options.is_status(label);
            if !is_level
                && is_status
                && let Some(failed) = failed(label, value)
            {
                has_failed = Some(failed || has_failed == Some(true));
                if is_split_by_class && let Some(class) = class(value) {
                    dimensions.push((STATUS_CLASS, class));
                }
                continue;
            }
            let is_dimension = options.is_dimension(label) || is_level && is_status;
            if is_dimension && dimensions.len() < MAX_DIMENSIONS && label.len() <= MAX_LABEL_BYTES {
                let is_long = value.len() > MAX_VALUE_BYTES;
                dimensions.push((label, if is_long { OTHER } else { value }));
            } else {
                replica.add(label);
                replica.add(value);
            }
        }
        dimensions.sort_unstable();
        dimensions.dedup_by_key(|(label, _)| *label);
        Self {
            dimensions: key::canonical(dimensions.iter().copied()),
            others: key::canonical(dimensions.iter().map(|&(label, _)| (label, OTHER))),
            stream: stream.value(),
            replica: replica.value(),
            has_failed,
            is_left: dimensions.iter().any(|&(label, value)| is_left_in_pool(label, value)),
        }
    }
}

/// Returns whether a status is one of a failure of the service; nothing where it is no status.
fn failed(label: &str, value: &str) -> Option<bool> {
    let lower = value.to_ascii_lowercase();
    let is_grpc = label.contains("grpc");
    if let Ok(code) = lower.parse::<u16>() {
        return match code {
            // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: failures of the server by
            // OpenTelemetry's conventions
            0..=16 if is_grpc => Some(matches!(code, 2 | 4 | 12..=15)),
            100..=599 => Some(code >= 500),
            _ => None,
        };
    }
    match lower.as_str() {
        "1xx" | "2xx" | "3xx" | "4xx" => return Some(false),
        "5xx" => return Some(true),
        _ => {}
    }
    let word: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    match word.trim_start_matches("statuscode") {
        "error" | "errors" | "failed" | "failure" | "fail" | "exception" | "servererror" | "unknown"
        | "deadlineexceeded" | "unimplemented" | "internal" | "unavailable" | "dataloss" => Some(true),
        "ok" | "success" | "successful" | "succeeded" | "unset" | "informational" | "redirection"
        | "clienterror" | "cancelled" | "canceled" | "invalidargument" | "notfound" | "alreadyexists"
        | "permissiondenied" | "unauthenticated" | "resourceexhausted" | "failedprecondition" | "aborted"
        | "outofrange" => Some(false),
        // the name of an exception, or of an error of the network
        _ => matches!(label, "error.type" | "error_type").then_some(true),
    }
}

/// Returns the class of an HTTP status.
fn class(value: &str) -> Option<&'static str> {
    match value.as_bytes() {
        [b'1', ..] => Some("1xx"),
        [b'2', ..] => Some("2xx"),
        [b'3', ..] => Some("3xx"),
        [b'4', ..] => Some("4xx"),
        [b'5', ..] => Some("5xx"),
        _ => None,
    }
}

/// A hash that is the same on every machine and in every release: it is part of snapshots. FNV-1a, with a last step that
/// mixes the high bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    pub(super) fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn value(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }

    /// Returns the hash of some texts.
    pub(super) fn of(texts: &[&str]) -> u64 {
        let mut hash = Self::default();
        for text in texts {
            hash.add(text);
        }
        hash.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(labels: &[(&'static str, &'static str)], is_level: bool, options: &LabelOptions) -> Split {
        let labels = labels.iter().map(|&(label, value)| (label.into(), value.into())).collect();
        Split::of(&Detail { labels, ..Detail::default() }, is_level, options)
    }

    #[test]
    fn labels_of_replicas_do_not_tell_series_apart_and_dimensions_do() {
        let options = LabelOptions::default();
        let of = |labels: &[(&'static str, &'static str)]| split(labels, false, &options);
        let (one, other) = (of(&[("pod", "a"), ("route", "/pay")]), of(&[("pod", "b"), ("route", "/pay")]));
        assert_eq!(one.dimensions, other.dimensions);
        assert!(one.stream != other.stream && one.replica != other.replica);
        let elsewhere = of(&[("pod", "a"), ("route", "/cart")]);
        assert_ne!(one.dimensions, elsewhere.dimensions);
        assert_eq!((one.replica, &one.others), (elsewhere.replica, &elsewhere.others));
        let (ok, failed) = (of(&[("code", "200"), ("pod", "a")]), of(&[("code", "503"), ("pod", "a")]));
        assert_eq!((ok.has_failed, failed.has_failed), (Some(false), Some(true)));
        assert!(ok.stream != failed.stream && ok.replica == failed.replica && ok.dimensions.is_empty());
    }

    #[test]
    fn a_status_splits_a_level_and_a_class_splits_where_it_is_asked_for() {
        let level = split(&[("status", "failed")], true, &LabelOptions::default());
        assert_eq!(level.dimensions, key::canonical([("status", "failed")].into_iter()));
        assert_eq!(level.has_failed, None);
        let options = LabelOptions { dimensions: vec!["status.class".into()], ..LabelOptions::default() };
        let counter = split(&[("code", "404")], false, &options);
        assert_eq!(counter.dimensions, key::canonical([("status.class", "4xx")].into_iter()));
    }

    #[test]
    fn each_kind_of_status_tells_whether_a_request_failed() {
        for (label, value, expected) in [
            ("code", "200", Some(false)),
            ("code", "404", Some(false)),
            ("http.response.status_code", "502", Some(true)),
            ("status", "5xx", Some(true)),
            ("grpc_code", "Unavailable", Some(true)),
            ("grpc_code", "NotFound", Some(false)),
            ("rpc.grpc.status_code", "14", Some(true)),
            ("rpc.grpc.status_code", "0", Some(false)),
            ("status.code", "STATUS_CODE_ERROR", Some(true)),
            ("status.code", "STATUS_CODE_UNSET", Some(false)),
            ("outcome", "SERVER_ERROR", Some(true)),
            ("outcome", "CLIENT_ERROR", Some(false)),
            ("error.type", "java.net.ConnectException", Some(true)),
            ("error.type", "404", Some(false)),
            ("result", "hit", None),
            ("code", "7", None),
        ] {
            assert_eq!(failed(label, value), expected, "{label}={value}");
        }
    }

    #[test]
    fn a_value_that_is_no_name_is_not_kept() {
        let long = "x".repeat(300).leak();
        let labels = split(&[("route", long)], false, &LabelOptions::default());
        assert_eq!(labels.dimensions, key::canonical([("route", OTHER)].into_iter()));
    }
}
