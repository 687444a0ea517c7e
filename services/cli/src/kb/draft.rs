//! `firewatch kb draft`: what incidents of one's own have in common, as the draft of a runbook. It is printed and never published:
//! a person edits it and puts it into the content directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use shared::events::incident::{Incident, Signal};
use shared::events::{Category, Deployment};
use shared::knowledge::approved::{self, Approved};
use shared::knowledge::{Chunk, DocumentKind};
use shared::runbook::{ACTIONS, ESCALATION, PLACEHOLDER};
use shared::store::Reads;
use shared::text::markup::{name, quote, text};
use shared::text::sanitize::{NAME, SENTENCE};

use super::arguments::Draft;
use crate::failure::CliError;
use crate::figures::counted;
use crate::incidents::{failed, open_store};
use crate::postmortem::draft::how_it_ended;
use crate::settings::Settings;
use crate::terminal::{self, Screen, clean};

/// Most incidents that a draft is made of, the newest.
const MAX_CASES: usize = 20;
/// Most items of a list.
const MAX_ITEMS: usize = 8;

/// Incidents of one service with one kind of cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repeated {
    /// Service that was at fault.
    pub service: String,
    /// Kind of cause.
    pub category: Category,
    /// Documents, by number.
    pub documents: Vec<String>,
}

/// What is on record of one incident.
#[derive(Debug, Clone)]
pub struct Case {
    /// Document that people have approved.
    pub document: Approved,
    /// The incident.
    pub incident: Incident,
    /// Its members.
    pub signals: Vec<Signal>,
    /// Changes of the service while it was open, oldest first.
    pub changes: Vec<Deployment>,
}

/// Runs `firewatch kb draft`.
pub async fn run(arguments: &Draft, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let approved = approved::all(&store).await.map_err(|error| failed(settings, &error))?;
    let repeated = repeated(&approved, arguments);
    let (Some(service), Some(category)) = (&arguments.service, arguments.category) else {
        return terminal::print(&if arguments.json {
            terminal::json(&repeated, true)?
        } else {
            list(&repeated, arguments, screen)
        });
    };
    let Some(found) = repeated.first() else {
        return Err(CliError::NotFound(format!(
            "fewer than {} approved postmortems name {} of {service} as the cause",
            arguments.at_least,
            category.words()
        )));
    };
    let catalogue = store.reads().catalogue().await.map_err(|error| failed(settings, &error))?;
    let owner = catalogue.services().find(|known| known.name == *service);
    let owner = owner.map_or("unassigned", |known| known.team.as_str());
    let mut cases = Vec::new();
    for document in approved.into_iter().filter(|document| found.documents.contains(&document.doc_id)) {
        cases.extend(read(document, service, store.reads()).await.map_err(|error| failed(settings, &error))?);
    }
    cases.sort_by_key(|case| std::cmp::Reverse(case.incident.number));
    cases.truncate(MAX_CASES);
    terminal::print(&terminal::clean_lines(&draft(service, category, owner, &cases)))
}

/// Returns the kinds of fault of which enough incidents are on record, most incidents first.
pub fn repeated(approved: &[Approved], arguments: &Draft) -> Vec<Repeated> {
    let mut groups: BTreeMap<(String, Category), Vec<(u64, String)>> = BTreeMap::new();
    for document in approved {
        let Some((service, category)) = document.chunks.first().and_then(at_fault) else { continue };
        if arguments.service.as_ref().is_none_or(|wanted| *wanted == service)
            && arguments.category.is_none_or(|wanted| wanted == category)
        {
            let digits: String = document.doc_id.chars().filter(char::is_ascii_digit).collect();
            let number = digits.parse().unwrap_or(u64::MAX);
            groups.entry((service, category)).or_default().push((number, document.doc_id.clone()));
        }
    }
    let mut repeated: Vec<Repeated> = groups
        .into_iter()
        .filter(|(_, documents)| documents.len() >= usize::from(arguments.at_least))
        .map(|((service, category), mut documents)| {
            documents.sort();
            Repeated { service, category, documents: documents.into_iter().map(|(_, id)| id).collect() }
        })
        .collect();
    repeated.sort_by_key(|one| std::cmp::Reverse(one.documents.len()));
    repeated
}

/// Returns the service at fault and the kind of cause of a past incident.
fn at_fault(chunk: &Chunk) -> Option<(String, Category)> {
    let category = Category::CAUSES.into_iter().find(|category| chunk.has_category(*category))?;
    (chunk.kind == DocumentKind::Incident).then_some(())?;
    Some((chunk.facets.get("service")?.clone(), category))
}

async fn read(
    document: Approved,
    service: &str,
    reads: &Reads,
) -> Result<Option<Case>, shared::store::Error> {
    let Some(incident) = reads.incident(document.incident_id).await? else { return Ok(None) };
    let signals = reads.signals_of(incident.incident_id).await?;
    let until = incident.resolved_at.unwrap_or(incident.opened_at);
    let changes = reads.changes_between(&incident.environment, service, incident.opened_at, until).await?;
    Ok(Some(Case { document, incident, signals, changes }))
}

fn list(repeated: &[Repeated], arguments: &Draft, screen: &Screen) -> String {
    if repeated.is_empty() {
        return format!(
            "No kind of cause is that of {} or more approved postmortems of one service.\n",
            arguments.at_least
        );
    }
    let mut lines = String::new();
    for Repeated { service, category, documents } in repeated {
        let _ = writeln!(
            lines,
            "{}  {category}  {}: {}",
            screen.paint(terminal::Tone::Strong, &clean(service, NAME)),
            counted(documents.len(), "incident"),
            clean(&documents.join(", "), SENTENCE)
        );
    }
    lines
}

/// Writes the draft. What was seen in at least half of the incidents is a symptom.
pub fn draft(service: &str, category: Category, owner: &str, cases: &[Case]) -> String {
    let title = format!("{} of {}", capitalised(category.words()), plain(service));
    let slug: String = format!("{}-{category}", service.to_lowercase())
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let ids: Vec<&str> = cases.iter().map(|case| case.document.doc_id.as_str()).collect();
    let mut out = format!(
        "---\nid: runbook/{slug}\ntitle: {}\ncategories: [{category}]\nowner: {}\n---\n\n# {title}\n\n",
        json(&title),
        json(&plain(owner))
    );
    let _ = write!(
        out,
        "A draft from {}: {}. Edit it before anybody follows it.\n\n## Symptoms\n\n",
        counted(cases.len(), "incident"),
        ids.join(", ")
    );
    items(&mut out, &symptoms(service, cases), "What is seen first: write it here.");
    out.push_str("## Diagnosis\n\n");
    let causes = cases.iter().map(|case| format!("{}: {}", case.document.doc_id, section(case, "cause")));
    items(&mut out, &causes.collect::<Vec<_>>(), "How to tell: write it here.");
    let _ = write!(out, "## {}\n\n", ACTIONS[0].0);
    for step in actions(cases) {
        out.push_str(&step);
    }
    let mean = mean_minutes(cases);
    for (heading, (step, expected)) in ACTIONS[1..].iter().map(|(heading, _)| heading).zip([
        (
            "See whether it has ended",
            format!("the series above are inside their bands; it took {mean} minutes on average"),
        ),
        (
            "Look for what lets it come back",
            format!("one change is named that would have prevented {}", ids.join(", ")),
        ),
    ]) {
        let _ = write!(out, "## {heading}\n\n{}", manual(step, &expected, "Write here how."));
    }
    out.push_str("## Verification\n\n");
    let series = symptoms(service, cases).into_iter().map(|line| {
        let line = line.rsplit_once(" (").map_or(line.as_str(), |(line, _)| line);
        format!("No longer: {line}")
    });
    items(&mut out, &series.collect::<Vec<_>>(), "How to tell that it is over: write it here.");
    let _ = write!(
        out,
        "## {ESCALATION}\n\n- After: 15 minutes\n- To: team of {PLACEHOLDER}\n\nWrite here when to call sooner.\n"
    );
    out
}

/// Returns what was seen at the service in at least half of the incidents, in most of them first.
fn symptoms(service: &str, cases: &[Case]) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases {
        let own = case.signals.iter().filter(|signal| signal.service == service);
        let mut of_case: Vec<String> =
            own.clone().map(|signal| format!("{} {}", name(&signal.metric), side(signal))).collect();
        of_case
            .extend(own.flat_map(|signal| &signal.logs).map(|log| format!("log: {}", quote(&log.template))));
        of_case.sort();
        of_case.dedup();
        for symptom in of_case {
            *seen.entry(fit(&symptom)).or_default() += 1;
        }
    }
    let mut seen: Vec<(String, usize)> =
        seen.into_iter().filter(|(_, times)| 2 * times >= cases.len()).collect();
    seen.sort_by(|(a, a_times), (b, b_times)| b_times.cmp(a_times).then(a.cmp(b)));
    let all = cases.len();
    seen.into_iter().take(MAX_ITEMS).map(|(symptom, times)| format!("{symptom} ({times} of {all})")).collect()
}

fn side(signal: &Signal) -> &'static str {
    match signal.direction {
        shared::events::anomaly::Direction::Up => "above its band",
        shared::events::anomaly::Direction::Down => "below its band",
    }
}

/// Returns what may have ended the incidents: what people wrote, and changes of the service while they were open.
fn actions(cases: &[Case]) -> Vec<String> {
    let mut steps = Vec::new();
    let changed: Vec<&Case> = cases.iter().filter(|case| !case.changes.is_empty()).collect();
    if 2 * changed.len() >= cases.len() && !changed.is_empty() {
        let last = changed.iter().filter_map(|case| Some((case, case.changes.last()?)));
        let all = last.map(|(case, change)| {
            format!(
                "{} {} in {}",
                text(&change.change_type, NAME),
                name(&change.version),
                case.document.doc_id
            )
        });
        let listed = fit(&all.collect::<Vec<_>>().join("; "));
        let title = "Compare the changes that were made while it was open";
        let how = format!(
            "In {} of {} the service was changed, last: {listed}. Whether that ended it is not on record.",
            changed.len(),
            counted(cases.len(), "incident")
        );
        steps.push(manual(title, "one of them is named that ends it, or none", &how));
    }
    for case in cases {
        let said = section(case, "resolution");
        // what nobody has edited says only how long it took
        if said.is_empty() || said == fit(&text(&how_it_ended(&case.incident), SENTENCE)) {
            continue;
        }
        let title = format!("Do what ended {}", case.document.doc_id);
        steps.push(manual(&title, "the symptoms above are gone", &said));
    }
    if steps.is_empty() {
        steps.push(manual(
            "Do what ends it",
            "the symptoms above are gone",
            "Nobody has written what ended these incidents: write it here.",
        ));
    }
    steps.truncate(MAX_ITEMS);
    steps
}

fn manual(title: &str, expected: &str, how: &str) -> String {
    format!(
        "### {title}\n- Action: `manual`\n- Risk: medium\n- Rollback: write here how to undo it\n- Owner: on-call of {PLACEHOLDER}\n- Expected: {expected}\n\n{how}\n\n"
    )
}

/// Returns a section of an approved document as one line of Markdown.
fn section(case: &Case, section: &str) -> String {
    let chunk = case.document.chunks.iter().find(|chunk| chunk.section == section);
    let said = chunk.map_or("", |chunk| chunk.text.split("\n\nRunbooks: ").next().unwrap_or_default());
    fit(&text(said, SENTENCE))
}

fn mean_minutes(cases: &[Case]) -> i64 {
    let minutes = cases.iter().filter_map(|case| {
        Some(case.incident.resolved_at?.duration_since(case.incident.started_at).as_mins())
    });
    let all: Vec<i64> = minutes.collect();
    all.iter().sum::<i64>() / i64::try_from(all.len()).unwrap_or(1).max(1)
}

fn items(out: &mut String, lines: &[String], none: &str) {
    for line in lines.iter().take(MAX_ITEMS) {
        let _ = writeln!(out, "- {line}");
    }
    if lines.is_empty() {
        let _ = writeln!(out, "- {none}");
    }
    out.push('\n');
}

/// Leaves out braces: those of a runbook hold placeholders.
fn fit(line: &str) -> String {
    line.replace('{', "(").replace('}', ")")
}

fn plain(words: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_.".contains(*c);
    clean(words, 60).chars().filter(kept).collect()
}

fn json(words: &str) -> String {
    serde_json::Value::from(words).to_string()
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}
