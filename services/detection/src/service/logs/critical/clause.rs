//! Whether a phrase in a line states a fact, by the words around it.
//!
//! First what takes it back: that there are none, that it may be or was, that it is named, belongs to others or is over.
//! Then what asserts it: its place (`write: no space left on device`), or a word that reports an event. Where neither is
//! found the level decides: lines of errors are about errors.

use shared::events::Severity;
use shared::events::raw::Level;

use super::vocabulary::{
    ANSWERS, CONDITIONS, EVENTS, FACTS, FILLERS, FOUND, HARMLESS, LATER_MODALS, LEVELS, MENTIONS, MODALS,
    NAMING, NEAR_MENTIONS, NEAR_NEGATIONS, NEGATIONS, OF_CAUSES, OTHERS, OVER, PAST, PERIODS, REFUSALS,
    REPORTS, SUBJECTS, TESTS, THINGS, VERBS_OF_STATE,
};
use super::words::{Gap, Quote, Word};

/// Returns whether the phrase of so many words at a place states a fact about the service that writes the line.
pub(super) fn is_stated(
    words: &[Word<'_>],
    (at, length): (usize, usize),
    level: Level,
    severity: Severity,
) -> bool {
    let place = Place::new(words, at, length);
    !(place.is_named()
        || place.is_key()
        || place.is_none()
        || place.is_possible()
        || place.is_mentioned()
        || place.is_compound()
        || place.is_of_others()
        || place.is_over(level, severity))
        && (level >= Level::Error || place.is_asserted())
}

/// A phrase in its clause and sentence.
struct Place<'a> {
    phrase: &'a [Word<'a>],
    /// The words of the clause, and of the sentence, before the phrase.
    clause: &'a [Word<'a>],
    sentence: &'a [Word<'a>],
    /// All words after it, each with what stands before it.
    after: &'a [Word<'a>],
}

impl<'a> Place<'a> {
    fn new(words: &'a [Word<'a>], at: usize, length: usize) -> Self {
        let begin =
            |ends: fn(Gap) -> bool| (0..=at).rev().find(|place| ends(words[*place].gap)).unwrap_or_default();
        Self {
            phrase: &words[at..at + length],
            clause: &words[begin(Gap::is_end)..at],
            sentence: &words[begin(|gap| gap == Gap::Sentence)..at],
            after: &words[at + length..],
        }
    }

    /// The words after the phrase up to the end of the clause.
    fn rest(&self) -> impl Iterator<Item = &'a Word<'a>> + use<'a> {
        self.after.iter().take_while(|word| !word.gap.is_end())
    }

    /// The last words before the phrase, the nearest first.
    fn near(&self, count: usize) -> impl Iterator<Item = &'a Word<'a>> + use<'a> {
        self.clause.iter().rev().take(count)
    }

    fn has_event(&self) -> bool {
        self.clause.iter().any(|word| word.is(EVENTS))
    }

    /// It is quoted, or part of a name.
    fn is_named(&self) -> bool {
        let is_value = self.phrase.len() == 1
            && self.phrase[0].quote == Quote::Said
            && self.after.first().is_none_or(|next| next.quote == Quote::None || next.gap.is_end())
            && self
                .sentence
                .last()
                .is_none_or(|before| before.quote == Quote::None || self.phrase[0].gap.is_end());
        let is_report = self.sentence.last().is_some_and(|key| key.is(REPORTS));
        // one of a list of classes, or of levels
        let is_class = |word: &Word<'_>| word.name().ends_with("Error");
        let next = self.after.first().filter(|next| next.gap == Gap::Comma);
        let before = self.sentence.last().filter(|_| self.phrase[0].gap == Gap::Comma);
        let mut beside = next.into_iter().chain(before);
        let is_listed = beside.any(|word| {
            word.is(LEVELS) && self.phrase[0].is(LEVELS) || is_class(word) && is_class(&self.phrase[0])
        });
        let is_refused = self.after.is_empty() && self.sentence.iter().take(2).any(|word| word.is(REFUSALS));
        let is_mapped = self.after.first().is_some_and(|word| word.is("-> => →"));
        is_value && !is_report
            || is_listed
            || is_refused
            || is_mapped
            || self.phrase.iter().any(|word| word.quote == Quote::Name || word.is_identifier())
    }

    /// It is the key of a field: only `true` states it. Or its value: only that of an error states it.
    fn is_key(&self) -> bool {
        let key = self.sentence.last().filter(|_| self.phrase[0].gap == Gap::Assign);
        if key.is_some_and(|key| !key.is(REPORTS)) {
            return true;
        }
        let Some(value) = self.after.first() else { return false };
        match value.gap {
            Gap::Assign => !value.is("true yes 1") || value.is_number(),
            _ => false,
        }
    }

    /// The line says that there are none.
    fn is_none(&self) -> bool {
        let is_denied = self.near(2).any(|word| word.is(NEAR_NEGATIONS) || word.text.ends_with("n't"))
            || self.near(4).any(|word| word.is(NEGATIONS))
            || self.clause.last().is_some_and(Word::is_zero);
        // a list: "no crashes, panic or deadlock detected"
        let mut around = self.sentence.iter().rev().take(8).chain(self.after.iter().take(3));
        let is_listed = around.any(|word| word.is("or nor"))
            && self.sentence.iter().rev().take(8).any(|word| word.is("no zero 0 without neither"));
        // a count behind it: "errors: 0", "count=0", "not detected"
        let count = self.after.iter().take(6).position(|word| !word.is(FILLERS));
        let is_zero = count.is_some_and(|at| {
            let word = &self.after[at];
            let is_last = self.after.get(at + 1).is_none_or(|next| next.gap.is_end() || next.is(FOUND));
            word.gap != Gap::Sentence
                && (word.is_zero() && (is_last || word.is_number())
                    || word.is("not")
                        && (!word.gap.is_end()
                            || self.after[at + 1..].iter().take(1).any(|next| next.is(FOUND))))
        });
        // the count of something that has a name: "fatal disconnects: 0"
        let named = self.after.iter().take(5).find(|word| word.gap.is_end());
        let is_named_zero = named.is_some_and(|word| {
            matches!(word.gap, Gap::Colon | Gap::Assign) && word.is_number() && word.is_zero()
        });
        let is_none_of = self.clause.first().is_some_and(|word| word.is_number() && word.is_zero());
        is_denied || is_listed || is_zero || is_named_zero || is_none_of
    }

    /// It may happen, or would.
    fn is_possible(&self) -> bool {
        let begins_with_condition = |words: &[Word<'_>]| {
            words.iter().any(|word| word.gap.is_end() && word.is(CONDITIONS)) && !self.has_event()
        };
        let modal = self.clause.iter().enumerate().any(|(place, word)| {
            let is_failure = self.clause.get(place + 1).is_some_and(|next| next.is("not"));
            word.is(MODALS) && !is_failure
        });
        let condition = self.clause.iter().any(|word| word.is(CONDITIONS)) && !self.has_event();
        let infinitive = self.clause.last().is_some_and(|word| word.is("to"));
        let later = self.rest().filter(|word| !word.is(FILLERS)).take(2).any(|word| word.is(LATER_MODALS));
        begins_with_condition(self.sentence) || modal || condition || infinitive || later
    }

    /// The line talks about it: a rule, a test, a level, a help text.
    fn is_mentioned(&self) -> bool {
        let naming = self.near(2).enumerate().any(|(place, word)| {
            let before = self.clause.len().checked_sub(place + 2).and_then(|at| self.clause.get(at));
            word.is(NAMING) && !(word.is("of") && before.is_some_and(|before| before.is(OF_CAUSES)))
        });
        let flags = self.sentence.iter().any(|word| {
            word.text.strip_prefix("--").is_some_and(|flag| flag.starts_with(char::is_alphabetic))
        });
        let mention = self.sentence.iter().any(|word| word.is(MENTIONS))
            || self.near(3).any(|word| word.is(NEAR_MENTIONS));
        self.sentence.iter().any(|word| word.is(TESTS)) || (naming || flags || mention) && !self.has_event()
    }

    /// It is the first word of a thing: a handler, a mode, a policy; or what follows is about how it is dealt with.
    fn is_compound(&self) -> bool {
        let mut rest = self.rest().filter(|word| !word.is(FILLERS));
        match rest.next() {
            Some(word) if word.is(THINGS) => true,
            Some(word) if word.is(VERBS_OF_STATE) => rest.take(2).any(|word| word.is(HARMLESS)),
            _ => false,
        }
    }

    /// Somebody else reports it of itself.
    fn is_of_others(&self) -> bool {
        let is_other = |word: &&Word<'_>| word.is(OTHERS);
        let begins = |place: usize| {
            // the first word of its clause, but for an article
            let before = place.checked_sub(1).and_then(|at| self.sentence.get(at));
            self.sentence[place].gap.is_end()
                || before.is_some_and(|word| word.gap.is_end() && word.is("the our an a from"))
        };
        self.sentence
            .iter()
            .enumerate()
            .filter(|(_, word)| is_other(word))
            .any(|(place, _)| begins(place) || self.sentence[..place].iter().any(|word| word.is(ANSWERS)))
    }

    /// It was, or is over. That a process has recovered from a panic is the end of a request all the same.
    fn is_over(&self, level: Level, severity: Severity) -> bool {
        let period = self.sentence.windows(2).any(|words| words[0].is(PAST) && words[1].is(PERIODS));
        let was = period
            || self.clause.iter().any(|word| word.is(PAST))
            || self.rest().take(4).any(|word| word.is("ago earlier"));
        let is_past = self.sentence.iter().chain(self.after.iter().take(4)).any(|word| word.is(OVER));
        let is_panic = self.phrase[0].is("panic") && severity == Severity::Sev3 && level >= Level::Error;
        was || is_past && !is_panic
    }

    /// Place or words assert it.
    fn is_asserted(&self) -> bool {
        let is_verb = self
            .phrase
            .iter()
            .any(|word| word.is("panicked segfaulted dumped detected found invoked cannot OOMKilled"));
        let begins = self.clause.iter().all(|word| word.is(SUBJECTS));
        is_verb
            || begins
            || self.clause.iter().any(|word| word.is(FACTS))
            || self.rest().take(4).any(|word| word.is(FACTS))
            || self.is_counted()
            || self.after.first().is_none_or(|word| matches!(word.gap, Gap::Colon | Gap::Sentence))
                && !self.clause.last().is_some_and(Word::is_number)
    }

    /// "3 fatal errors" is a count, "3 fatal" may be one of a list of kinds.
    fn is_counted(&self) -> bool {
        self.clause.last().is_some_and(Word::is_number)
            && self.rest().next().is_some_and(|word| word.is(FILLERS))
    }
}
