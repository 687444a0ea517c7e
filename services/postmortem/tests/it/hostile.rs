//! Telemetry that wants to be more than text.

use postmortem::document;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use shared::events::MAX_PAYLOAD;
use shared::events::rca::{Evidence, Source};
use shared::store::NotificationState;

use crate::scenario::{Scenario, exhausted_connections, line};

const EVIL: [&str; 8] = [
    "a|b|c\n| --- | --- |\n| x | y |",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "`code` ``more`` [link](https://evil.example) ![picture](https://evil.example/p.png) <https://evil.example>",
    "# heading\n\n## heading\n\n---\n\n1. item",
    "1. item\\",
    "*b* _i_ ~~s~~ &lt;b&gt; \\`x\\` \\|",
    "\u{202E}txet desrever\u{202C} \u{0}\u{7}\r\n\t",
    "> - + = ~ [x]: https://evil.example 'title'",
];

/// Puts a text wherever telemetry, documents or people can put one.
fn poisoned(text: &str) -> Scenario {
    let mut scenario = exhausted_connections();
    let evil = || text.to_owned();
    let incident = &mut scenario.incident;
    (incident.title, incident.environment) = (evil(), evil());
    incident.affected_services = vec![evil(), evil()];
    incident.blast_radius.callers = vec![evil(), "order".into()];
    for signal in &mut incident.signals {
        (signal.service, signal.metric, signal.unit, signal.explanation) = (evil(), evil(), evil(), evil());
    }
    for suspect in &mut incident.suspects {
        suspect.service = evil();
    }
    if let Some(change) = &mut incident.deployment {
        (change.service, change.version, change.description) = (evil(), evil(), Some(evil()));
        change.known_risks = vec![evil()];
    }
    if let Some(cause) = &mut scenario.cause {
        for candidate in &mut cause.candidates {
            candidate.category = shared::events::Category::Deployment;
            (candidate.service, candidate.cause) = (evil(), evil());
            for claim in &mut candidate.claims {
                claim.text = evil();
                claim.evidence.push(evil());
            }
            for reference in &mut candidate.similar_incidents {
                (reference.doc_id, reference.title) = (evil(), evil());
            }
        }
        let source = Source::Document { doc_id: evil(), section: evil() };
        cause.evidence.push(Evidence { id: evil(), source, quote: evil(), record: None });
        for piece in &mut cause.evidence {
            piece.quote = evil();
        }
        (cause.ruled_out, cause.missing) = (vec![evil()], vec![evil()]);
    }
    if let Some(plan) = &mut scenario.plan {
        (plan.service, plan.summary) = (evil(), evil());
        for step in &mut plan.steps {
            (step.title, step.source) = (evil(), evil());
        }
    }
    for (_, state) in &mut scenario.notifications {
        *state = NotificationState::Failed;
    }
    scenario.trail.push(line(90, text, text, text));
    scenario
}

/// What a renderer makes of a document, without its texts.
#[derive(Debug, Default, PartialEq)]
struct Shape {
    headings: usize,
    items: usize,
    paragraphs: usize,
    /// Cells of each row of each table.
    rows: Vec<usize>,
}

/// Renders a document and refuses whatever could act, lead elsewhere or load something.
fn shape(markdown: &str) -> Shape {
    let mut shape = Shape::default();
    for event in Parser::new_ext(markdown, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => panic!("{html:?} is HTML in\n{markdown}"),
            Event::Start(
                tag @ (Tag::Link { .. }
                | Tag::Image { .. }
                | Tag::HtmlBlock
                | Tag::CodeBlock(_)
                | Tag::Emphasis
                | Tag::Strikethrough
                | Tag::BlockQuote(_)),
            ) => panic!("{tag:?} in\n{markdown}"),
            Event::Start(Tag::Heading { .. }) => shape.headings += 1,
            Event::Start(Tag::Item) => shape.items += 1,
            Event::Start(Tag::Paragraph) => shape.paragraphs += 1,
            Event::Start(Tag::TableRow | Tag::TableHead) => shape.rows.push(0),
            Event::End(TagEnd::TableCell) => *shape.rows.last_mut().unwrap() += 1,
            _ => {}
        }
    }
    shape
}

#[test]
fn hostile_text_changes_no_more_than_words() {
    let harmless = shape(&document::write(&poisoned("word").record()).markdown);
    assert_eq!(harmless.headings, 10);
    for evil in EVIL {
        let postmortem = document::write(&poisoned(evil).record());
        assert_eq!(shape(&postmortem.markdown), harmless, "{evil:?} made\n{}", postmortem.markdown);
        assert!(!postmortem.markdown.contains('\u{202E}'));
        let texts = postmortem.timeline.iter().flat_map(|moment| [&moment.actor, &moment.what]);
        let texts = texts
            .chain(postmortem.action_items.iter().flat_map(|item| [&item.title, &item.owner, &item.reason]));
        assert!(texts.chain([&postmortem.title]).all(|text| !text.contains(char::is_control)));
    }
}

#[test]
fn endless_text_is_cut() {
    let mut scenario = poisoned(&"x ".repeat(100_000));
    // the one text that is refused on the way in if it is long
    scenario.incident.environment = "production".into();
    let postmortem = document::write(&scenario.record());
    assert!(serde_json::to_vec(&postmortem).unwrap().len() < MAX_PAYLOAD / 4);
}
