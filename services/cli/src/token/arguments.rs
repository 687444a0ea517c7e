//! What `firewatch token` is asked.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use shared::store::tokens::Scope;
use shared::window;

/// What can be done with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum Tokens {
    /// Creates a token and prints it. It is shown once: the database has its hash only.
    Create(Create),
    /// Lists tokens, the newest first: what they are for, and when each was used last.
    List {
        /// Prints an array of objects.
        #[arg(long)]
        json: bool,
    },
    /// Revokes a token: the gateway refuses it within 10 seconds.
    Revoke {
        /// Name or id.
        #[arg(value_name = "NAME|ID")]
        token: String,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// What `firewatch token create` is asked.
#[derive(Debug, Clone, Args)]
pub struct Create {
    /// What it is called, e.g. after the client that gets it. No two valid tokens have the same name.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What it is for; again for several. `admin` is for everything.
    #[arg(long, value_name = "SCOPE", required = true, value_parser = scope())]
    pub scope: Vec<Scope>,
    /// How long it is valid, e.g. `90d`; without it, until it is revoked.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires: Option<SignedDuration>,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    let names = Scope::ALL.iter().map(|scope| scope.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Scope>())
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = window::duration(text).map_err(|error| error.to_string())?;
    if duration.is_positive() { Ok(duration) } else { Err("a duration above zero is needed".to_owned()) }
}
