//! How points of a metric are folded, by what it measures.

use serde::{Deserialize, Serialize};
use shared::events::Kind;
use shared::events::raw::Instrument;

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

impl Shape {
    /// Returns the shape of a sample and the name of what is measured; nothing where that is not judged.
    pub(crate) fn of<'m>(
        metric: &'m str,
        detail: &Detail<'_>,
        profile: impl FnOnce() -> MetricProfile,
    ) -> Option<(Self, &'m str)> {
        if detail.histogram.is_some() {
            return Some((Self::Histogram, metric));
        }
        if let Some(base) = metric.strip_suffix(BUCKET)
            && detail.label("le").is_some()
        {
            return Some((Self::Classic, base));
        }
        let profile = profile();
        let counts = detail.instrument.map_or(profile.counter, |of| of == Instrument::Counter);
        let shape = match profile.mode {
            DetectionMode::Ignored => return None,
            DetectionMode::Restarts => Self::Restarts,
            DetectionMode::StartTime => Self::Started,
            DetectionMode::Uptime => Self::Uptime,
            // the sum of a histogram or a summary says nothing without its count
            _ if counts && profile.kind == Kind::Other && metric.ends_with("_sum") => return None,
            _ if counts => Self::Counter,
            _ => Self::Level { folding: profile.folding(), has_mean: profile.has_mean() },
        };
        Some((shape, metric))
    }

    /// Returns the shape of what is left of a pool, where the shape is that of what is used: its least level counts.
    pub(super) fn of_what_is_left(self) -> Self {
        match self {
            Self::Level { folding: Folding::Max, has_mean } => {
                Self::Level { folding: Folding::Min, has_mean }
            }
            shape => shape,
        }
    }

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
