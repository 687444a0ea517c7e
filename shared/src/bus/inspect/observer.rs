//! A client that looks and leaves no trace.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use crate::bus::link::Context;
use crate::bus::{Error, Mechanism, Options};

/// Name under which such clients are known to the broker; no group of that name has members.
pub(super) const READER: &str = "firewatch-reader";

/// Longest wait for the client to ask for its token.
const TOKEN: Duration = Duration::from_millis(100);
/// Longest wait for the next event that tells why a request failed. Not zero: the client's log lines are events too.
const EVENT: Duration = Duration::from_millis(20);
/// Most events that are handled at once.
const EVENTS: usize = 256;

pub(super) type Observer = BaseConsumer<Context>;

/// Makes a client that is a member of no group: it neither subscribes nor commits. Committed offsets are asked of
/// `group`.
pub(super) fn observer(options: &Options, group: &str) -> Result<Observer, Error> {
    let mut config = options.client();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // what retention removes between our question and our reading is passed over, not all that is left
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50")
        .set("allow.auto.create.topics", "false");
    let observer: Observer = options.finish(config).create_with_context(Context::new(options))?;
    if options.sasl.mechanism == Mechanism::OauthBearer {
        // the token is asked for by an event
        drain(&observer, TOKEN);
    }
    Ok(observer)
}

/// Makes the error of a request that failed. Why it failed waits among the events of the client.
pub(super) fn failed(observer: &Observer, error: KafkaError) -> Error {
    drain(observer, EVENT);
    observer.context().options().failed(error)
}

/// Handles the events that wait, errors among them. Nothing is assigned yet, so there are no records.
fn drain(observer: &Observer, wait: Duration) {
    let _ = (0..EVENTS).find(|_| observer.poll(wait).is_none());
}
