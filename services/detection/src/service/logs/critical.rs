//! Lines that say that something is broken for certain.

use shared::events::Severity;
use shared::events::raw::Level;

use crate::config::LogOptions;

/// What counts as critical, and how bad it is alone. SEV2 stops a service or loses data; SEV3 is the end of one process
/// or request.
const PHRASES: [(&str, Severity); 17] = [
    ("out of memory", Severity::Sev2),
    ("OutOfMemoryError", Severity::Sev2),
    ("OOMKilled", Severity::Sev2),
    ("no space left on device", Severity::Sev2),
    ("ENOSPC", Severity::Sev2),
    ("data corruption", Severity::Sev2),
    ("kernel panic", Severity::Sev2),
    ("panic", Severity::Sev3),
    ("panicked", Severity::Sev3),
    ("fatal", Severity::Sev3),
    ("segfault", Severity::Sev3),
    ("segmentation fault", Severity::Sev3),
    ("SIGSEGV", Severity::Sev3),
    ("core dumped", Severity::Sev3),
    ("stack overflow", Severity::Sev3),
    ("StackOverflowError", Severity::Sev3),
    ("deadlock detected", Severity::Sev3),
];

/// One of these among the two words before a phrase takes it back.
const NEGATIONS: [&str; 9] = ["no", "not", "non", "0", "zero", "never", "without", "avoid", "prevent"];
/// One of these after it as well: `fatal=0`.
const ABSENT: [&str; 5] = ["0", "false", "none", "off", "disabled"];

/// What a line says that is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit<'a> {
    /// The phrase, or what the level says.
    pub(crate) what: &'a str,
    pub(crate) severity: Severity,
}

/// The phrases to look for.
#[derive(Debug)]
pub(crate) struct Phrases(Vec<Phrase>);

#[derive(Debug)]
struct Phrase {
    text: Box<str>,
    words: Vec<Box<str>>,
    severity: Severity,
}

impl Phrases {
    pub(crate) fn new(options: &LogOptions) -> Self {
        let defaults = PHRASES.iter().filter(|_| options.critical_defaults).copied();
        let own = options.critical.iter().map(|phrase| (phrase.as_str(), Severity::Sev3));
        let phrases = defaults.chain(own).map(|(text, severity)| Phrase {
            text: text.into(),
            words: words(text).map(str::to_lowercase).map(String::into_boxed_str).collect(),
            severity,
        });
        Self(phrases.filter(|phrase| !phrase.words.is_empty()).collect())
    }

    /// Returns the worst that a line says. Only whole words count, in any case, and none that is negated.
    pub(crate) fn find(&self, level: Level, line: &str) -> Option<Hit<'_>> {
        let mut worst =
            (level == Level::Fatal).then_some(Hit { what: "level fatal", severity: Severity::Sev3 });
        if level < Level::Info {
            return worst;
        }
        let mut before = ["", ""];
        let mut rest = words(line);
        while let Some(word) = rest.next() {
            for phrase in self.0.iter().filter(|phrase| same(&phrase.words[0], word)) {
                let mut after = rest.clone();
                let is_whole = phrase.words[1..]
                    .iter()
                    .all(|expected| after.next().is_some_and(|word| same(expected, word)));
                let is_denied = before.iter().any(|word| is_any(&NEGATIONS, word))
                    || after.next().is_some_and(|word| is_any(&ABSENT, word));
                let is_worse = worst.is_none_or(|hit| phrase.severity > hit.severity);
                if is_whole && !is_denied && is_worse {
                    worst = Some(Hit { what: &phrase.text, severity: phrase.severity });
                }
            }
            before = [before[1], word];
        }
        worst
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Compares a word in lower case with one of a line.
fn same(lower: &str, word: &str) -> bool {
    lower.eq_ignore_ascii_case(word) || !word.is_ascii() && *lower == word.to_lowercase()
}

fn is_any(known: &[&str], word: &str) -> bool {
    known.iter().any(|one| one.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(level: Level, line: &str) -> Option<String> {
        Phrases::new(&LogOptions::default()).find(level, line).map(|hit| hit.what.to_owned())
    }

    #[test]
    fn whole_words_count_in_any_case() {
        for (line, what) in [
            ("thread 'main' panicked at src/main.rs:7", "panicked"),
            ("PANIC: runtime error: index out of range", "panic"),
            ("java.lang.OutOfMemoryError: Java heap space", "OutOfMemoryError"),
            ("Out of memory: Killed process 77 (java)", "out of memory"),
            ("write /data/7: no space left on device", "no space left on device"),
            ("FATAL: no such role", "fatal"),
            ("ERROR: deadlock detected", "deadlock detected"),
            ("fatal: panic, data corruption in block 7", "data corruption"),
        ] {
            assert_eq!(found(Level::Error, line).as_deref(), Some(what), "{line}");
        }
        assert_eq!(found(Level::Fatal, "bye").as_deref(), Some("level fatal"));
    }

    #[test]
    fn parts_of_words_and_negations_do_not() {
        for line in [
            "nonfatal glitch",
            "non-fatal error, retrying",
            "this is not a fatal error",
            "no panic",
            "checked 7 blocks: no data corruption",
            "errors=7 fatal=0",
            "panic: false",
            "the panicky client of fatality.example left, nothing detected in the deadlock",
            "left on device: no space",
        ] {
            assert_eq!(found(Level::Error, line), None, "{line}");
        }
        assert_eq!(found(Level::Debug, "panic"), None);
    }

    #[test]
    fn the_list_can_be_added_to_and_replaced() {
        let own = |critical: &[&str], critical_defaults| LogOptions {
            critical: critical.iter().map(|&phrase| phrase.to_owned()).collect(),
            critical_defaults,
        };
        let phrases = Phrases::new(&own(&["Quorum lost", "Überlauf"], false));
        assert_eq!(phrases.find(Level::Warn, "raft: quorum LOST!").unwrap().what, "Quorum lost");
        assert_eq!(phrases.find(Level::Warn, "ÜBERLAUF im Becken").unwrap().what, "Überlauf");
        assert_eq!(phrases.find(Level::Error, "panic"), None);
        assert!(Phrases::new(&own(&["x"], true)).find(Level::Error, "panic").is_some());
    }
}
