//! Storms: when very many incidents open at once, more of them inform nobody. What would open another one is collected in
//! one incident. It ends like any other; its members need not be of one fault, and its suspects are those of all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shared::events::Incident;
use shared::events::incident::Signal;
use shared::lifecycle::Assessment;
use shared::store::Neighbourhood;
use shared::text::format::counted;

use crate::endings::absorbs;
use crate::options::Options;

/// Time within which openings are counted.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// What becomes of a signal that would open an incident.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// It opens one.
    Own,
    /// It opens the storm.
    Storm,
    /// It joins the storm.
    Joins(&'a Incident),
}

/// Returns what becomes of a signal that would open an incident.
pub fn place<'a>(signal: &Signal, neighbourhood: &'a Neighbourhood, options: &Options) -> Place<'a> {
    let opened = opened_around(signal.observed_at, neighbourhood);
    if options.storm_incidents == 0 || opened < options.storm_incidents as usize {
        return Place::Own;
    }
    let is_it = |one: &&Incident| one.storm && absorbs(one, signal, neighbourhood, options);
    neighbourhood.incidents.iter().find(is_it).map_or(Place::Storm, Place::Joins)
}

/// Counts the incidents that opened around a time, over or not, but for those that were merged into another one.
fn opened_around(at: Timestamp, neighbourhood: &Neighbourhood) -> usize {
    neighbourhood
        .incidents
        .iter()
        .chain(&neighbourhood.past)
        .filter(|one| !one.storm && one.merged_into().is_none())
        .filter(|one| at.duration_since(one.opened_at).abs() <= WINDOW)
        .count()
}

/// Makes the first assessment of an incident that of a storm.
pub fn begin(assessment: Assessment) -> Assessment {
    Assessment { title: title(&assessment.signals), storm: true, ..assessment }
}

/// One line for people.
pub fn title(members: &[Arc<Signal>]) -> String {
    let services: BTreeSet<&str> = members.iter().map(|member| member.service.as_str()).collect();
    format!(
        "storm: {} of {} that opened no incidents of their own",
        counted(members.len(), "signal"),
        counted(services.len(), "service")
    )
}
