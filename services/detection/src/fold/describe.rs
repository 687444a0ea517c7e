//! What would come of a labelled sample, without taking it.

use shared::events::raw::Instrument;

use super::shape::{self, Meaning, Shape};
use super::split::Split;
use crate::config::Settings;
use crate::metric_profile::key::{Form, Key};
use crate::metric_profile::{Folding, MetricProfile};
use crate::sample::Detail;

/// What comes of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is part of these series, and how its replicas are folded.
    Judged {
        /// Names of the series.
        series: Vec<String>,
        /// How, in words.
        how: &'static str,
    },
    /// Nothing, and why.
    Ignored(&'static str),
}

impl Plan {
    /// Returns what comes of a sample of a metric.
    pub(crate) fn of(metric: &str, unit: &str, detail: &Detail<'_>, settings: &Settings) -> Self {
        let profile = |base: &str| MetricProfile::of(base, unit, &settings.metrics);
        let Some(meaning) = Meaning::of(metric, detail, profile) else {
            return Self::Ignored(why_ignored(metric, detail));
        };
        let split = Split::of(detail, meaning, &settings.labels);
        if let Some(why) = split.left_out {
            return Self::Ignored(why);
        }
        let (mut forms, how) = forms(meaning.shape);
        if split.has_failed.is_some() && matches!(meaning.shape, Shape::Counter | Shape::Histogram) {
            forms.push(Form::ErrorRatio);
        }
        let metric = shape::base(metric, detail);
        let name = |form| Key { form, dimensions: &split.dimensions, metric }.name();
        Self::Judged { series: forms.into_iter().map(name).collect(), how }
    }
}

/// Returns what is derived of a shape, and how its replicas are folded.
fn forms(shape: Shape) -> (Vec<Form>, &'static str) {
    match shape {
        Shape::Level { folding, has_mean } => {
            let how = match folding {
                Folding::Sum => "sum of replicas",
                Folding::Max => "highest of replicas",
                Folding::Min => "lowest of replicas",
                Folding::Mean => "mean of replicas",
            };
            (if has_mean { vec![Form::Level, Form::Mean] } else { vec![Form::Level] }, how)
        }
        Shape::Counter => (vec![Form::Rate], "increases added"),
        Shape::Histogram => (vec![Form::Requests, Form::Median, Form::Percentile99], "buckets added"),
        Shape::Classic => (vec![Form::Median, Form::Percentile99], "buckets added"),
        Shape::Restarts | Shape::Started | Shape::Uptime => (vec![Form::Restarts], "restarts counted"),
    }
}

fn why_ignored(metric: &str, detail: &Detail<'_>) -> &'static str {
    if metric.ends_with("_bucket") {
        "a bucket without le"
    } else if metric.ends_with("_created") {
        "the time at which a count began"
    } else if metric.ends_with("_info") {
        "a constant"
    } else if metric.ends_with("_sum") && detail.instrument != Some(Instrument::Gauge) {
        "a sum says nothing without its count"
    } else {
        "the catalogue or the configuration says so"
    }
}
