//! `firewatch kb`: the knowledge base, searched as the agents search it, and the check of its content.

pub mod arguments;
pub mod draft;
pub mod explain;
pub mod lint;
pub mod search;

use shared::knowledge::retrieval::{self, MAX_QUERY, Retrieval};
use shared::knowledge::{Adapter, Error};

use crate::failure::CliError;
use crate::incidents::{failed, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, cleaned};
use arguments::{By, Explain, Kb, Kind, Question, Search};

/// Runs `firewatch kb ...`. `settings` are loaded by the commands that connect to something.
pub async fn run(
    command: Kb,
    settings: impl FnOnce() -> Result<Settings, CliError>,
    screen: &Screen,
) -> Result<(), CliError> {
    match command {
        Kb::Search(arguments) => search(&arguments, &settings()?, screen).await,
        Kb::Explain(arguments) => explain(&arguments, &settings()?, screen).await,
        Kb::Lint(arguments) => lint::run(&arguments, screen),
        Kb::Draft(arguments) => draft::run(&arguments, &settings()?, screen).await,
    }
}

async fn search(arguments: &Search, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let Search { question, json } = arguments;
    let query = question.query()?;
    note_cut(question);
    let retrieval = open(question.by, settings).await?;
    let found = retrieval
        .search_by(&query, question.by.into())
        .await
        .map_err(|error| unanswered(settings, &error))?;
    if found.is_empty() {
        let is_empty = retrieval.is_empty().await.map_err(|error| unanswered(settings, &error))?;
        return Err(nothing(question, is_empty));
    }
    let document = search::Document::of(question, query.text, found);
    terminal::print(&if *json {
        terminal::json(&document, true)?
    } else {
        search::render(&cleaned(&document)?, screen)
    })
}

async fn explain(arguments: &Explain, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let Explain { question, document, json } = arguments;
    let query = question.query()?;
    note_cut(question);
    let retrieval = open(question.by, settings).await?;
    let explanation = retrieval
        .explain(&query, question.by.into(), document)
        .await
        .map_err(|error| unanswered(settings, &error))?
        .ok_or_else(|| CliError::NotFound(format!("there is no document {document} in the index")))?;
    terminal::print(&if *json {
        terminal::json(&explanation, true)?
    } else {
        explain::render(&cleaned(&explanation)?, screen)
    })
}

/// Opens the search as the agents do; by words alone no model is loaded.
async fn open(by: By, settings: &Settings) -> Result<Retrieval, CliError> {
    let store = open_store(settings)?;
    let knowledge = &settings.common.knowledge;
    if knowledge.index == Adapter::Postgres {
        // says more about a database that does not answer or has no tables than the index does
        store.reads().catalogue().await.map_err(|error| failed(settings, &error))?;
    }
    if retrieval::By::from(by) == retrieval::By::Words {
        return knowledge.words_only(store).map_err(|error| unanswered(settings, &error));
    }
    knowledge.retrieval(store).await.map_err(|error| unanswered(settings, &error))
}

/// Returns the failure for an error of the knowledge base.
fn unanswered(settings: &Settings, error: &Error) -> CliError {
    match error {
        Error::Embedding(_) => CliError::Failed(format!(
            "{error}; set knowledge.model_dir (FIREWATCH_KNOWLEDGE__MODEL_DIR) to the directory of the model, \
             or search with --by words"
        )),
        Error::Unavailable(reason) if settings.common.knowledge.index == Adapter::Qdrant => {
            let address = shared::text::redact::mask(&settings.common.knowledge.qdrant_url);
            let reason = format!("{reason:#}");
            settings.unreachable("Qdrant", &address, "FIREWATCH_KNOWLEDGE__QDRANT_URL", &reason)
        }
        Error::Unavailable(_) | Error::Inconsistent(_) => CliError::Failed(error.to_string()),
    }
}

/// Returns the failure for a search without results.
pub fn nothing(question: &Question, is_index_empty: bool) -> CliError {
    let filters = question.filters();
    CliError::NotFound(if is_index_empty {
        "the index holds no documents; the seeder writes them".to_owned()
    } else if filters.is_empty() {
        "no document was found".to_owned()
    } else if question.service.is_some() && question.kind == Some(Kind::Runbook) {
        format!("no document was found with {filters}; runbooks are for all services and name none")
    } else {
        format!("no document was found with {filters}")
    })
}

fn note_cut(question: &Question) {
    let length = question.text.join(" ").chars().count();
    if length > MAX_QUERY {
        eprintln!("the text has {length} characters; the first {MAX_QUERY} are searched for");
    }
}
