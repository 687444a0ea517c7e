//! The templates of one service: lines that differ only in what varies.
//!
//! Online mining after Drain (He, Zhu, Zheng and Lyu, ICWS 2017) on lines that are masked first, as Drain3 does. The leaf
//! of Drain's tree of fixed depth (length, then leading token) is one number here, so that a look-up is a scan over at
//! most [`MAX_TEMPLATES`] of them. Unlike Drain, only words count towards similarity: what is masked anyway says nothing.

use serde::{Deserialize, Serialize};
use shared::events::raw::Level;

use super::channel::ChannelKind;
use super::line::MASK;
use super::rate::Rate;

/// Templates of warnings and worse, and of all other lines, that are kept of a service; the least recently used goes.
pub(super) const MAX_TEMPLATES: usize = 48;
/// Longest template, bytes.
const TEXT_BYTES: usize = 200;
/// Longest example, bytes.
const EXAMPLE_BYTES: usize = 240;
/// Words of a template, out of ten, that a line has to share with it.
const SHARED_TENTHS: usize = 7;
/// Length of one of the two windows in which lines are counted for display, milliseconds.
pub(super) const SHOWN_MS: i64 = 300_000;

/// Lines of one shape and level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Template {
    /// Follows from level and shape as they were when it was first seen; a wider shape does not change it.
    pub(super) id: u64,
    /// The leaf: level, number of tokens and first token.
    leaf: u64,
    /// Words (tokens without a mask) when it was first seen.
    words: u32,
    pub(super) level: Level,
    pub(super) text: Box<str>,
    /// The last line as it was written; only of what is shown.
    pub(super) example: Box<str>,
    /// Whether it was not known to a service whose habits were.
    pub(super) is_new: bool,
    pub(super) born_ms: i64,
    /// Time at which it was last used.
    used_ms: i64,
    /// Event time of its last line.
    pub(super) last_ms: i64,
    pub(super) rate: Rate,
    /// Number of the window of the last line, and the lines in it and in the one before.
    window: i64,
    shown: [u32; 2],
}

/// A line on its way to its template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) level: Level,
    /// The line, cleaned.
    pub(super) text: &'a str,
    /// The same without what varies.
    pub(super) shape: &'a str,
    /// Event time, milliseconds.
    pub(super) ts_ms: i64,
}

impl Template {
    /// Returns which watch its lines belong to.
    pub(super) fn channel(&self) -> ChannelKind {
        match (self.level >= Level::Warn, self.is_new) {
            (false, _) => ChannelKind::Volume,
            (true, false) => ChannelKind::Errors,
            (true, true) => ChannelKind::New,
        }
    }

    /// Returns how many lines came in the five to ten minutes up to `at_ms`.
    pub(super) fn shown(&self, at_ms: i64) -> u32 {
        match at_ms.div_euclid(SHOWN_MS).saturating_sub(self.window) {
            ..=0 => self.shown[0].saturating_add(self.shown[1]),
            1 => self.shown[0],
            2.. => 0,
        }
    }

    /// Counts a line.
    fn take(&mut self, line: Line<'_>, now_ms: i64) {
        let window = line.ts_ms.div_euclid(SHOWN_MS);
        if window > self.window {
            let before = if window == self.window.saturating_add(1) { self.shown[0] } else { 0 };
            self.shown = [0, before];
            self.window = window;
        }
        self.shown[0] = self.shown[0].saturating_add(1);
        self.last_ms = self.last_ms.max(line.ts_ms);
        self.used_ms = now_ms;
        self.rate.count();
        if self.level >= Level::Warn && *self.example != *line.text {
            self.example = shortened(line.text, EXAMPLE_BYTES).into();
        }
    }

    /// Returns how many words a line of the same leaf shares with it, if that is enough.
    fn shares(&self, shape: &str) -> Option<u32> {
        let same = tokens(&self.text).zip(tokens(shape)).filter(|(own, other)| own == other && *own != MASK);
        let shared = same.count() as u32;
        let needed = (self.words as usize * SHARED_TENTHS).div_ceil(10).max(1);
        (shared as usize >= needed).then_some(shared)
    }

    /// Widens the template so that it covers a line of the same leaf.
    fn widen(&mut self, shape: &str) {
        if *self.text == *shape {
            return;
        }
        let mut text = String::with_capacity(self.text.len() + MASK.len());
        for (own, other) in tokens(&self.text).zip(tokens(shape)) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(if own == other { own } else { MASK });
        }
        if *self.text != *text {
            self.text = text.into();
        }
    }
}

/// Counts a line and returns the place of its template, which is entered if there is none yet. `past` is the rate of all
/// lines of the service.
pub(super) fn enter(
    templates: &mut Vec<Template>,
    line: Line<'_>,
    now_ms: i64,
    is_known: bool,
    past: &Rate,
) -> usize {
    let shape = shortened(line.shape, TEXT_BYTES);
    let id = hash(line.level, &[shape]);
    let place = templates.iter().position(|known| known.id == id).unwrap_or_else(|| {
        let (count, first) = (tokens(shape).count(), tokens(shape).next().unwrap_or_default());
        let first = if first.contains(MASK) { MASK } else { first };
        let leaf = hash(line.level, &[&count.to_string(), first]);
        let similar = templates
            .iter()
            .enumerate()
            .filter(|(_, known)| known.leaf == leaf)
            .filter_map(|(place, known)| Some((known.shares(shape)?, place)))
            .max_by_key(|&(shared, place)| (shared, std::cmp::Reverse(place)));
        if let Some((_, place)) = similar {
            templates[place].widen(shape);
            return place;
        }
        let words = tokens(shape).filter(|token| !token.contains(MASK)).count() as u32;
        let fresh = Template {
            id,
            leaf,
            words,
            level: line.level,
            text: shape.into(),
            example: Box::default(),
            is_new: is_known && line.level >= Level::Warn,
            born_ms: now_ms,
            used_ms: now_ms,
            last_ms: line.ts_ms,
            rate: Rate::unheard(past),
            window: line.ts_ms.div_euclid(SHOWN_MS),
            shown: [0, 0],
        };
        place_of(templates, fresh)
    });
    templates[place].take(line, now_ms);
    place
}

/// Enters a template, in the place of the least recently used of its kind if there are too many.
fn place_of(templates: &mut Vec<Template>, fresh: Template) -> usize {
    let is_complaint = |template: &Template| template.level >= Level::Warn;
    let kind = is_complaint(&fresh);
    let like = templates.iter().enumerate().filter(|(_, known)| is_complaint(known) == kind);
    if like.clone().count() >= MAX_TEMPLATES
        && let Some((place, _)) = like.min_by_key(|(_, known)| known.used_ms)
    {
        templates[place] = fresh;
        return place;
    }
    templates.push(fresh);
    templates.len() - 1
}

fn tokens(shape: &str) -> impl Iterator<Item = &str> {
    shape.split(' ')
}

/// Returns the beginning of a text: whole words where there are any.
pub(super) fn shortened(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let cut = &text[..text.floor_char_boundary(bytes)];
    cut.rfind(' ').filter(|at| *at > bytes / 2).map_or(cut, |at| &cut[..at])
}

/// Fowler, Noll and Vo's 64-bit hash (FNV-1a), which no version of a library changes.
fn hash(level: Level, parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    [level as u8]
        .into_iter()
        .chain(bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(templates: &mut Vec<Template>, level: Level, shape: &str, now_ms: i64) -> usize {
        enter(templates, Line { level, text: shape, shape, ts_ms: now_ms }, now_ms, true, &Rate::default())
    }

    #[test]
    fn lines_that_differ_in_few_words_share_a_template_whose_id_stays() {
        let mut templates = Vec::new();
        let first = take(&mut templates, Level::Error, "call to payment failed with status <*>", 0);
        let id = templates[first].id;
        let second = take(&mut templates, Level::Error, "call to inventory failed with status <*>", 1);
        assert_eq!((second, &*templates[first].text), (first, "call to <*> failed with status <*>"));
        assert_eq!((templates[first].id, templates[first].rate.now), (id, 2));
        assert_eq!(take(&mut templates, Level::Error, "call to payment failed with status <*>", 2), first);
    }

    #[test]
    fn lines_that_say_something_else_do_not_share_one() {
        let mut templates = Vec::new();
        for (level, shape) in [
            (Level::Error, "mail <*> accepted"),
            (Level::Error, "mail <*> deferred"),
            (Level::Warn, "mail <*> deferred"),
            (Level::Error, "connection pool exhausted"),
            (Level::Error, "connection pool ready"),
            (Level::Error, "<*> <*>"),
            (Level::Error, "<*> failed"),
            (Level::Error, "charge <*> failed: no funds"),
        ] {
            let before = templates.len();
            assert_eq!(take(&mut templates, level, shape, 0), before, "{shape}");
        }
    }

    #[test]
    fn templates_do_not_widen_until_they_mean_nothing() {
        let mut templates = Vec::new();
        for shape in ["a b c d e f g h i j", "a b c d e f g x y z", "a b c d q r s t u v"] {
            take(&mut templates, Level::Warn, shape, 0);
        }
        assert_eq!(templates.len(), 2);
        assert_eq!(&*templates[0].text, "a b c d e f g <*> <*> <*>");
    }

    #[test]
    fn the_least_recently_used_of_its_kind_goes() {
        let mut templates = Vec::new();
        take(&mut templates, Level::Error, "pool is full", 0);
        for i in 0..600_i64 {
            let word: String = format!("{i}").bytes().map(|digit| char::from(digit + 49)).collect();
            take(&mut templates, Level::Info, &word, i);
        }
        assert_eq!(templates.len(), MAX_TEMPLATES + 1);
        assert_eq!(&*templates[0].text, "pool is full");
    }
}
