//! Silences and maintenance windows: which notifications are not sent, and when.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::events::command::SilenceSpec;
use crate::ids::CommandId;
use crate::matchers::{self, Facts, Matchers};
use crate::window::{self, Interval, Window};

/// Longest time between the first and the last window of a silence that recurs.
pub const LONGEST_RECURRING: SignedDuration = SignedDuration::from_hours(366 * 24);

/// A silence on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// The command that began it.
    pub silence_id: CommandId,
    /// Environment.
    pub environment: String,
    /// What it hides, when and why.
    pub spec: SilenceSpec,
    /// Who began it.
    pub by: String,
    /// When it was put on record, by the wall clock.
    pub begun_at: Timestamp,
    /// How a person ended it before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ending>,
}

/// The end of a silence before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Who ended it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Where a silence stands at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// Nothing that matches is sent.
    Active {
        /// End of the current window.
        until: Timestamp,
    },
    /// It begins, or comes back, later.
    Waiting {
        /// Begin of the next window.
        from: Timestamp,
    },
    /// Its time is over.
    Over,
    /// A person ended it.
    Ended,
}

impl Silence {
    /// Returns whether it is for an incident, whatever the time.
    pub fn matches(&self, facts: &Facts) -> bool {
        // stored ones were checked; one that cannot be read any more hides nothing
        self.spec.matchers.parse::<Matchers>().is_ok_and(|matchers| matchers.matches(facts))
    }

    /// Returns where it stands at a time.
    pub fn standing(&self, at: Timestamp) -> Standing {
        if self.ended.is_some() {
            return Standing::Ended;
        }
        let Ok(window) = window_of(&self.spec) else { return Standing::Over };
        if let Some((_, until)) =
            self.bounded(window.current(at)).filter(|(from, to)| (*from..*to).contains(&at))
        {
            return Standing::Active { until };
        }
        // the first window may have begun before the silence does
        let first = self.bounded(window.current(self.spec.starts_at)).filter(|(from, _)| *from > at);
        let after = at.max(self.spec.starts_at.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(at));
        match first.or_else(|| self.bounded(window.next(after))) {
            Some((from, _)) => Standing::Waiting { from },
            None => Standing::Over,
        }
    }

    /// Returns until when nothing that matches is sent, if that is so at a time.
    pub fn active_until(&self, at: Timestamp) -> Option<Timestamp> {
        match self.standing(at) {
            Standing::Active { until } => Some(until),
            _ => None,
        }
    }

    /// Returns the part of a window that lies between its begin and its end.
    fn bounded(&self, window: Option<Interval>) -> Option<Interval> {
        let (from, to) = window?;
        let (from, to) = (from.max(self.spec.starts_at), to.min(self.spec.ends_at));
        (from < to).then_some((from, to))
    }
}

/// Returns the windows of a silence; those of one that recurs are not bounded by its begin and end.
///
/// # Errors
/// If the window is invalid.
pub fn window_of(spec: &SilenceSpec) -> Result<Window, window::Error> {
    match &spec.recurrence {
        None => Window::once(spec.starts_at, spec.ends_at),
        Some(recurrence) => {
            let duration = SignedDuration::from_mins(i64::from(recurrence.duration_min));
            Window::recurring(&recurrence.cron, &recurrence.zone, duration)
        }
    }
}

/// Checks what is asked for, and returns its matchers.
///
/// # Errors
/// Says why it is refused.
pub fn check(spec: &SilenceSpec, now: Timestamp) -> Result<Matchers, Refused> {
    let matchers: Matchers = spec.matchers.parse()?;
    matchers.selective()?;
    if spec.comment.trim().is_empty() {
        return Err(Refused::NoComment);
    }
    if spec.ends_at <= spec.starts_at {
        return Err(Refused::EndsBeforeStart);
    }
    if spec.ends_at <= now {
        return Err(Refused::Over);
    }
    window_of(spec)?;
    if spec.recurrence.is_some() && spec.ends_at.duration_since(spec.starts_at) > LONGEST_RECURRING {
        return Err(Refused::TooLong);
    }
    Ok(matchers)
}

/// Why a silence is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The matchers are not valid, or select nothing in particular.
    #[error("matchers: {0}")]
    Matchers(#[from] matchers::Error),
    /// Nobody says why.
    #[error("a comment is needed: why nothing is to be sent")]
    NoComment,
    /// The end is not after the begin.
    #[error("the silence ends before it begins")]
    EndsBeforeStart,
    /// Its time is over.
    #[error("the time of the silence is over already")]
    Over,
    /// The window is not valid.
    #[error("window: {0}")]
    Window(#[from] window::Error),
    /// It recurs for too long.
    #[error("a silence that recurs lasts at most 366 days from its begin to its end")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::command::Recurrence;
    use crate::ids::derive;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn once() -> SilenceSpec {
        SilenceSpec {
            is_maintenance: false,
            matchers: "service=\"payment\"".into(),
            starts_at: at("2026-03-01T10:00:00Z"),
            ends_at: at("2026-03-01T12:00:00Z"),
            recurrence: None,
            comment: "deploy".into(),
        }
    }

    fn weekly() -> SilenceSpec {
        let recurrence =
            Recurrence { cron: "0 2 * * SAT".into(), zone: "Europe/Berlin".into(), duration_min: 120 };
        SilenceSpec { ends_at: at("2026-03-22T00:00:00Z"), recurrence: Some(recurrence), ..once() }
    }

    fn silence(spec: SilenceSpec) -> Silence {
        Silence {
            silence_id: CommandId(derive(&["silence"])),
            environment: "production".into(),
            begun_at: spec.starts_at,
            spec,
            by: "jane".into(),
            ended: None,
        }
    }

    #[test]
    fn it_is_active_between_begin_and_end_until_a_person_ends_it() {
        let silence = silence(once());
        let standing = |time| silence.standing(at(time));
        assert_eq!(standing("2026-03-01T09:59:59Z"), Standing::Waiting { from: silence.spec.starts_at });
        assert_eq!(standing("2026-03-01T10:00:00Z"), Standing::Active { until: silence.spec.ends_at });
        assert_eq!(standing("2026-03-01T12:00:00Z"), Standing::Over);
        let ending = Ending { at: silence.begun_at, by: "jane".into(), reason: String::new() };
        let ended = Silence { ended: Some(ending), ..silence.clone() };
        assert_eq!(ended.active_until(at("2026-03-01T11:00:00Z")), None);
    }

    #[test]
    fn windows_that_recur_lie_between_begin_and_end() {
        let silence = silence(weekly());
        let standing = |time| silence.standing(at(time));
        // Saturday, 2 o'clock in Berlin
        let from = at("2026-03-07T01:00:00Z");
        assert_eq!(standing("2026-03-01T10:00:00Z"), Standing::Waiting { from });
        assert_eq!(standing("2026-02-28T01:30:00Z"), Standing::Waiting { from }, "before it begins");
        assert_eq!(standing("2026-03-07T01:00:00Z"), Standing::Active { until: at("2026-03-07T03:00:00Z") });
        assert_eq!(standing("2026-03-07T03:00:00Z"), Standing::Waiting { from: at("2026-03-14T01:00:00Z") });
        assert_eq!(standing("2026-03-21T03:00:00Z"), Standing::Over, "no window is left");
        let cut = Silence {
            spec: SilenceSpec {
                starts_at: at("2026-03-07T02:00:00Z"),
                ends_at: at("2026-03-07T02:30:00Z"),
                ..weekly()
            },
            ..silence.clone()
        };
        assert_eq!(
            cut.standing(at("2026-03-07T01:30:00Z")),
            Standing::Waiting { from: at("2026-03-07T02:00:00Z") }
        );
        assert_eq!(cut.active_until(at("2026-03-07T02:10:00Z")), Some(at("2026-03-07T02:30:00Z")));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        let now = at("2026-03-01T09:00:00Z");
        assert!(check(&once(), now).is_ok());
        assert!(check(&weekly(), now).is_ok());
        let refused = |change: fn(&mut SilenceSpec)| {
            let mut spec = once();
            change(&mut spec);
            check(&spec, now).unwrap_err()
        };
        let reasons: [Refused; 10] = [
            refused(|spec| spec.matchers = "service".into()),
            refused(|spec| spec.matchers = "service!=\"payment\"".into()),
            refused(|spec| spec.matchers = String::new()),
            refused(|spec| spec.comment = " ".into()),
            refused(|spec| spec.ends_at = spec.starts_at),
            refused(|spec| {
                spec.starts_at = Timestamp::UNIX_EPOCH;
                spec.ends_at = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
            }),
            refused(|spec| spec.ends_at = spec.starts_at + SignedDuration::from_hours(30 * 24 + 1)),
            refused(|spec| {
                let cron = "61 2 * * *".to_owned();
                spec.recurrence = Some(Recurrence { cron, zone: "UTC".into(), duration_min: 60 });
            }),
            refused(|spec| {
                let cron = "0 2 * * *".to_owned();
                spec.recurrence = Some(Recurrence { cron, zone: "Mars/Olympus".into(), duration_min: 60 });
            }),
            refused(|spec| {
                spec.recurrence =
                    Some(Recurrence { cron: "0 2 * * *".into(), zone: "UTC".into(), duration_min: 60 });
                spec.ends_at = spec.starts_at + SignedDuration::from_hours(400 * 24);
            }),
        ];
        let [unread, unselective, empty, comment, before, over, long, cron, zone, recurs] = reasons;
        assert!(matches!(unread, Refused::Matchers(_)), "{unread}");
        assert!(matches!(unselective, Refused::Matchers(_)), "{unselective}");
        assert_eq!(empty, unselective);
        assert_eq!([comment, before, over], [Refused::NoComment, Refused::EndsBeforeStart, Refused::Over]);
        assert!(matches!(long, Refused::Window(window::Error::Length(_))), "{long}");
        assert!(matches!(cron, Refused::Window(window::Error::Cron { .. })), "{cron}");
        assert!(matches!(zone, Refused::Window(window::Error::Zone(_))), "{zone}");
        assert_eq!(recurs, Refused::TooLong);
    }
}
