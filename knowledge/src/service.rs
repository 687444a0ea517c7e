//! A page about a service, from the catalogue.

use std::collections::BTreeMap;

use shared::catalogue::{Catalogue, Revenue, Service};
use shared::events::Category;
use shared::knowledge::{Chunk, DocumentKind, YES, facet};

use crate::incident::bullets;
use crate::problem::Report;

pub(crate) fn check(
    service: &Service,
    stem: &str,
    report: &mut Report<'_>,
    is_service: impl Fn(&str) -> bool,
    is_runbook: impl Fn(&str) -> bool,
) {
    report.unless(service.name == stem, "name", || format!("{:?} is not the file's name", service.name));
    report.text("description", &service.description, 600);
    report.text("team", &service.team, 60);
    report.text("language", &service.language, 60);
    report.unless((1..=4).contains(&service.tier), "tier", || format!("{} is not 1 to 4", service.tier));
    let slo = service.slo;
    report.unless(slo > 0.0 && slo < 100.0, "slo", || format!("{slo} is not between 0 and 100 percent"));
    let latency = service.latency_slo_ms;
    report.unless(latency > 0.0 && latency.is_finite(), "latency_slo_ms", || {
        format!("{latency} is not a time")
    });
    let users = service.users_share;
    report.unless(users.is_none_or(|share| share > 0.0 && share <= 1.0), "users_share", || {
        format!("{} is not above 0 and at most 1", users.unwrap_or_default())
    });
    if let Some(Revenue { per_minute, currency }) = &service.revenue {
        report.unless(*per_minute > 0.0 && per_minute.is_finite(), "revenue.per_minute", || {
            format!("{per_minute} is not an amount above 0")
        });
        let is_code = currency.len() == 3 && currency.bytes().all(|letter| letter.is_ascii_uppercase());
        report.unless(is_code, "revenue.currency", || format!("{currency:?} is not a code of ISO 4217"));
    }
    for (field, address) in [("oncall", &service.oncall), ("contact", &service.contact)] {
        let is_mail =
            address.split_once('@').is_some_and(|(name, place)| !name.is_empty() && place.contains('.'));
        let is_plain = !address.contains(|c: char| c.is_whitespace() || c.is_control());
        report.unless(is_plain && (is_mail || names_channel(address)), field, || {
            format!("{address:?} is neither a mail address nor CHANNEL:ADDRESS")
        });
    }
    report.known("depends_on", &service.depends_on, |name| is_service(name) && name != service.name);
    report.known("runbooks", &service.runbooks, is_runbook);
    for (index, mode) in service.failure_modes.iter().enumerate() {
        report.text(&format!("failure_modes[{index}].symptom"), &mode.symptom, 300);
        report.unless(
            mode.category != Category::Unknown,
            &format!("failure_modes[{index}].category"),
            || "names no cause".into(),
        );
    }
}

/// Returns whether an entry is `CHANNEL:ADDRESS`. Communication alone knows which channels and receivers there are.
fn names_channel(entry: &str) -> bool {
    entry.split_once(':').is_some_and(|(channel, address)| {
        !address.is_empty()
            && !channel.is_empty()
            && channel.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    })
}

/// Returns the one chunk of a service.
pub(crate) fn chunk(service: &Service, catalogue: &Catalogue) -> Chunk {
    let graph = catalogue.graph();
    let list = |names: Vec<&str>| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let modes: Vec<String> = service
        .failure_modes
        .iter()
        .map(|mode| format!("{}: {}", mode.category.words(), mode.symptom))
        .collect();
    let text = format!(
        "{}\n\nTier {}, written in {}, owned by {} (on call: {}). \
         Objective: {} % available, p99 below {} ms.\n\
         Calls: {}. Called by: {}.\n\nKnown failures:\n{}\n\nRunbooks: {}.",
        service.description,
        service.tier,
        service.language,
        service.team,
        service.oncall,
        service.slo,
        service.latency_slo_ms,
        list(graph.callees(&service.name).collect()),
        list(graph.callers(&service.name).collect()),
        bullets(&modes),
        service.runbooks.join(", "),
    );
    let mut facets = BTreeMap::from([
        ("owner".to_owned(), service.team.clone()),
        ("service".to_owned(), service.name.clone()),
        (facet("service", &service.name), YES.to_owned()),
    ]);
    for mode in &service.failure_modes {
        facets.insert(facet("category", &mode.category.to_string()), YES.to_owned());
    }
    Chunk {
        doc_id: format!("service/{}", service.name),
        kind: DocumentKind::Service,
        title: service.name.clone(),
        section: "service".to_owned(),
        ordinal: 0,
        text,
        facets,
    }
}
