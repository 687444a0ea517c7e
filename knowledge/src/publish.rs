//! Makes the topic `catalogue.services` state what the catalogue does, for stages that read no database.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use shared::bus::reader::{From, Reader};
use shared::bus::{Error, Options, Pending, Producer};
use shared::catalogue::Catalogue;
use shared::error;
use shared::events::{CatalogueService, Event as _, Topic, encode};

/// Pause before what the topic holds is read once more.
const PAUSE: Duration = Duration::from_millis(300);

/// What publishing has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Services that are stated.
    pub stated: usize,
    /// Services that were stated and are no longer in the catalogue.
    pub withdrawn: usize,
}

/// Writes a record for each service to each partition, and removes those of services that are gone. To each, for clients
/// hash keys differently: a service is judged where its metrics are, and only their producer knows where that is. All are
/// written, also those that have not changed, so that partitions that were added have them too. `deadline` is the longest
/// wait for what the topic holds.
pub async fn publish(
    options: &Options,
    catalogue: &Catalogue,
    deadline: Duration,
) -> Result<Published, error::Error> {
    let topic = Topic::CatalogueServices;
    let producer = Producer::connect(options)?;
    let partitions = producer.partitions(topic).await?;
    if partitions == 0 {
        let reason = format!("topic {topic} is not there; create what is missing with `stack topics`");
        return Err(Error::Other(reason).into());
    }
    let begun = Instant::now();
    let stated = loop {
        match stated(options, deadline).await {
            Ok(stated) => break stated,
            // a topic that was just made has no leader for a moment
            Err(_) if begun.elapsed() < deadline => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    };
    let mut writes: Vec<Pending> = Vec::new();
    let mut published = Published::default();
    for service in catalogue.services() {
        let event = CatalogueService::from(service);
        let payload = encode(&event).map_err(error::Error::reject)?;
        let (key, headers) = (event.subject(), Vec::new());
        for partition in 0..partitions {
            let place = Some(partition);
            writes.push(producer.enqueue_at(topic, place, Some(&key), &headers, &payload).await?);
        }
        published.stated += 1;
    }
    let mut withdrawn = BTreeSet::new();
    for (partition, name) in stated.iter().filter(|(_, name)| catalogue.get(name).is_none()) {
        writes.push(producer.remove(topic, *partition, name).await?);
        withdrawn.insert(name);
    }
    published.withdrawn = withdrawn.len();
    for write in writes {
        write.acknowledged().await?;
    }
    Ok(published)
}

/// Returns the services that the topic states, each with its partition.
async fn stated(options: &Options, deadline: Duration) -> Result<BTreeSet<(i32, String)>, Error> {
    let options = options.clone();
    let read = move || {
        let topic = Topic::CatalogueServices;
        Reader::open(&options, topic, None, From::Beginning, deadline)?.to_end(deadline)
    };
    let lines =
        tokio::task::spawn_blocking(read).await.map_err(|error| Error::Other(error.to_string()))??;
    let mut stated = BTreeSet::new();
    for line in lines {
        let Some(key) = line.key else { continue };
        match line.payload {
            Some(_) => stated.insert((line.partition, key)),
            None => stated.remove(&(line.partition, key)),
        };
    }
    Ok(stated)
}
