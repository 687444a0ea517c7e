//! A labelled corpus of lines as common programs write them, `tests/corpus/lines.tsv`, and of sentences in plain text that
//! have critical words in them, `tests/corpus/sentences.tsv`.
//!
//! Each row is one template. `critical` states that something is broken, `decoy` has the words of it and does not, `plain`
//! has neither. `{n}` and its like stand for what varies, `\n`, `\t` and `\e` for what they stand for elsewhere.

use detection::config::LogOptions;
use detection::tools::{LineReader, Reading};
use shared::events::raw::Level;

/// Lines that are made of each row.
pub(crate) const VARIANTS: usize = 4;

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Critical,
    Decoy,
    Plain,
}

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) program: &'static str,
    pub(crate) level: Level,
    pub(crate) label: Label,
    pub(crate) lines: [String; VARIANTS],
}

/// Returns the corpus; rows of one program follow each other.
pub(crate) fn rows() -> Vec<Row> {
    let mut draw = Draw(7);
    let rows = include_str!("../corpus/lines.tsv").lines().skip(1);
    rows.map(|row| {
        let fields: Vec<&str> = row.splitn(4, '\t').collect();
        let [program, level, label, line] = fields[..] else { panic!("{row}") };
        let lines = std::array::from_fn(|variant| filled(line, variant, &mut draw));
        Row { program, level: level_of(level), label: label_of(label), lines }
    })
    .collect()
}

/// Returns the sentences.
pub(crate) fn sentences() -> Vec<(Level, Label, &'static str)> {
    let rows = include_str!("../corpus/sentences.tsv").lines().skip(1);
    rows.map(|row| {
        let fields: Vec<&str> = row.splitn(3, '\t').collect();
        let [level, label, line] = fields[..] else { panic!("{row}") };
        (level_of(level), label_of(label), line)
    })
    .collect()
}

fn level_of(name: &str) -> Level {
    match name {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "info" => Level::Info,
        _ => panic!("{name} is no level"),
    }
}

fn label_of(name: &str) -> Label {
    match name {
        "critical" => Label::Critical,
        "decoy" => Label::Decoy,
        "plain" => Label::Plain,
        _ => panic!("{name} is no label"),
    }
}

/// Reads all lines as one service of each program would write them: a line of each row, then another of each. Returns
/// for each row what was made of its lines.
pub(crate) fn readings(rows: &[Row]) -> Vec<[Reading; VARIANTS]> {
    let programs = rows.chunk_by(|one, other| one.program == other.program);
    programs
        .flat_map(|rows| {
            let mut reader = LineReader::new(&LogOptions::default());
            let mut read: Vec<Vec<Reading>> = vec![Vec::new(); rows.len()];
            for variant in 0..VARIANTS {
                for (row, read) in rows.iter().zip(&mut read) {
                    read.push(reader.read(row.level, &row.lines[variant]));
                }
            }
            read.into_iter().map(|read| read.try_into().unwrap())
        })
        .collect()
}

/// A small generator: the corpus is the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }
}

fn filled(line: &str, variant: usize, draw: &mut Draw) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let name = rest[open + 1..].split('}').next().unwrap_or_default();
        if let Some(value) = value(name, variant, draw) {
            text.push_str(&value);
            rest = &rest[open + name.len() + 2..];
        } else {
            text.push('{');
            rest = &rest[open + 1..];
        }
    }
    text.push_str(rest);
    text.replace("\\n", "\n").replace("\\t", "\t").replace("\\e", "\u{1b}")
}

/// Returns what stands for a name in one variant of a line.
fn value(name: &str, variant: usize, draw: &mut Draw) -> Option<String> {
    let (month, day) = (draw.between(1, 4), 10 + variant);
    let month_name = ["Jan", "Feb", "Mar"][month as usize - 1];
    let clock = format!("10:0{variant}:{}", draw.between(10, 60));
    let fraction = draw.between(100, 1000);
    Some(match name {
        "nts" => format!("2026/0{month}/{day} {clock}"),
        "its" => format!("2026-0{month}-{day} {clock},{fraction}"),
        "iso" => format!("2026-0{month}-{day}T{clock}.{fraction}Z"),
        "rts" => format!("{day} {month_name} 2026 {clock}.{fraction}"),
        "date" => format!("{month_name} {day} {clock}"),
        "klog" => format!("0{month}{day} {clock}.{fraction}123"),
        "epoch" => format!("17672{}.{fraction}", draw.between(10_000, 99_999)),
        "n" => draw.between(1000, 100_000).to_string(),
        "s" => draw.between(1, 9).to_string(),
        "d" => draw.between(10, 9000).to_string(),
        "ip" => format!("10.{}.{}.{}", draw.below(256), draw.below(256), draw.below(256)),
        "port" => draw.between(1024, 65_000).to_string(),
        "pid" => draw.between(2, 32_000).to_string(),
        "hex" => format!("0x{:x}", draw.between(1 << 28, 1 << 31)),
        "id" => format!("{:08x}-{:04x}", draw.between(1 << 28, 1 << 31), draw.between(1 << 12, 1 << 16)),
        "user" => ["anna", "bjorn", "chidi", "dalia"][variant].to_owned(),
        "host" => ["web-1", "db-7", "shop-2", "node-12"][variant].to_owned(),
        "path" => format!("/var/lib/shop/{}/seg", draw.below(1000)),
        _ => return None,
    })
}

/// Returns how many of the lines found to be critical are, and how many of those that are were found, of labels and
/// whether each line was found.
pub(crate) fn precision_and_recall(found: impl IntoIterator<Item = (Label, bool)>) -> (f64, f64) {
    let (mut all_found, mut right, mut all) = (0, 0, 0);
    for (label, was_found) in found {
        let is_critical = label == Label::Critical;
        all_found += u32::from(was_found);
        right += u32::from(was_found && is_critical);
        all += u32::from(is_critical);
    }
    (f64::from(right) / f64::from(all_found.max(1)), f64::from(right) / f64::from(all))
}

/// Returns the label of each line, and whether a way to find critical lines finds it.
pub(crate) fn each_line(rows: &[Row], is_found: impl Fn(usize, usize) -> bool) -> Vec<(Label, bool)> {
    let places = (0..rows.len()).flat_map(|row| (0..VARIANTS).map(move |variant| (row, variant)));
    places.map(|(row, variant)| (rows[row].label, is_found(row, variant))).collect()
}

/// Returns the share of rows whose lines, and no others of their program, have one template.
pub(crate) fn grouping(rows: &[Row], template: impl Fn(usize, usize) -> u64) -> f64 {
    let right = (0..rows.len()).filter(|&row| {
        let own = template(row, 0);
        let is_whole = (1..VARIANTS).all(|variant| template(row, variant) == own);
        let is_alone = (0..rows.len())
            .filter(|&other| other != row && rows[other].program == rows[row].program)
            .all(|other| (0..VARIANTS).all(|variant| template(other, variant) != own));
        is_whole && is_alone
    });
    right.count() as f64 / rows.len() as f64
}

#[test]
fn critical_lines_are_told_from_lines_with_their_words() {
    let rows = rows();
    let decoys = rows.iter().filter(|row| row.label == Label::Decoy).count();
    assert!(rows.len() > 300 && decoys * 100 / rows.len() >= 45, "{decoys} of {}", rows.len());
    let read = readings(&rows);
    for (row, read) in rows.iter().zip(&read) {
        let wrong = read.iter().find(|one| one.critical.is_some() != (row.label == Label::Critical));
        if let Some(wrong) = wrong {
            eprintln!("{:?} {}: {wrong:?}", row.label, row.program);
        }
    }
    let (precision, recall) =
        precision_and_recall(each_line(&rows, |row, variant| read[row][variant].critical.is_some()));
    assert!(precision >= 0.98 && recall >= 0.97, "{precision} {recall}");
    let mut reader = LineReader::new(&LogOptions::default());
    let found = sentences().into_iter().map(|(level, label, line)| {
        let found = reader.read(level, line).critical;
        if found.is_some() != (label == Label::Critical) {
            eprintln!("{label:?}: {line}");
        }
        (label, found.is_some())
    });
    let (precision, recall) = precision_and_recall(found);
    assert!(precision >= 0.97 && recall >= 0.97, "{precision} {recall}");
}

#[test]
fn lines_of_one_kind_have_a_template_of_their_own() {
    let rows = rows();
    let read = readings(&rows);
    let share = grouping(&rows, |row, variant| read[row][variant].template);
    for (row, read) in rows.iter().zip(&read) {
        if read.iter().any(|one| one.template != read[0].template) {
            eprintln!("split: {} {:?}", row.program, read.each_ref().map(|one| &one.statement));
        }
    }
    assert!(share >= 0.97, "{share}");
}
