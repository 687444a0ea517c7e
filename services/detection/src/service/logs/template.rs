//! The templates of one service: lines that differ only in what varies.
//!
//! Online mining after Drain (He, Zhu, Zheng and Lyu, ICWS 2017) on lines that are masked first, as Drain3 does. The leaf
//! of Drain's tree of fixed depth (length, then leading token) is one number here, so that a look-up is a scan over at
//! most [`MAX_TEMPLATES`] of them. Unlike Drain, only words count towards similarity: what is masked anyway says nothing;
//! codes of errors are part of the leaf; and similarity has to hold everywhere along a line, so that a long beginning
//! does not hide that the ends of two lines say different things.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use shared::events::raw::Level;

use super::channel::ChannelKind;
use super::line::{self, MASK, PART, SEAM, shortened};
use super::rate::Rate;

/// Templates of warnings and worse, and of all other lines, that are kept of a service; the least recently used goes.
pub(super) const MAX_TEMPLATES: usize = 48;
/// Longest template, bytes: of warnings and worse, and of all other lines.
const TEXT_BYTES: usize = 200;
const OTHER_TEXT_BYTES: usize = 124;
/// Longest example, bytes.
const EXAMPLE_BYTES: usize = 240;
/// Words of a template, out of ten, that a line has to share with it.
const SHARED_TENTHS: u32 = 7;
/// Words in a row of which so many have to be shared.
const ROW_WORDS: usize = 10;
/// Shortest row, bytes of a sketch.
const MIN_ROW: usize = 3;
/// Bytes of a sketch. Of a line with more tokens each byte stands for two or more of them.
const SKETCH_BYTES: usize = 112;
/// What stands in a sketch for a token without a word, for a word that varies, and between the parts of a statement.
const EMPTY: u8 = 0;
const WIDENED: u8 = 1;
const SEPARATOR: u8 = 2;
/// Length of one of the two windows in which lines are counted for display, milliseconds.
pub(super) const SHOWN_MS: i64 = 300_000;

/// Lines of one shape and level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Template {
    /// Follows from level and shape as they were when it was first seen; a wider shape does not change it.
    pub(super) id: u64,
    /// The leaf: level, codes, number of tokens and first token.
    leaf: u64,
    /// A byte of the hash of each token, or of as many of them as it takes.
    sketch: Box<[u8]>,
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
    pub(super) shape: &'a line::Shape,
    /// Event time, milliseconds.
    pub(super) ts_ms: i64,
}

impl Template {
    /// Returns which channel its lines belong to.
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

    /// Returns how many words a line of the same leaf shares with it, if they are enough in each part and each row.
    fn shares(&self, sketch: &[u8], stride: usize) -> Option<u32> {
        let mut shared = 0;
        let mut row = Row::of(stride);
        for (own, other) in self.sketch.iter().zip(sketch) {
            match *own {
                EMPTY => {}
                SEPARATOR if row.is_alike() => row = Row::of(stride),
                SEPARATOR => return None,
                word => {
                    shared += u32::from(word == *other);
                    if !row.take(word == *other) {
                        return None;
                    }
                }
            }
        }
        (shared > 0 && row.is_alike()).then_some(shared)
    }

    /// Widens the template so that it covers a line of the same leaf.
    fn widen(&mut self, line: Line<'_>, sketch: &[u8]) {
        let mut is_wider = false;
        for (own, other) in self.sketch.iter_mut().zip(sketch) {
            if own != other && *own > SEPARATOR {
                *own = WIDENED;
                is_wider = true;
            }
        }
        if is_wider {
            self.text = shown(&line.shape.text, &self.sketch, self.level).into();
        }
    }
}

/// Words in a row, and how many of them two lines share.
#[derive(Debug, Clone, Copy)]
struct Row {
    words: u32,
    shared: u32,
    /// The last words, one bit each: whether they differ. So many of them are looked at, and so many may differ.
    last: u32,
    length: u32,
    allowed: u32,
}

impl Row {
    /// Begins a row of bytes that stand for so many words each.
    fn of(stride: usize) -> Self {
        let length = (ROW_WORDS / stride).max(MIN_ROW) as u32;
        let allowed = (length * (10 - SHARED_TENTHS) / 10).max(1);
        Self { words: 0, shared: 0, last: 0, length, allowed }
    }

    /// Takes a word. Returns whether enough of the last ones are shared.
    fn take(&mut self, is_shared: bool) -> bool {
        self.words += 1;
        self.shared += u32::from(is_shared);
        self.last = (self.last << 1 | u32::from(!is_shared)) & ((1 << self.length) - 1);
        self.last.count_ones() <= self.allowed
    }

    fn is_alike(self) -> bool {
        self.shared * 10 >= self.words * SHARED_TENTHS
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
    let shape = &*line.shape.text;
    let id = fold(fold(u64::from(line.level as u8), shape), "");
    let place = templates.iter().position(|known| known.id == id).unwrap_or_else(|| {
        let (sketch, count) = sketch(shape);
        let first = tokens(shape).next().unwrap_or_default();
        let first = if first.contains(MASK) { MASK } else { first };
        let leaf = fold(fold(line.shape.codes ^ u64::from(line.level as u8), first), &count.to_string());
        let similar = templates
            .iter()
            .enumerate()
            .filter(|(_, known)| known.leaf == leaf)
            .filter_map(|(place, known)| Some((known.shares(&sketch, stride(count))?, place)))
            .max_by_key(|&(shared, place)| (shared, std::cmp::Reverse(place)));
        if let Some((_, place)) = similar {
            templates[place].widen(line, &sketch);
            return place;
        }
        let fresh = Template {
            id,
            leaf,
            level: line.level,
            text: shown(shape, &sketch, line.level).into(),
            sketch: sketch.into(),
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
    shape.split([' ', SEAM])
}

/// Returns a byte for each token, or for as many of them as it takes, and how many tokens there are.
fn sketch(shape: &str) -> (Vec<u8>, usize) {
    let count = tokens(shape).count();
    let stride = stride(count);
    let mut sketch = vec![EMPTY; count.div_ceil(stride)];
    let mut hash = 0;
    for (place, token) in tokens(shape).enumerate() {
        if place % stride == 0 {
            hash = 0;
        }
        if token == PART.trim() && stride == 1 {
            sketch[place] = SEPARATOR;
        } else if !line::is_empty(token) {
            hash = fold(hash, token);
            sketch[place / stride] = SEPARATOR + 1 + (hash % u64::from(u8::MAX - SEPARATOR)) as u8;
        }
    }
    (sketch, count)
}

/// Returns how many tokens a byte of the sketch stands for.
fn stride(count: usize) -> usize {
    count.div_ceil(SKETCH_BYTES).max(1)
}

/// Returns a template as people read it: the shape of one of its lines, with marks where words vary as well.
fn shown(shape: &str, sketch: &[u8], level: Level) -> String {
    let stride = stride(tokens(shape).count());
    let mut text = String::with_capacity(shape.len());
    for (place, token) in shape.split_inclusive([' ', SEAM]).enumerate() {
        let bare = token.trim_end_matches([' ', SEAM]);
        let varies = match sketch.get(place / stride) {
            Some(&WIDENED) => true,
            Some(&EMPTY) => !line::is_empty(bare),
            _ => false,
        };
        let word = if varies { MASK } else { bare };
        // letters of one name are one name
        if !(word == MASK && text.ends_with(MASK)) {
            text.push_str(word);
        }
        if token.ends_with(' ') {
            text.push(' ');
        }
    }
    let bytes = if level >= Level::Warn { TEXT_BYTES } else { OTHER_TEXT_BYTES };
    match shortened(&text, bytes) {
        Cow::Borrowed(_) => text,
        Cow::Owned(short) => short,
    }
}

/// Folds a text into a hash: Fowler, Noll and Vo's 64-bit one (FNV-1a), which no version of a library changes.
pub(super) fn fold(hash: u64, text: &str) -> u64 {
    text.bytes().chain([0xff]).fold(hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(templates: &mut Vec<Template>, level: Level, shape: &str, now_ms: i64) -> usize {
        let shape = line::Shape { text: shape.to_owned(), codes: 0 };
        let line = Line { level, text: &shape.text, shape: &shape, ts_ms: now_ms };
        enter(templates, line, now_ms, true, &Rate::default())
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
    fn lines_that_differ_at_one_place_only_do_not_share_one_however_long_they_are() {
        let mut templates = Vec::new();
        let begin = "request of a customer was not served ".repeat(12);
        for shape in [
            format!("{begin}balance is too low"),
            format!("{begin}provider rejected the signature"),
            format!("{begin}| reset by peer"),
            format!("{begin}| closed by peer"),
            format!("balance is too low {begin}"),
            format!("{begin}balance is too low {begin}"),
            format!("{begin}signature was rejected twice {begin}"),
        ] {
            let before = templates.len();
            assert_eq!(take(&mut templates, Level::Error, &shape, 0), before, "{shape}");
        }
        assert!(templates[1].text.ends_with("provider rejected the signature"), "{}", templates[1].text);
    }

    #[test]
    fn templates_do_not_widen_until_they_mean_nothing() {
        let mut templates = Vec::new();
        for shape in ["a b c d e f g h i j", "a b c d e f g x y z", "a b c d q r s t u v"] {
            take(&mut templates, Level::Warn, shape, 0);
        }
        assert_eq!(templates.len(), 2);
        assert_eq!(&*templates[0].text, "a b c d e f g <*> <*> <*>");
        take(
            &mut templates,
            Level::Warn,
            "\u{4f59}\u{200b}\u{4f59}\u{200b}\u{989d}\u{200b}\u{4e0d}\u{200b}<*>",
            0,
        );
        take(
            &mut templates,
            Level::Warn,
            "\u{4f59}\u{200b}\u{8db3}\u{200b}\u{989d}\u{200b}\u{4e0d}\u{200b}<*>",
            0,
        );
        assert_eq!(&*templates[2].text, "\u{4f59}<*>\u{989d}\u{4e0d}<*>");
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
