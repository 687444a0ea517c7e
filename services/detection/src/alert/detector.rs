//! The one interface of all that returns reports.

use super::Report;

/// Judges one subject: a series, the series of a service together, its reporting, its restarts, its log.
///
/// A detector owns what it has learned and its alerts, and knows neither its partition nor another detector. What it
/// has learned is a section of a snapshot of its own, so that it can change without the others.
pub trait Detector {
    /// One observation, with what else the detector has to know of that moment.
    type Input<'a>;
    /// The reports that one observation can make due: an `Option` where it is one at most.
    type Reports: IntoIterator<Item = Report>;

    /// Takes the next observation. Returns the reports that are due.
    fn observe(&mut self, input: Self::Input<'_>) -> Self::Reports;
}
