//! An event with its envelope, ready for the bus.

use jiff::Timestamp;

use super::{Envelope, Event, Topic};
use crate::error::Error;
use crate::ids::EventId;

/// An event on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Where to.
    pub topic: Topic,
    /// Record key: the event's subject.
    pub key: String,
    /// Its envelope.
    pub envelope: Envelope,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Outgoing {
    /// Encodes an event of `stage`.
    pub fn new<E: Event>(
        topic: Topic,
        event: &E,
        id: EventId,
        stage: &str,
        time: Timestamp,
        parent: Option<&str>,
    ) -> Result<Self, Error> {
        let payload = crate::events::encode(event).map_err(Error::reject)?;
        let envelope = Envelope::of(event, id, stage, time, parent);
        Ok(Self { topic, key: envelope.subject.clone(), envelope, payload })
    }
}
