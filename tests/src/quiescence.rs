//! What is left to do in a house: rows, and records that stages have yet to read.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use shared::bus;
use shared::bus::lag::{behind, extents};
use shared::events::Topic;
use stack::{AGENTS, Stack};

/// Longest wait for a broker's answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Records that a stage has yet to read of a topic.
pub type Lags = BTreeMap<(&'static str, Topic), i64>;

/// Returns how far each stage is behind on each topic it has read from. Blocking; run it off the async threads.
pub fn lags(broker: &bus::Options) -> Result<Lags> {
    let held = extents(broker, &Topic::all(), ANSWER)?;
    let mut lags = Lags::new();
    for stage in AGENTS {
        let of_stage = behind(broker, stage, &held, ANSWER)?;
        lags.extend(of_stage.into_iter().map(|(topic, records)| ((stage, topic), records)));
    }
    Ok(lags)
}

/// Returns what is left to do, one phrase each: what `counts` (a name and a statement that counts) find, and lags.
pub async fn left(stack: &Stack, counts: &[(&str, &str)]) -> Result<Vec<String>> {
    let store = stack.store()?;
    let client = shared::testing::client(&store).await?;
    let mut left = Vec::new();
    for (what, statement) in counts {
        let rows: i64 = client.query_one(*statement, &[]).await?.try_get(0)?;
        if rows != 0 {
            left.push(format!("{rows} {what}"));
        }
    }
    let broker = bus::Options { brokers: stack.brokers().to_owned(), ..bus::Options::default() };
    let lags = tokio::task::spawn_blocking(move || lags(&broker)).await??;
    let behind = lags.into_iter().filter(|(_, records)| *records > 0);
    left.extend(behind.map(|((stage, topic), records)| format!("{records} of {topic} for {stage}")));
    Ok(left)
}
