//! Which rows are removed, and after which age.

use super::Options;
use crate::store::edges;

/// Hours of a day.
const DAY_H: u32 = 24;

/// Rows of one kind that are removed after an age.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Table.
    pub table: &'static str,
    /// What the rows are, for people.
    pub what: &'static str,
    /// Setting with the age in days; none where it is fixed.
    pub setting: Option<&'static str>,
    /// Column with the time of a row.
    time: &'static str,
    /// Condition that an index has, so that the oldest row is found at once; of a row `t`.
    within: &'static str,
    /// Further condition, of a row `t`. `{age}` stands for the time before which rows are old.
    also: &'static str,
    hours: fn(&Options) -> u32,
}

/// Rows that belong to an incident, which go after it.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Table.
    pub table: &'static str,
    /// Tables from which rows are selected: those of the part are `t`, those of the incident `r`.
    from: &'static str,
    /// Further condition of a row that is removed.
    also: &'static str,
}

/// Rows of one kind of which at most so many are kept, whatever their age.
#[derive(Debug, Clone, Copy)]
pub struct Surplus {
    /// Table.
    pub table: &'static str,
    /// Reason, as `firewatch_graph_rows_dropped_total` counts it.
    pub reason: &'static str,
    /// Most rows.
    pub most: i64,
}

/// Incidents that are over.
pub const INCIDENTS: Rule = Rule {
    table: "incidents",
    what: "incidents that are over",
    setting: Some("incidents_days"),
    time: "resolved_at",
    within: "t.state in ('resolved', 'closed')",
    // what an open incident names stays, and so does what is still abnormal, still has something to do or was changed lately
    also: "t.updated_at < {age} \
        and not exists (select from action_items a where a.incident_id = t.incident_id \
            and ((a.state = 'open' and a.superseded_in is null) or a.changed_at >= {age})) \
        and not exists (select from postmortem_revisions p where p.incident_id = t.incident_id and p.revised_at >= {age}) \
        and not exists (select from commands c where c.incident_id = t.incident_id and c.decided_at >= {age}) \
        and not exists (select from needed n where n.id = t.incident_id::text) \
        and not exists (select from jsonb_path_query(t.body, '$.links[*].incident_id') link \
            join open_ones o on o.id = link #>> '{}') \
        and not exists (select from signals s where s.incident_id = t.incident_id and s.status <> 'cleared' \
            and s.observed_at >= {age}) \
        and not exists (select from timers w where w.state = 'waiting' and left(w.key, 36) = t.incident_id::text \
            and w.due < now() + interval '1 day')",
    hours: |options| options.incidents_days * DAY_H,
};

/// Open incidents, and the incidents that they name.
const OPEN_ONES: &str = "open_ones as materialized (select incident_id::text as id, body from incidents \
        where state not in ('resolved', 'closed')), \
    needed as materialized (select link #>> '{}' as id \
        from open_ones, jsonb_path_query(body, '$.links[*].incident_id') link)";

/// What belongs to an incident, in the order in which it is removed.
pub const PARTS: [Part; 10] = [
    Part {
        table: "notification_attempts",
        from: "removed_incidents r join notifications n using (incident_id) \
            join notification_attempts t on t.notification_id = n.id",
        also: "true",
    },
    // attempts that others have locked stay, and their notifications with them
    Part {
        table: "notifications",
        from: "removed_incidents r join notifications t using (incident_id)",
        also: "not exists (select from notification_attempts a where a.notification_id = t.id)",
    },
    Part { table: "evidence", from: "removed_incidents r join evidence t using (incident_id)", also: "true" },
    Part {
        table: "artifacts",
        from: "removed_incidents r join artifacts t using (incident_id)",
        also: "true",
    },
    Part {
        table: "postmortem_revisions",
        from: "removed_incidents r join postmortem_revisions t using (incident_id)",
        also: "true",
    },
    Part {
        table: "action_items",
        from: "removed_incidents r join action_items t using (incident_id)",
        also: "true",
    },
    Part { table: "feedback", from: "removed_incidents r join feedback t using (incident_id)", also: "true" },
    Part { table: "commands", from: "removed_incidents r join commands t using (incident_id)", also: "true" },
    Part { table: "signals", from: "removed_incidents r join signals t using (incident_id)", also: "true" },
    Part {
        table: "timers",
        from: "removed_incidents r join timers t on t.state = 'waiting' and left(t.key, 36) = r.incident_id::text",
        also: "true",
    },
];

/// What is removed after its age alone.
pub const RULES: [Rule; 12] = [
    Rule {
        table: "audit",
        what: "audit trail of removed incidents",
        setting: Some("audit_days"),
        time: "recorded_at",
        within: "true",
        also: "not exists (select from incidents i where i.incident_id = t.incident_id)",
        hours: |options| options.audit_days * DAY_H,
    },
    Rule {
        table: "silences",
        what: "silences that are over",
        setting: Some("silences_days"),
        time: "begun_at",
        within: "true",
        also: "coalesce(t.ended_at, t.ends_at) < {age} and not exists (select from notifications n \
            where n.state = 'silenced' and n.body ->> 'silence_id' = t.silence_id::text)",
        hours: |options| options.silences_days * DAY_H,
    },
    Rule {
        table: "commands",
        what: "commands about no incident on record",
        setting: Some("commands_days"),
        time: "decided_at",
        within: "true",
        also: "not exists (select from incidents i where i.incident_id = t.incident_id) \
            and not exists (select from silences s where s.silence_id = t.command_id)",
        hours: |options| options.commands_days * DAY_H,
    },
    Rule {
        table: "signals",
        what: "signals of no incident",
        setting: Some("signals_days"),
        time: "started_at",
        within: "t.incident_id is null",
        also: "t.observed_at < {age}",
        hours: |options| options.signals_days * DAY_H,
    },
    Rule {
        table: "deployments",
        what: "deployments",
        setting: Some("deployments_days"),
        time: "at",
        within: "true",
        also: "true",
        hours: |options| options.deployments_days * DAY_H,
    },
    // before the edges, which would take them along without a bound
    Rule {
        table: "edge_minutes",
        what: "figures of calls by the minute",
        setting: None,
        time: "minute",
        within: "true",
        also: "true",
        hours: |_| (edges::MAX_WINDOW_MIN / 60) as u32,
    },
    Rule {
        table: "edges",
        what: "edges of the service graph",
        setting: Some("graph_days"),
        time: "last_seen",
        within: "true",
        also: "true",
        hours: |options| options.graph_days * DAY_H,
    },
    Rule {
        table: "span_services",
        what: "services that have sent spans",
        setting: Some("graph_days"),
        time: "last_seen",
        within: "true",
        also: "true",
        hours: |options| options.graph_days * DAY_H,
    },
    Rule {
        table: "steps",
        what: "results of outside work",
        setting: Some("inbox_days"),
        time: "created_at",
        within: "true",
        also: "true",
        hours: |options| options.inbox_days * DAY_H,
    },
    Rule {
        table: "timers",
        what: "timers that are done",
        setting: Some("inbox_days"),
        time: "created_at",
        within: "t.state <> 'waiting'",
        also: "t.due < {age}",
        hours: |options| options.inbox_days * DAY_H,
    },
    Rule {
        table: "processed_events",
        what: "inbox",
        setting: Some("inbox_days"),
        time: "processed_at",
        within: "true",
        also: "true",
        hours: |options| options.inbox_days * DAY_H,
    },
    Rule {
        table: "outbox",
        what: "events that are published",
        setting: Some("outbox_days"),
        time: "published_at",
        within: "t.published_at is not null",
        also: "true",
        hours: |options| options.outbox_days * DAY_H,
    },
];

/// Outbox rows that were set aside: of the same table as those that are published.
pub const REJECTED: Rule = Rule {
    table: "outbox",
    what: "events that were set aside",
    setting: Some("rejected_days"),
    time: "rejected_at",
    within: "t.rejected_at is not null",
    also: "true",
    hours: |options| options.rejected_days * DAY_H,
};

/// What is bounded by number.
pub const SURPLUS: [Surplus; 2] = [
    Surplus { table: "edges", reason: "all_edges", most: edges::MAX_ROWS },
    Surplus { table: "span_services", reason: "all_services", most: edges::MAX_ROWS },
];

/// Tables that no rule is about, each with the reason.
pub const KEPT: [(&str, &str); 12] = [
    (
        "approved_documents",
        "people have approved them to be found again; `firewatch postmortem withdraw` removes one",
    ),
    ("knowledge_chunks", "the seeder and withdrawals remove them"),
    ("knowledge_index", "one row"),
    ("catalogue_services", "the seeder replaces them"),
    ("oncall_rotations", "the seeder replaces them"),
    ("notification_routes", "the seeder replaces them"),
    ("tokens", "one row for each token; at most 10,000 are valid at once"),
    ("neighbourhoods", "one row for each environment"),
    ("counters", "one row"),
    ("erasures", "one row for each erasure, without the name"),
    ("removed_incidents", "a row goes with the last one of its incident"),
    ("refinery_schema_history", "one row for each migration"),
];

impl Rule {
    /// Returns all rules but those of incidents and their parts.
    pub fn all() -> impl Iterator<Item = Self> {
        RULES.into_iter().chain([REJECTED])
    }

    /// Returns the age after which rows go, hours; none: they are kept for ever.
    pub fn hours(&self, options: &Options) -> Option<u32> {
        Some((self.hours)(options)).filter(|hours| *hours > 0)
    }

    /// Returns the selection of rows that are old, the oldest first, as a part of a statement that goes on with its limit.
    fn old(&self, columns: &str, hours: u32) -> String {
        let Self { table, time, within, also, .. } = self;
        let age = format!("now() - interval '{hours} hours'");
        let also = also.replace("{age}", &age);
        format!("select {columns} from {table} t where {within} and t.{time} < {age} and {also}")
    }

    /// Returns the statement that removes at most `$1` rows.
    pub(super) fn removal(&self, hours: u32) -> String {
        let (table, time, old) = (self.table, self.time, self.old("t.ctid", hours));
        format!(
            "delete from {table} where ctid = any (array({old} order by t.{time} limit $1 for update of t skip locked))"
        )
    }

    /// Returns the statement that counts the rows that are old, up to `$1`.
    pub(super) fn count(&self, hours: u32) -> String {
        let old = self.old("1", hours);
        let with = if self.table == INCIDENTS.table { format!("with {OPEN_ONES} ") } else { String::new() };
        format!("{with}select count(*) from ({old} limit $1) old")
    }

    /// Returns the statement that says how old the oldest row is, seconds.
    pub(super) fn oldest(&self) -> String {
        let Self { table, time, within, .. } = self;
        format!("select extract(epoch from now() - min(t.{time}))::float8 from {table} t where {within}")
    }
}

/// Returns the statement that removes at most `$1` incidents, and notes them so that their parts are removed.
pub(super) fn incidents(hours: u32) -> String {
    let (time, old) = (INCIDENTS.time, INCIDENTS.old("t.incident_id", hours));
    format!(
        "with {OPEN_ONES}, \
         due as materialized ({old} order by t.{time} limit $1 for update of t skip locked), \
         gone as (delete from incidents i using due where i.incident_id = due.incident_id returning i.incident_id) \
         insert into removed_incidents (incident_id) select incident_id from gone on conflict do nothing"
    )
}

/// Returns the statement that counts the rows of a part of the incidents that are old, up to `$1`.
pub(super) fn count_of(part: &Part, hours: u32) -> String {
    let (from, old) = (part.from, INCIDENTS.old("t.incident_id", hours));
    // the same rows are counted as are removed once the incidents are noted
    let from = from.replacen("removed_incidents r", "old r", 1);
    format!(
        "with {OPEN_ONES}, old as materialized ({old}) select count(*) from (select 1 from {from} limit $1) rows"
    )
}

impl Part {
    /// Returns the statement that removes at most `$1` rows.
    pub(super) fn removal(&self) -> String {
        let Self { table, from, also } = self;
        format!(
            "delete from {table} where ctid = any (array(select t.ctid from {from} where {also} limit $1 \
             for update of t skip locked))"
        )
    }
}

/// Returns the statement that removes at most `$1` notes of incidents of which nothing is left.
pub(super) fn notes() -> String {
    let left: Vec<String> = PARTS
        .iter()
        .map(|part| {
            let from =
                part.from.replacen("removed_incidents r", "(values (noted.incident_id)) r (incident_id)", 1);
            format!("not exists (select from {from})")
        })
        .collect();
    format!(
        "delete from removed_incidents where incident_id in \
         (select noted.incident_id from removed_incidents noted where {} limit $1)",
        left.join(" and ")
    )
}

impl Surplus {
    /// Returns the statement that removes at most `$1` rows beyond the number that is kept, those first that were not seen for the
    /// longest time.
    pub(super) fn removal(&self) -> String {
        let Self { table, most, .. } = self;
        format!(
            "delete from {table} where ctid = any (array(select ctid from {table} order by last_seen desc \
             offset {most} limit $1 for update skip locked))"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_of_0_has_no_statement_and_fixed_ages_have_no_setting() {
        let for_ever = Options { graph_days: 0, ..Options::default() };
        for rule in Rule::all() {
            let expected = rule.setting != Some("graph_days");
            assert_eq!(rule.hours(&for_ever).is_some(), expected, "{}", rule.what);
            assert_eq!(rule.setting.is_none(), rule.table == "edge_minutes", "{}", rule.what);
        }
    }

    #[test]
    fn no_placeholder_is_left_in_a_statement() {
        let mut statements: Vec<String> =
            Rule::all().flat_map(|rule| [rule.removal(24), rule.count(24), rule.oldest()]).collect();
        statements.extend([incidents(24), notes(), INCIDENTS.count(24)]);
        statements.extend(PARTS.iter().flat_map(|part| [part.removal(), count_of(part, 24)]));
        for statement in statements {
            assert!(
                !statement.contains("{age}") && statement.contains("$1") | statement.contains("min("),
                "{statement}"
            );
        }
    }
}
