//! Runbooks: their steps, and whom to call.

use std::fmt::Write as _;

use shared::runbook::{ACTIONS, ESCALATION, RunbookStep, escalation, priority, steps};
use shared::text::markdown::{CodeSpans, Layout, blocks, sentence, source, to_text, write as write_blocks};

/// A name that is put into the texts, and one that is not.
const SERVICES: [&str; 2] = ["payment", "x; reboot"];

/// Reads a runbook section by section, and the whole of it as a section. Returns how many steps and escalations it has.
///
/// Steps, escalations and any Markdown are the same after they were written and read again.
pub fn check(input: &[u8]) -> usize {
    let Ok(text) = str::from_utf8(input) else { return 0 };
    markdown(text);
    let named = text.split("\n## ").filter_map(|section| section.split_once('\n'));
    named.chain([(ACTIONS[0].0, text), (ESCALATION, text)]).map(|(name, text)| section(name, text)).sum()
}

fn markdown(text: &str) {
    let Ok(read) = blocks(&source(text)) else { return };
    let written = write_blocks(&read);
    let again = blocks(&written).map(|read| write_blocks(&read));
    assert_eq!(again.as_ref(), Ok(&written), "Markdown changes");
    let _ = to_text(&written, Layout { columns: 72, indent: 4, spans: CodeSpans::Marked });
    let _ = sentence(&written);
}

fn section(name: &str, text: &str) -> usize {
    if name == ESCALATION {
        let Ok(found) = escalation(text) else { return 0 };
        let written =
            format!("- After: {} minutes\n- To: {}\n\n{}", found.after_minutes, found.to, found.note);
        assert_eq!(escalation(&written).as_ref(), Ok(&found), "an escalation changes: {written}");
        return 1;
    }
    let [filled, bare] = SERVICES.map(|service| steps(name, text, service));
    assert_eq!(filled.as_ref().err(), bare.as_ref().err(), "a name decides whether a section can be read");
    let (Ok(filled), Ok(bare)) = (filled, bare) else { return 0 };
    assert!(filled.iter().all(|step| Some(step.priority) == priority(name)), "a step is of another section");
    for (found, service) in [(&filled, SERVICES[0]), (&bare, SERVICES[1])] {
        let written: String = found.iter().map(write).collect();
        assert_eq!(steps(name, &written, service).as_ref(), Ok(found), "steps change: {written}");
    }
    filled.len()
}

/// Writes a step as a runbook has it.
fn write(step: &RunbookStep) -> String {
    let risk = step.risk.to_string();
    let fields = [
        ("Action", step.action.name()),
        ("Risk", &risk),
        ("Rollback", &step.rollback),
        ("Owner", &step.owner),
        ("Expected", &step.expected_outcome),
    ];
    // the marks at the end keep those of the title
    let mut text = format!("### {} ###\n", step.title);
    for (name, value) in fields {
        let _ = writeln!(text, "- {name}: {value}");
    }
    text + "\n" + &step.detail + "\n\n"
}
