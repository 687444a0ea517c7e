//! The log of one service: its templates, what is usual of them, and the alerts they raise.
//!
//! Decided from `raw.logs` alone: time is the partition's [`Clock`], so that neither the other topics nor a service that
//! has fallen silent matter. Lines are counted in windows of 10 s to a minute, shorter where more warnings and errors
//! come. Each line belongs to one watch, so that one cause raises one alert.

mod calm;
mod clock;
mod critical;
mod explain;
mod line;
mod rate;
mod template;
mod watch;

use serde::{Deserialize, Serialize};
use shared::clock::from_ms;
use shared::events::anomaly::LogTemplate;
use shared::events::raw::Level;

use crate::alert::{Detector, Report};
pub use clock::Clock;
pub(crate) use critical::Phrases;
use explain::Said;
pub(crate) use explain::Scene;
use rate::{Lesson, Rate, Score};
use template::{Line, Template};
use watch::{Moment, Watch, Which};

/// Templates that an anomaly carries.
const TOLD: usize = 5;
/// Shortest and longest window, milliseconds. While an alert is open all have the shortest.
const SHORTEST_MS: i64 = 10_000;
const LONGEST_MS: i64 = 60_000;
/// Warnings and errors that a window is meant to hold.
const AIM: f64 = 10.0;
/// Time and lines after which the habits of a service are known; or such a time alone.
const KNOWN_S: f64 = 280.0;
const KNOWN_LINES: f64 = 50.0;
const KNOWN_ALONE_S: f64 = 9000.0;
/// Longest silence that is learnt as the usual, seconds: a service that is down teaches nothing.
const SILENCE_S: f64 = 600.0;
/// Time after which a new template is known, milliseconds.
const NEW_MS: i64 = 3_600_000;
/// Windows with critical lines, of about the last day, that make them a habit.
const HABIT: f64 = 5.0;
const HABIT_MEMORY_MS: f64 = 86_400_000.0;

/// How often a service has said what is critical.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Habit {
    /// Windows with critical lines, exponentially forgotten, as of the last of them.
    windows: f64,
    since_ms: i64,
    last_ms: i64,
}

impl Habit {
    fn windows_at(&self, now_ms: i64) -> f64 {
        let passed = now_ms.saturating_sub(self.last_ms).max(0) as f64;
        self.windows * (-passed / HABIT_MEMORY_MS).exp()
    }
}

/// The log of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Book {
    templates: Vec<Template>,
    /// Begin and length of the open window, and length of the one before it, milliseconds.
    start_ms: i64,
    length_ms: i64,
    before_ms: i64,
    /// All lines: how long the service has been heard.
    heard: Rate,
    /// In the order of [`Which::ALL`].
    watches: [Watch; 4],
    habit: Habit,
}

/// A line that a service has written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewLine<'a> {
    pub(crate) level: Level,
    /// The line as it was written.
    pub(crate) message: &'a str,
    /// Event time, milliseconds.
    pub(crate) ts_ms: i64,
}

/// A moment of the partition's log clock, with the line that came, if one did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation<'a> {
    pub(crate) line: Option<NewLine<'a>>,
    /// Where the log clock of the partition stands, milliseconds.
    pub(crate) now_ms: i64,
    pub(crate) scene: &'a Scene<'a>,
}

impl Detector for Book {
    type Input<'a> = Observation<'a>;
    type Reports = Vec<Report>;

    /// Ends the open window if its time is over, then takes the line.
    fn observe(&mut self, Observation { line, now_ms, scene }: Observation<'_>) -> Vec<Report> {
        let mut reports = if now_ms < self.end_ms() { Vec::new() } else { self.close(now_ms, scene) };
        reports.extend(line.and_then(|line| self.take(line, now_ms, scene)));
        reports
    }
}

impl Book {
    /// Begins the log of a service at its first line.
    pub(crate) fn new(now_ms: i64) -> Self {
        Self {
            templates: Vec::new(),
            start_ms: now_ms,
            length_ms: LONGEST_MS,
            before_ms: 0,
            heard: Rate::default(),
            watches: std::array::from_fn(|_| Watch::default()),
            habit: Habit::default(),
        }
    }

    /// Takes a line. Returns the report of the alert that it begins or goes on with, if it is due.
    fn take(&mut self, line: NewLine<'_>, now_ms: i64, scene: &Scene<'_>) -> Option<Report> {
        let NewLine { level, message, ts_ms } = line;
        let text = line::clean(message);
        if text.is_empty() {
            return None;
        }
        let shape = line::mask(&text);
        let is_known = self.is_known();
        let line = Line { level, text: &text, shape: &shape, ts_ms };
        let place = template::enter(&mut self.templates, line, now_ms, is_known, &self.heard);
        self.heard.count();
        let hit = scene.phrases.find(level, &text).filter(|_| !self.is_habit(now_ms, scene));
        let which = if hit.is_some() { Which::Critical } else { self.templates[place].which() };
        let at = self.moment(now_ms, scene);
        let watch = &mut self.watches[which as usize];
        watch.count(level, now_ms);
        let was_open = watch.alert.is_some();
        let revision = if let Some(hit) = hit {
            watch.raise_critical(hit.severity, level >= Level::Warn, &at)
        } else if is_known {
            let mut score = watch.total.score(at.seconds, which.bar());
            if which != Which::New {
                score = score.or(self.templates[place].rate.score(at.seconds, which.bar()));
            }
            watch.observe(which, score, &at)
        } else {
            None
        };
        let report = revision.map(|revision| {
            let critical = hit.map(|hit| Said { what: hit.what, line: &text });
            self.report(which, &revision, critical, &at, scene)
        });
        if !was_open && self.watches[which as usize].alert.is_some() {
            // what has begun is looked at again soon
            let end_ms = self.end_ms().min(now_ms.saturating_add(SHORTEST_MS));
            self.length_ms = end_ms.saturating_sub(self.start_ms);
        }
        report
    }

    /// Returns when an open alert has to be looked at, if there is one.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.is_open().then(|| self.end_ms())
    }

    /// Returns the most frequent warnings and errors of the five to ten minutes up to `at_ms`, most severe and frequent
    /// first.
    pub fn recent(&self, at_ms: i64) -> Vec<LogTemplate> {
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
            .take(TOLD)
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
    fn close(&mut self, now_ms: i64, scene: &Scene<'_>) -> Vec<Report> {
        let at = self.moment(now_ms, scene);
        let end_ms = self.end_ms();
        let scores = Which::ALL.map(|which| self.score(which, at.seconds));
        let next_ms = self.next_length();
        let empty = (now_ms.saturating_sub(end_ms) / next_ms).clamp(0, i64::from(u32::MAX)) as u32;
        self.remember_habit();
        let mut reports = Vec::new();
        let mut lessons = [Lesson::Learn; 4];
        for (which, score) in Which::ALL.into_iter().zip(scores) {
            let (told, lesson) = self.watches[which as usize].close(which, score, empty, &at);
            lessons[which as usize] = lesson;
            if let Some(told) = told {
                reports.push(self.report(which, &told, None, &at, scene));
            }
        }
        self.learn(&at, lessons, empty, next_ms);
        self.before_ms = if empty > 0 { next_ms } else { self.length_ms };
        self.start_ms = end_ms.saturating_add(next_ms.saturating_mul(i64::from(empty)));
        self.length_ms = next_ms;
        reports
    }

    /// Moves all rates on to the next window.
    fn learn(&mut self, at: &Moment, lessons: [Lesson; 4], empty: u32, next_ms: i64) {
        let before = seconds(self.before_ms);
        let pause = (f64::from(empty) * seconds(next_ms)).min(SILENCE_S);
        let turn = |rate: &mut Rate, lesson: Lesson| {
            rate.close(at.seconds, before, lesson);
            if empty > 0 && lesson != Lesson::Wait {
                rate.close(0.0, at.seconds, Lesson::Learn);
                rate.rest(seconds(next_ms), pause / seconds(next_ms));
            }
        };
        turn(&mut self.heard, Lesson::Learn);
        for template in &mut self.templates {
            let lesson = lessons[template.which() as usize];
            turn(&mut template.rate, lesson);
        }
        let new = &mut self.watches[Which::New as usize];
        let (is_open, is_accepted) = (new.alert.is_some(), lessons[Which::New as usize] == Lesson::Adopt);
        for which in Which::ALL {
            let lesson = match (which, lessons[which as usize]) {
                // the templates stop being new: it is their watch that learns them
                (Which::New, Lesson::Adopt) => Lesson::Forget,
                (_, lesson) => lesson,
            };
            turn(&mut self.watches[which as usize].total, lesson);
        }
        for template in self.templates.iter_mut().filter(|template| template.is_new) {
            if is_accepted || !is_open && at.now_ms.saturating_sub(template.born_ms) >= NEW_MS {
                template.is_new = false;
                self.watches[Which::Errors as usize].total.absorb(&template.rate);
            }
        }
    }

    /// Judges the open window as a whole.
    fn score(&self, which: Which, seconds: f64) -> Score {
        if which == Which::Critical || !self.is_known() {
            return Score::default();
        }
        let total = self.watches[which as usize].total.score(seconds, which.bar());
        let own = self.templates.iter().filter(|template| which != Which::New && template.which() == which);
        own.fold(total, |score, template| score.or(template.rate.score(seconds, which.bar())))
    }

    /// Returns how long the next window is, milliseconds: shorter where more warnings and errors come, and the shortest
    /// while an alert is open, so that its end is noticed soon.
    fn next_length(&self) -> i64 {
        if self.is_open() {
            return SHORTEST_MS;
        }
        let complaints = [Which::Errors, Which::New, Which::Critical]
            .map(|which| f64::from(self.watches[which as usize].total.now))
            .iter()
            .sum::<f64>();
        let aimed = AIM * self.length_ms as f64 / complaints.max(0.1);
        aimed.clamp(SHORTEST_MS as f64, LONGEST_MS as f64) as i64
    }

    /// Counts the open window if something critical was said in it.
    fn remember_habit(&mut self) {
        if self.watches[Which::Critical as usize].total.now == 0 {
            return;
        }
        let remembered = self.habit.windows_at(self.start_ms);
        let since_ms = if remembered < 0.5 { self.start_ms } else { self.habit.since_ms };
        self.habit = Habit { windows: remembered + 1.0, since_ms, last_ms: self.start_ms };
    }

    /// Tells whether critical lines are what this service always writes. They are not while it is told of them: not
    /// before it is accepted.
    fn is_habit(&self, now_ms: i64, scene: &Scene<'_>) -> bool {
        self.watches[Which::Critical as usize].alert.is_none()
            && self.habit.windows_at(now_ms) >= HABIT
            && now_ms.saturating_sub(self.habit.since_ms) >= scene.accept_after_ms
    }

    fn is_known(&self) -> bool {
        let (seconds, lines) = (self.heard.seconds(), self.heard.lines());
        seconds >= KNOWN_ALONE_S || seconds >= KNOWN_S && lines >= KNOWN_LINES
    }

    fn is_open(&self) -> bool {
        self.watches.iter().any(|watch| watch.alert.is_some())
    }

    fn end_ms(&self) -> i64 {
        self.start_ms.saturating_add(self.length_ms)
    }

    fn moment(&self, now_ms: i64, scene: &Scene<'_>) -> Moment {
        Moment {
            now_ms,
            seconds: seconds(self.length_ms),
            passed: seconds(now_ms.saturating_sub(self.start_ms)),
            accept_after_ms: scene.accept_after_ms,
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
        let scene = Scene { service: "user", deployed: None, accept_after_ms: 3_600_000, phrases: &phrases };
        let mut book = Book::new(0);
        for (level, message, ms) in [
            (Level::Info, "all is well", 0),
            (Level::Warn, "pool is full", 0),
            (Level::Error, "charge 1 failed", 10),
            (Level::Error, "charge 2 failed", 20),
        ] {
            let line = Some(NewLine { level, message, ts_ms: ms });
            assert!(book.observe(Observation { line, now_ms: ms, scene: &scene }).is_empty());
        }
        let recent = book.recent(1000);
        assert_eq!(recent.len(), 2);
        assert_eq!((recent[0].template.as_str(), recent[0].count), ("charge <*> failed", 2));
        assert_eq!((recent[0].example.as_str(), recent[1].level), ("charge 2 failed", Level::Warn));
        assert!(book.recent(3 * template::SHOWN_MS).is_empty());
    }
}
