//! The naive way: each record becomes a tree, each series keeps a window of 240 samples whose mean and deviation are
//! computed anew for every sample. Through Kafka it writes that window before it goes on to the next record.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::bus::{Consumer, Options, Producer};
use shared::events::Topic;

use crate::{Figures, tell};
use stack::testing::usage::cpu_s;

const WINDOW: usize = 240;
/// How long it runs through Kafka, once its first record has come.
const RUNS: Duration = Duration::from_secs(8);

/// The window of each series.
#[derive(Default)]
pub(crate) struct Windows(HashMap<String, VecDeque<f64>>);

impl Windows {
    /// Takes a record. Returns how many of its samples lie more than three deviations from the mean.
    pub(crate) fn take(&mut self, payload: &[u8]) -> anyhow::Result<usize> {
        let tree: Value = serde_json::from_slice(payload)?;
        let one = std::slice::from_ref(&tree);
        let mut alarms = 0;
        for sample in tree.as_array().map_or(one, Vec::as_slice) {
            let value = sample["value"].as_f64().unwrap_or_default();
            let window = self.0.entry(name(sample)).or_default();
            let count = window.len().max(1) as f64;
            let mean = window.iter().sum::<f64>() / count;
            let deviation = (window.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
            alarms += usize::from(window.len() > 30 && (value - mean).abs() > 3.0 * deviation);
            window.push_back(value);
            if window.len() > WINDOW {
                window.pop_front();
            }
        }
        Ok(alarms)
    }
}

fn name(sample: &Value) -> String {
    format!("{}/{}", sample["service"], sample["metric"])
}

/// Reads records of one sample each, writes the state of each series after each sample and waits until it is safe
/// before the offset is let go.
pub(crate) async fn through_kafka(bus: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let producer = Producer::connect(bus)?;
    let mut consumer = Consumer::join(bus, "naive", &[Topic::RawMetrics])?;
    let mut windows = Windows::default();
    let (mut samples, mut begun) = (0_u32, None);
    while let Some(record) = consumer.next().await {
        let (at, cpu) = *begun.get_or_insert((Instant::now(), cpu_s(std::process::id())?));
        windows.take(&record.payload)?;
        let key = name(&serde_json::from_slice(&record.payload)?);
        let state = serde_json::to_vec(&windows.0[&key])?;
        producer.send(Topic::DetectionState, Some(&format!("naive/{key}")), &Vec::new(), &state).await?;
        record.ticket.finish();
        samples += 1;
        if at.elapsed() >= RUNS {
            let wall = f64::from(samples) / at.elapsed().as_secs_f64();
            let core = f64::from(samples) / (cpu_s(std::process::id())? - cpu);
            println!(
                "naive, Kafka         {core:.0} samples/s a core, {wall:.0} by the clock (state after each)"
            );
            tell(figures, "naive_kafka_per_s_core", core);
            tell(figures, "naive_kafka_per_s", wall);
            break;
        }
    }
    consumer.leave().await;
    Ok(())
}
