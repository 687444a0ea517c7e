//! Mails to check templates with: one in which everything is there, and one in which nothing is.

use minijinja::Value;
use minijinja::value::Serde;

use crate::content::Kind;
use crate::mail::opened::{Hypothesis, Log, Opened};
use crate::mail::plan::{Escalation, Group, Plan, Step};
use crate::mail::postmortem::Postmortem;
use crate::mail::resolved::{self, Resolved};
use crate::mail::root_cause::{Cause, Claim, Document, Quote, RootCause};
use crate::mail::update::Update;
use crate::mail::{Deployment, Fact, Frame, Inline, opened};
use crate::message::List;

/// Returns a mail of that kind with everything in it, and one with nothing.
pub(super) fn of(kind: Kind) -> [(Frame, Value); 2] {
    let (full, empty) = match kind {
        Kind::Opened => (value(&opened()), value(&Opened::default())),
        Kind::RootCause => (value(&root_cause()), value(&RootCause::default())),
        Kind::Plan => (value(&plan()), value(&Plan::default())),
        Kind::Resolved => (value(&resolved()), value(&Resolved::default())),
        Kind::Postmortem => (value(&postmortem()), value(&Postmortem::default())),
        _ => (value(&update()), value(&Update::default())),
    };
    [(frame(kind), full), (Frame { kind: kind.words(), severity: "SEV3", ..Frame::default() }, empty)]
}

fn value<T: serde::Serialize>(mail: &T) -> Value {
    Value::from(Serde(mail))
}

fn text() -> String {
    "sample".to_owned()
}

fn frame(kind: Kind) -> Frame {
    Frame {
        kind: kind.words(),
        severity: "SEV1",
        colour: "#b3261e",
        number: 12,
        title: text(),
        environment: text(),
        next: vec![text()],
        lede: text(),
        incident_id: text(),
        link: text(),
        picture: Some(Inline { cid: text(), alt: text(), width: 536, height: 232 }),
    }
}

fn update() -> Update {
    let list = List { title: "Sample", items: vec![text()], more: 1 };
    Update { correction: text(), next: vec![text()], facts: facts(), lists: vec![list] }
}

fn facts() -> Vec<Fact> {
    vec![Fact { label: "Where", value: text() }]
}

fn deployment() -> Deployment {
    Deployment { what: text(), when: text(), detail: text(), risks: vec![text()] }
}

fn opened() -> Opened {
    let suspect = |share| Hypothesis {
        service: text(),
        cause: "sample",
        confidence: text(),
        share,
        reasons: vec![text()],
    };
    Opened {
        facts: facts(),
        suspects: vec![suspect(93), suspect(100)],
        signals: vec![opened::Row {
            service: text(),
            metric: text(),
            observed: text(),
            side: "above",
            arrow: "↑",
            expected: text(),
            expectation: text(),
            since: text(),
        }],
        more_signals: 1,
        deployment: Some(deployment()),
        logs: vec![Log { level: text(), times: text(), example: text() }],
    }
}

fn root_cause() -> RootCause {
    let documents = || vec![Document { id: text(), title: text() }];
    let cause = |rank| Cause {
        rank,
        service: text(),
        cause: text(),
        category: "sample",
        confidence: text(),
        share: 93,
        claims: vec![Claim {
            text: text(),
            quotes: vec![Quote { id: text(), place: text(), words: text(), verbatim: false }],
        }],
        similar: documents(),
        runbooks: documents(),
    };
    RootCause {
        unknown: true,
        causes: vec![cause(1), cause(2)],
        ruled_out: vec![text()],
        missing: vec![text()],
        checked: text(),
    }
}

fn plan() -> Plan {
    let step = |order| Step {
        order,
        title: text(),
        detail: text(),
        detail_text: text(),
        detail_html: text(),
        action: "restart",
        risk: "low",
        risk_colour: "#1b7f4b",
        owner: text(),
        rollback: text(),
        expected: text(),
        source: text(),
    };
    Plan {
        groups: vec![Group { title: "Immediately", steps: vec![step(1), step(2)] }],
        more_steps: 1,
        escalation: Escalation { after: text(), team: text(), contact: text(), note: text() },
        watch: text(),
    }
}

fn resolved() -> Resolved {
    Resolved {
        facts: facts(),
        signals_heading: "Recovered signals",
        signals: vec![resolved::Row {
            service: text(),
            metric: text(),
            worst: text(),
            now: text(),
            expected: text(),
            cleared: text(),
            ended: text(),
        }],
        more_signals: 1,
        deployment: Some(deployment()),
    }
}

fn postmortem() -> Postmortem {
    Postmortem { facts: facts(), text: text(), html: text() }
}
