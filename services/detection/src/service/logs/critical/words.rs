//! A line as words, with what stands between them.

/// What stands before a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// A space, or a hyphen.
    None,
    /// `=`
    Assign,
    /// A comma, slash or dash: the same sentence goes on with something else.
    Comma,
    /// A colon or bracket: what follows explains what was said.
    Colon,
    /// The end of a sentence, or the begin of the line.
    Sentence,
}

impl Gap {
    /// Returns whether a clause ends here.
    pub(super) fn is_end(self) -> bool {
        self > Self::None
    }
}

/// One word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) gap: Gap,
    /// Whether it stands in quotes, as a name or as something that was said.
    pub(super) quote: Quote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quote {
    None,
    Name,
    Said,
}

impl<'a> Word<'a> {
    /// Returns whether it is one of these, which spaces separate, in any case.
    pub(super) fn is(&self, known: &str) -> bool {
        known.split(' ').any(|one| one.eq_ignore_ascii_case(self.text))
    }

    /// Returns the word, or the exception of a qualified one: `OutOfMemoryError` of `java.lang.OutOfMemoryError`.
    pub(super) fn name(&self) -> &'a str {
        let class = self.text.rsplit_once('.').map_or(self.text, |(_, class)| class);
        let is_class = class.ends_with("Error") || class.ends_with("Exception");
        if is_class && self.text.starts_with(char::is_lowercase) { class } else { self.text }
    }

    /// Returns whether it is the name of something rather than a word: a path, flag, setting, file, address.
    pub(super) fn is_identifier(&self) -> bool {
        let name = self.name();
        name.starts_with(['-', '@', '$', '%', '#', '+'])
            || name.contains(['_', '/', '\\', '.', '@', '<', '>', '*', '~', '&', '+', '$', '%'])
    }

    /// Returns whether it says that there are none.
    pub(super) fn is_zero(&self) -> bool {
        let number = self.text.trim_end_matches('%');
        number.starts_with('0') && number.bytes().all(|byte| matches!(byte, b'0' | b'.'))
            || self.text.starts_with("0/")
            || self.is("false none off disabled no null nil never n/a nothing ok")
    }

    pub(super) fn is_number(&self) -> bool {
        self.text.starts_with(|letter: char| letter.is_ascii_digit())
    }
}

/// Splits a line.
pub(super) fn split(line: &str) -> Vec<Word<'_>> {
    let mut splitter = Splitter { words: Vec::new(), gap: Gap::Sentence, quote: None };
    for chunk in line.split(' ').filter(|chunk| !chunk.is_empty()) {
        splitter.chunk(chunk);
    }
    splitter.words
}

struct Splitter<'a> {
    words: Vec<Word<'a>>,
    /// The strongest sign since the last word.
    gap: Gap,
    /// The quote that is open, with whether something said stands in it.
    quote: Option<(char, Quote)>,
}

impl<'a> Splitter<'a> {
    /// Takes what stands between two spaces.
    fn chunk(&mut self, chunk: &'a str) {
        let mut start = 0;
        for (at, letter) in chunk.char_indices() {
            let rest = &chunk[at + letter.len_utf8()..];
            let gap = match letter {
                // within a word these belong to it: 1.5, a.b, http://, C:\x
                '.' | '!' | '?' | ';' | '|' if rest.trim_start_matches(is_closing).is_empty() => {
                    Gap::Sentence
                }
                ';' | '|' => Gap::Sentence,
                // a name of its own: `:fatal`
                ':' if at == start && rest.starts_with(char::is_alphabetic) => Gap::None,
                ':' if !rest.starts_with(['/', '\\']) && !is_time(&chunk[start..at], rest) => Gap::Colon,
                '(' | ')' | '[' | ']' | '{' | '}' => Gap::Colon,
                '=' => Gap::Assign,
                ',' => Gap::Comma,
                '-' | '\u{2013}' | '\u{2014}' if chunk.len() == letter.len_utf8() => Gap::Comma,
                '"' | '\'' | '`' => Gap::None,
                _ => continue,
            };
            self.word(&chunk[start..at]);
            self.gap = self.gap.max(gap);
            start = at + letter.len_utf8();
            if matches!(letter, '"' | '\'' | '`') {
                let is_apostrophe = self.quote.is_none() && chunk[..at].ends_with(char::is_alphanumeric);
                if is_apostrophe && !rest.is_empty() {
                    continue;
                }
                self.toggle(letter);
            }
        }
        self.word(&chunk[start..]);
    }

    fn toggle(&mut self, quote: char) {
        self.quote = match self.quote {
            Some((open, _)) if open == quote => None,
            Some(open) => Some(open),
            None => {
                // after a colon, as the value of a field, or in an exception, stands what was said
                let is_exception =
                    |word: &Word<'_>| word.text.ends_with("Error") || word.text.ends_with("Exception");
                let in_exception = self.words.iter().rev().take(2).any(is_exception);
                let is_said = (matches!(self.gap, Gap::Colon | Gap::Assign) || in_exception) && quote != '`';
                Some((quote, if is_said { Quote::Said } else { Quote::Name }))
            }
        };
    }

    fn word(&mut self, text: &'a str) {
        if text.is_empty() {
            return;
        }
        let quote = self.quote.map_or(Quote::None, |(_, quote)| quote);
        self.words.push(Word { text, gap: self.gap, quote });
        self.gap = Gap::None;
    }
}

fn is_closing(letter: char) -> bool {
    matches!(letter, ')' | ']' | '}' | '"' | '\'' | '`' | '.' | '!' | '?')
}

fn is_time(before: &str, rest: &str) -> bool {
    let is_digit = |letter: char| letter.is_ascii_digit();
    before.ends_with(is_digit) && rest.starts_with(is_digit) || before.is_empty() && rest.starts_with(':')
}
