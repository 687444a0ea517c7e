//! Kubernetes by plain REST: warnings of a namespace about a workload, and logs of its pods.

mod events;
mod pods;

pub use events::EventSource;
pub use pods::PodLogSource;
