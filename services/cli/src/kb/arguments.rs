//! What `firewatch kb` is asked.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use shared::events::Category;
use shared::knowledge::retrieval::{self, MAX_QUERY};
use shared::knowledge::{DocumentKind, Query};

use crate::arguments::category;
use crate::failure::CliError;

/// What can be done with the knowledge base.
#[derive(Debug, Clone, Subcommand)]
pub enum Kb {
    /// Searches incidents, runbooks and service pages, as investigation does.
    Search(Search),
    /// Explains why a document stands where it stands in a search: words, meaning, filters.
    Explain(Explain),
    /// Checks a content directory; needs neither Kafka nor PostgreSQL.
    ///
    /// Finds what the seeder refuses, runbooks that no kind of cause selects, kinds of cause without a runbook, names of
    /// services that are not in the catalogue, references to documents that do not exist, and links to files and headings that
    /// do not exist. Links with a scheme, such as https://, are neither fetched nor checked.
    ///
    /// Exit code 1 if there is an error, 0 with warnings only.
    Lint(Lint),
    /// Writes the draft of a runbook from what approved postmortems of one service and kind of cause have in common.
    ///
    /// Without --service and --category it lists the services and kinds of cause that have come back. A draft is printed and
    /// never published: edit it, put it into `runbooks` of the content directory, check it with `kb lint`.
    Draft(Draft),
}

/// Writes the draft of a runbook.
#[derive(Debug, Clone, Args)]
pub struct Draft {
    /// Service that was at fault.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Kind of cause.
    #[arg(long, value_name = "CATEGORY", value_parser = category)]
    pub category: Option<Category>,
    /// Fewest incidents.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=100))]
    pub at_least: u16,
    /// Prints the list as a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// Searches incidents, runbooks and service pages, as investigation does.
#[derive(Debug, Clone, Args)]
pub struct Search {
    /// What is searched for, and how.
    #[command(flatten)]
    pub question: Question,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Explains why a document stands where it stands in a search: words, meaning, filters.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// What is searched for, and how.
    #[command(flatten)]
    pub question: Question,
    /// Document that is explained, e.g. runbook/db-connections or incident/INC-1107.
    #[arg(long, value_name = "DOC_ID")]
    pub document: String,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What is searched for, and how.
#[derive(Debug, Clone, Args)]
pub struct Question {
    /// Text to search for, as a person would ask; cut after 2,000 characters.
    #[arg(value_name = "TEXT", required = true)]
    pub text: Vec<String>,
    /// Only documents of this kind.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Only incidents and service pages that name this service; runbooks are for all services and name none.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only documents about this kind of cause: cpu, memory, network, code, deployment, pool, lag, dependency, disk, certificate,
    /// traffic or down.
    #[arg(long, value_name = "CATEGORY", value_parser = category)]
    pub category: Option<Category>,
    /// Most documents, 1 to 50.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub limit: u16,
    /// Which rankings count. `words` needs no embedding model.
    #[arg(long, value_enum, default_value_t = By::Both)]
    pub by: By,
}

/// Checks a content directory.
#[derive(Debug, Clone, Args)]
pub struct Lint {
    /// Directory with `incidents`, `runbooks`, `services` and, where there are any, `oncall` and `routes.yaml`.
    #[arg(value_name = "DIRECTORY", default_value = "knowledge")]
    pub directory: PathBuf,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Past incidents.
    Incident,
    /// Runbooks.
    Runbook,
    /// Pages about services.
    Service,
}

impl From<Kind> for DocumentKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Incident => Self::Incident,
            Kind::Runbook => Self::Runbook,
            Kind::Service => Self::Service,
        }
    }
}

/// Rankings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Words and meaning, fused.
    Both,
    /// Words alone (BM25).
    Words,
    /// Meaning alone (vectors of the embedding model).
    Meaning,
}

impl From<By> for retrieval::By {
    fn from(by: By) -> Self {
        match by {
            By::Both => Self::Both,
            By::Words => Self::Words,
            By::Meaning => Self::Meaning,
        }
    }
}

impl Question {
    /// Returns the query. Its text is cut where retrieval cuts it.
    pub fn query(&self) -> Result<Query, CliError> {
        let text: String = self.text.join(" ").chars().take(MAX_QUERY).collect();
        if text.trim().is_empty() {
            return Err(CliError::Usage("there is no text to search for".to_owned()));
        }
        let mut query = Query {
            text,
            kind: self.kind.map(DocumentKind::from),
            limit: usize::from(self.limit),
            ..Query::default()
        };
        if let Some(category) = self.category {
            query = query.about(category);
        }
        if let Some(service) = &self.service {
            query = query.naming(service);
        }
        Ok(query)
    }

    /// Returns the filters in words, e.g. `kind runbook, category pool`; empty where there are none.
    pub fn filters(&self) -> String {
        let filters = [
            self.kind.map(|kind| format!("kind {}", DocumentKind::from(kind).name())),
            self.service.as_ref().map(|service| format!("service {service}")),
            self.category.map(|category| format!("category {category}")),
        ];
        filters.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
