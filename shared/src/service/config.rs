//! Configuration: embedded defaults, then a TOML file, then the environment. Unknown fields are refused and all
//! problems are reported at once.

use std::fmt;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::files;
use crate::agent::Agent;
use crate::bus;
#[cfg(feature = "knowledge")]
use crate::knowledge;
#[cfg(feature = "store")]
use crate::store;
use crate::text::{redact, secrets};

/// Command line of an agent.
#[derive(Debug, Clone, Default, Parser)]
#[command(version, about = None)]
pub struct Cli {
    /// TOML file with settings.
    #[arg(long, env = "FIREWATCH_CONFIG")]
    pub config: Option<PathBuf>,
    /// Prints the effective configuration, secrets masked, and exits.
    #[arg(long)]
    pub print_config: bool,
}

impl Cli {
    /// Reads the command line of the binary `name`, or exits with help.
    pub fn parse_for(name: &'static str) -> Self {
        let matches = Self::command().name(name).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Settings of one stage, under its name.
pub trait StageOptions: Default + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Returns everything that is wrong, one line each, e.g. `from is not a mail address`.
    fn validate(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A stage without settings of its own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

impl StageOptions for NoOptions {}

/// How logs are written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `pretty` for people, `json` for machines.
    pub format: LogFormat,
    /// Filter, e.g. `info` or `info,shared::bus=debug`.
    pub level: String,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, level: "info".to_owned() }
    }
}

/// Where trace spans are sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracing {
    /// Collector that takes OTLP over gRPC, e.g. `http://127.0.0.1:4317`; empty means that no spans are recorded.
    pub endpoint: String,
    /// CA certificates to trust instead of the system's, PEM, for an `https://` endpoint.
    pub ca_file: PathBuf,
}

impl Tracing {
    fn validate(&self) -> Vec<String> {
        let schemes = ["http://", "https://"];
        if self.endpoint.is_empty() {
            Vec::new()
        } else if cfg!(not(feature = "otlp")) {
            vec!["tracing.endpoint is set, and this build has no feature otlp".to_owned()]
        } else if !schemes.iter().any(|scheme| self.endpoint.starts_with(scheme)) {
            vec![format!("tracing.endpoint {:?} begins with neither http:// nor https://", self.endpoint)]
        } else {
            Vec::new()
        }
    }

    fn warnings(&self) -> Option<String> {
        let rest = self.endpoint.strip_prefix("http://")?;
        let host = rest.split('/').next().unwrap_or_default();
        (!redact::is_loopback(host))
            .then(|| format!("spans are sent to {host} in plain text; set an https:// address"))
    }
}

/// Where probes and metrics are served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// `address:port`; loopback unless told otherwise.
    pub listen: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "127.0.0.1:0".to_owned() }
    }
}

/// Settings that every process has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Common {
    /// Kafka.
    pub kafka: bus::Options,
    /// PostgreSQL.
    #[cfg(feature = "store")]
    pub postgres: store::Options,
    /// Embedding model and document index.
    #[cfg(feature = "knowledge")]
    pub knowledge: knowledge::Options,
    /// After which ages rows are removed.
    #[cfg(feature = "stage")]
    pub retention: store::retention::Options,
    /// Probes and metrics.
    pub http: Http,
    /// Logs.
    pub log: Log,
    /// Trace spans.
    pub tracing: Tracing,
    /// What is replaced in text from telemetry.
    pub redaction: secrets::Options,
    /// Threads of the async runtime.
    pub worker_threads: usize,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            kafka: bus::Options::default(),
            #[cfg(feature = "store")]
            postgres: store::Options::default(),
            #[cfg(feature = "knowledge")]
            knowledge: knowledge::Options::default(),
            #[cfg(feature = "stage")]
            retention: store::retention::Options::default(),
            http: Http::default(),
            log: Log::default(),
            tracing: Tracing::default(),
            redaction: secrets::Options::default(),
            worker_threads: 2,
        }
    }
}

/// The effective configuration of a process.
#[derive(Debug, Clone)]
pub struct Config<S> {
    /// What every process has.
    pub common: Common,
    /// What this one has.
    pub stage: S,
    name: &'static str,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "  - {problem}")?;
        }
        Ok(())
    }
}

/// Sections that are read but belong to other processes, so that one file can serve all.
const SECTIONS: [&str; 11] = [
    "kafka",
    "postgres",
    "retention",
    "http",
    "log",
    "tracing",
    "redaction",
    "worker_threads",
    "knowledge",
    "simulator",
    "gateway",
];

fn is_section(name: &str) -> bool {
    SECTIONS.contains(&name) || Agent::from_name(name).is_some()
}

impl<S: StageOptions> Config<S> {
    /// Loads file and environment over the defaults. `name` is the section of the stage.
    pub fn load(name: &'static str, cli: &Cli) -> Result<Self, Problems> {
        let variables =
            std::env::vars().filter(|(name, _)| name.starts_with("FIREWATCH_") && name.contains("__"));
        let file = match &cli.config {
            None => None,
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| Problems(vec![format!("{}: {error}", path.display())]))?,
            ),
        };
        Self::from_sources(name, file.as_deref(), variables.collect())
    }

    /// Builds a configuration from the text of a file and from variables.
    pub fn from_sources(
        name: &'static str,
        file: Option<&str>,
        variables: std::collections::HashMap<String, String>,
    ) -> Result<Self, Problems> {
        let mut builder = config::Config::builder();
        if let Some(text) = file {
            builder = builder.add_source(config::File::from_str(text, config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("FIREWATCH")
            .prefix_separator("_")
            .separator("__")
            .source(Some(variables));
        let mut merged =
            builder.add_source(environment).build().map_err(|error| Problems(vec![error.to_string()]))?;

        let mut problems = Vec::new();
        if let Ok(table) =
            merged.clone().try_deserialize::<std::collections::BTreeMap<String, config::Value>>()
        {
            for section in table.keys().filter(|section| !is_section(section)) {
                problems.push(format!("unknown section {section:?}"));
            }
        }
        let (mut common, mut stage) = (Common::default(), S::default());
        files::resolve(&mut merged.cache, "kafka", &common.kafka, &mut problems);
        #[cfg(feature = "store")]
        files::resolve(&mut merged.cache, "postgres", &common.postgres, &mut problems);
        #[cfg(feature = "knowledge")]
        files::resolve(&mut merged.cache, "knowledge", &common.knowledge, &mut problems);
        files::resolve(&mut merged.cache, name, &stage, &mut problems);
        read(&merged, "kafka", &mut common.kafka, &mut problems);
        #[cfg(feature = "store")]
        read(&merged, "postgres", &mut common.postgres, &mut problems);
        #[cfg(feature = "knowledge")]
        read(&merged, "knowledge", &mut common.knowledge, &mut problems);
        #[cfg(feature = "stage")]
        read(&merged, "retention", &mut common.retention, &mut problems);
        read(&merged, "http", &mut common.http, &mut problems);
        read(&merged, "log", &mut common.log, &mut problems);
        read(&merged, "tracing", &mut common.tracing, &mut problems);
        read(&merged, "redaction", &mut common.redaction, &mut problems);
        read(&merged, "worker_threads", &mut common.worker_threads, &mut problems);
        read(&merged, name, &mut stage, &mut problems);
        if common.kafka.client_id.is_empty() {
            common.kafka.client_id = format!("firewatch-{name}");
        }

        problems.extend(common.kafka.validate());
        problems.extend(common.tracing.validate());
        problems
            .extend(common.redaction.validate().into_iter().map(|problem| format!("redaction.{problem}")));
        #[cfg(feature = "store")]
        problems.extend(common.postgres.validate());
        #[cfg(feature = "stage")]
        problems
            .extend(common.retention.validate().into_iter().map(|problem| format!("retention.{problem}")));
        #[cfg(feature = "knowledge")]
        problems
            .extend(common.knowledge.validate().into_iter().map(|problem| format!("knowledge.{problem}")));
        problems.extend(stage.validate().into_iter().map(|problem| format!("{name}.{problem}")));
        if problems.is_empty() { Ok(Self { common, stage, name }) } else { Err(Problems(problems)) }
    }

    /// Builds a configuration in code, for tests and for the stack.
    pub fn of(name: &'static str, common: Common, stage: S) -> Self {
        Self { common, stage, name }
    }

    /// Returns what works but is risky, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.common.kafka.warnings().into_iter().chain(self.common.tracing.warnings());
        #[cfg(feature = "store")]
        let warnings = warnings.chain(self.common.postgres.warnings());
        #[cfg(feature = "knowledge")]
        let warnings = warnings.chain(self.common.knowledge.warnings());
        warnings.collect()
    }

    /// Logs what works but is risky, one line each.
    pub fn warn(&self) {
        for warning in self.warnings() {
            tracing::warn!("{warning}");
        }
    }

    /// Returns the configuration as TOML-like lines, secrets masked.
    pub fn to_toml(&self) -> String {
        let mut lines = Vec::new();
        let mut section = |name: &str, value: serde_json::Value| flatten(name, &value, &mut lines);
        section("kafka", masked(&self.common.kafka));
        #[cfg(feature = "store")]
        section("postgres", masked(&self.common.postgres));
        #[cfg(feature = "knowledge")]
        section("knowledge", masked(&self.common.knowledge));
        #[cfg(feature = "stage")]
        section("retention", masked(&self.common.retention));
        section("http", masked(&self.common.http));
        section("log", masked(&self.common.log));
        section("tracing", masked(&self.common.tracing));
        section("redaction", masked(&self.common.redaction));
        section("worker_threads", masked(&self.common.worker_threads));
        section(self.name, masked(&self.stage));
        lines.join("\n")
    }
}

fn read<T: DeserializeOwned>(merged: &config::Config, name: &str, into: &mut T, problems: &mut Vec<String>) {
    match merged.get::<T>(name) {
        Ok(value) => *into = value,
        Err(config::ConfigError::NotFound(_)) => {}
        Err(error) => problems.push(format!("{name}: {error}")),
    }
}

fn masked<T: Serialize>(value: &T) -> serde_json::Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    mask(&mut value, "");
    value
}

/// Masks passwords in addresses and whatever is called a password, secret or token.
fn mask(value: &mut serde_json::Value, name: &str) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                mask(field, name);
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| mask(item, name)),
        serde_json::Value::String(text) => {
            let name = name.to_ascii_lowercase();
            let names = ["password", "secret", "token", "jaas", "api_key", "key.pem"];
            if names.iter().any(|word| name.contains(word)) && !text.is_empty() {
                "***".clone_into(text);
            } else {
                *text = redact::mask(text);
            }
        }
        _ => {}
    }
}

fn flatten(name: &str, value: &serde_json::Value, lines: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                flatten(&format!("{name}.{field}"), value, lines);
            }
        }
        serde_json::Value::Null => {}
        other => lines.push(format!("{name} = {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Clone, Default, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Options {
        size: u32,
        password: String,
        named: BTreeMap<String, BTreeMap<String, String>>,
    }

    impl StageOptions for Options {
        fn validate(&self) -> Vec<String> {
            if self.size > 9 { vec!["size is above 9".into()] } else { Vec::new() }
        }
    }

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config<Options>, Problems> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::from_sources("detection", Some(file), variables)
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = load("[detection]\nsize = 3\n", &[("FIREWATCH_DETECTION__SIZE", "7")]).unwrap();
        assert_eq!(config.stage.size, 7);
        assert_eq!(config.common.kafka.brokers, "127.0.0.1:9092");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let file = "[detection]\nsize = 30\n[kafka]\ndrain_timeout_ms = 40000\nsession_timeout_ms = 30000\n[oops]\nx = 1\n";
        let Problems(problems) = load(file, &[]).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn settings_under_names_of_ones_own_are_read_from_files_too() {
        let path = std::env::temp_dir().join(format!("firewatch-named-{}", std::process::id()));
        std::fs::write(&path, "hunter2\n").unwrap();
        let file = format!("[detection.named.pages]\nkey_file = '{}'\nurl = 'u'\n", path.display());
        let config = load(&file, &[]).unwrap();
        assert_eq!(config.stage.named["pages"]["key"], "hunter2");
        let Problems(problems) = load(&format!("{file}key = 'k'\n"), &[]).unwrap_err();
        assert_eq!(problems, ["detection.named.pages.key and detection.named.pages.key_file are both set"]);
        std::fs::remove_file(&path).unwrap();
    }

    #[cfg(feature = "stage")]
    #[test]
    fn ages_of_rows_are_read_and_checked() {
        let config = load("[retention]\nincidents_days = 500\n", &[]).unwrap();
        assert_eq!(config.common.retention.incidents_days, 500);
        assert!(config.to_toml().contains("retention.incidents_days = 500"), "{}", config.to_toml());
        let Problems(problems) = load("", &[("FIREWATCH_RETENTION__INBOX_DAYS", "3")]).unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with("retention.inbox_days is 3"), "{problems:?}");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(load("[detection]\nsizes = 3\n", &[]).is_err());
    }

    #[test]
    fn secrets_are_masked() {
        let config =
            load("[detection]\npassword = 'hunter2'\n[kafka]\nbrokers = 'sasl://u:hunter2@k:1'\n", &[])
                .unwrap();
        assert!(!config.to_toml().contains("hunter2"), "{}", config.to_toml());
    }

    #[cfg(feature = "store")]
    #[test]
    fn the_password_of_the_database_is_masked_however_it_is_written() {
        for url in ["postgres://u:hunter2@db/x", "host=db user=u password=hunter2"] {
            let config = load("", &[("FIREWATCH_POSTGRES__URL", url)]).unwrap();
            assert_eq!(config.common.postgres.url, url);
            let printed = config.to_toml();
            assert!(printed.contains("postgres.url = ") && !printed.contains("hunter2"), "{printed}");
        }
    }
}
