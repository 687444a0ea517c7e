//! Lines of logs: how well critical ones and templates are recognised, beside plain ways to do both.

use std::collections::HashMap;
use std::fmt::Write as _;

use detection::config::LogOptions;
use detection::tools::LineReader;
use serde_json::{Value, json};
use shared::events::raw::Level;

use crate::corpus::{
    Label, Row, VARIANTS, each_line, grouping, precision_and_recall, readings, rows, sentences,
};

/// Words that a search for critical lines would look for.
const WORDS: [&str; 13] = [
    "out of memory",
    "outofmemory",
    "oomkilled",
    "oom-killer",
    "cannot allocate memory",
    "no space left",
    "corruption",
    "panic",
    "fatal",
    "segfault",
    "segmentation fault",
    "stack overflow",
    "deadlock detected",
];
/// Share of equal tokens from which Drain takes a line to a group (Drain3's default).
const SIMILARITY: f64 = 0.4;

/// Drain (He, Zhu, Zheng and Lyu, ICWS 2017) as it is published: a tree over the number of tokens and the first token, then
/// the group with most equal tokens at equal places.
#[derive(Debug, Default)]
struct Drain {
    leaves: HashMap<(usize, String), Vec<usize>>,
    groups: Vec<Vec<String>>,
}

impl Drain {
    /// Returns the number of the group of a line.
    fn take(&mut self, line: &str) -> u64 {
        let tokens: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let first = tokens.first().filter(|token| !token.contains(|letter: char| letter.is_ascii_digit()));
        let leaf = (tokens.len(), first.cloned().unwrap_or_default());
        let groups = self.leaves.entry(leaf).or_default();
        let equal = |group: &[String]| group.iter().zip(&tokens).filter(|(own, other)| own == other).count();
        let best = groups.iter().copied().max_by_key(|group| equal(&self.groups[*group]));
        let best =
            best.filter(|group| equal(&self.groups[*group]) as f64 >= SIMILARITY * tokens.len() as f64);
        let Some(best) = best else {
            groups.push(self.groups.len());
            self.groups.push(tokens);
            return self.groups.len() as u64 - 1;
        };
        for (own, other) in self.groups[best].iter_mut().zip(&tokens) {
            if own != other {
                "<*>".clone_into(own);
            }
        }
        best as u64
    }
}

/// Returns the groups of Drain, one tree a program; with runs of digits masked first if so wanted, as Drain3 can.
fn drained(rows: &[Row], masked: bool) -> Vec<[u64; VARIANTS]> {
    let mut groups = Vec::new();
    for program in rows.chunk_by(|one, other| one.program == other.program) {
        let mut drain = Drain::default();
        let mut of = vec![[0; VARIANTS]; program.len()];
        for variant in 0..VARIANTS {
            for (row, of) in program.iter().zip(&mut of) {
                let line = &row.lines[variant];
                of[variant] = if masked { drain.take(&without_digits(line)) } else { drain.take(line) };
            }
        }
        groups.extend(of);
    }
    groups
}

fn without_digits(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            letter => text.push(letter),
        }
    }
    text
}

/// Scores the corpus and adds its tables.
pub(crate) fn score(page: &mut String) -> Value {
    let rows = rows();
    let read = readings(&rows);
    let count = |label| rows.iter().filter(|row| row.label == label).count();
    let programs = rows.chunk_by(|one, other| one.program == other.program).count();
    let searched = |line: &str, level| {
        let line = line.to_lowercase();
        level == Level::Fatal || WORDS.iter().any(|word| line.contains(word))
    };
    let ours = precision_and_recall(each_line(&rows, |row, variant| read[row][variant].critical.is_some()));
    let naive = precision_and_recall(each_line(&rows, |row, variant| {
        searched(&rows[row].lines[variant], rows[row].level)
    }));
    let mut reader = LineReader::new(&LogOptions::default());
    let found = sentences()
        .into_iter()
        .map(|(level, label, line)| (label, reader.read(level, line).critical.is_some()));
    let ours_of_sentences = precision_and_recall(found);
    let found = sentences().into_iter().map(|(level, label, line)| (label, searched(line, level)));
    let naive_of_sentences = precision_and_recall(found);
    let _ = write!(
        page,
        "\n## Lines of logs\n\nA labelled corpus of our own, `tests/corpus`: {} templates after the formats of {programs} \
         programs and runtimes, {VARIANTS} lines each, of which {} state that something is broken, {} have the words of it \
         and do not, and {} have neither; and {} sentences of both kinds in plain text. The rules were made with it in view, \
         so expect less elsewhere.\n\n\
         | critical lines | precision | recall | sentences: precision | recall |\n|---|---|---|---|---|\n",
        rows.len(),
        count(Label::Critical),
        count(Label::Decoy),
        count(Label::Plain),
        sentences().len(),
    );
    let search = format!("search for {} words", WORDS.len());
    for (name, of_lines, of_sentences) in
        [("**ours**", ours, ours_of_sentences), (&search, naive, naive_of_sentences)]
    {
        let _ = writeln!(
            page,
            "| {name} | {:.3} | {:.3} | {:.3} | {:.3} |",
            of_lines.0, of_lines.1, of_sentences.0, of_sentences.1
        );
    }
    let (plain, masked) = (drained(&rows, false), drained(&rows, true));
    let own = grouping(&rows, |row, variant| read[row][variant].template);
    let drain = grouping(&rows, |row, variant| plain[row][variant]);
    let drain_masked = grouping(&rows, |row, variant| masked[row][variant]);
    let _ = write!(
        page,
        "\nA template is right if it holds the lines of its row, all of them, and no others of the program.\n\n\
         | templates | right |\n|---|---|\n| **ours** | {own:.3} |\n| Drain | {drain:.3} |\n\
         | Drain, numbers masked | {drain_masked:.3} |\n"
    );
    json!({
        "rows": rows.len(),
        "critical": { "precision": ours.0, "recall": ours.1 },
        "critical_by_words": { "precision": naive.0, "recall": naive.1 },
        "templates": { "ours": own, "drain": drain, "drain_masked": drain_masked },
    })
}
