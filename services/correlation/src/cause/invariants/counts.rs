//! Counts of operations, outgoing calls and log places by the minute.

use std::collections::{BTreeMap, BTreeSet};

use super::Pair;
use crate::cause::minutes::Minutes;

/// Items of a service that are looked at: the most frequent ones. All pairs of them are compared.
const MAX_ITEMS: usize = 120;

/// What may follow a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item<'a> {
    /// An operation of a callee.
    Call {
        /// Callee.
        callee: &'a str,
        /// Its operation.
        operation: &'a str,
    },
    /// Where a line is written.
    Log {
        /// Level.
        level: &'a str,
        /// Place in the code, or the template.
        place: &'a str,
    },
}

/// Counts of one service.
#[derive(Debug, Default)]
pub(super) struct Service<'a> {
    /// Minutes of history.
    pub(super) minutes: usize,
    /// Operations, by name.
    pub(super) operations: Vec<Pair>,
    /// Items that history has.
    pub(super) items: Vec<(Item<'a>, Pair)>,
}

type Series = BTreeMap<usize, f64>;

/// Counts of one period: the number of its minutes, operations and items of each service.
#[derive(Debug, Default)]
struct Period<'a> {
    minutes: usize,
    operations: BTreeMap<&'a str, BTreeMap<&'a str, Series>>,
    items: BTreeMap<&'a str, BTreeMap<Item<'a>, Series>>,
}

impl<'a> Period<'a> {
    fn of(minutes: &'a Minutes) -> Self {
        let stamps: BTreeSet<i64> = minutes.spans.keys().chain(minutes.logs.keys()).copied().collect();
        let mut period = Self { minutes: stamps.len(), ..Self::default() };
        for (index, stamp) in stamps.iter().enumerate() {
            for (call, spans) in minutes.spans.get(stamp).into_iter().flatten() {
                let operations = period.operations.entry(&call.service).or_default();
                *operations.entry(&call.operation).or_default().entry(index).or_default() += spans.count;
                if let Some(caller) = call.caller.as_deref().filter(|caller| *caller != call.service) {
                    let item = Item::Call { callee: &call.service, operation: &call.operation };
                    period.count(caller, item, index, spans.count);
                }
            }
            for (line, count) in minutes.logs.get(stamp).into_iter().flatten() {
                let item = Item::Log { level: &line.level, place: place(&line.template) };
                period.count(&line.service, item, index, *count);
            }
        }
        period
    }

    fn count(&mut self, service: &'a str, item: Item<'a>, minute: usize, count: f64) {
        let items = self.items.entry(service).or_default();
        *items.entry(item).or_default().entry(minute).or_default() += count;
    }
}

/// Counts of the history and of now.
#[derive(Debug)]
pub(super) struct Counts<'a> {
    history: Period<'a>,
    now: Period<'a>,
}

impl<'a> Counts<'a> {
    pub(super) fn of(history: &'a Minutes, now: &'a Minutes) -> Self {
        Self { history: Period::of(history), now: Period::of(now) }
    }

    /// Returns the counts of each service that has items, by name.
    pub(super) fn services(&self) -> impl Iterator<Item = (&'a str, Service<'a>)> {
        self.history.items.iter().map(|(service, items)| {
            let operations = self.history.operations.get(service).into_iter().flatten();
            let operations = operations.map(|(name, series)| {
                let now = self.now.operations.get(service).and_then(|operations| operations.get(name));
                self.pair(series, now)
            });
            let mut pairs: Vec<(Item<'a>, Pair)> = items
                .iter()
                .map(|(item, series)| {
                    let now = self.now.items.get(service).and_then(|items| items.get(item));
                    (*item, self.pair(series, now))
                })
                .collect();
            pairs.sort_by(|(_, a), (_, b)| b.total().total_cmp(&a.total()));
            pairs.truncate(MAX_ITEMS);
            pairs.sort_by_key(|(item, _)| *item);
            let minutes = self.history.minutes;
            (*service, Service { minutes, operations: operations.collect(), items: pairs })
        })
    }

    fn pair(&self, history: &Series, now: Option<&Series>) -> Pair {
        let dense = |series: Option<&Series>, minutes: usize| {
            let mut values = vec![0.0; minutes];
            for (&minute, &count) in series.into_iter().flatten() {
                values[minute] = count;
            }
            values
        };
        Pair { history: dense(Some(history), self.history.minutes), now: dense(now, self.now.minutes) }
    }
}

/// Returns where a line is written, if it says so (`Name#12`, `file.py:12`): one place writes many texts. Else it is the
/// template.
fn place(template: &str) -> &str {
    template.split_whitespace().find_map(place_in).unwrap_or(template)
}

/// Returns a word up to its last line number.
fn place_in(word: &str) -> Option<&str> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    word.char_indices().rev().filter(|(_, char)| matches!(char, '#' | ':')).find_map(|(mark, _)| {
        let digits = word[mark + 1..].chars().take_while(char::is_ascii_digit).count();
        let end = mark + 1 + digits;
        let before = word[..mark].chars().next_back();
        let follows = word[end..].chars().next();
        let is_place = digits > 0
            && before.is_some_and(|char| is_word(char) || char == ']')
            && !follows.is_some_and(is_word);
        is_place.then(|| &word[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_its_place() {
        assert_eq!(place("[main] OrderService#120: order * failed"), "OrderService#120");
        assert_eq!(place("see app/views.py:12, or b:3x"), "app/views.py:12");
        assert_eq!(place("a:1 b#2"), "a:1");
        assert_eq!(place("x:1:22 rest"), "x:1:22");
        assert_eq!(place("nothing : 12 here"), "nothing : 12 here");
        assert_eq!(place("Größe:3ä Ä#7"), "Ä#7");
    }
}
