//! The tables.

use std::fmt::Write as _;

use simulator::Noise;

use crate::tally::{Calibration, Tally};

/// One line of the table.
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) noise: Noise,
    pub(crate) tally: Tally,
}

const HEAD: &str = "| scenario | incidents a fault | one each | closed early | false recoveries | unfounded | still open | service at opening | category at opening | service at the end | category at the end | changes of mind | ECE at opening | ECE at the end | naive: incidents a fault | naive: service |\n\
    |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";

fn a_fault(number: u32, tally: &Tally) -> String {
    if tally.faults == 0 {
        format!("{number} of 0")
    } else {
        format!("{:.2}", f64::from(number) / f64::from(tally.faults))
    }
}

impl Row {
    pub(crate) fn line(&self) -> String {
        let tally = &self.tally;
        format!(
            "| {}, {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.3} | {:.3} | {} | {} |",
            self.scenario,
            format!("{:?}", self.noise).to_lowercase(),
            a_fault(tally.incidents, tally),
            tally.one_each,
            tally.early,
            tally.false_recoveries,
            tally.unfounded,
            tally.open,
            tally.service_at_opening,
            tally.category_at_opening,
            tally.service_at_end,
            tally.category_at_end,
            tally.changes,
            tally.at_opening.error(),
            tally.at_end.error(),
            a_fault(tally.naive_incidents, tally),
            tally.naive_service,
        )
    }
}

/// Returns the reliability tables over all rows.
pub(crate) fn calibration(rows: &[Row]) -> String {
    let (mut opening, mut end) = (Calibration::default(), Calibration::default());
    for row in rows {
        opening.merge(&row.tally.at_opening);
        end.merge(&row.tally.at_end);
    }
    let mut text = "| posterior | at opening: cases | mean posterior | right | at the end: cases | mean posterior | right |\n\
         |---|---|---|---|---|---|---|\n"
        .to_owned();
    for (place, (one, other)) in opening.bins.iter().zip(&end.bins).enumerate() {
        let from = place as f64 / crate::tally::BINS as f64;
        let _ = write!(text, "| {from:.1}-{:.1} |", from + 0.1);
        for (sum, share) in [one, other] {
            let mean = sum / f64::from(share.all.max(1));
            let mean = if share.all == 0 { "-".to_owned() } else { format!("{mean:.3}") };
            let _ = write!(text, " {} | {mean} | {} |", share.all, share);
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "\nExpected calibration error: {:.3} at opening, {:.3} at the end.",
        opening.error(),
        end.error()
    );
    text
}

/// Returns the document.
pub(crate) fn render(rows: &[Row], seeds: u64) -> String {
    let mut page = format!(
        "# Correlation scoreboard\n\n\
         Written by `make score-correlation`. Faults of the simulator go through detection and correlation in one process, \
         timers in event time; {seeds} seeds each, 10 s a sample (flapping: 1 s), each seed at another time of the day. \
         Ranked cases of the evaluation kit beside baselines are in [correlation.md](correlation.md).\n\n\
         - *Incidents a fault*: announced incidents. *One each*: seeds with exactly one for each fault.\n\
         - *Closed early*: `resolved_at` is before the end of the fault. *False recoveries*: recovery was published before the \
         end of the fault. *Unfounded*: announced although nothing burnt.\n\
         - *At opening* is the first suspect as announced; a category counts only with the right service. A fault without an \
         incident counts as wrong.\n\
         - *Changes of mind*: how often the published first suspect changed. *ECE*: expected calibration error of its \
         posterior, in ten bins, for the service and the kind of cause together.\n\
         - *Naive*: everything that fires within five minutes is one incident, and the suspect is the service with the largest \
         z-score since the fault began, by the mean and deviation of the samples before it.\n\
         - In parentheses: 95 % intervals (Wilson).\n\n\
         ## Scenarios\n\n{HEAD}"
    );
    for row in rows {
        page.push_str(&row.line());
        page.push('\n');
    }
    let _ = write!(page, "\n## Calibration\n\nAll of the above together.\n\n{}", calibration(rows));
    page
}
