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
//! The reader is strict: a runbook that is misunderstood in an incident is worse than one that is refused
//! when it is written.

use crate::events::remediation::{Action, Priority, Risk, Step};

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
    /// How, Markdown; one line for each paragraph.
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
    /// When to do it sooner.
    pub note: String,
}

/// What is wrong with a section.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The section holds no steps by its name.
    #[error("section {0:?} is not one of \"Immediate actions\", \"Within 15 minutes\", \"Within 1 hour\"")]
    NotAnActionSection(String),
    /// Longer than anyone reads in an incident.
    #[error("section is longer than {MAX_SECTION} bytes")]
    TooLong,
    /// Too many steps to follow.
    #[error("section has more than {MAX_STEPS} steps")]
    TooManySteps,
    /// No step at all.
    #[error("section has no step (a level-3 heading)")]
    NoSteps,
    /// Text that belongs to no step.
    #[error("text before the first step: {0:?}")]
    Stray(String),
    /// A step without a title.
    #[error("a step has no title")]
    Untitled,
    /// A field is not there or empty.
    #[error("{place}: field {field} is missing")]
    Missing {
        /// Title of the step, or the section.
        place: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A field is there twice.
    #[error("{place}: field {field} appears twice")]
    Twice {
        /// Title of the step, or the section.
        place: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A line of the field list is not one of the fields.
    #[error("{place}: {line:?} is not a known field")]
    UnknownField {
        /// Title of the step, or the section.
        place: String,
        /// The line.
        line: String,
    },
    /// A field has a value that means nothing.
    #[error("{place}: {field} cannot be {value:?}")]
    Invalid {
        /// Title of the step, or the section.
        place: String,
        /// Name of the field.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// Nothing says how.
    #[error("{0}: no text says how to do it")]
    NoText(String),
    /// A code fence without an end: every step below it would be code.
    #[error("{0}: a code fence is not closed")]
    OpenFence(String),
}

/// Returns how soon the steps of a section are due; nothing where the section holds none.
pub fn priority(section: &str) -> Option<Priority> {
    ACTIONS.iter().find(|(name, _)| *name == section).map(|(_, priority)| *priority)
}

/// Reads the steps of an action section (its text without the `##` heading) for `service`.
///
/// [`PLACEHOLDER`] is replaced in all texts if the name [is fit for it](is_fillable), and left standing otherwise.
pub fn steps(section: &str, text: &str, service: &str) -> Result<Vec<RunbookStep>, Error> {
    let priority = priority(section).ok_or_else(|| Error::NotAnActionSection(section.to_owned()))?;
    if text.len() > MAX_SECTION {
        return Err(Error::TooLong);
    }
    let blocks = blocks(text)?;
    if blocks.is_empty() {
        return Err(Error::NoSteps);
    }
    if blocks.len() > MAX_STEPS {
        return Err(Error::TooManySteps);
    }
    blocks.into_iter().map(|block| step(&block, priority, service)).collect()
}

/// Reads the escalation section (its text without the `##` heading).
pub fn escalation(text: &str) -> Result<RunbookEscalation, Error> {
    if text.len() > MAX_SECTION {
        return Err(Error::TooLong);
    }
    let lines: Vec<&str> = text.trim().lines().collect();
    let (mut fields, note) = Fields::read(ESCALATION, ["After", "To"], &lines)?;
    let after = fields.take("After")?;
    let after_minutes = after
        .strip_suffix(" minutes")
        .and_then(|minutes| minutes.parse().ok())
        .ok_or_else(|| fields.invalid("After", &after))?;
    Ok(RunbookEscalation { after_minutes, to: fields.take("To")?, note })
}

/// A heading and the lines below it.
struct Block<'a> {
    title: &'a str,
    lines: Vec<&'a str>,
}

/// Splits at level-3 headings outside of code fences, also where they are indented.
fn blocks(text: &str) -> Result<Vec<Block<'_>>, Error> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with("```") {
            fenced = !fenced;
        }
        match (blocks.last_mut(), start.strip_prefix("###").filter(|_| !fenced)) {
            (_, Some(title)) if title.trim().is_empty() => return Err(Error::Untitled),
            (_, Some(title)) => blocks.push(Block { title: title.trim(), lines: Vec::new() }),
            (Some(block), None) => block.lines.push(line),
            (None, None) if line.trim().is_empty() => {}
            (None, None) => return Err(Error::Stray(line.trim().to_owned())),
        }
    }
    Ok(blocks)
}

fn step(block: &Block<'_>, priority: Priority, service: &str) -> Result<RunbookStep, Error> {
    let names = ["Action", "Risk", "Rollback", "Owner", "Expected"];
    let (mut fields, detail) = Fields::read(block.title, names, &block.lines)?;
    let name = fields.take("Action")?;
    let action = action(name.trim_matches('`'), service).ok_or_else(|| fields.invalid("Action", &name))?;
    let risk = fields.take("Risk")?;
    let risk = match risk.as_str() {
        "low" => Risk::Low,
        "medium" => Risk::Medium,
        "high" => Risk::High,
        _ => return Err(fields.invalid("Risk", &risk)),
    };
    Ok(RunbookStep {
        priority,
        action,
        title: fill(block.title, service),
        detail: fill(&detail, service),
        risk,
        rollback: fill(&fields.take("Rollback")?, service),
        owner: fill(&fields.take("Owner")?, service),
        expected_outcome: fill(&fields.take("Expected")?, service),
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

/// The field list of a block; each field once, none empty.
struct Fields<'a, const N: usize> {
    place: &'a str,
    names: [&'static str; N],
    values: [Option<String>; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Reads the list up to the first blank line; what follows is the text.
    fn read(place: &'a str, names: [&'static str; N], lines: &[&str]) -> Result<(Self, String), Error> {
        let mut fields = Self { place, names, values: [const { None }; N] };
        let start = lines.iter().position(|line| !line.trim().is_empty()).unwrap_or(lines.len());
        let length = lines[start..].iter().take_while(|line| !line.trim().is_empty()).count();
        for line in &lines[start..start + length] {
            fields.add(line)?;
        }
        let text = reflow(&lines[start + length..]).ok_or_else(|| Error::OpenFence(place.to_owned()))?;
        if text.is_empty() {
            return Err(Error::NoText(place.to_owned()));
        }
        Ok((fields, text))
    }

    fn add(&mut self, line: &str) -> Result<(), Error> {
        let unknown = || Error::UnknownField { place: self.place.to_owned(), line: line.trim().to_owned() };
        let (name, value) =
            line.strip_prefix("- ").and_then(|rest| rest.split_once(':')).ok_or_else(unknown)?;
        let index = self.names.iter().position(|known| *known == name).ok_or_else(unknown)?;
        let field = self.names[index];
        if value.trim().is_empty() {
            return Err(Error::Missing { place: self.place.to_owned(), field });
        }
        match self.values[index].replace(value.trim().to_owned()) {
            None => Ok(()),
            Some(_) => Err(Error::Twice { place: self.place.to_owned(), field }),
        }
    }

    fn take(&mut self, field: &'static str) -> Result<String, Error> {
        self.names
            .iter()
            .position(|name| *name == field)
            .and_then(|index| self.values[index].take())
            .ok_or_else(|| Error::Missing { place: self.place.to_owned(), field })
    }

    fn invalid(&self, field: &'static str, value: &str) -> Error {
        Error::Invalid { place: self.place.to_owned(), field, value: value.to_owned() }
    }
}

/// Joins the wrapped lines of each paragraph; list items and code keep their lines. `None` where code does not end.
fn reflow(lines: &[&str]) -> Option<String> {
    let mut text = String::new();
    let mut fenced = false;
    let mut joins = false;
    for line in lines {
        let fence = line.trim_start().starts_with("```");
        let item = line.starts_with("- ");
        if line.trim().is_empty() && !fenced {
            joins = false;
            continue;
        }
        if !text.is_empty() {
            text.push(if joins && !fence && !fenced && !item { ' ' } else { '\n' });
        }
        text.push_str(if fence || fenced { line.trim_end() } else { line.trim() });
        fenced ^= fence;
        joins = !fence && !fenced;
    }
    (!fenced).then_some(text)
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

    #[test]
    fn an_indented_heading_begins_a_step_too() {
        for indent in ["", "  ", "\t", "\u{2028}"] {
            let text = format!("{RESTART}\n{indent}### Restart the rest\n");
            let read = steps("Within 15 minutes", &text, "payment");
            assert_eq!(read, Err(Error::NoText("Restart the rest".into())), "indent {indent:?}");
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
    fn a_heading_inside_a_code_fence_is_code() {
        let text = format!("{RESTART}\n```sh\n### not a step\n```\n");
        let steps = steps("Immediate actions", &text, "order").unwrap();
        assert_eq!(steps.len(), 1);
        assert!(steps[0].detail.ends_with("```sh\n### not a step\n```"), "{}", steps[0].detail);
    }

    #[test]
    fn code_that_does_not_end_is_refused_and_hides_no_step() {
        let title = "Restart {service} one by one";
        let text = format!("{RESTART}\n```sh\nkubectl get pods\n\n{RESTART}");
        assert_eq!(steps("Immediate actions", &text, "order"), Err(Error::OpenFence(title.into())));
        let text = "- After: 15 minutes\n- To: platform on-call\n\n```\nkubectl get pods\n";
        assert_eq!(escalation(text), Err(Error::OpenFence(ESCALATION.into())));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let refused = |from: &str, to: &str| {
            assert!(RESTART.contains(from));
            steps("Immediate actions", &RESTART.replace(from, to), "order").unwrap_err().to_string()
        };
        let title = "Restart {service} one by one";
        assert_eq!(
            refused("- Owner: on-call of {service}\n", ""),
            format!("{title}: field Owner is missing")
        );
        assert_eq!(refused("`restart`", "`reboot`"), format!("{title}: Action cannot be \"`reboot`\""));
        assert_eq!(refused("low", "none"), format!("{title}: Risk cannot be \"none\""));
        assert_eq!(
            refused("- Risk: low", "- Danger: low"),
            format!("{title}: \"- Danger: low\" is not a known field")
        );
        assert_eq!(refused("- Risk: low", "- Owner: me"), format!("{title}: field Owner appears twice"));
        assert_eq!(
            refused("### Restart {service} one by one", "Restart"),
            "text before the first step: \"Restart\""
        );
        assert_eq!(steps("Symptoms", RESTART, "order"), Err(Error::NotAnActionSection("Symptoms".into())));
        assert_eq!(steps("Within 1 hour", "\n", "order"), Err(Error::NoSteps));
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
        assert_eq!(error.to_string(), "Escalation: After cannot be \"soon\"");
    }
}
