//! The log of one service: its templates, what is usual of them, and the alerts they raise.
//!
//! Decided from `raw.logs` alone: time is the partition's [`LogClock`], so that neither the other topics nor a service that
//! has fallen silent matter. Lines are counted in windows of 10 s to a minute, shorter where more warnings and errors
//! come. Each line belongs to one channel, so that one cause raises one alert.

mod calm;
mod channel;
mod clock;
mod critical;
mod explain;
mod habit;
mod line;
mod rate;
mod reader;
mod requests;
mod template;

use serde::{Deserialize, Serialize};
use shared::clock::from_ms;
use shared::events::Severity;
use shared::events::anomaly::{LogTemplate, Status};
use shared::events::raw::Level;

use crate::alert::certainty::Certainty;
use crate::alert::{Detector, Report};
pub(crate) use channel::Gathered;
use channel::{Channel, ChannelKind, Window};
pub(crate) use clock::LogClock;
pub(crate) use critical::Phrases;
use explain::CriticalMatch;
pub(crate) use explain::LogContext;
use habit::{Habits, Moment};
use line::Statement;
use rate::{Lesson, Rate, Score};
pub use reader::{LineReader, Reading};
pub(crate) use requests::Requests;
use template::{Line, Template};

/// Templates that an anomaly carries.
const MAX_RECENT: usize = 5;
/// Shortest and longest window, milliseconds. While an alert is open all have the shortest.
const MIN_WINDOW_MS: i64 = 10_000;
const MAX_WINDOW_MS: i64 = 60_000;
/// Warnings and errors that a window is meant to hold.
const AIM_LINES: f64 = 10.0;
/// Time and lines after which the habits of a service are known; or such a time alone.
const KNOWN_S: f64 = 280.0;
const KNOWN_LINES: f64 = 50.0;
const KNOWN_ALONE_S: f64 = 9000.0;
/// Longest silence that is learnt as the usual, seconds: a service that is down teaches nothing.
const MAX_SILENCE_S: f64 = 600.0;
/// Time after which a new template is known, milliseconds.
const NEW_MS: i64 = 3_600_000;

/// The log of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogModel {
    templates: Vec<Template>,
    /// Begin and length of the open window, and length of the one before it, milliseconds.
    start_ms: i64,
    length_ms: i64,
    before_ms: i64,
    /// All lines, and for how long.
    all: Rate,
    /// In the order of [`ChannelKind::ALL`].
    channels: [Channel; 4],
    habits: Habits,
    /// Whether the last critical line was one that the service always writes.
    is_habit: bool,
    /// Whether the last record belonged to a stack trace that is written in several records.
    in_trace: bool,
    /// In a section of its own.
    #[serde(skip)]
    requests: Requests,
}

/// A line that a service has written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewLine<'a> {
    pub(crate) level: Level,
    /// The line as it was written.
    pub(crate) message: &'a str,
    /// Event time, milliseconds.
    pub(crate) ts_ms: i64,
    /// Id of the trace that it belongs to, as its sender states it.
    pub(crate) trace_id: Option<&'a str>,
}

/// A moment of the partition's log clock, with the line that came, if one did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation<'a> {
    pub(crate) line: Option<NewLine<'a>>,
    /// Where the log clock of the partition stands, milliseconds.
    pub(crate) now_ms: i64,
    pub(crate) context: &'a LogContext<'a>,
}

impl Detector for LogModel {
    type Input<'a> = Observation<'a>;
    type Reports = Vec<Report>;

    /// Ends the open window if its time is over, then takes the line.
    fn observe(&mut self, Observation { line, now_ms, context }: Observation<'_>) -> Vec<Report> {
        let mut reports = if now_ms < self.end_ms() { Vec::new() } else { self.close(now_ms, context) };
        reports.extend(line.and_then(|line| self.take(line, now_ms, context)));
        reports
    }
}

impl LogModel {
    /// Begins the log of a service at its first line.
    pub(crate) fn new(now_ms: i64) -> Self {
        Self {
            templates: Vec::new(),
            start_ms: now_ms,
            length_ms: MAX_WINDOW_MS,
            before_ms: 0,
            all: Rate::default(),
            channels: std::array::from_fn(|_| Channel::default()),
            habits: Habits::default(),
            is_habit: false,
            in_trace: false,
            requests: Requests::default(),
        }
    }

    /// Takes a line. Returns the report of the alert that it begins or goes on with, if it is due.
    fn take(&mut self, line: NewLine<'_>, now_ms: i64, context: &LogContext<'_>) -> Option<Report> {
        let NewLine { level, message, ts_ms, trace_id } = line;
        self.in_trace = line::is_frame(message, self.in_trace);
        if self.in_trace {
            self.all.count();
            return None;
        }
        let Statement { level, text } = line::read(level, message);
        if text.is_empty() {
            return None;
        }
        if let Some(trace_id) = trace_id.filter(|_| level >= Level::Warn) {
            self.requests.note(trace_id, ts_ms, now_ms);
        }
        let shape = line::mask(&text);
        let is_known = self.is_known();
        let line = Line { level, text: &text, shape: &shape, ts_ms };
        let place = template::enter(&mut self.templates, line, now_ms, is_known, &self.all);
        self.all.count();
        let hit = context.phrases.find(level, &text).filter(|hit| {
            // what loses data is no habit for having been there first
            let is_known = is_known || hit.severity == Severity::Sev2;
            !self.is_usual(place, is_known, now_ms, context)
        });
        let kind = if hit.is_some() { ChannelKind::Critical } else { self.templates[place].channel() };
        let at = self.window(now_ms, context);
        let channel = &mut self.channels[kind as usize];
        channel.count(level, now_ms);
        let was_open = channel.alert.is_some();
        let revision = if let Some(hit) = hit {
            // what is said in the first minutes may be what this service always says
            let is_certain = level >= Level::Warn && (is_known || hit.severity == Severity::Sev2);
            let certainty = if is_certain { Certainty::Certain } else { Certainty::Noticed };
            channel.raise_critical(hit.severity, certainty, &at)
        } else if is_known {
            let mut score = channel.score(kind, at.seconds);
            if kind != ChannelKind::New {
                score = score.or(self.templates[place].rate.score(at.seconds, kind.bar()));
            }
            channel.observe(kind, score, &at)
        } else {
            None
        };
        let report = revision.map(|revision| {
            let critical = hit.map(|hit| CriticalMatch { what: hit.what, line: &text });
            self.report(kind, &revision, critical, &at, context)
        });
        if !was_open && self.channels[kind as usize].alert.is_some() {
            // what has begun is looked at again soon
            let end_ms = self.end_ms().min(now_ms.saturating_add(MIN_WINDOW_MS));
            self.length_ms = end_ms.saturating_sub(self.start_ms);
        }
        report
    }

    /// Counts a critical line. Returns whether the service always writes it. Not while it is certain that something is
    /// broken: such an alert is accepted first.
    fn is_usual(&mut self, place: usize, is_known: bool, now_ms: i64, context: &LogContext<'_>) -> bool {
        let template = self.templates[place].id;
        let (window_ms, accept_after_ms) = (self.start_ms, context.accept_after_ms);
        let is_habit = self.habits.take(template, Moment { now_ms, window_ms, is_known, accept_after_ms });
        let alert = self.channels[ChannelKind::Critical as usize].alert.as_ref();
        self.is_habit = is_habit && alert.is_none_or(|alert| alert.status != Status::Firing);
        self.is_habit
    }

    /// Returns the requests for which warnings or errors were lately logged.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Goes on with such requests of a snapshot.
    pub(crate) fn resume_requests(&mut self, requests: Requests) {
        self.requests = requests;
    }

    /// Returns the lines of new templates that are judged together with the open window.
    pub(crate) fn gathered(&self) -> &Gathered {
        &self.channels[ChannelKind::New as usize].gathered
    }

    /// Goes on with such lines of a snapshot.
    pub(crate) fn resume_gathered(&mut self, gathered: Gathered) {
        self.channels[ChannelKind::New as usize].gathered = gathered;
    }

    /// Returns when an open alert has to be looked at, if there is one.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.is_open().then(|| self.end_ms())
    }

    /// Returns the most frequent warnings and errors of the five to ten minutes up to `at_ms`, most severe and frequent
    /// first.
    pub(crate) fn recent(&self, at_ms: i64) -> Vec<LogTemplate> {
        let complaints = self.templates.iter().filter(|template| template.level >= Level::Warn);
        let mut recent: Vec<(u32, &Template)> = complaints
            .map(|template| (template.shown(at_ms), template))
            .filter(|(count, _)| *count > 0)
            .collect();
        recent.sort_by(|(a_count, a), (b_count, b)| {
            (b_count, b.level, &a.text).cmp(&(a_count, a.level, &b.text))
        });
        recent
            .into_iter()
            .take(MAX_RECENT)
            .map(|(count, template)| LogTemplate {
                level: template.level,
                template: template.text.to_string(),
                count: u64::from(count),
                example: template.example.to_string(),
                last_seen: from_ms(template.last_ms),
            })
            .collect()
    }

    /// Ends the open window, and all empty ones up to `now_ms`.
    fn close(&mut self, now_ms: i64, context: &LogContext<'_>) -> Vec<Report> {
        let at = self.window(now_ms, context);
        let end_ms = self.end_ms();
        let scores = ChannelKind::ALL.map(|kind| self.score(kind, at.seconds));
        let next_ms = self.next_length();
        let empty = (now_ms.saturating_sub(end_ms) / next_ms).clamp(0, i64::from(u32::MAX)) as u32;
        let mut reports = Vec::new();
        let mut lessons = [Lesson::Learn; 4];
        for (kind, score) in ChannelKind::ALL.into_iter().zip(scores) {
            let is_habit = kind == ChannelKind::Critical && self.is_habit;
            let at = Window { accept_after_ms: if is_habit { 0 } else { at.accept_after_ms }, ..at };
            let (revision, lesson) = self.channels[kind as usize].close(kind, score, empty, &at);
            lessons[kind as usize] = lesson;
            if let Some(revision) = revision {
                reports.push(self.report(kind, &revision, None, &at, context));
            }
        }
        self.learn(&at, lessons, empty, next_ms);
        self.before_ms = if empty > 0 { next_ms } else { self.length_ms };
        self.start_ms = end_ms.saturating_add(next_ms.saturating_mul(i64::from(empty)));
        self.length_ms = next_ms;
        reports
    }

    /// Moves all rates on to the next window.
    fn learn(&mut self, at: &Window, lessons: [Lesson; 4], empty: u32, next_ms: i64) {
        let before = seconds(self.before_ms);
        let pause = (f64::from(empty) * seconds(next_ms)).min(MAX_SILENCE_S);
        let turn = |rate: &mut Rate, lesson: Lesson| {
            rate.close(at.seconds, before, lesson);
            if empty > 0 && lesson != Lesson::Wait {
                rate.close(0.0, at.seconds, Lesson::Learn);
                rate.rest(seconds(next_ms), pause / seconds(next_ms));
            }
        };
        turn(&mut self.all, Lesson::Learn);
        for template in &mut self.templates {
            let lesson = lessons[template.channel() as usize];
            turn(&mut template.rate, lesson);
        }
        let new = &mut self.channels[ChannelKind::New as usize];
        let (is_open, is_accepted) =
            (new.alert.is_some(), lessons[ChannelKind::New as usize] == Lesson::Adopt);
        for kind in ChannelKind::ALL {
            let lesson = match (kind, lessons[kind as usize]) {
                // the templates stop being new: another channel learns them
                (ChannelKind::New, Lesson::Adopt) => Lesson::Forget,
                (_, lesson) => lesson,
            };
            turn(&mut self.channels[kind as usize].total, lesson);
        }
        for template in self.templates.iter_mut().filter(|template| template.is_new) {
            if is_accepted || !is_open && at.now_ms.saturating_sub(template.born_ms) >= NEW_MS {
                template.is_new = false;
                self.channels[ChannelKind::Errors as usize].total.absorb(&template.rate);
            }
        }
    }

    /// Judges the open window as a whole.
    fn score(&self, kind: ChannelKind, seconds: f64) -> Score {
        if kind == ChannelKind::Critical || !self.is_known() {
            return Score::default();
        }
        let total = self.channels[kind as usize].score(kind, seconds);
        let own =
            self.templates.iter().filter(|template| kind != ChannelKind::New && template.channel() == kind);
        own.fold(total, |score, template| score.or(template.rate.score(seconds, kind.bar())))
    }

    /// Returns how long the next window is, milliseconds: shorter where more warnings and errors come, and the shortest
    /// while an alert is open, so that its end is noticed soon.
    fn next_length(&self) -> i64 {
        if self.is_open() {
            return MIN_WINDOW_MS;
        }
        let complaints = [ChannelKind::Errors, ChannelKind::New, ChannelKind::Critical]
            .map(|kind| f64::from(self.channels[kind as usize].total.now))
            .iter()
            .sum::<f64>();
        let aimed = AIM_LINES * self.length_ms as f64 / complaints.max(0.1);
        aimed.clamp(MIN_WINDOW_MS as f64, MAX_WINDOW_MS as f64) as i64
    }

    fn is_known(&self) -> bool {
        let (seconds, lines) = (self.all.seconds(), self.all.lines());
        seconds >= KNOWN_ALONE_S || seconds >= KNOWN_S && lines >= KNOWN_LINES
    }

    fn is_open(&self) -> bool {
        self.channels.iter().any(|channel| channel.alert.is_some())
    }

    fn end_ms(&self) -> i64 {
        self.start_ms.saturating_add(self.length_ms)
    }

    fn window(&self, now_ms: i64, context: &LogContext<'_>) -> Window {
        Window {
            now_ms,
            seconds: seconds(self.length_ms),
            passed: seconds(now_ms.saturating_sub(self.start_ms)),
            accept_after_ms: context.accept_after_ms,
        }
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogOptions;

    #[test]
    fn recent_warnings_and_errors_are_shown_most_severe_and_frequent_first() {
        let phrases = Phrases::new(&LogOptions::default());
        let context =
            LogContext { service: "user", deployed: None, accept_after_ms: 3_600_000, phrases: &phrases };
        let mut book = LogModel::new(0);
        for (level, message, ms) in [
            (Level::Info, "all is well", 0),
            (Level::Warn, "pool is full", 0),
            (Level::Error, "charge 1 failed", 10),
            (Level::Error, "charge 2 failed", 20),
        ] {
            let line = Some(NewLine { level, message, ts_ms: ms, trace_id: None });
            assert!(book.observe(Observation { line, now_ms: ms, context: &context }).is_empty());
        }
        let recent = book.recent(1000);
        assert_eq!(recent.len(), 2);
        assert_eq!((recent[0].template.as_str(), recent[0].count), ("charge <*> failed", 2));
        assert_eq!((recent[0].example.as_str(), recent[1].level), ("charge 2 failed", Level::Warn));
        assert!(book.recent(3 * template::SHOWN_MS).is_empty());
    }
}
