//! How often causes were right: by verdict, and by the confidence that was stated.

use serde::{Deserialize, Serialize};
use shared::events::rca::Verdict;
use shared::store::feedback::{Judged, Judgement};

use crate::figures::{counted, percent};
use crate::terminal::{Screen, Tone, cell, finished};
use comfy_table::CellAlignment;

/// Lower bounds of the bins of confidence: those of the verdicts, and between them.
const BINS: [f64; 5] = [0.0, 0.3, 0.6, 0.8, 0.95];

/// How often causes were right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Environment.
    pub environment: String,
    /// All judged incidents.
    pub all: Count,
    /// Those for which a cause was stated as such.
    pub cause: Count,
    /// Those for which a likely cause was stated.
    pub likely: Count,
    /// Those of which the cause was reported as unknown.
    pub unknown: Count,
    /// By stated confidence, ascending; without those whose cause was unknown.
    pub by_confidence: Vec<Bin>,
}

/// Judged incidents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Number of incidents.
    pub judged: u64,
    /// Those whose first candidate was right.
    pub right: u64,
}

/// Judged incidents of a range of confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Least confidence, 0 to 1.
    pub from: f64,
    /// The incidents.
    pub count: Count,
    /// Mean confidence that was stated; absent where there is no incident.
    pub stated: Option<f64>,
}

impl Count {
    fn add(&mut self, is_right: bool) {
        self.judged += 1;
        self.right += u64::from(is_right);
    }

    /// Returns the share that was right; nothing where nothing was judged.
    pub fn share(self) -> Option<f64> {
        (self.judged > 0).then(|| self.right as f64 / self.judged as f64)
    }
}

impl Accuracy {
    /// Counts judged incidents.
    pub fn of(environment: String, judged: &[Judged]) -> Self {
        let mut accuracy = Self {
            environment,
            all: Count::default(),
            cause: Count::default(),
            likely: Count::default(),
            unknown: Count::default(),
            by_confidence: BINS.map(|from| Bin { from, count: Count::default(), stated: None }).to_vec(),
        };
        let mut sums = [0.0; BINS.len()];
        for Judged { feedback, result } in judged {
            let is_right = feedback.cause == Judgement::Right;
            accuracy.all.add(is_right);
            match result.verdict {
                Verdict::Cause => accuracy.cause.add(is_right),
                Verdict::Likely => accuracy.likely.add(is_right),
                Verdict::Unknown => accuracy.unknown.add(is_right),
            }
            let Some(stated) = result.cause().map(|first| first.confidence) else { continue };
            let bin = BINS.iter().rposition(|from| stated >= *from).unwrap_or(0);
            accuracy.by_confidence[bin].count.add(is_right);
            sums[bin] += stated;
        }
        for (bin, sum) in accuracy.by_confidence.iter_mut().zip(sums) {
            bin.stated = (bin.count.judged > 0).then(|| sum / bin.count.judged as f64);
        }
        accuracy
    }
}

/// Renders accuracy, whose texts are clean.
pub fn render(accuracy: &Accuracy, screen: &Screen) -> String {
    let judged = counted(usize::try_from(accuracy.all.judged).unwrap_or(usize::MAX), "judged incident");
    let head = format!("{}  {judged}\n", screen.paint(Tone::Strong, &accuracy.environment));
    if accuracy.all.judged == 0 {
        return format!("{head}firewatch feedback NUMBER --cause right|wrong records a judgement\n");
    }
    let mut table = screen.table(&["STATED", "JUDGED", "RIGHT", "SHARE", "MEAN CONFIDENCE"]);
    let mut row = |name: &str, count: Count, stated: Option<f64>| {
        let share = |value: Option<f64>| value.map_or("-".to_owned(), percent);
        table.add_row([
            cell(Tone::Strong, name),
            cell(Tone::Plain, count.judged),
            cell(Tone::Plain, count.right),
            cell(Tone::Plain, share(count.share())),
            cell(Tone::Faint, share(stated)),
        ]);
    };
    row("cause", accuracy.cause, None);
    row("likely cause", accuracy.likely, None);
    row("unknown", accuracy.unknown, None);
    for bin in accuracy.by_confidence.iter().filter(|bin| bin.count.judged > 0) {
        row(&format!("confidence from {}", percent(bin.from)), bin.count, bin.stated);
    }
    for figures in 1..5 {
        if let Some(column) = table.column_mut(figures) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    head + &finished(&table)
}
