//! What each kind of cause predicts, and how informative it is to see it or not. Pure.

use shared::events::incident::Signal;
use shared::events::question::{Aspect, LogTopic, Report, Role, Subject, Trend};
use shared::events::raw::Level;
use shared::events::{Category, Kind};

use super::words;
use crate::check::MIN_LINES;

/// What is expected of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It rises.
    Rise,
    /// It falls.
    Fall,
    /// It rises or falls.
    Move,
}

impl Expected {
    /// Whether it has happened.
    pub fn is_seen(self, trend: Trend) -> bool {
        match self {
            Self::Rise => trend == Trend::Rose,
            Self::Fall => trend == Trend::Fell,
            Self::Move => trend != Trend::AsBefore,
        }
    }
}

const fn series(role: Role) -> Subject {
    Subject::Series { role }
}
const fn lines(about: LogTopic) -> Subject {
    Subject::Lines { about }
}
const fn calls(aspect: Aspect) -> Subject {
    Subject::Calls { aspect }
}
const fn events(about: Report) -> Subject {
    Subject::Events { about }
}

/// All observations: what is expected, and how often it is seen where the cause is another one.
pub const OBSERVATIONS: [(Subject, Expected, f64); 21] = [
    (series(Role::CpuUsage), Expected::Rise, 0.12),
    (series(Role::CpuThrottling), Expected::Rise, 0.08),
    (series(Role::MemoryUsage), Expected::Rise, 0.10),
    (series(Role::Restarts), Expected::Rise, 0.05),
    (series(Role::Instances), Expected::Fall, 0.05),
    (series(Role::PoolWaiting), Expected::Rise, 0.10),
    (series(Role::ConsumerLag), Expected::Rise, 0.08),
    (series(Role::DiskUsage), Expected::Rise, 0.05),
    (series(Role::Requests), Expected::Move, 0.15),
    (series(Role::DroppedPackets), Expected::Rise, 0.05),
    (lines(LogTopic::Memory), Expected::Rise, 0.03),
    (lines(LogTopic::Pool), Expected::Rise, 0.06),
    (lines(LogTopic::Disk), Expected::Rise, 0.02),
    (lines(LogTopic::Certificate), Expected::Rise, 0.02),
    (lines(LogTopic::Network), Expected::Rise, 0.20),
    (lines(LogTopic::Exception), Expected::Rise, 0.25),
    (calls(Aspect::Duration), Expected::Rise, 0.20),
    (calls(Aspect::Failures), Expected::Rise, 0.20),
    (events(Report::OutOfMemory), Expected::Rise, 0.02),
    (events(Report::Failing), Expected::Rise, 0.06),
    (events(Report::Storage), Expected::Rise, 0.02),
];

/// What a kind of cause predicts, and how often it is seen where that is the cause.
pub const PREDICTIONS: [(Category, Subject, f64); 25] = [
    (Category::Cpu, series(Role::CpuUsage), 0.90),
    (Category::Cpu, series(Role::CpuThrottling), 0.80),
    (Category::Memory, series(Role::MemoryUsage), 0.85),
    (Category::Memory, series(Role::Restarts), 0.50),
    (Category::Memory, lines(LogTopic::Memory), 0.60),
    (Category::Memory, events(Report::OutOfMemory), 0.50),
    (Category::Down, series(Role::Instances), 0.75),
    (Category::Down, series(Role::Restarts), 0.70),
    (Category::Down, events(Report::Failing), 0.75),
    (Category::Pool, series(Role::PoolWaiting), 0.90),
    (Category::Pool, lines(LogTopic::Pool), 0.75),
    (Category::Lag, series(Role::ConsumerLag), 0.95),
    (Category::Disk, series(Role::DiskUsage), 0.90),
    (Category::Disk, lines(LogTopic::Disk), 0.75),
    (Category::Disk, events(Report::Storage), 0.40),
    (Category::Certificate, lines(LogTopic::Certificate), 0.85),
    (Category::Network, lines(LogTopic::Network), 0.75),
    (Category::Network, series(Role::DroppedPackets), 0.50),
    (Category::Dependency, calls(Aspect::Duration), 0.80),
    (Category::Dependency, calls(Aspect::Failures), 0.60),
    (Category::Dependency, lines(LogTopic::Network), 0.50),
    (Category::Code, lines(LogTopic::Exception), 0.70),
    (Category::Deployment, lines(LogTopic::Exception), 0.65),
    (Category::Deployment, events(Report::Failing), 0.30),
    (Category::Traffic, series(Role::Requests), 0.95),
];

/// Returns what is expected of a subject, and how often it is seen where the cause is another one.
pub fn observation(subject: Subject) -> Option<(Expected, f64)> {
    let found = OBSERVATIONS.iter().find(|(known, ..)| *known == subject);
    found.map(|(_, expected, base)| (*expected, *base))
}

/// Returns what a kind of cause predicts.
pub fn of(category: Category) -> impl Iterator<Item = Subject> {
    PREDICTIONS.iter().filter(move |(known, ..)| *known == category).map(|(_, subject, _)| *subject)
}

/// Returns how often a subject is seen as expected where that is the cause, if it predicts it.
pub fn hit(category: Category, subject: Subject) -> Option<f64> {
    PREDICTIONS.iter().find(|(known, about, _)| (*known, *about) == (category, subject)).map(|(.., hit)| *hit)
}

/// Returns whether a member of the service answers the question already.
pub fn is_answered(signals: &[Signal], service: &str, subject: Subject) -> bool {
    let mut own = signals.iter().filter(|signal| signal.service == service);
    match subject {
        Subject::Series { role } => own.any(|signal| signal.kind == measured(role)),
        Subject::Lines { about } => own.flat_map(|signal| &signal.logs).any(|log| {
            log.level >= Level::Error && log.count >= MIN_LINES && words::are_in(about, &log.example)
        }),
        Subject::Calls { .. } | Subject::Events { .. } => false,
    }
}

/// Returns the kind of member that measures the same.
fn measured(role: Role) -> Kind {
    match role {
        Role::CpuUsage | Role::CpuThrottling => Kind::Cpu,
        Role::MemoryUsage => Kind::Memory,
        Role::Restarts => Kind::Restarts,
        Role::Instances => Kind::Silence,
        Role::PoolWaiting => Kind::Pool,
        Role::ConsumerLag => Kind::Lag,
        Role::DiskUsage => Kind::Disk,
        Role::Requests => Kind::Traffic,
        // no kind of member says it
        Role::DroppedPackets => Kind::Other,
    }
}
