//! A diagnosis as a page: what was looked at, what is abnormal, and the cause.

use investigation::verdict::Knowledge;

use super::Diagnosis;
use crate::figures::{counted, moment};
use crate::incidents::show::{cause, signals};
use crate::terminal::Screen;
use crate::terminal::page::Page;

/// Renders a diagnosis, whose texts are clean.
pub fn render(diagnosis: &Diagnosis, screen: &Screen) -> String {
    let mut page = Page::new(screen);
    page.line(&format!(
        "{}  {}, {} to {}",
        page.strong(&diagnosis.service),
        diagnosis.environment,
        moment(diagnosis.from),
        moment(diagnosis.at),
    ));
    page.heading("Looked at", "");
    for item in looked_at(diagnosis) {
        page.item("  ", &item);
    }
    let Some(result) = &diagnosis.result else {
        page.gap();
        page.text("", &nothing(diagnosis));
        return page.finish();
    };
    signals::render(&mut page, &diagnosis.signals);
    cause::render(&mut page, Some(result));
    page.finish()
}

fn looked_at(diagnosis: &Diagnosis) -> Vec<String> {
    let others = diagnosis.services.iter().filter(|service| **service != diagnosis.service);
    let others: Vec<&str> = others.map(String::as_str).collect();
    let own = diagnosis.signals.iter().filter(|signal| signal.service == diagnosis.service).count();
    let mut items = vec![
        format!("{own} abnormal series of {}", diagnosis.service),
        if others.is_empty() {
            "no service that it calls or that calls it is known".to_owned()
        } else {
            let series = diagnosis.signals.len() - own;
            format!(
                "{series} abnormal series of services that it calls or that call it: {}",
                others.join(", ")
            )
        },
        format!(
            "{} in the environment since {}",
            counted(diagnosis.changes, "change"),
            moment(diagnosis.changes_since)
        ),
    ];
    if let Some(documents) = diagnosis.documents {
        items.push(searched(documents).to_owned());
    }
    if !diagnosis.incidents.is_empty() {
        let numbers: Vec<String> = diagnosis.incidents.iter().map(|number| format!("#{number}")).collect();
        items.push(format!("these series belong to {}", numbers.join(", ")));
    }
    items
}

fn searched(documents: Knowledge) -> &'static str {
    match documents {
        Knowledge::Unavailable => "the knowledge base could not be searched",
        Knowledge::NothingSimilar => "the knowledge base: no similar past incident",
        Knowledge::Found => "the knowledge base: similar past incidents are named below",
    }
}

/// Says that nothing is abnormal, and what that rests on.
fn nothing(diagnosis: &Diagnosis) -> String {
    format!(
        "Nothing that is stored of {} or of services it depends on was abnormal. That is no proof that all was well: only what \
         is sent to Firewatch is looked at.",
        diagnosis.service
    )
}
