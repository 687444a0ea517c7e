//! What `firewatch postmortem` is asked.

use std::path::PathBuf;

use clap::Subcommand;

use crate::arguments::IncidentRef;

/// What can be done with postmortems.
#[derive(Debug, Clone, Subcommand)]
pub enum Postmortem {
    /// Shows the postmortem: where it stands, its text, action items and timeline.
    Show(super::show::Show),
    /// Stores a text of yours as the next revision; those before stay readable.
    Revise {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
        /// The text, Markdown; at most 256 KiB.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Who revises it.
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
        by: String,
        /// Why.
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Prints the document of an incident that is over, in the form of those in `knowledge/incidents`.
    ///
    /// It is made from the record: what was seen, the cause whose claims were checked, or what `firewatch feedback` says instead.
    Draft {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
    },
    /// Approves the document: it is indexed, and the next investigation can find it.
    Approve {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
        /// The document after you have edited it; the draft if this is left out.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Who approves it.
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
        by: String,
    },
    /// Withdraws an approved document: no investigation finds it any more.
    Withdraw {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
        /// Who withdraws it.
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
        by: String,
    },
}
