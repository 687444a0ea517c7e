//! What `firewatch evidence` is asked.

use std::fmt;
use std::str::FromStr;

use clap::Subcommand;
use shared::ids::EvidenceId;

use crate::arguments::IncidentRef;

/// What can be done with evidence.
#[derive(Debug, Clone, Subcommand)]
pub enum Evidence {
    /// Lists what was read for the last investigation of an incident, and what of it the result cites.
    List {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
        /// Prints the stored records as one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Shows one record: source, excerpt, content, and the claims that cite it.
    Show {
        /// Piece of the last result, e.g. 12:E3, or id of a record.
        #[arg(value_name = "NUMBER:E|ID")]
        which: EvidenceRef,
        /// Prints the stored record as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Prints what a placeholder in the texts of an incident stands for; needs the key that the agents seal with
    /// (`redaction.seal_key`). Who has read it is on record in the timeline.
    Open {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
        /// The placeholder, e.g. '[email 3f2a]'.
        #[arg(value_name = "PLACEHOLDER")]
        placeholder: String,
        /// Who reads it.
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
        by: String,
    },
}

/// How a record is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvidenceRef {
    /// By the incident and the id within its last result.
    Cited(IncidentRef, String),
    /// By its id.
    Id(EvidenceId),
}

impl FromStr for EvidenceRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NEITHER: &str = "neither an incident with a piece of evidence (12:E3) nor the id of a record";
        if let Some((incident, piece)) = text.split_once(':') {
            let number = piece.strip_prefix(['E', 'e']).and_then(|number| number.parse::<u32>().ok());
            let incident = incident.parse().map_err(|_| NEITHER)?;
            return number.map(|number| Self::Cited(incident, format!("E{number}"))).ok_or(NEITHER);
        }
        text.parse().map(Self::Id).map_err(|_| NEITHER)
    }
}

impl fmt::Display for EvidenceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cited(incident, piece) => write!(f, "{piece} of incident {incident}"),
            Self::Id(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_its_id_or_by_where_it_is_cited() {
        let cited = |text: &str| text.parse::<EvidenceRef>().map(|which| which.to_string());
        assert_eq!(cited("12:E3").as_deref(), Ok("E3 of incident #12"));
        assert_eq!(cited("#12:e3").as_deref(), Ok("E3 of incident #12"));
        let id = "0ad0a1a5-3f8a-5a3e-9a39-5a1f7c0a9b11";
        assert_eq!(cited(id).as_deref(), Ok(id));
        for wrong in ["", "12", "12:", "12:3", "12:E", ":E3", "12:E-3", "x:E3"] {
            assert!(cited(wrong).is_err(), "{wrong}");
        }
    }
}
