//! The case: an incident, and what was found to be its cause.

use shared::catalogue::Catalogue;
use shared::events::{Incident, RootCause};

/// What a plan rests on.
#[derive(Debug, Clone, Copy)]
pub struct PlanContext<'a> {
    /// The ranking it answers.
    pub cause: &'a RootCause,
    /// The incident as it stands.
    pub incident: &'a Incident,
    /// Who owns what.
    pub catalogue: &'a Catalogue,
}
