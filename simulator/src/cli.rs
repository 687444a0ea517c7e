//! The command line.

use std::str::FromStr;

use clap::Parser;
use clap::builder::{NonEmptyStringValueParser, TypedValueParser as _};
use jiff::{SignedDuration, Timestamp};
use shared::events::fault::Scenario;
use shared::secret::Secret;
use shared::service::config::{NoOptions, Problems};
use shared::service::{Cli, Config};

use crate::noise::Noise;
use crate::run::{Pace, Settings};
use crate::schedule::{Faults, Outbreak};
use crate::shop::{Decoys, Options};

/// Longest length, in ticks.
const MAX_TICKS: u64 = 1_000_000_000;
/// Longest duration, ten years in milliseconds.
const MAX_MS: u64 = 3_650 * 86_400_000;

/// A shop of six services that can be set on fire, over Kafka.
///
/// Lengths are a number of ticks (`60`) or event time (`10m`).
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// Configuration that all processes share
    #[command(flatten)]
    pub shared: Cli,
    /// Kafka brokers, separated by commas; instead of the configured ones
    #[arg(long)]
    brokers: Option<String>,
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Time between two ticks: `10s`, `500ms`
    #[arg(long, default_value = "10s", value_parser = interval)]
    interval: u64,
    /// Always this fault; otherwise each of the first seven in turn: latency-spike, error-spike, cpu-saturation,
    /// memory-leak, db-connections, consumer-lag, bad-deployment; besides them dependency-outage, network-partition,
    /// traffic-drop, disk-filling, certificate-expiry, noisy-neighbour, retirement
    #[arg(long, value_parser = scenario, conflicts_with = "quiet")]
    scenario: Option<Scenario>,
    /// This scenario of `--scenario`, first in tick START of the run: `latency-spike@60`; may be given more than once,
    /// also for one time
    #[arg(long = "fault", value_name = "SCENARIO@START", value_parser = outbreak, conflicts_with_all = ["quiet", "once", "scenario"])]
    faults: Vec<Outbreak>,
    /// One fault only
    #[arg(long, conflicts_with = "quiet")]
    once: bool,
    /// No fault at all
    #[arg(long)]
    quiet: bool,
    /// Length of the healthy start
    #[arg(long, default_value = "60")]
    first_fault_after: Length,
    /// Least length between two faults
    #[arg(long, default_value = "60")]
    min_gap: Length,
    /// End this long after the fault of `--once`; without it the shop stays open until it is stopped
    #[arg(long, requires = "once")]
    tail: Option<Length>,
    /// Length of the past that the shop has when it opens, written at once; part of the healthy start
    #[arg(long, default_value = "0", conflicts_with = "start")]
    history: Length,
    /// End after this length
    #[arg(long = "for", value_name = "LENGTH")]
    length: Option<Length>,
    /// Shape of the noise
    #[arg(long, value_enum, default_value_t)]
    noise: Noise,
    /// Which services healthy deployments may touch
    #[arg(long, value_enum, default_value_t)]
    decoys: Decoys,
    /// Environment that all records name
    #[arg(long, default_value = "production")]
    environment: String,
    /// Event time of the first tick (RFC 3339); the present otherwise
    #[arg(long)]
    start: Option<Timestamp>,
    /// Seconds of event time in a second; needs `--start`
    #[arg(long, requires = "start", value_parser = speed)]
    speed: Option<f64>,
    /// Do not wait between ticks; needs `--start`
    #[arg(long, requires = "start", conflicts_with = "speed")]
    as_fast_as_possible: bool,
    /// Writes telemetry and deployments as OTLP to a gateway at this address, e.g. http://127.0.0.1:4318; faults go to Kafka
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Replicas of each service with `--otlp`, 1 to 20
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20), requires = "otlp")]
    replicas: u32,
    /// Token for the gateway
    #[arg(long, env = "FIREWATCH_OTLP_TOKEN", hide_env_values = true, value_parser = NonEmptyStringValueParser::new().map(Secret::new))]
    otlp_token: Option<Secret>,
    /// Where `/metrics` and the probes are served, instead of the configured place; port 0 takes a free one
    #[arg(long)]
    listen: Option<String>,
}

impl Args {
    /// Loads the configuration that all processes share; flags win over it.
    pub fn config(&self) -> Result<Config<NoOptions>, Problems> {
        let mut config = Config::load("simulator", &self.shared)?;
        if let Some(brokers) = &self.brokers {
            config.common.kafka.brokers.clone_from(brokers);
        }
        if let Some(listen) = &self.listen {
            config.common.http.listen.clone_from(listen);
        }
        Ok(config)
    }

    /// Returns where the gateway is, if telemetry goes there, and the token for it.
    pub fn gateway(&self) -> Option<(&str, Option<Secret>)> {
        self.otlp.as_deref().map(|url| (url, self.otlp_token.clone()))
    }

    /// Returns what the process is to do, which serves its probes at `listen`.
    pub fn settings(&self, listen: &str) -> Settings {
        let ticks = |length: Length| length.ticks(self.interval);
        let faults = match (self.quiet, self.once) {
            (true, _) => Faults::Quiet,
            (_, true) => Faults::Once(self.scenario),
            _ if !self.faults.is_empty() => Faults::Planned(self.faults.clone()),
            _ => Faults::Repeat(self.scenario),
        };
        let speed = if self.as_fast_as_possible { None } else { Some(self.speed.unwrap_or(1.0)) };
        Settings {
            shop: Options {
                seed: self.seed,
                interval_ms: self.interval,
                noise: self.noise,
                faults,
                first_fault_after: ticks(self.first_fault_after),
                min_gap: ticks(self.min_gap),
                decoys: self.decoys,
                environment: self.environment.clone(),
                ..Options::default()
            },
            pace: self.start.map_or(Pace::Live, |start| Pace::Replayed { start, speed }),
            history: ticks(self.history),
            tail: self.tail.map(ticks),
            ticks: self.length.map(ticks),
            replicas: self.otlp.is_some().then_some(self.replicas),
            listen: listen.to_owned(),
        }
    }
}

/// A number of ticks, or event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Ticks(u64),
    Milliseconds(u64),
}

impl Length {
    /// Returns the number of ticks that are at least as long.
    fn ticks(self, interval_ms: u64) -> u64 {
        match self {
            Self::Ticks(ticks) => ticks,
            Self::Milliseconds(ms) => ms.div_ceil(interval_ms),
        }
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(ticks) if ticks > MAX_TICKS => Err(format!("a length is at most {MAX_TICKS} ticks")),
            Ok(ticks) => Ok(Self::Ticks(ticks)),
            Err(_) => milliseconds(text).map(Self::Milliseconds),
        }
    }
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let duration: SignedDuration =
        text.parse().map_err(|_| "expected a duration such as 10s or 5m".to_owned())?;
    match u64::try_from(duration.as_millis()) {
        Err(_) => Err("a duration is not negative".to_owned()),
        Ok(ms) if ms > MAX_MS => Err("a duration is at most ten years".to_owned()),
        Ok(ms) => Ok(ms),
    }
}

fn interval(text: &str) -> Result<u64, String> {
    match milliseconds(text)? {
        0 => Err("the interval is at least 1ms".to_owned()),
        ms @ 1..=3_600_000 => Ok(ms),
        _ => Err("the interval is at most 1h".to_owned()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.001..=100_000.0).contains(&speed) { Ok(speed) } else { Err("expected 0.001 to 100000".to_owned()) }
}

fn scenario(text: &str) -> Result<Scenario, String> {
    let names = Scenario::ALL.map(|scenario| scenario.to_string());
    let found = names.iter().position(|name| name == text);
    found.map(|index| Scenario::ALL[index]).ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

fn outbreak(text: &str) -> Result<Outbreak, String> {
    let (name, start) =
        text.split_once('@').ok_or("expected a scenario and its first tick: latency-spike@60")?;
    let Ok(starts @ 1..=MAX_TICKS) = start.parse() else {
        return Err(format!("the first tick of a fault is a number from 1 to {MAX_TICKS}"));
    };
    Ok(Outbreak { scenario: scenario(name)?, starts, lasts: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Result<Settings, clap::Error> {
        Args::try_parse_from(line.split_whitespace()).map(|args| args.settings("127.0.0.1:0"))
    }

    #[test]
    fn lengths_are_ticks_or_time_whatever_the_interval() {
        let found =
            settings("simulator --once --interval 500ms --first-fault-after 45s --tail 7 --history 30s")
                .unwrap();
        assert_eq!((found.shop.first_fault_after, found.tail, found.history), (90, Some(7), 60));
        assert_eq!(settings("simulator").unwrap().shop.faults, Faults::Repeat(None));
    }

    #[test]
    fn one_scenario_can_be_asked_for_by_its_name() {
        for scenario in Scenario::ALL {
            let found = settings(&format!("simulator --once --scenario {scenario}")).unwrap();
            assert_eq!(found.shop.faults, Faults::Once(Some(scenario)));
        }
        let found = settings("simulator --once --scenario bad-deployment").unwrap();
        assert_eq!(found.tail, None, "it stays open until it is stopped");
        assert!(settings("simulator --scenario earthquake").is_err());
        assert!(settings("simulator --quiet --once").is_err());
    }

    #[test]
    fn telemetry_goes_to_a_gateway_from_as_many_replicas_as_asked_for() {
        let of = |line: &str| settings(line).unwrap().replicas;
        assert_eq!(of("simulator"), None);
        assert_eq!(of("simulator --otlp http://127.0.0.1:4318"), Some(3));
        assert_eq!(of("simulator --otlp http://127.0.0.1:4318 --replicas 5"), Some(5));
        for bad in ["--replicas 5", "--otlp http://127.0.0.1:4318 --replicas 0"] {
            assert!(settings(&format!("simulator {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_help_lists_every_scenario() {
        use clap::CommandFactory;
        let help = Args::command().render_help().to_string();
        for scenario in Scenario::ALL {
            assert!(help.contains(&scenario.to_string()), "{scenario} is missing");
        }
    }

    #[test]
    fn several_faults_can_be_asked_for_at_their_times() {
        let found = settings("simulator --fault memory-leak@60 --fault latency-spike@60").unwrap();
        let at = |scenario| Outbreak { scenario, starts: 60, lasts: None };
        let both = vec![at(Scenario::MemoryLeak), at(Scenario::LatencySpike)];
        assert_eq!(found.shop.faults, Faults::Planned(both));
        for bad in [
            "--fault memory-leak",
            "--fault memory-leak@0",
            "--fault earthquake@5",
            "--once --fault memory-leak@5",
        ] {
            assert!(settings(&format!("simulator {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(settings("simulator --as-fast-as-possible").is_err());
        for bad in ["--interval 0s", "--interval -1s", "--min-gap 18446744073709551615", "--tail 99999999h"] {
            assert!(settings(&format!("simulator {bad}")).is_err(), "{bad}");
        }
        let found =
            settings("simulator --as-fast-as-possible --start 2026-01-05T00:00:00Z --for 1h").unwrap();
        assert_eq!(found.ticks, Some(360));
        assert!(matches!(found.pace, Pace::Replayed { speed: None, .. }));
    }
}
