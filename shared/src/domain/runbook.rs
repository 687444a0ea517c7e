//! Reads the typed steps out of a runbook's sections.
//!
//! A step is a level-3 heading, a list of exactly five fields and a text that says how to do it:
//!
//! ```markdown
//! ### Restart the leaking instances one by one
//! - Action: `restart`
//! - Risk: low
//! - Rollback: none needed; instances come back by themselves
//! - Owner: on-call of {service}
//! - Expected: `memory_percent` returns to its usual level
//!
//! Highest first: `kubectl -n shop delete pod POD`, then the next.
//! ```
//!
//! The text may hold lists, tables, quotes and code; headings inside of those begin no step. The reader is strict: a
//! runbook that is misunderstood in an incident is worse than one that is refused when it is written.

mod error;
mod fields;

use std::borrow::Cow;
use std::ops::Range;

pub use error::{Error, Fault};
use fields::Fields;

use crate::events::remediation::{Action, Priority, Risk, Step};
use crate::text::markdown::{self, Block, Kind};

/// The section that says whom to call, and when.
pub const ESCALATION: &str = "Escalation";

/// What stands for the service's name in a runbook.
pub const PLACEHOLDER: &str = "{service}";

/// The sections that hold steps, most urgent first.
pub const ACTIONS: [(&str, Priority); 3] = [
    ("Immediate actions", Priority::Immediate),
    ("Within 15 minutes", Priority::Within15Min),
    ("Within 1 hour", Priority::Within1Hour),
];

/// Most steps of one section.
const MAX_STEPS: usize = 20;
/// Longest section, bytes.
const MAX_SECTION: usize = 64 * 1024;
/// Instances are at most doubled.
const SCALE_FACTOR: u32 = 2;

/// One step as the runbook has it, with the service filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunbookStep {
    /// How soon, from the section.
    pub priority: Priority,
    /// What, typed.
    pub action: Action,
    /// What, in one line.
    pub title: String,
    /// How: Markdown as [`markdown::write`] writes it, with its lists, tables and code.
    pub detail: String,
    /// What can go wrong.
    pub risk: Risk,
    /// How to undo it.
    pub rollback: String,
    /// Who does it.
    pub owner: String,
    /// How to tell that it worked.
    pub expected_outcome: String,
}

impl RunbookStep {
    /// Returns the step of a plan, as its `order`-th, justified by `source` (`doc_id#section`).
    pub fn into_step(self, order: u32, source: String) -> Step {
        Step {
            order,
            priority: self.priority,
            action: self.action,
            title: self.title,
            detail: self.detail,
            risk: self.risk,
            rollback: self.rollback,
            owner: self.owner,
            expected_outcome: self.expected_outcome,
            source,
        }
    }
}

/// Whom to call when the steps do not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunbookEscalation {
    /// When, minutes after the plan.
    pub after_minutes: u32,
    /// Whom.
    pub to: String,
    /// When to do it sooner: Markdown as [`markdown::write`] writes it.
    pub note: String,
}

/// Returns how soon the steps of a section are due; nothing where the section holds none.
pub fn priority(section: &str) -> Option<Priority> {
    ACTIONS.iter().find(|(name, _)| *name == section).map(|(_, priority)| *priority)
}

/// Reads the steps of an action section (its text without the `##` heading) for `service`.
///
/// [`PLACEHOLDER`] is replaced in all texts if the name [is fit for it](is_fillable), and left standing otherwise.
pub fn steps(section: &str, text: &str, service: &str) -> Result<Vec<RunbookStep>, Error> {
    let refused = |fault| Error { line: 1, fault };
    let priority = priority(section).ok_or_else(|| refused(Fault::NotAnActionSection(section.to_owned())))?;
    let source = bounded(text)?;
    let parts = parts(&source)?;
    if parts.is_empty() {
        return Err(refused(Fault::NoSteps));
    }
    if let Some(beyond) = parts.get(MAX_STEPS) {
        return Err(Error { line: beyond.line, fault: Fault::TooManySteps });
    }
    parts.into_iter().map(|part| step(&source, part, priority, service)).collect()
}

/// Reads the escalation section (its text without the `##` heading).
pub fn escalation(text: &str) -> Result<RunbookEscalation, Error> {
    let source = bounded(text)?;
    let blocks = markdown::blocks(&source)?;
    for block in &blocks {
        if let Kind::Heading { level: level @ 1..=2, .. } = block.kind {
            return Err(Error { line: block.line, fault: Fault::Level(level) });
        }
    }
    let part = Part { title: ESCALATION.to_owned(), line: 1, blocks };
    let (mut fields, note) = Fields::read(&source, part, ["After", "To"])?;
    let (line, after) = fields.take("After")?;
    let after_minutes = after
        .strip_suffix(" minutes")
        .and_then(|minutes| minutes.parse().ok())
        .ok_or_else(|| fields.invalid(line, "After", &after))?;
    Ok(RunbookEscalation { after_minutes, to: fields.take("To")?.1, note })
}

fn bounded(text: &str) -> Result<Cow<'_, str>, Error> {
    if text.len() > MAX_SECTION {
        return Err(Error { line: 1, fault: Fault::TooLong });
    }
    Ok(markdown::source(text))
}

/// A heading and the blocks below it.
struct Part {
    title: String,
    line: usize,
    blocks: Vec<Block>,
}

/// Splits at level-3 headings.
fn parts(source: &str) -> Result<Vec<Part>, Error> {
    let mut parts: Vec<Part> = Vec::new();
    for block in markdown::blocks(source)? {
        let line = block.line;
        let refused = |fault| Err(Error { line, fault });
        match (block.kind, parts.last_mut()) {
            (Kind::Heading { level: level @ 1..=2, .. }, _) => return refused(Fault::Level(level)),
            (Kind::Heading { level: 3, text }, _) if text.trim().is_empty() => {
                return refused(Fault::Untitled);
            }
            (Kind::Heading { level: 3, text }, _) => {
                parts.push(Part { title: text, line, blocks: Vec::new() });
            }
            (Kind::Rule, None) => {}
            (kind, part) => {
                if matches!(kind, Kind::Paragraph(_)) {
                    meant_as_heading(source, &block.range, line)?;
                }
                let Some(part) = part else {
                    return refused(Fault::Stray(first_line(source, &block.range)));
                };
                part.blocks.push(Block { kind, ..block });
            }
        }
    }
    Ok(parts)
}

/// Refuses lines of a paragraph that look like headings (`###Title`, or `### Title` behind a blank that is not ASCII): the
/// step would be lost.
fn meant_as_heading(source: &str, range: &Range<usize>, first: usize) -> Result<(), Error> {
    for (line, text) in (first..).zip(source[range.clone()].lines()) {
        let text = text.trim();
        let marks = text.bytes().take_while(|byte| *byte == b'#').count();
        if marks == 2 || marks == 3 {
            return Err(Error { line, fault: Fault::NoHeading(text.to_owned()) });
        }
    }
    Ok(())
}

fn first_line(source: &str, range: &Range<usize>) -> String {
    source[range.clone()].trim().lines().next().unwrap_or_default().to_owned()
}

fn step(source: &str, part: Part, priority: Priority, service: &str) -> Result<RunbookStep, Error> {
    let names = ["Action", "Risk", "Rollback", "Owner", "Expected"];
    let (mut fields, detail) = Fields::read(source, part, names)?;
    let (line, name) = fields.take("Action")?;
    let action =
        action(name.trim_matches('`'), service).ok_or_else(|| fields.invalid(line, "Action", &name))?;
    let (line, risk) = fields.take("Risk")?;
    let risk = match risk.as_str() {
        "low" => Risk::Low,
        "medium" => Risk::Medium,
        "high" => Risk::High,
        _ => return Err(fields.invalid(line, "Risk", &risk)),
    };
    Ok(RunbookStep {
        priority,
        action,
        title: fill(&fields.place, service),
        detail: fill(&detail, service),
        risk,
        rollback: fill(&fields.take("Rollback")?.1, service),
        owner: fill(&fields.take("Owner")?.1, service),
        expected_outcome: fill(&fields.take("Expected")?.1, service),
    })
}

fn action(name: &str, service: &str) -> Option<Action> {
    let service = service.to_owned();
    Some(match name {
        "restart" => Action::Restart { service },
        "scale" => Action::Scale { service, factor: SCALE_FACTOR, instances: None },
        "rollback_deployment" => Action::RollbackDeployment { service, from_version: None, to_version: None },
        "rotate_certificate" => Action::RotateCertificate { service },
        "truncate_logs" => Action::TruncateLogs { service },
        "clear_connections" => Action::ClearConnections { service },
        "toggle_flag" => Action::ToggleFlag { service, flag: None },
        "manual" => Action::Manual,
        _ => return None,
    })
}

/// Returns whether a service's name is put in the place of [`PLACEHOLDER`]: not if it holds anything but letters, digits,
/// `.`, `_` and `-`, for people paste these lines into a shell, and the name comes from telemetry.
pub fn is_fillable(service: &str) -> bool {
    !service.is_empty() && service.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn fill(text: &str, service: &str) -> String {
    if is_fillable(service) { text.replace(PLACEHOLDER, service) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTART: &str = "\
### Restart {service} one by one
- Action: `restart`
- Risk: low
- Rollback: none needed
- Owner: on-call of {service}
- Expected: memory falls

Highest first: `kubectl -n shop
delete pod POD`.

- one
- two
";

    /// Reads a section that holds [`RESTART`], the text after it and one more step.
    fn detail(text: &str) -> String {
        let section = format!("{}{text}\n\n{}", head(RESTART), RESTART.replace("one by one", "all"));
        let steps = steps("Immediate actions", &section, "order").unwrap();
        assert_eq!(steps.len(), 2, "{steps:?}");
        steps[0].detail.clone()
    }

    /// The heading and the fields of a step.
    fn head(step: &str) -> &str {
        &step[..=step.find("\n\n").unwrap() + 1]
    }

    fn refused(section: &str) -> Error {
        steps("Immediate actions", section, "order").unwrap_err()
    }

    #[test]
    fn headings_are_those_of_commonmark() {
        for heading in [" ### Restart the rest", "### Restart the rest ###", "###\tRestart the rest  "] {
            let error = refused(&format!("{RESTART}\n{heading}\n"));
            assert_eq!(
                error,
                Error { line: 14, fault: Fault::NoText("Restart the rest".into()) },
                "{heading:?}"
            );
        }
        for lost in ["###Restart", "\u{2028}### Restart", "\u{a0}### Restart", "text\n    ### Restart"] {
            let error = refused(&format!("{RESTART}\n{lost}\n"));
            assert!(matches!(error.fault, Fault::NoHeading(_)), "{lost:?}: {error}");
            assert_eq!(error.line, 13 + lost.split('\n').count());
        }
        assert_eq!(refused(&format!("{RESTART}\nRest\n---\n")).fault, Fault::Level(2));
        assert_eq!(detail("Look.\n\n---\n"), "Look.");
        assert_eq!(detail("#### Before\n\nLook."), "#### Before\n\nLook.");
    }

    #[test]
    fn fields_that_belong_to_no_heading_are_refused() {
        let title = "Restart {service} one by one";
        let indented = RESTART.replace('\n', "\n  ");
        for lost in [format!("\t{RESTART}"), format!("  {indented}"), format!("text\n\n\t{RESTART}")] {
            let error = refused(&format!("{RESTART}\n{lost}"));
            let line = 15 + if lost.starts_with("text") { 2 } else { 0 };
            assert_eq!(error, Error { line, fault: Fault::StepInText(title.into()) }, "{lost}");
        }
    }

    #[test]
    fn a_step_is_read_with_its_service_filled_in() {
        let steps = steps("Within 15 minutes", RESTART, "payment").unwrap();
        assert_eq!(
            steps,
            [RunbookStep {
                priority: Priority::Within15Min,
                action: Action::Restart { service: "payment".into() },
                title: "Restart payment one by one".into(),
                detail: "Highest first: `kubectl -n shop delete pod POD`.\n- one\n- two".into(),
                risk: Risk::Low,
                rollback: "none needed".into(),
                owner: "on-call of payment".into(),
                expected_outcome: "memory falls".into(),
            }]
        );
    }

    #[test]
    fn every_action_is_known_by_its_name() {
        for name in [
            "restart",
            "scale",
            "rollback_deployment",
            "rotate_certificate",
            "truncate_logs",
            "clear_connections",
            "toggle_flag",
            "manual",
        ] {
            let text = RESTART.replace("`restart`", &format!("`{name}`"));
            assert_eq!(steps("Immediate actions", &text, "order").unwrap()[0].action.name(), name);
        }
    }

    #[test]
    fn a_name_that_a_shell_would_run_is_not_filled_in() {
        let steps = steps("Immediate actions", RESTART, "x; rm -rf /").unwrap();
        assert_eq!(steps[0].owner, "on-call of {service}");
        assert_eq!(steps[0].action, Action::Restart { service: "x; rm -rf /".into() });
    }

    #[test]
    fn fields_may_be_wrapped_bold_and_behind_any_bullet() {
        let plain = steps("Immediate actions", RESTART, "order").unwrap();
        for (from, to) in [
            ("- Rollback: none needed", "- Rollback: none\n  needed"),
            ("- Rollback: none needed", "- **Rollback**: none needed"),
            ("- Rollback: none needed", "- **Rollback:** none needed"),
            ("- Rollback: none needed", "- __Rollback__: none needed"),
            ("- Rollback: none needed", "\n- Rollback: none needed"),
            ("\n- ", "\n* "),
            ("\n- ", "\n+   "),
            ("\n", "\r\n"),
            ("\n", "\r"),
            ("### Restart", "\u{feff}### Restart"),
            ("### Restart", "<!--\n## not a section\n\n### not a step\n-->\n\n### Restart"),
        ] {
            let text = RESTART.replace(from, to);
            assert_eq!(steps("Immediate actions", &text, "order").as_ref(), Ok(&plain), "{text:?}");
        }
        let nested = RESTART.replace("- Risk: low", "- Risk: low\n  - or not");
        assert!(matches!(
            refused(&nested),
            Error { line: 3, fault: Fault::NotOneText { field: "Risk", .. } }
        ));
    }

    #[test]
    fn a_list_below_the_fields_is_text() {
        assert_eq!(detail("- drain\n- restart"), "- drain\n- restart");
        assert_eq!(detail("* drain\n\n* restart\n"), "- drain\n- restart");
        assert_eq!(detail("  Look.\n\n  ```\n  ls\n  ```\n- drain"), "Look.\n```\nls\n```\n\n- drain");
        let error = refused(&RESTART.replace("\n\nHighest", "\n- drain\n\nHighest"));
        assert!(matches!(error, Error { line: 7, fault: Fault::UnknownField { .. } }), "{error}");
    }

    #[test]
    fn code_holds_no_step_and_stays_as_it_is() {
        let kept = [
            "```sh\n### not a step\nif true\nthen\n    ls  # all\nfi\n```",
            "Look:\n```\na\n\n\n\tb\n```\nThen:\n```\nc\n```",
            "````markdown\n```sh\n### not a step\n```\n````",
            "1. look\n   ```sh\n   # first\n   ### not a step\n   ls\n   ```\n2. restart",
        ];
        for text in kept {
            assert_eq!(detail(text), text.replace("```\nThen", "```\n\nThen"));
        }
        let written = [
            ("~~~ sh title=x\n### not a step\n```\n~~~~", "````sh\n### not a step\n```\n````"),
            ("  ```\n    ls\n  ```", "```\n  ls\n```"),
            ("Look:\n\n    # all\n    ls \\\n      -l\n", "Look:\n```\n# all\nls \\\n  -l\n```"),
            ("```ls -l``` and\n\n```ps```", "```ls -l``` and\n\n```ps```"),
            ("Run `kubectl get\npods` now.", "Run `kubectl get pods` now."),
        ];
        for (text, expected) in written {
            assert_eq!(detail(text), expected);
        }
    }

    #[test]
    fn lists_tables_and_quotes_keep_their_lines() {
        let cases = [
            ("Look\nfirst:\n\n3) ask\n   twice\n4) wait", "Look first:\n\n3. ask twice\n4. wait"),
            ("* a\n    * b\n\n    c\n* d", "- a\n  - b\n\n  c\n- d"),
            ("* a\n\n- b", "- a\n\n+ b"),
            (
                "Cases:\n| moves | is |\n|--|-:|\n|all|`a\\|b`",
                "Cases:\n\n| moves | is |\n|---|---:|\n| all | `a\\|b` |",
            ),
            ("> ### not a step\n> - a\nand b", "> ### not a step\n>\n> - a and b"),
            ("one  \ntwo\\\nthree", "one  \n    two\\\n    three"),
            ("<!-- ### not a step -->\nLook.", "Look."),
            (
                "<details>\n### not a step\n</details>\n\nLook.",
                "<details>\n### not a step\n</details>\n\nLook.",
            ),
            ("[board][1] and [1]\n\n[1]: http://a/b", "[board](<http://a/b>) and [1](<http://a/b>)"),
        ];
        for (text, expected) in cases {
            assert_eq!(detail(text), expected);
            assert_eq!(detail(expected), expected);
        }
    }

    #[test]
    fn code_that_does_not_end_is_refused_and_hides_no_step() {
        let open = |line| Error { line, fault: Fault::Markdown(markdown::Fault::OpenFence) };
        for text in ["```sh\nkubectl get pods\n", "~~~\n```\n", "````\n```\n", "```"] {
            assert_eq!(refused(&format!("{RESTART}\n{text}\n{RESTART}")), open(14), "{text}");
        }
        assert_eq!(refused(&format!("{RESTART}- ```\n  ls\n\n{RESTART}")), open(13));
        let text = "- After: 15 minutes\n- To: platform on-call\n\n```\nkubectl get pods\n";
        assert_eq!(escalation(text), Err(open(4)));
        // the end of the second would be taken for the end of the first
        let next = RESTART.replace("- one\n", "```sh\nls\n```\n");
        let error = refused(&format!("{RESTART}\n```sh\nls\n\n{next}"));
        assert_eq!(error, Error { line: 14, fault: Fault::Markdown(markdown::Fault::FenceInFence) });
        let error = refused(&format!("{RESTART}\n<!-- later\n\n{RESTART}"));
        assert_eq!(error, Error { line: 14, fault: Fault::Markdown(markdown::Fault::OpenHtml) });
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| format!("{}{}a\n", head(RESTART), "> ".repeat(levels));
        assert!(steps("Immediate actions", &nested(markdown::MAX_DEPTH), "order").is_ok());
        for levels in [markdown::MAX_DEPTH + 1, 10_000] {
            let error = refused(&nested(levels));
            assert_eq!(error, Error { line: 8, fault: Fault::Markdown(markdown::Fault::TooDeep) });
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = |from: &str, to: &str| {
            assert!(RESTART.contains(from));
            steps("Immediate actions", &RESTART.replace(from, to), "order").unwrap_err().to_string()
        };
        let title = "Restart {service} one by one";
        assert_eq!(
            said("- Owner: on-call of {service}\n", ""),
            format!("line 1: {title}: field Owner is missing")
        );
        assert_eq!(said("`restart`", "`reboot`"), format!("line 2: {title}: Action cannot be \"`reboot`\""));
        assert_eq!(said("low", "none"), format!("line 3: {title}: Risk cannot be \"none\""));
        assert_eq!(
            said("- Risk: low", "- Danger: low"),
            format!("line 3: {title}: \"- Danger: low\" is not a known field")
        );
        assert_eq!(said("- Risk: low", "- Owner: me"), format!("line 5: {title}: field Owner appears twice"));
        assert_eq!(
            said("### Restart {service} one by one", "Restart"),
            "line 1: text before the first step: \"Restart\""
        );
        assert_eq!(
            steps("Symptoms", RESTART, "order"),
            Err(Error { line: 1, fault: Fault::NotAnActionSection("Symptoms".into()) })
        );
        assert_eq!(steps("Within 1 hour", "\n", "order"), Err(Error { line: 1, fault: Fault::NoSteps }));
    }

    #[test]
    fn escalation_names_time_and_team() {
        let text = "- After: 15 minutes\n- To: platform on-call\n\nAt once when\nall fails.\n";
        assert_eq!(
            escalation(text).unwrap(),
            RunbookEscalation {
                after_minutes: 15,
                to: "platform on-call".into(),
                note: "At once when all fails.".into()
            }
        );
        let error = escalation(&text.replace("15 minutes", "soon")).unwrap_err();
        assert_eq!(error.to_string(), "line 1: Escalation: After cannot be \"soon\"");
    }
}
