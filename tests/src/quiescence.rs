//! What a pipeline still has to do: pending rows, and records that stages have not read.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use shared::bus;
use shared::bus::lag::{behind, extents};
use shared::events::Topic;
use stack::{AGENTS, Stack};

/// Condition of an incident that was not merged into another one of the same fault. The partitions of a topic are read in no
/// set order, so one fault may begin as two incidents.
pub const STANDS: &str =
    r#"coalesce(not incidents.body -> 'links' @> '[{"relation": "merged_into"}]', true)"#;
/// Longest wait for an answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);

/// Records of a topic that a stage has not read.
pub type Lags = BTreeMap<(&'static str, Topic), i64>;

/// Returns the lag of each stage on each topic that it has read from. Blocks.
pub fn lags(broker: &bus::Options) -> Result<Lags> {
    let held = extents(broker, &Topic::all(), ANSWER)?;
    let mut lags = Lags::new();
    for stage in AGENTS {
        let of_stage = behind(broker, stage, &held, ANSWER)?;
        lags.extend(of_stage.into_iter().map(|(topic, records)| ((stage, topic), records)));
    }
    Ok(lags)
}

/// Returns what is pending, one phrase each: the rows that `counts` (a name and a counting statement) find, and the lags.
pub async fn pending(stack: &Stack, counts: &[(&str, &str)]) -> Result<Vec<String>> {
    let store = stack.store()?;
    let client = shared::testing::client(&store).await?;
    let mut pending = Vec::new();
    for (what, statement) in counts {
        let rows: i64 = client.query_one(*statement, &[]).await?.try_get(0)?;
        if rows != 0 {
            pending.push(format!("{rows} {what}"));
        }
    }
    let broker = bus::Options { brokers: stack.brokers().to_owned(), ..bus::Options::default() };
    let lags = tokio::task::spawn_blocking(move || lags(&broker)).await??;
    let behind = lags.into_iter().filter(|(_, records)| *records > 0);
    pending.extend(behind.map(|((stage, topic), records)| format!("{records} of {topic} for {stage}")));
    Ok(pending)
}
