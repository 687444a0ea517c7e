//! How points of a metric are folded, by what it measures.

use serde::{Deserialize, Serialize};
use shared::events::Kind;
use shared::events::raw::Instrument;

use crate::metric_profile::catalogue::{self, Family};
use crate::metric_profile::{DetectionMode, Folding, MetricProfile};
use crate::sample::Detail;

/// What the buckets of a classic histogram are called after.
const BUCKET: &str = "_bucket";

/// How points are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// Levels.
    Level {
        /// How those of replicas become one.
        folding: Folding,
        /// Whether their mean is a series of its own, beside the worst of them.
        has_mean: bool,
    },
    /// Counts that only grow: their increases are added.
    Counter,
    /// Buckets that come in one sample.
    Histogram,
    /// Buckets that come in a sample for each bound.
    Classic,
    /// Counts of restarts.
    Restarts,
    /// Times at which processes have started.
    Started,
    /// Times since processes have started.
    Uptime,
}

/// What is known of samples of one metric before their labels are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meaning {
    /// How they are folded.
    pub(crate) shape: Shape,
    /// What they measure.
    pub(crate) kind: Kind,
    /// Which labels mean something in these only.
    pub(crate) family: Option<&'static Family>,
}

impl Meaning {
    /// Returns what samples of that form mean; nothing where they are not judged.
    pub(crate) fn of(
        metric: &str,
        detail: &Detail<'_>,
        profile: impl FnOnce(&str) -> MetricProfile,
    ) -> Option<Self> {
        let base = base(metric, detail);
        let profile = profile(base);
        let instrument = detail.instrument;
        let counts = || match instrument {
            Some(Instrument::Counter) => true,
            Some(Instrument::Gauge) => catalogue::is_known_counter(base),
            None => profile.counter,
        };
        let shape = match profile.mode {
            DetectionMode::Ignored => return None,
            _ if detail.histogram.is_some() => Shape::Histogram,
            _ if base.len() < metric.len() => Shape::Classic,
            DetectionMode::Restarts => Shape::Restarts,
            DetectionMode::StartTime => Shape::Started,
            DetectionMode::Uptime => Shape::Uptime,
            _ if counts() => {
                // the sum of a histogram or a summary says nothing without its count
                if profile.kind == Kind::Other && metric.ends_with("_sum") {
                    return None;
                }
                Shape::Counter
            }
            _ => Shape::Level { folding: profile.folding(), has_mean: profile.has_mean() },
        };
        Some(Self { shape, kind: profile.kind, family: Family::of(base) })
    }
}

/// Returns the name of what is measured: that of a classic histogram, of which a sample is a bucket.
pub(crate) fn base<'m>(metric: &'m str, detail: &Detail<'_>) -> &'m str {
    match metric.strip_suffix(BUCKET) {
        Some(base) if detail.histogram.is_none() && detail.label("le").is_some() => base,
        _ => metric,
    }
}

impl Shape {
    pub(super) fn has_buckets(self) -> bool {
        matches!(self, Self::Histogram | Self::Classic)
    }

    /// Returns whether points are levels, of which a status is a dimension.
    pub(super) fn is_level(self) -> bool {
        matches!(self, Self::Level { .. })
    }

    /// Returns whether values of replicas are added.
    pub(super) fn is_added(self) -> bool {
        matches!(self, Self::Counter | Self::Histogram | Self::Level { folding: Folding::Sum, .. })
    }

    /// Returns a text that differs between shapes that cannot be folded together.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Level { .. } => "level",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Classic => "classic",
            Self::Restarts | Self::Started | Self::Uptime => "restarts",
        }
    }
}
