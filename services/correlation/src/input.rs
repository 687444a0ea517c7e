//! What correlation reads.

use shared::events::{Anomaly, Command, Deployment, Refusal, Span, Topic, decode};
use shared::stage::Key;

/// One record, decoded.
#[derive(Debug, Clone)]
pub enum Input {
    /// A revision of an anomaly.
    Anomaly(Box<Anomaly>),
    /// A change.
    Deployment(Deployment),
    /// A call.
    Span(Span),
    /// What a person asks for.
    Command(Box<Command>),
}

impl Input {
    /// Reads a record of one of the input topics.
    pub fn decode(topic: Topic, payload: &[u8]) -> Result<Self, Refusal> {
        match topic {
            Topic::Anomalies => Ok(Self::Anomaly(Box::new(decode(payload)?))),
            Topic::RawDeployments => Ok(Self::Deployment(decode(payload)?)),
            Topic::RawSpans => Ok(Self::Span(decode(payload)?)),
            Topic::OperatorCommands => Ok(Self::Command(Box::new(decode(payload)?))),
            other => Err(Refusal::UnknownType(other.name().to_owned())),
        }
    }

    /// Returns the anomaly, if it is one.
    pub fn anomaly(&self) -> Option<&Anomaly> {
        match self {
            Self::Anomaly(anomaly) => Some(anomaly),
            Self::Deployment(_) | Self::Span(_) | Self::Command(_) => None,
        }
    }

    /// Groups are decided per environment, so anomalies of one stay in order; spans only need their trace together.
    pub fn key(&self) -> Key {
        match self {
            Self::Anomaly(anomaly) => Key(anomaly.environment.clone()),
            Self::Deployment(deployment) => Key(deployment.environment.clone()),
            Self::Span(span) => Key(span.trace_id.clone()),
            Self::Command(command) => Key(command.environment.clone()),
        }
    }
}
