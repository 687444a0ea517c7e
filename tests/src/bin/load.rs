//! `load`: writes a burst into a pipeline and prints lag, recovery and memory of each agent.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tests::load::burst::Size;
use tests::load::commands::Commands;
use tests::load::pace::Pace;
use tests::load::{self, Outcome};

/// Writes a burst within a minute, and checks that memory stays bounded, that nothing is lost and that the lag is exposed.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Metric samples
    #[arg(long, default_value_t = 1_000_000)]
    samples: u32,
    /// Revisions of anomalies
    #[arg(long, default_value_t = 10_000)]
    anomalies: u32,
    /// Anomalies a second after the burst
    #[arg(long, default_value_t = 500)]
    per_second: u32,
    /// Seconds of that
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Open incidents that commands are about
    #[arg(long, default_value_t = 1_000)]
    incidents: u32,
    /// Commands a second
    #[arg(long, default_value_t = 200)]
    commands: u32,
    /// Folder with the binaries of the workspace, if not that of this program
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Folder for the summary
    #[arg(long, default_value = "target/load")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let size = Size::new(arguments.samples, arguments.anomalies)?;
    let pace = Pace { per_second: arguments.per_second, seconds: arguments.seconds };
    let Arguments { incidents, commands, seconds, .. } = arguments;
    let people = Commands { incidents, per_second: commands, seconds };
    let outcome = load::run(size, pace, people, arguments.binaries).await?;
    std::fs::create_dir_all(&arguments.out)?;
    std::fs::write(arguments.out.join("summary.json"), serde_json::to_vec_pretty(&outcome)?)?;
    print(&outcome);
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(outcome: &Outcome) {
    let machine = &outcome.machine;
    println!(
        "{} samples and {} anomalies written in {:.1} s; all handled after {:.1} s; {} incidents; {} decisions of correlation repeated",
        outcome.size.samples,
        outcome.size.anomalies,
        outcome.written_s,
        outcome.seconds,
        outcome.incidents,
        outcome.conflicts
    );
    println!(
        "{} cores of {}, {} GiB; agents of {}; memory bound {} MiB\n",
        machine.cores,
        machine.model,
        machine.memory >> 30,
        outcome.binaries.display(),
        outcome.memory_bound >> 20
    );
    println!("{:14} {:>9} {:>12} {:>12}", "agent", "peak lag", "recovery", "peak memory");
    for agent in &outcome.agents {
        let recovery = agent.recovery_s.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"));
        println!(
            "{:14} {:>9} {recovery:>12} {:>8} MiB",
            agent.agent,
            agent.peak_lag,
            agent.peak_memory >> 20
        );
    }
    if let Some(paced) = &outcome.paced {
        println!(
            "\n{} anomalies at {:.0}/s into {} open incidents: {} of {} changes of status were in an event of their incident, after {:.0} ms (p50), {:.0} ms (p99), at most {:.0} ms",
            paced.anomalies,
            paced.per_second,
            paced.incidents,
            paced.shown,
            paced.news,
            paced.p50_ms,
            paced.p99_ms,
            paced.max_ms
        );
    }
    if let Some(commanded) = &outcome.commanded {
        println!(
            "\n{} commands at {:.0}/s about {} open incidents: {} decided on, after {:.0} ms (p50), {:.0} ms (p99), at most {:.0} ms",
            commanded.commands,
            commanded.per_second,
            commanded.incidents,
            commanded.decided,
            commanded.p50_ms,
            commanded.p99_ms,
            commanded.max_ms
        );
    }
    for violation in &outcome.violations {
        println!("VIOLATED: {violation}");
    }
}
