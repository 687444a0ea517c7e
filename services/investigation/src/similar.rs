//! Past incidents are compared by what was seen, not by words alone: the kind of cause, the service at fault, what was noticed
//! first, and who was hurt.

use std::collections::BTreeSet;

use shared::events::incident::{Incident, Suspect};
use shared::events::rca::Reference;
use shared::knowledge::Chunk;
use shared::knowledge::retrieval::Found;

/// Least similarity between the description of an incident and a past one, cosine. Below it, nothing similar is known:
/// `make score-retrieval` prints how often that is right.
pub const FLOOR: f32 = 0.6;
/// Most services that are listed.
const MAX_NAMES: usize = 5;

/// Whether a past incident with the same kind of cause is similar enough to be named.
pub fn is_similar(found: &Found) -> bool {
    found.similarity.is_some_and(|similarity| similarity >= FLOOR)
}

/// Whether a service was the one at fault in a past incident.
pub fn was_at_fault(chunk: &Chunk, service: &str) -> bool {
    chunk.facets.get("service").is_some_and(|known| known == service)
}

/// Returns what is published of a past incident, with what it has in common and what differs.
pub fn reference(found: &Found, incident: &Incident, suspect: &Suspect) -> Reference {
    let chunk = &found.chunk;
    // only those of the suspect's kind of cause are searched
    let mut alike = vec![format!("kind of cause: {}", suspect.category.words())];
    let mut different = Vec::new();
    match chunk.facets.get("service") {
        Some(known) if *known == suspect.service => alike.push(format!("service at fault: {known}")),
        Some(known) => different.push(format!("service at fault: {known}, not {}", suspect.service)),
        None => {}
    }
    let own = incident.signals.iter().filter(|signal| signal.service == suspect.service);
    let seen: BTreeSet<String> = own.map(|signal| signal.kind.to_string()).collect();
    if let Some(kind) = chunk.facets.get("kind") {
        let list = if seen.contains(kind) { &mut alike } else { &mut different };
        list.push(format!("noticed first: {}", kind.replace('_', " ")));
    }
    let hurt = |service: &&String| chunk.has_service(service) && **service != suspect.service;
    let both: Vec<&str> = incident.affected_services.iter().filter(hurt).map(String::as_str).collect();
    if !both.is_empty() {
        alike.push(format!("also affected: {}", both[..both.len().min(MAX_NAMES)].join(", ")));
    }
    Reference { alike, different, ..found.reference() }
}
