//! A client that looks and leaves no trace.

use rdkafka::consumer::BaseConsumer;

use super::{Error, Options};

/// Name under which such clients are known to the broker; no group of that name has members.
pub(super) const READER: &str = "firewatch-reader";

/// Makes a client that is a member of no group: it neither subscribes nor commits. Committed offsets are asked of
/// `group`.
pub(super) fn observer(options: &Options, group: &str) -> Result<BaseConsumer, Error> {
    let mut config = options.client();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // what retention removes between our question and our reading is passed over, not all that is left
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50")
        .set("allow.auto.create.topics", "false");
    Ok(options.finish(config).create()?)
}
