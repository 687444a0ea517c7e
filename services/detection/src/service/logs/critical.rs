//! Lines that say that something is broken for certain.

mod clause;
mod vocabulary;
mod words;

use shared::events::Severity;
use shared::events::raw::Level;

use crate::config::LogOptions;
use words::Word;

/// What counts as critical, and how bad it is alone. SEV2 stops a service or loses data; SEV3 is the end of one process
/// or request.
const PHRASES: [(&str, Severity); 24] = [
    ("out of memory", Severity::Sev2),
    ("OutOfMemoryError", Severity::Sev2),
    ("OOMKilled", Severity::Sev2),
    ("invoked oom-killer", Severity::Sev2),
    ("cannot allocate memory", Severity::Sev2),
    ("no space left on device", Severity::Sev2),
    ("ENOSPC", Severity::Sev2),
    ("data corruption", Severity::Sev2),
    ("kernel panic", Severity::Sev2),
    ("panic", Severity::Sev3),
    ("panicked", Severity::Sev3),
    ("fatal", Severity::Sev3),
    ("segfault", Severity::Sev3),
    ("segfaulted", Severity::Sev3),
    ("segmentation fault", Severity::Sev3),
    ("SIGSEGV", Severity::Sev3),
    ("SIGABRT", Severity::Sev3),
    ("SIGBUS", Severity::Sev3),
    ("core dumped", Severity::Sev3),
    ("stack overflow", Severity::Sev3),
    ("StackOverflowError", Severity::Sev3),
    ("deadlock detected", Severity::Sev3),
    ("deadlock found", Severity::Sev3),
    ("double free", Severity::Sev3),
];

/// What a line says that is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit<'a> {
    /// The phrase, or what the level says.
    pub(crate) what: &'a str,
    pub(crate) severity: Severity,
}

/// The phrases to look for.
#[derive(Debug)]
pub(crate) struct Phrases {
    known: Vec<Phrase>,
    /// For each first letter of a phrase, A to Z in any case, the lengths of first words, one bit each.
    lengths: [u64; 26],
    /// Whether a first word begins with none of these letters.
    has_others: bool,
}

#[derive(Debug)]
struct Phrase {
    text: Box<str>,
    words: Vec<Box<str>>,
    severity: Severity,
}

/// Most phrases that are looked for: one bit each. Configurations are bounded below it.
const MAX_PHRASES: usize = 128;

impl Phrases {
    pub(crate) fn new(options: &LogOptions) -> Self {
        let defaults = PHRASES.iter().filter(|_| options.critical_defaults).copied();
        let own = options.critical.iter().map(|phrase| (phrase.as_str(), Severity::Sev3));
        let phrases = defaults.chain(own).map(|(text, severity)| Phrase {
            text: text.into(),
            words: runs(text).map(str::to_lowercase).map(String::into_boxed_str).collect(),
            severity,
        });
        let phrases: Vec<Phrase> =
            phrases.filter(|phrase| !phrase.words.is_empty()).take(MAX_PHRASES).collect();
        let (mut lengths, mut has_others) = ([0; 26], false);
        for first in phrases.iter().map(|phrase| &phrase.words[0]) {
            match letter_of(first) {
                Some(letter) => lengths[letter] |= 1 << first.len().min(63),
                None => has_others = true,
            }
        }
        Self { known: phrases, lengths, has_others }
    }

    /// Returns the worst that a line says: phrases as whole words, in any case, that state a fact about its service.
    pub(crate) fn find(&self, level: Level, line: &str) -> Option<Hit<'_>> {
        let worst = (level == Level::Fatal).then_some(Hit { what: "level fatal", severity: Severity::Sev3 });
        if level < Level::Info {
            return worst;
        }
        let held = self.held(line);
        if held == 0 {
            return worst;
        }
        let words = &words::split(line)[..];
        let phrases = self.known.iter().enumerate().filter(|(place, _)| held >> place & 1 == 1);
        let hits = phrases.flat_map(|(_, phrase)| {
            (0..words.len()).filter_map(move |at| Some((phrase, at, phrase.length_at(&words[at..])?)))
        });
        let stated = hits
            .filter(|(phrase, at, length)| clause::is_stated(words, (*at, *length), level, phrase.severity))
            .map(|(phrase, ..)| Hit { what: &phrase.text, severity: phrase.severity });
        worst
            .into_iter()
            .chain(stated)
            .reduce(|worst, hit| if hit.severity > worst.severity { hit } else { worst })
    }

    /// Returns which phrases have all their words in a row in a line, one bit each: few lines have any.
    fn held(&self, line: &str) -> u128 {
        let mut held = 0;
        let mut rest = runs(line);
        while let Some(run) = rest.next() {
            let may_be = letter_of(run).map_or(self.has_others, |letter| {
                self.lengths[letter] >> run.len().min(63) & 1 == 1 || !run.is_ascii()
            });
            if !may_be {
                continue;
            }
            for (place, phrase) in self.known.iter().enumerate() {
                let mut after = rest.clone();
                let mut others = phrase.words[1..].iter();
                let is_held = same(&phrase.words[0], run)
                    && others.all(|word| after.next().is_some_and(|run| same(word, run)));
                held |= u128::from(is_held) << place;
            }
        }
        held
    }
}

impl Phrase {
    /// Returns how many words it takes where it stands at the begin of these: one, where hyphens join it.
    fn length_at(&self, words: &[Word<'_>]) -> Option<usize> {
        let mut expected = self.words.iter();
        let mut length = 0;
        while expected.len() > 0 {
            let word = words.get(length)?;
            if length > 0 && word.gap.is_end() {
                return None;
            }
            for run in runs(word.name()) {
                if !same(expected.next()?, run) {
                    return None;
                }
            }
            length += 1;
        }
        Some(length)
    }
}

/// Returns the place of the first letter in the alphabet.
fn letter_of(word: &str) -> Option<usize> {
    let first = word.bytes().next()?.to_ascii_lowercase();
    first.is_ascii_lowercase().then(|| usize::from(first - b'a'))
}

/// Returns the runs of letters and digits.
fn runs(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|run| !run.is_empty())
}

/// Compares a word in lower case with one of a line.
fn same(lower: &str, word: &str) -> bool {
    lower.eq_ignore_ascii_case(word) || !word.is_ascii() && *lower == word.to_lowercase()
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
            ("worker 7 died of an out-of-memory error", "out of memory"),
            ("pod web-7 terminated, reason=OOMKilled", "OOMKilled"),
            ("scan done: fatal errors: 3", "fatal"),
            ("could not write the segment because no space left on device", "no space left on device"),
        ] {
            assert_eq!(found(Level::Error, line).as_deref(), Some(what), "{line}");
            assert_eq!(found(Level::Warn, line).as_deref(), Some(what), "{line}");
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
            "backup finished with 3 warnings; fatal errors: 0",
            "container stats: OOMKilled count=0 restarts=0",
            "scan done: panics found: 0, fatal errors: 0",
            "upstream closed early (fatal=false), retrying",
            "no crashes, panic or deadlock detected",
        ] {
            assert_eq!(found(Level::Error, line), None, "{line}");
        }
        assert_eq!(found(Level::Debug, "panic"), None);
    }

    #[test]
    fn what_may_be_is_named_or_belongs_to_others_does_not() {
        for line in [
            "cache is unbounded; set max_entries or you may run out of memory",
            "if the queue overflows, the worker will panic",
            "will exit on fatal errors",
            "close to running out of memory",
            "started with --oom-kill-disable --panic=10",
            "panic_on_oom = 0, kernel.panic=10",
            "loaded /etc/panic/fatal.conf",
            "class com.shop.OutOfMemoryErrorHandler registered",
            "log level set to FATAL",
            "matched rule \"out of memory\" in 3 ms",
            "running test panic recovery ... ok",
            "usage: serve [--strict] exit at once on fatal errors",
            "upstream billing: panic: nil map",
            "received fatal alert: handshake_failure",
            "panic handler installed",
            "recovered from deadlock detected earlier",
            "previous panic was reported",
        ] {
            assert_eq!(found(Level::Warn, line), None, "{line}");
            assert_eq!(found(Level::Error, line), None, "{line}");
        }
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
