//! Erases what is stored of a person: in each table that people are named in, page by page.
//!
//! A page of keys is looked through without a lock. Its rows that may name the person are then read again, locked and changed, a
//! number of them in one transaction, so that no change of a stage is lost and no lock is held while others are looked for. The placeholder is derived from the name
//! and a random salt. The salt is stored until the erasure is finished, so that one that was interrupted goes on with the same
//! placeholder; then it is deleted, and nothing leads from the placeholder to the name.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::feedback::write_audit;
use super::{Error, Store, row};
use crate::audit::AuditAction;
use crate::effects::Audit;
use crate::ids::IncidentId;
use crate::text::person::{Field, Found, PREFIX, Person};
use crate::text::seal::Sealer;

/// Most rows of one transaction.
const ROWS: usize = 200;
/// Keys of one page.
const KEYS: i64 = 2_000;
/// Longest time for one page, whose documents may be large.
const PAGE_TIMEOUT: &str = "set local statement_timeout to '2min'";
/// Hexadecimal digits of a placeholder.
const DIGITS: usize = 10;

/// A column in which people are named.
#[derive(Debug, Clone, Copy)]
enum Column {
    /// Name or address of a person.
    Who(&'static str),
    /// Text that people have written, or that names them.
    Text(&'static str),
    /// A JSON document.
    Document(&'static str),
    /// An array of names or addresses, or none.
    List(&'static str),
}

use Column::{Document, List, Text, Who};

impl Column {
    /// Returns how it is read.
    fn read(self) -> String {
        match self {
            Who(name) | Text(name) | Document(name) => format!("t.{name}"),
            List(name) => format!("coalesce(to_jsonb(t.{name}), 'null')"),
        }
    }

    /// Returns how it is set to a parameter.
    fn set(self, parameter: usize) -> String {
        match self {
            Who(name) | Text(name) | Document(name) => format!("{name} = ${parameter}"),
            List(name) => format!(
                "{name} = case jsonb_typeof(${parameter}::jsonb) when 'array' \
                 then array(select jsonb_array_elements_text(${parameter}::jsonb)) end"
            ),
        }
    }

    fn field(self) -> Field {
        match self {
            Who(_) | List(_) => Field::Person,
            Text(_) => Field::Text,
            Document(_) => Field::Other,
        }
    }
}

/// A table in which people are named.
#[derive(Debug, Clone, Copy)]
struct Table {
    name: &'static str,
    /// Columns of the key with their types, in the order of its index.
    key: &'static [(&'static str, &'static str)],
    columns: &'static [Column],
    /// Further condition of a row `t`.
    also: &'static str,
    /// Whether there are sealed values, which are found by opening them only.
    has_sealed: bool,
}

const PLAIN: Table = Table { name: "", key: &[], columns: &[], also: "true", has_sealed: false };

/// All tables in which people are named.
const TABLES: [Table; 16] = [
    Table { name: "incidents", key: &[("incident_id", "uuid")], columns: &[Document("body")], ..PLAIN },
    Table {
        name: "signals",
        key: &[("anomaly_id", "uuid")],
        columns: &[Document("body"), Document("context")],
        has_sealed: true,
        ..PLAIN
    },
    Table {
        name: "commands",
        key: &[("command_id", "uuid")],
        columns: &[Who("asked_by"), Text("answer"), Document("body")],
        ..PLAIN
    },
    Table {
        name: "silences",
        key: &[("silence_id", "uuid")],
        columns: &[Who("asked_by"), Who("ended_by"), Text("end_reason"), Document("spec")],
        ..PLAIN
    },
    // what is sent later, of one that is not sent yet or of an incident that is not closed, goes to the recipients on record
    Table {
        name: "notifications",
        key: &[("id", "uuid")],
        columns: &[Document("body"), Who("held_for"), List("recipients")],
        also: "t.state not in ('pending', 'held') and not exists (select from incidents i where i.incident_id = t.incident_id \
            and i.state <> 'closed' and (i.resolved_at is null or i.updated_at > now() - interval '1 day'))",
        ..PLAIN
    },
    Table { name: "notification_attempts", key: &[("id", "bigint")], columns: &[Text("outcome")], ..PLAIN },
    Table { name: "feedback", key: &[("id", "bigint")], columns: &[Document("body")], ..PLAIN },
    Table {
        name: "artifacts",
        key: &[("incident_id", "uuid"), ("kind", "text"), ("revision", "int")],
        columns: &[Document("body")],
        ..PLAIN
    },
    Table {
        name: "evidence",
        key: &[("id", "uuid")],
        columns: &[Text("excerpt"), Document("content"), Document("source")],
        ..PLAIN
    },
    Table {
        name: "deployments",
        key: &[("environment", "text"), ("service", "text"), ("version", "text"), ("at", "timestamptz")],
        columns: &[Document("body")],
        ..PLAIN
    },
    Table {
        name: "audit",
        key: &[("id", "bigint")],
        columns: &[Who("actor"), Text("summary"), Document("detail")],
        ..PLAIN
    },
    Table { name: "approved_documents", key: &[("doc_id", "text")], columns: &[Who("approved_by")], ..PLAIN },
    Table {
        name: "postmortem_revisions",
        key: &[("incident_id", "uuid"), ("revision", "int")],
        columns: &[Who("revised_by"), Text("note"), Text("markdown")],
        ..PLAIN
    },
    Table {
        name: "action_items",
        key: &[("item_id", "uuid")],
        columns: &[Text("title"), Who("owner"), Text("reason"), Who("changed_by"), Text("note")],
        ..PLAIN
    },
    Table { name: "erasures", key: &[("id", "uuid")], columns: &[Who("asked_by")], ..PLAIN },
    Table { name: "tokens", key: &[("id", "uuid")], columns: &[Text("name")], ..PLAIN },
];

/// Tables in which nobody is named, or which erasure leaves alone, each with the reason.
pub const NOT_REACHED: [(&str, &str); 16] = [
    ("outbox", "events that are published or about to be; they go after `retention.outbox_days`"),
    (
        "timers",
        "what is due still needs its recipients; timers that are done go after `retention.inbox_days`",
    ),
    ("steps", "results of outside work; they go after `retention.inbox_days`"),
    ("knowledge_chunks", "texts of documents that people have approved"),
    ("oncall_rotations", "read from files"),
    ("catalogue_services", "read from files"),
    ("notification_routes", "read from files"),
    ("processed_events", "names nobody"),
    ("neighbourhoods", "names nobody"),
    ("counters", "names nobody"),
    ("edges", "names nobody"),
    ("edge_minutes", "names nobody"),
    ("span_services", "names nobody"),
    ("knowledge_index", "names nobody"),
    ("removed_incidents", "names nobody"),
    ("refinery_schema_history", "names nobody"),
];

/// Returns the tables that erasure goes through.
pub fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|table| table.name)
}

/// Whom to erase, and who asks for it.
#[derive(Debug)]
pub struct Request<'a> {
    /// Whom.
    pub person: &'a Person,
    /// Who asks.
    pub by: &'a str,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Opens sealed values; none: they are left alone.
    pub sealer: Option<&'a Sealer>,
}

/// What was erased, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// What stands in place of the person; none where nothing was replaced.
    pub placeholder: Option<String>,
    /// Rows by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Texts in these rows.
    pub texts: u64,
    /// Sealed values that were removed.
    pub sealed: u64,
    /// Values of fields that name a person that would be replaced, as they are: each once, the first 20. None where they were.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub values: BTreeSet<String>,
}

impl Erased {
    /// Returns the number of rows in all tables.
    pub fn rows(&self) -> u64 {
        self.rows.values().sum()
    }
}

/// An erasure under way.
struct Begun {
    id: Uuid,
    placeholder: String,
    /// Whether an earlier run has begun it and not finished it.
    is_resumed: bool,
}

/// How rows are gone through.
enum Mode<'a> {
    Count,
    Replace(&'a str),
}

impl Store {
    /// Counts what would be erased; changes nothing.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn count_person(&self, person: &Person, sealer: Option<&Sealer>) -> Result<Erased, Error> {
        let mut erased = Erased::default();
        self.go_through(person, sealer, &Mode::Count, &mut erased).await?;
        Ok(erased)
    }

    /// Replaces a person wherever the store names one. Where nothing is found, nothing is written.
    ///
    /// # Errors
    /// If the database does not answer. What was replaced until then stays replaced; the same request goes on.
    pub async fn erase_person(&self, request: &Request<'_>) -> Result<Erased, Error> {
        let Request { person, at, sealer, .. } = request;
        let begun = self.begin_erasure(request).await?;
        let mut erased = Erased::default();
        self.go_through(person, *sealer, &Mode::Replace(&begun.placeholder), &mut erased).await?;
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        if erased.rows() == 0 && !begun.is_resumed {
            tx.execute("delete from erasures where id = $1", &[&begun.id]).await?;
            tx.commit().await?;
            return Ok(erased);
        }
        let by = asker(request, &begun.placeholder);
        let line = Audit {
            incident_id: IncidentId(begun.id),
            at: *at,
            action: AuditAction::PersonErased,
            summary: format!(
                "What is stored of a person was replaced by {}, as {by} asked.",
                begun.placeholder
            ),
            detail: json!({ "placeholder": begun.placeholder, "rows": erased.rows, "sealed": erased.sealed }),
        };
        write_audit(&tx, &by, &line).await?;
        tx.execute("update erasures set salt = null, finished_at = now() where id = $1", &[&begun.id])
            .await?;
        tx.commit().await?;
        erased.placeholder = Some(begun.placeholder);
        Ok(erased)
    }

    /// Begins an erasure, or finds the one of the same person that was interrupted.
    async fn begin_erasure(&self, request: &Request<'_>) -> Result<Begun, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        // two requests about one person must not begin two
        tx.query_one("select pg_advisory_xact_lock(hashtext('erasures'), 0)", &[]).await?;
        let unfinished =
            "select id, placeholder, salt from erasures where salt is not null order by begun_at";
        for found in tx.query(unfinished, &[]).await? {
            let stored: String = row::value(&found, "erasures", 1)?;
            if stored == placeholder(request.person, row::value(&found, "erasures", 2)?) {
                let id = row::value(&found, "erasures", 0)?;
                return Ok(Begun { id, placeholder: stored, is_resumed: true });
            }
        }
        let (id, salt) = (Uuid::new_v4(), Uuid::new_v4());
        let placeholder = placeholder(request.person, salt);
        tx.execute(
            "insert into erasures (id, placeholder, salt, asked_by) values ($1, $2, $3, $4)",
            &[&id, &placeholder, &salt, &asker(request, &placeholder)],
        )
        .await?;
        tx.commit().await?;
        Ok(Begun { id, placeholder, is_resumed: false })
    }

    async fn go_through(
        &self,
        person: &Person,
        sealer: Option<&Sealer>,
        mode: &Mode<'_>,
        erased: &mut Erased,
    ) -> Result<(), Error> {
        let mut client = self.client().await?;
        let mut all = Found::default();
        for table in &TABLES {
            let mut after: Option<Vec<String>> = None;
            loop {
                let tx = client.transaction().await?;
                tx.batch_execute(PAGE_TIMEOUT).await?;
                let page = table.page(&tx, person, sealer, after.as_deref()).await?;
                tx.commit().await?;
                for keys in page.hits.chunks(ROWS) {
                    let tx = client.transaction().await?;
                    for found in &table.read(&tx, keys, mode).await? {
                        let Some((cells, inside)) = table.erased(found, person, sealer, mode)? else {
                            continue;
                        };
                        if matches!(mode, Mode::Replace(_)) {
                            table.write(&tx, found, &cells).await?;
                        }
                        *erased.rows.entry(table.name).or_default() += 1;
                        all.add(inside);
                    }
                    tx.commit().await?;
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        (erased.texts, erased.sealed) = (all.texts, all.sealed);
        if matches!(mode, Mode::Count) {
            erased.values = all.values;
        }
        Ok(())
    }
}

/// What was found in a page of keys.
struct Page {
    /// Keys of rows that may name the person.
    hits: Vec<Vec<String>>,
    /// The last key, where others may follow.
    next: Option<Vec<String>>,
}

/// Returns who asks for an erasure: not the name that is erased.
fn asker(request: &Request<'_>, placeholder: &str) -> String {
    request.person.replaced_value(request.by, placeholder).unwrap_or_else(|| request.by.to_owned())
}

fn placeholder(person: &Person, salt: Uuid) -> String {
    let hash = Sha256::new().chain_update(salt.as_bytes()).chain_update(person.key()).finalize();
    let digits = hex::encode(hash);
    format!("{PREFIX}{}", &digits[..DIGITS])
}

/// A value of a column.
enum Cell {
    Text(Option<String>),
    Document(Value),
}

impl Table {
    /// Looks through the next keys for rows that may name the person, and locks nothing.
    async fn page(
        &self,
        tx: &Transaction<'_>,
        person: &Person,
        sealer: Option<&Sealer>,
        after: Option<&[String]>,
    ) -> Result<Page, Error> {
        let Self { name, also, .. } = self;
        let keys = self.keys(|column| format!("t.{column}"));
        let texts: Vec<String> =
            self.columns.iter().map(|column| format!("{}::text", column.read())).collect();
        let sealed = if self.has_sealed && sealer.is_some() { "or t.context ? 'sealed'" } else { "" };
        let needle = person.needle();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&needle, &KEYS];
        let from = match after {
            None => "true".to_owned(),
            Some(after) => {
                let first = values.len() + 1;
                values.extend(after.iter().map(|value| value as &(dyn ToSql + Sync)));
                let types = self.key.iter().enumerate();
                let types = types.map(|(place, (_, of))| format!("${}::text::{of}", first + place));
                format!("({keys}) > ({})", types.collect::<Vec<_>>().join(", "))
            }
        };
        let statement = format!(
            "select {}, coalesce({also} and (strpos(lower(concat_ws(' ', {})), $1) > 0 {sealed}), false) \
             from (select * from {name} t where {from} order by {keys} limit $2) t order by {keys}",
            self.keys(|column| format!("t.{column}::text")),
            texts.join(", "),
        );
        let rows = tx.query(&statement, &values).await?;
        let mut hits = Vec::new();
        for found in &rows {
            if row::value(found, name, self.key.len())? {
                hits.push(self.key_of(found)?);
            }
        }
        let last = rows.last().filter(|_| rows.len() == KEYS as usize);
        Ok(Page { hits, next: last.map(|last| self.key_of(last)).transpose()? })
    }

    /// Reads the rows of some keys, and locks them if they are to be changed.
    async fn read(
        &self,
        tx: &Transaction<'_>,
        keys: &[Vec<String>],
        mode: &Mode<'_>,
    ) -> Result<Vec<Row>, Error> {
        let columns: Vec<String> = self.columns.iter().map(|column| column.read()).collect();
        let by_column: Vec<Vec<&String>> =
            (0..self.key.len()).map(|place| keys.iter().filter_map(|key| key.get(place)).collect()).collect();
        let values: Vec<&(dyn ToSql + Sync)> =
            by_column.iter().map(|values| values as &(dyn ToSql + Sync)).collect();
        let lock = if matches!(mode, Mode::Replace(_)) { "for update of t" } else { "" };
        let statement = format!(
            "select {}, {} from {} t where ({}) in (select * from unnest({})) and {} order by {} {lock}",
            self.keys(|column| format!("t.{column}::text")),
            columns.join(", "),
            self.name,
            self.keys(|column| format!("t.{column}")),
            (1..)
                .zip(self.key)
                .map(|(at, (_, of))| format!("${at}::text[]::{of}[]"))
                .collect::<Vec<_>>()
                .join(", "),
            self.also,
            self.keys(|column| format!("t.{column}")),
        );
        Ok(tx.query(&statement, &values).await?)
    }

    /// Returns the columns of the key, each as `each` writes its name.
    fn keys(&self, each: impl Fn(&str) -> String) -> String {
        self.key.iter().map(|(column, _)| each(column)).collect::<Vec<_>>().join(", ")
    }

    /// Returns the columns of a row without the person, and what was found; none where the row does not name the person.
    fn erased(
        &self,
        found: &Row,
        person: &Person,
        sealer: Option<&Sealer>,
        mode: &Mode<'_>,
    ) -> Result<Option<(Vec<Cell>, Found)>, Error> {
        let placeholder = match mode {
            Mode::Count => PREFIX,
            Mode::Replace(placeholder) => placeholder,
        };
        let mut inside = Found::default();
        let mut cells = Vec::with_capacity(self.columns.len());
        for (place, column) in self.columns.iter().enumerate() {
            let at = self.key.len() + place;
            let mut value = match column {
                Who(_) | Text(_) => Value::from(row::value::<Option<String>>(found, self.name, at)?),
                Document(_) | List(_) => row::document(found, self.name, at)?,
            };
            inside.add(person.erase(&mut value, column.field(), placeholder, sealer));
            cells.push(match (column, value) {
                (Who(_) | Text(_), Value::String(text)) => Cell::Text(Some(text)),
                (Who(_) | Text(_), _) => Cell::Text(None),
                (Document(_) | List(_), value) => Cell::Document(value),
            });
        }
        Ok((!inside.is_none()).then_some((cells, inside)))
    }

    fn key_of(&self, found: &Row) -> Result<Vec<String>, Error> {
        (0..self.key.len()).map(|place| row::value(found, self.name, place)).collect()
    }

    async fn write(&self, tx: &Transaction<'_>, found: &Row, cells: &[Cell]) -> Result<(), Error> {
        let key = self.key_of(found)?;
        let documents: Vec<Option<Json<&Value>>> = cells
            .iter()
            .map(|cell| match cell {
                Cell::Document(value) => Some(Json(value)),
                Cell::Text(_) => None,
            })
            .collect();
        let mut values: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(cells.len() + key.len());
        let mut set = Vec::with_capacity(cells.len());
        for ((cell, document), column) in cells.iter().zip(&documents).zip(self.columns) {
            values.push(match cell {
                Cell::Text(text) => text,
                Cell::Document(_) => document,
            });
            set.push(column.set(values.len()));
        }
        let mut only = Vec::with_capacity(key.len());
        for (value, (column, of)) in key.iter().zip(self.key) {
            values.push(value);
            only.push(format!("{column} = ${}::text::{of}", values.len()));
        }
        let statement = format!("update {} set {} where {}", self.name, set.join(", "), only.join(" and "));
        tx.execute(&statement, &values).await?;
        Ok(())
    }
}
