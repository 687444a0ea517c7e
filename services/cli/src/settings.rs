//! Where Kafka and PostgreSQL are: the same layers as the agents', and the demo that runs beside us.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use shared::service::config::{Common, Config, NoOptions, StageOptions};

use crate::failure::CliError;

/// Variables that say where things are; either one set means the operator has chosen.
const ADDRESSES: [&str; 2] = ["FIREWATCH_KAFKA__BROKERS", "FIREWATCH_POSTGRES__URL"];

/// What a running demo leaves in the root of the repository.
const DEMO: &str = ".run/env";

/// Most that is read of it, bytes.
const DEMO_SIZE: u64 = 64 * 1024;

/// Where things are, and who says so.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Kafka and PostgreSQL.
    pub common: Common,
    /// The demo's file, if it was read.
    pub demo: Option<PathBuf>,
}

impl Settings {
    /// Loads the settings. The demo's file is read only where neither a file nor the environment says anything, so
    /// that the two are never mixed.
    pub fn load(file: Option<&Path>) -> Result<Self, CliError> {
        let (config, demo) = Self::configuration::<NoOptions>("cli", file)?;
        Ok(Self { common: config.common, demo })
    }

    /// Loads the settings of a stage from the same places, and tells which demo's file was read.
    pub fn configuration<S: StageOptions>(
        name: &'static str,
        file: Option<&Path>,
    ) -> Result<(Config<S>, Option<PathBuf>), CliError> {
        let environment: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| is_setting(name))
            .collect();
        let chosen = file.is_some() || ADDRESSES.iter().any(|name| environment.contains_key(*name));
        let demo = if chosen { None } else { std::env::current_dir().ok().and_then(|here| find(&here)) };
        let mut variables = match &demo {
            Some(path) => parse(&read(path)?),
            None => HashMap::new(),
        };
        variables.extend(environment);
        let text = file
            .map(|path| {
                std::fs::read_to_string(path)
                    .map_err(|error| CliError::Usage(format!("reading {}: {error}", path.display())))
            })
            .transpose()?;
        let config = Config::from_sources(name, text.as_deref(), variables).map_err(|problems| {
            CliError::Usage(format!("the configuration is invalid: {}", problems.0.join("; ")))
        })?;
        Ok((config, demo))
    }

    /// Returns the failure for something that did not answer, with a hint at who named its address.
    pub fn unreachable(&self, what: &str, address: &str, variable: &str, why: &str) -> CliError {
        let hint = match &self.demo {
            Some(path) => format!("the address is from {}; is the demo still running?", path.display()),
            None => format!("set {variable}, or run this beside a running demo"),
        };
        CliError::Failed(format!("cannot reach {what} at {address}: {why} ({hint})"))
    }
}

fn is_setting(name: &str) -> bool {
    name.starts_with("FIREWATCH_") && name.contains("__")
}

/// Returns the demo's file in `start` or the nearest folder above.
fn find(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|folder| folder.join(DEMO)).find(|file| file.is_file())
}

fn read(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(DEMO_SIZE).read_to_string(&mut text))
        .map_err(|error| CliError::Usage(format!("reading {}: {error}", path.display())))?;
    Ok(text)
}

/// Returns the settings in a text of `KEY=VALUE` lines. Comments and what is not ours are passed over.
fn parse(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let quoted =
                ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            is_setting(name).then(|| (name.to_owned(), quoted.unwrap_or(value).to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_our_settings_are_taken_from_the_demo() {
        let found = parse(
            "# demo\nFIREWATCH_KAFKA__BROKERS=127.0.0.1:1\nexport FIREWATCH_POSTGRES__URL='postgres://u@h/d?a=b'\n\
             PATH=/evil\nFIREWATCH_BINARIES=x\nnonsense\n",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found["FIREWATCH_KAFKA__BROKERS"], "127.0.0.1:1");
        assert_eq!(found["FIREWATCH_POSTGRES__URL"], "postgres://u@h/d?a=b");
    }
}
