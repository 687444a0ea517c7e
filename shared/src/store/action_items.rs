//! Action items of postmortems, and what became of them.

#[cfg(feature = "stage")]
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};
use tokio_postgres::Row;

use super::{Error, Reads, prepared, row};
#[cfg(feature = "stage")]
use crate::events::postmortem::ActionItem;
use crate::events::postmortem::Priority;
use crate::ids::{ActionItemId, IncidentId};

const TABLE: &str = "action_items";

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// To be done.
    Open,
    /// Done.
    Done,
    /// Will not be done.
    Dropped,
}

impl State {
    /// Returns the name in the table.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a person said last of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Who.
    pub by: String,
    /// When, by the clock of the sender.
    pub at: Timestamp,
    /// What was done, or why; may be empty.
    pub note: String,
}

/// An action item as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Derived from incident and title.
    pub item_id: ActionItemId,
    /// Name for people, e.g. `12-3f2a9c`.
    pub name: String,
    /// Incident.
    pub incident_id: IncidentId,
    /// Number of the incident.
    pub incident: i64,
    /// Environment of the incident.
    pub environment: String,
    /// Service that the postmortem is about.
    pub service: String,
    /// The task in one line.
    pub title: String,
    /// Owning team.
    pub owner: String,
    /// Due date.
    pub due: Date,
    /// How much it matters.
    pub priority: Priority,
    /// Reason, from the record.
    pub reason: String,
    /// Where it stands.
    pub state: State,
    /// Whether a later revision of the postmortem has it no more.
    pub is_superseded: bool,
    /// What a person said last of it.
    pub changed: Option<Change>,
}

impl Item {
    /// Returns whether it is to be done.
    pub fn is_open(&self) -> bool {
        self.state == State::Open && !self.is_superseded
    }

    /// Returns whether it is to be done and its date is past.
    pub fn is_overdue(&self, today: Date) -> bool {
        self.is_open() && self.due < today
    }

    /// Returns where it stands, for people.
    pub fn standing(&self) -> &'static str {
        if self.state == State::Open && self.is_superseded { "superseded" } else { self.state.name() }
    }
}

/// Which items are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those that are done, dropped or superseded as well.
    pub all: bool,
    /// Of one owner.
    pub owner: Option<String>,
    /// Of postmortems about one service.
    pub service: Option<String>,
    /// Of one incident.
    pub incident_id: Option<IncidentId>,
    /// Open ones that were due before that day.
    pub due_before: Option<Date>,
}

const COLUMNS: &str = "select item_id, i.number, a.incident_id, a.service, title, owner, due, priority, reason, a.state, \
     superseded_in is not null, changed_by, changed_at, note, i.environment from action_items a join incidents i using (incident_id)";

impl Reads {
    /// Returns an action item.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn action_item(&self, id: ActionItemId) -> Result<Option<Item>, Error> {
        let statement = format!("{COLUMNS} where item_id = $1");
        let found = prepared::query_opt(&self.client().await?, &statement, &[&id.0]).await?;
        found.map(|found| item(&found)).transpose()
    }

    /// Returns the items of an incident by number whose ids begin with these hexadecimal digits, at most two.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn action_items_named(&self, number: i64, digits: &str) -> Result<Vec<Item>, Error> {
        let statement = format!(
            "{COLUMNS} where i.number = $1 and starts_with(replace(item_id::text, '-', ''), $2) order by item_id limit 2"
        );
        let rows = self.client().await?.query(&statement, &[&number, &digits]).await?;
        rows.iter().map(item).collect()
    }

    /// Returns items, those that are due first at the top; of one day by incident and place. At most `limit`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn action_items(&self, filter: &Filter, limit: i64) -> Result<Vec<Item>, Error> {
        let statement = format!(
            "{COLUMNS} where ($1 or (a.state = 'open' and superseded_in is null)) \
             and ($2::text is null or owner = $2) and ($3::text is null or a.service = $3) \
             and ($4::uuid is null or a.incident_id = $4) \
             and ($5::date is null or (due < $5 and a.state = 'open' and superseded_in is null)) \
             order by due, i.number, place, item_id limit $6"
        );
        let Filter { all, owner, service, incident_id, due_before } = filter;
        let incident_id = incident_id.map(|id| id.0);
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [all, owner, service, &incident_id, due_before, &limit];
        let rows = self.client().await?.query(&statement, &values).await?;
        Ok(row::readable(&rows, item))
    }
}

fn item(found: &Row) -> Result<Item, Error> {
    let word = |column: usize| row::value::<String>(found, TABLE, column);
    let unknown = |what: &str, word: &str| Error::Row {
        row: TABLE.to_owned(),
        reason: format!("{word:?} is no {what}"),
    };
    let (item_id, number) = (ActionItemId(row::value(found, TABLE, 0)?), row::value(found, TABLE, 1)?);
    let (priority, state) = (word(7)?, word(9)?);
    let changed = match row::value::<Option<String>>(found, TABLE, 11)? {
        Some(by) => Some(Change {
            by,
            at: row::value(found, TABLE, 12)?,
            note: row::value::<Option<String>>(found, TABLE, 13)?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(Item {
        item_id,
        name: item_id.name(number),
        incident_id: IncidentId(row::value(found, TABLE, 2)?),
        incident: number,
        environment: word(14)?,
        service: word(3)?,
        title: word(4)?,
        owner: word(5)?,
        due: row::value(found, TABLE, 6)?,
        priority: priority.parse().map_err(|_| unknown("priority", &priority))?,
        reason: word(8)?,
        state: state.parse().map_err(|_| unknown("state", &state))?,
        is_superseded: row::value(found, TABLE, 10)?,
        changed,
    })
}

/// Writes the items of a revision. Those that were there keep their state; the others of the incident are superseded.
#[cfg(feature = "stage")]
pub(super) async fn write<C: GenericClient>(
    tx: &C,
    id: IncidentId,
    revision: u32,
    service: &str,
    items: &[ActionItem],
) -> Result<(), Error> {
    let revision = i32::try_from(revision).unwrap_or(i32::MAX);
    let tracked: Vec<(ActionItemId, &ActionItem)> =
        items.iter().filter_map(|item| Some((item.item_id?, item))).collect();
    let of =
        |text: fn(&ActionItem) -> &str| -> Vec<&str> { tracked.iter().map(|(_, one)| text(one)).collect() };
    prepared::execute(
        tx,
        "insert into action_items (item_id, incident_id, revision, place, service, title, owner, due, priority, reason) \
         select item_id, $1, $2, place, $3, title, owner, due, priority, reason \
         from unnest($4::uuid[], $5::text[], $6::text[], $7::date[], $8::text[], $9::text[]) \
             with ordinality items (item_id, title, owner, due, priority, reason, place) \
         on conflict (item_id) do update set revision = excluded.revision, place = excluded.place, \
             service = excluded.service, owner = excluded.owner, due = excluded.due, priority = excluded.priority, \
             reason = excluded.reason, superseded_in = null",
        &[
            &id.0,
            &revision,
            &service,
            &tracked.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
            &of(|item| &item.title),
            &of(|item| &item.owner),
            &tracked.iter().map(|(_, item)| item.due).collect::<Vec<_>>(),
            &of(|item| item.priority.unwrap_or(Priority::Medium).name()),
            &of(|item| &item.reason),
        ],
    )
    .await?;
    let gone = "update action_items set superseded_in = $2 \
         where incident_id = $1 and revision < $2 and superseded_in is null";
    prepared::execute(tx, gone, &[&id.0, &revision]).await?;
    Ok(())
}

/// Writes what a person says of an item. Where its state is another one meanwhile, the decision is made again.
#[cfg(feature = "stage")]
pub(super) async fn change<C: GenericClient>(
    tx: &C,
    id: ActionItemId,
    from: State,
    to: State,
    change: &Change,
) -> Result<(), Error> {
    let Change { by, at, note } = change;
    let written = prepared::execute(
        tx,
        "update action_items set state = $3, changed_by = $4, changed_at = $5, note = $6 \
         where item_id = $1 and state = $2 and superseded_in is null",
        &[&id.0, &from.name(), &to.name(), by, at, note],
    )
    .await?;
    let conflict = || Error::Conflict { scope: format!("action item {id}") };
    (written == 1).then_some(()).ok_or_else(conflict)
}
