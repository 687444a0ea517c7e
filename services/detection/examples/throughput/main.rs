//! How much detection bears, beside the naive way, all in one run: `make bench`.
//!
//! In process: one thread parses and scores a simulated day of the shop; then memory is measured with 40,000 series.
//! Through Kafka: the real service, built for release, reads what lies ready and writes its state. Figures "a core" are
//! samples per second of processor time, so that they do not depend on what else the machine does; a service's processor
//! time is that of all its threads from its start until its last snapshot.

mod in_process;
mod kafka;
mod naive;
mod process;

use serde_json::{Map, Value};

/// What was measured, by name.
type Figures = Map<String, Value>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut figures = Figures::new();
    in_process::measure(&mut figures)?;
    match std::env::var("FIREWATCH_TEST_KAFKA") {
        Ok(brokers) => kafka::measure(brokers, &mut figures).await?,
        Err(_) => println!("through Kafka        not measured: FIREWATCH_TEST_KAFKA names no broker"),
    }
    std::fs::create_dir_all("target/bench")?;
    std::fs::write("target/bench/summary.json", serde_json::to_vec_pretty(&figures)?)?;
    Ok(())
}

/// Keeps a figure without the digits that mean nothing.
fn tell(figures: &mut Figures, name: &str, value: f64) {
    let rounded = if value < 100.0 { (value * 100.0).round() / 100.0 } else { value.round() };
    figures.insert(name.to_owned(), rounded.into());
}
