//! The vocabulary of the product: what all agents mean by a service, an incident, a runbook. Pure; everything else may use it.

pub mod agent;
pub mod audit;
pub mod calls;
pub mod catalogue;
pub mod ending;
pub mod finding;
pub mod graph;
pub mod ids;
pub mod impact;
pub mod lifecycle;
pub mod matchers;
pub mod oncall;
pub mod routes;
pub mod runbook;
pub mod silence;
pub mod window;
