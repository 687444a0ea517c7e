//! What a plan is for: the service and the kind of cause that a ranking leaves to be acted on.

use shared::events::rca::{Candidate, Verdict};
use shared::events::{Category, Incident, RootCause};

/// What a plan is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Target<'a> {
    /// Service to act on, as telemetry names it.
    pub service: &'a str,
    /// Kind of cause; [`Category::Unknown`] where nothing may be claimed.
    pub category: Category,
    /// Candidate behind it; none where nothing may be claimed.
    pub candidate: Option<&'a Candidate>,
}

impl<'a> Target<'a> {
    /// Picks the first candidate of a known kind, else the first, else what is known of the incident itself.
    ///
    /// A verdict of `unknown` is taken at its word: whatever the candidates say, they are leads and no cause.
    pub fn of(cause: &'a RootCause, incident: &'a Incident) -> Self {
        let known = |candidate: &&Candidate| candidate.category != Category::Unknown;
        let claimed = if cause.verdict == Verdict::Unknown {
            None
        } else {
            cause.candidates.iter().find(known).or(cause.candidates.first())
        };
        if let Some(candidate) = claimed {
            return Self {
                service: &candidate.service,
                category: candidate.category,
                candidate: Some(candidate),
            };
        }
        let service = cause
            .candidates
            .first()
            .map(|candidate| &candidate.service)
            .or(incident.suspect().map(|suspect| &suspect.service))
            .or(incident.affected_services.first());
        Self {
            service: service.map_or("unknown", String::as_str),
            category: Category::Unknown,
            candidate: None,
        }
    }

    /// Returns the service fit for a sentence.
    pub fn name(&self) -> String {
        shared::text::sanitize::one_line(self.service, shared::text::sanitize::NAME)
    }
}
