//! What is removed after its age, over a real PostgreSQL: what goes, what stays, in which portions, and beside whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use shared::clock::from_ms;
use shared::ids::IncidentId;
use shared::store::Store;
use shared::store::postmortems::Revised;
use shared::store::retention::rules::{INCIDENTS, KEPT, PARTS, Rule};
use shared::store::retention::{End, Options, Remover, Turn};
use shared::testing;
use stack::testing::Database;
use stack::testing::bench::until;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::stage::{Place, TURN};

/// Rows of one incident, its audit trail included.
const ROWS_OF_INCIDENT: i64 = 40;
/// Incidents `$1` to `$2` that were over `$3` days ago, with all that belongs to them.
const FILL: [&str; 9] = [
    "insert into incidents (incident_id, number, environment, state, severity, revision, opened_at, resolved_at, body, updated_at) \
     select md5('incident' || n)::uuid, n, 'production', 'closed', 'sev3', 1, now() - make_interval(days => $3), \
        now() - make_interval(days => $3), jsonb_build_object('text', repeat('x', 1000)), now() - make_interval(days => $3) \
     from generate_series($1::int, $2::int) n",
    "insert into signals (anomaly_id, environment, service, metric, revision, status, incident_id, started_at, observed_at, body) \
     select md5('signal' || n || '/' || m)::uuid, 'production', 'payment', 'cpu', 1, 'cleared', md5('incident' || n)::uuid, \
        now() - make_interval(days => $3), now() - make_interval(days => $3), jsonb_build_object('text', repeat('x', 300)) \
     from generate_series($1::int, $2::int) n, generate_series(1, 12) m",
    "insert into artifacts (incident_id, kind, revision, body, created_at) \
     select md5('incident' || n)::uuid, 'plan', m, '{}', now() - make_interval(days => $3) \
     from generate_series($1::int, $2::int) n, generate_series(1, 3) m",
    "insert into notifications (id, incident_id, kind, channel, state, body, created_at) \
     select md5('mail' || n || '/' || m)::uuid, md5('incident' || n)::uuid, 'opened', 'email', 'sent', '{}', \
        now() - make_interval(days => $3) from generate_series($1::int, $2::int) n, generate_series(1, 5) m",
    "insert into notification_attempts (notification_id, state, outcome, at) \
     select md5('mail' || n || '/' || m)::uuid, 'sent', 'accepted', now() - make_interval(days => $3) \
     from generate_series($1::int, $2::int) n, generate_series(1, 5) m",
    "insert into evidence (id, incident_id, revision, source, excerpt, content, created_at) \
     select md5('evidence' || n || '/' || m)::uuid, md5('incident' || n)::uuid, 1, '{}', 'x', '{}', now() \
        - make_interval(days => $3) from generate_series($1::int, $2::int) n, generate_series(1, 4) m",
    "insert into feedback (incident_id, cause, body, given_at) \
     select md5('incident' || n)::uuid, 'right', '{}', now() - make_interval(days => $3) from generate_series($1::int, $2::int) n",
    "insert into commands (command_id, environment, incident_id, verb, asked_by, origin, asked_at, outcome, answer, body, stage, \
        decided_at) \
     select md5('command' || n || '/' || m)::uuid, 'production', md5('incident' || n)::uuid, 'comment', 'jane', 'cli', now(), \
        'accepted', '', '{}', 'correlation', now() - make_interval(days => $3) \
     from generate_series($1::int, $2::int) n, generate_series(1, 2) m",
    "insert into audit (incident_id, at, actor, action, summary, detail, event_id, ordinal, recorded_at) \
     select md5('incident' || n)::uuid, now(), 'correlation', 'joined', 'joined', '{}', md5('event' || n)::uuid, m, \
        now() - make_interval(days => $3) from generate_series($1::int, $2::int) n, generate_series(1, 7) m",
];

/// Rows that no incident has: so many old ones, and one in ten that are new, of each kind.
const LOOSE: [&str; 6] = [
    "insert into processed_events (consumer, event_id, processed_at) select 'correlation', md5('inbox' || n)::uuid, \
     now() - make_interval(days => case when n % 10 = 0 then 3 else 40 end) from generate_series(1, $1::int) n",
    "insert into outbox (stage, origin, topic, key, headers, payload, created_at, published_at) select 'correlation', 'x', 'y', '', \
     '{}', '', now(), now() - make_interval(hours => case when n % 10 = 0 then 3 else 40 end) from generate_series(1, $1::int) n",
    "insert into steps (consumer, event_id, name, result, created_at) select 'correlation', md5('inbox' || n)::uuid, 'ask', '{}', \
     now() - make_interval(days => case when n % 10 = 0 then 3 else 40 end) from generate_series(1, $1::int) n",
    "insert into timers (stage, id, key, name, due, payload, state, created_at) select 'correlation', md5('timer' || n)::uuid, n, \
     'settle', now() - interval '39 days', '{}', case when n % 10 = 0 then 'waiting' else 'done' end, now() - interval '40 days' \
     from generate_series(1, $1::int) n",
    "insert into signals (anomaly_id, environment, service, metric, revision, status, started_at, observed_at, body) \
     select md5('loose' || n)::uuid, 'production', 'payment', 'cpu', 1, 'suspect', now() - interval '40 days', \
     now() - make_interval(days => case when n % 10 = 0 then 3 else 40 end), '{}' from generate_series(1, $1::int) n",
    "insert into deployments (environment, service, version, at, body) select 'production', 'payment', n::text, \
     now() - make_interval(days => case when n % 10 = 0 then 3 else 100 end), '{}' from generate_series(1, $1::int) n",
];

async fn fill(client: &Object, from: i32, to: i32, days: i32) {
    for statement in FILL {
        client.execute(statement, &[&from, &to, &days]).await.unwrap();
    }
}

async fn number(client: &Object, statement: &str) -> i64 {
    client.query_one(statement, &[]).await.unwrap().try_get(0).unwrap()
}

/// Returns the number of rows of each table that rules are about.
async fn rows(client: &Object) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    let tables: BTreeSet<&str> =
        PARTS.iter().map(|part| part.table).chain(Rule::all().map(|rule| rule.table)).collect();
    for table in tables.into_iter().chain(["incidents", "removed_incidents"]) {
        rows.insert(table.to_owned(), number(client, &format!("select count(*) from {table}")).await);
    }
    rows
}

fn options() -> Options {
    let options = Options { pause_ms: 0, ..Options::default() };
    assert_eq!(options.validate(), Vec::<String>::new());
    options
}

async fn remove(store: &Store, options: &Options) -> Turn {
    let stop = CancellationToken::new();
    store.remove_old(Remover { options, stop: &stop, tries: 0 }, |_, _| {}).await.unwrap()
}

/// Notes each deletion with its transaction, whoever asks for it.
async fn watch(client: &Object) {
    client
        .batch_execute(
            "create table deletions (tx bigint not null, rows bigint not null); \
             create function note_deletion() returns trigger language plpgsql as $$ begin \
                insert into deletions select txid_current(), count(*) from gone having count(*) > 0; return null; end $$; \
             do $$ declare name text; begin for name in select tablename from pg_tables \
                where schemaname = current_schema() and tablename not in ('deletions', 'removed_incidents') loop \
                execute format('create trigger note after delete on %I referencing old table as gone for each statement \
                execute function note_deletion()', name); end loop; end $$",
        )
        .await
        .unwrap();
}

/// Does what agents do meanwhile, each time within half a second or not at all, until it is stopped. Returns how often.
fn write_meanwhile(store: Store, open: i32, stop: CancellationToken) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let client = testing::client(&store).await.unwrap();
        client.batch_execute("set lock_timeout to '500ms'").await.unwrap();
        let mut turns: i32 = 0;
        while !stop.is_cancelled() || turns == 0 {
            turns += 1;
            let changed =
                "update incidents set revision = revision + 1, updated_at = now() where number = $1";
            client.execute(changed, &[&i64::from(open)]).await.unwrap();
            let changed = "update signals set revision = revision + 1 where incident_id = md5('incident' || $1::int)::uuid";
            client.execute(changed, &[&open]).await.unwrap();
            for written in [
                "insert into processed_events (consumer, event_id) select 'writer', md5($1::int || '/' || $2::int)::uuid",
                "insert into audit (incident_id, at, actor, action, summary, detail, event_id, ordinal) \
                 select md5('incident' || $1::int)::uuid, now(), 'writer', 'joined', '', '{}', md5('w' || $2::int)::uuid, 0",
            ] {
                client.execute(written, &[&open, &turns]).await.unwrap();
            }
        }
        client.batch_execute("reset lock_timeout").await.unwrap();
        u64::try_from(turns).unwrap()
    })
}

/// Fills a database with about `rows` rows, of which most are old, and removes those while others write.
async fn many_rows(rows_in_all: i32, batch_rows: u32) {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let client = testing::client(&store).await.unwrap();
    client.batch_execute("set statement_timeout to '10min'").await.unwrap();
    // three of four rows are of incidents, and of these four of five are old
    let incidents = rows_in_all * 3 / 4 / i32::try_from(ROWS_OF_INCIDENT).unwrap();
    let old = incidents * 4 / 5;
    fill(&client, 1, old, 500).await;
    fill(&client, old + 1, incidents, 20).await;
    let loose = rows_in_all / 4 / i32::try_from(LOOSE.len()).unwrap() / 10 * 10;
    for statement in LOOSE {
        client.execute(statement, &[&loose]).await.unwrap();
    }
    client.batch_execute("analyze").await.unwrap();
    watch(&client).await;
    let before: i64 = rows(&client).await.values().sum();

    let stop = CancellationToken::new();
    let writer = write_meanwhile(database.store().unwrap(), incidents, stop.clone());
    let begun = Instant::now();
    let turn = remove(&store, &Options { batch_rows, ..options() }).await;
    let seconds = begun.elapsed().as_secs_f64();
    stop.cancel();
    let written = writer.await.unwrap();

    assert_eq!(turn.end, End::Done);
    let removed: u64 = turn.removed.values().sum();
    println!(
        "retention: {removed} of {before} rows removed in {seconds:.1} s, {:.0} rows/s, at most {batch_rows} a transaction; \
         {written} turns of a writer meanwhile",
        removed as f64 / seconds
    );
    let most = number(
        &client,
        "select max(rows)::bigint from (select sum(rows) as rows from deletions group by tx) each",
    )
    .await;
    assert!(most <= i64::from(batch_rows), "{most} rows in one transaction");
    let noted = number(&client, "select sum(rows)::bigint from deletions").await;
    assert_eq!(noted as u64, removed, "{:?}", turn.removed);
    let left = rows(&client).await;
    let (kept, old) = (i64::from(incidents - old), i64::from(old));
    assert_eq!(left["incidents"], kept);
    assert_eq!(left["removed_incidents"], 0);
    assert_eq!(left["notification_attempts"], kept * 5);
    assert_eq!(left["signals"], kept * 12 + i64::from(loose) / 10);
    // the audit trail stays for longer
    assert_eq!(left["audit"], (kept + old) * 7 + written as i64);
    assert_eq!(left["processed_events"], i64::from(loose) / 10 + written as i64);
    assert_eq!(left["timers"], i64::from(loose) / 10);
    assert_eq!(remove(&store, &options()).await.removed, BTreeMap::new(), "a second turn finds nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_go_in_bounded_transactions_and_nobody_waits_for_them() {
    // fewer than there are old rows of each kind
    many_rows(20_000, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make test-long`"]
async fn old_rows_go_of_a_million() {
    many_rows(1_000_000, 1_000).await;
}

/// Returns a database with 30 incidents that are old.
async fn thirty() -> (Database, Store, Object) {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let client = testing::client(&store).await.unwrap();
    fill(&client, 1, 30, 500).await;
    (database, store, client)
}

/// Numbers of the incidents on record.
async fn numbers(client: &Object) -> Vec<i64> {
    let found = client.query("select number from incidents order by number", &[]).await.unwrap();
    found.iter().map(|row| row.try_get(0).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_and_what_an_open_incident_needs_stays_whole() {
    let (_database, store, client) = thirty().await;
    let id = |number: u32| format!("md5('incident{number}')::uuid");
    for statement in [
        // 1 is open, and names 2
        format!(
            "update incidents set state = 'investigating', resolved_at = null, body = jsonb_build_object('links', \
            jsonb_build_array(jsonb_build_object('incident_id', {}))) where number = 1",
            id(2)
        ),
        // 3 names 1
        format!(
            "update incidents set body = jsonb_build_object('links', jsonb_build_array(jsonb_build_object('incident_id', {}))) \
            where number = 3",
            id(1)
        ),
        // of 4 a signal is still abnormal; that of 5 was abnormal when it was last heard of, long ago
        format!("update signals set status = 'firing', observed_at = now() where incident_id = {}", id(4)),
        format!("update signals set status = 'firing' where incident_id = {}", id(5)),
        // a message about 6 is about to be sent; a mute of 7 lasts for very long
        format!(
            "insert into timers (stage, id, key, name, due, payload) values ('communication', md5('a')::uuid, \
            {} || '/email', 'send', now(), '{{}}')",
            id(6)
        ),
        format!(
            "insert into timers (stage, id, key, name, due, payload) values ('communication', md5('b')::uuid, \
            {} || '/mute', 'mute', now() + interval '70 years', '{{}}')",
            id(7)
        ),
        // 8 was changed lately
        "update incidents set updated_at = now() where number = 8".to_owned(),
        // 9 has work to do, that of 10 and 11 is done, of 11 lately; 12 has work that was superseded
        "insert into action_items (item_id, incident_id, revision, place, service, title, owner, due, priority, reason, state, \
            superseded_in, changed_by, changed_at) select md5('item' || n)::uuid, md5('incident' || n)::uuid, 1, 1, 'payment', 'x', 'x', \
            '2026-01-01', 'low', 'x', case when n in (10, 11) then 'done' else 'open' end, case when n = 12 then 2 end, \
            case when n in (10, 11) then 'ann' end, now() - make_interval(days => case n when 10 then 450 when 11 then 3 end) \
         from generate_series(9, 12) n"
            .to_owned(),
        // the postmortem of 13 was revised lately, that of 14 long ago
        "insert into postmortem_revisions (incident_id, revision, markdown, revised_by, revised_at) select \
            md5('incident' || n)::uuid, 1, 'x', 'ann', now() - make_interval(days => case n when 13 then 3 else 450 end) \
         from generate_series(13, 14) n"
            .to_owned(),
        // somebody has asked for something about 15 lately
        format!("update commands set decided_at = now() - interval '3 days' where incident_id = {}", id(15)),
    ] {
        client.batch_execute(&statement).await.unwrap();
    }
    let due = store.reads().due_for_removal(&options()).await.unwrap();
    assert_eq!(due.iter().find(|due| due.table == "incidents").unwrap().rows, 20);
    assert_eq!(due.iter().find(|due| due.table == "notification_attempts").unwrap().rows, 20 * 5);

    let turn = remove(&store, &options()).await;
    assert_eq!(numbers(&client).await, [1, 2, 3, 4, 6, 8, 9, 11, 13, 15]);
    assert_eq!(turn.removed["incidents"], 20);
    let left = rows(&client).await;
    for (table, of_each) in [
        ("signals", 12),
        ("artifacts", 3),
        ("notifications", 5),
        ("evidence", 4),
        ("feedback", 1),
        ("commands", 2),
    ] {
        assert_eq!(left[table], 10 * of_each, "{table}");
    }
    assert_eq!(left["timers"], 1, "the timer of an incident goes with it");
    assert_eq!(left["audit"], 30 * 7);

    // a year later nothing of the trail is needed but that of incidents on record
    client.batch_execute("update audit set recorded_at = now() - interval '2000 days'").await.unwrap();
    remove(&store, &options()).await;
    assert_eq!(rows(&client).await["audit"], 10 * 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_may_end_after_any_transaction_and_no_incident_is_ever_there_in_part() {
    let (_database, store, client) = thirty().await;
    let options = Options { batch_rows: 10, ..options() };
    let mut turns = 0;
    loop {
        let stop = CancellationToken::new();
        let mut transactions = 0;
        let turn = store
            .remove_old(Remover { options: &options, stop: &stop, tries: 0 }, |_, _| {
                transactions += 1;
                // another number each time
                if transactions > turns % 4 {
                    stop.cancel();
                }
            })
            .await
            .unwrap();
        turns += 1;
        let parts = number(
            &client,
            "select count(*) from incidents i where \
             (select count(*) from signals s where s.incident_id = i.incident_id) <> 12 or \
             (select count(*) from notifications n join notification_attempts a on a.notification_id = n.id \
                where n.incident_id = i.incident_id) <> 5 or \
             (select count(*) from evidence e where e.incident_id = i.incident_id) <> 4",
        )
        .await;
        assert_eq!(parts, 0, "after {turns} turns");
        if turn.end == End::Done {
            break;
        }
        assert_eq!(turn.end, End::Stopped);
        assert!(turns < 1_000);
    }
    assert!(turns > 20, "{turns} turns");
    let left = rows(&client).await;
    assert_eq!(
        left.into_iter().filter(|(_, rows)| *rows > 0).collect::<Vec<_>>(),
        [("audit".to_owned(), 210)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_remove_each_row_once_and_what_is_locked_waits_for_the_next_turn() {
    let (database, store, mut client) = thirty().await;
    let locked = client.transaction().await.unwrap();
    locked.execute("select from incidents where number = 7 for update", &[]).await.unwrap();
    let mut replicas = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (store, stop) = (database.store().unwrap(), CancellationToken::new());
        replicas.spawn(async move {
            let options = Options { batch_rows: 10, ..options() };
            store
                .remove_old(Remover { options: &options, stop: &stop, tries: 1_000 }, |_, _| {})
                .await
                .unwrap()
        });
    }
    let turns = replicas.join_all().await;
    assert!(turns.iter().all(|turn| turn.end == End::Done), "{turns:?}");
    let removed = |table: &str| turns.iter().filter_map(|turn| turn.removed.get(table)).sum::<u64>();
    assert_eq!((removed("incidents"), removed("signals"), removed("notifications")), (29, 29 * 12, 29 * 5));
    locked.rollback().await.unwrap();
    assert_eq!(numbers(&client).await, [7]);
    assert_eq!(number(&client, "select count(*) from signals").await, 12);
    assert_eq!(remove(&store, &options()).await.removed["incidents"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_fails_does_not_keep_others_from_their_rows() {
    let (_database, store, client) = thirty().await;
    client.execute(LOOSE[0], &[&10]).await.unwrap();
    client
        .batch_execute(
            "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$; \
             create trigger refuse before delete on evidence for each row execute function refuse()",
        )
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let removed = store
        .remove_old(Remover { options: &options(), stop: &stop, tries: 0 }, |_, _| {})
        .await
        .unwrap_err();
    assert!(format!("{removed:?}").contains("refused"), "{removed:?}");
    let left = rows(&client).await;
    assert_eq!((left["evidence"], left["feedback"], left["processed_events"]), (120, 0, 1), "{left:?}");
    assert!(left["removed_incidents"] > 0, "the rest is found again");
    client.batch_execute("drop trigger refuse on evidence").await.unwrap();
    remove(&store, &options()).await;
    assert_eq!(rows(&client).await["evidence"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_stays_until_its_attempts_are_gone() {
    let (_database, store, mut client) = thirty().await;
    let locked = client.transaction().await.unwrap();
    let attempt = "select from notification_attempts where notification_id = md5('mail7/1')::uuid for update";
    locked.execute(attempt, &[]).await.unwrap();
    let turn = remove(&store, &options()).await;
    assert_eq!((turn.removed["notification_attempts"], turn.removed["notifications"]), (149, 149));
    locked.rollback().await.unwrap();
    remove(&store, &options()).await;
    let left = rows(&client).await;
    assert_eq!((left["notifications"], left["removed_incidents"]), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_is_removed_gets_no_further_revision() {
    let (_database, store, client) = thirty().await;
    client
        .batch_execute(
            "insert into postmortem_revisions (incident_id, revision, markdown, revised_by, revised_at) \
             select md5('incident1')::uuid, 1, 'x', 'ann', now(); delete from incidents where number = 1",
        )
        .await
        .unwrap();
    let id = client.query_one("select md5('incident1')::uuid", &[]).await.unwrap().try_get(0).unwrap();
    let revised = store.revise_postmortem(IncidentId(id), "y", "ann", "", from_ms(1)).await.unwrap();
    assert_eq!(revised, Revised::Unwritten);
    assert_eq!(number(&client, "select count(*) from postmortem_revisions").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_leaves_the_work_to_another_one_that_removes() {
    let (database, store, _client) = thirty().await;
    let mut other = testing::client(&database.store().unwrap()).await.unwrap();
    let busy = other.transaction().await.unwrap();
    busy.execute("select pg_advisory_xact_lock(hashtext('retention'), 0)", &[]).await.unwrap();
    let turn = remove(&store, &options()).await;
    assert_eq!((turn.end, turn.removed.len()), (End::Busy, 0));
    busy.rollback().await.unwrap();
    assert_eq!(remove(&store, &options()).await.removed["incidents"], 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_age_of_0_keeps_rows_for_ever_and_a_silence_stays_while_something_names_it() {
    let (_database, store, client) = thirty().await;
    client
        .batch_execute(
            "insert into silences (silence_id, environment, spec, starts_at, ends_at, asked_by, begun_at) \
             select md5('silence' || n)::uuid, 'production', '{}', now() - interval '500 days', \
                now() + case when n = 3 then interval '1 day' else interval '-450 days' end, 'jane', now() - interval '500 days' \
             from generate_series(1, 3) n; \
             insert into commands (command_id, environment, verb, asked_by, origin, asked_at, outcome, answer, body, stage, decided_at) \
             select silence_id, environment, 'silence', 'jane', 'cli', begun_at, 'accepted', '', '{}', 'communication', begun_at \
             from silences; \
             update notifications set state = 'silenced', body = jsonb_build_object('silence_id', md5('silence1')::uuid) \
             where incident_id = md5('incident1')::uuid",
        )
        .await
        .unwrap();
    let for_ever = Options { incidents_days: 0, audit_days: 0, ..options() };
    let turn = remove(&store, &for_ever).await;
    // of the three silences one was named by nothing, and its command with it
    assert_eq!(turn.removed, BTreeMap::from([("commands", 1), ("silences", 1)]));
    assert_eq!(numbers(&client).await.len(), 30);
    remove(&store, &options()).await;
    assert_eq!(number(&client, "select count(*) from silences").await, 1, "one is active");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_has_a_rule_or_a_reason_to_have_none() {
    let database = stack::testing::postgres().await.unwrap();
    let client = testing::client(&database.store().unwrap()).await.unwrap();
    let found = client
        .query("select tablename from pg_tables where schemaname = current_schema()", &[])
        .await
        .unwrap();
    let tables: BTreeSet<String> = found.iter().map(|row| row.try_get(0).unwrap()).collect();
    let known: BTreeSet<String> = std::iter::once(INCIDENTS.table)
        .chain(PARTS.iter().map(|part| part.table))
        .chain(Rule::all().map(|rule| rule.table))
        .chain(KEPT.iter().map(|(table, _)| *table))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        tables, known,
        "say in shared/src/store/retention/rules.rs when rows of a table are removed, or why never"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_row_of_each_table_is_known() {
    let (_database, store, _client) = thirty().await;
    let oldest = store.reads().oldest_rows().await.unwrap();
    let day = Duration::from_hours(24).as_secs_f64();
    assert!((oldest["incidents"] / day - 500.0).abs() < 2.0, "{oldest:?}");
    assert!((oldest["audit"] / day - 500.0).abs() < 2.0, "{oldest:?}");
    assert_eq!(oldest["outbox"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_removes_what_is_old_and_counts_it() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let client = testing::client(&place.0.store).await.unwrap();
    fill(&client, 1, 3, 500).await;
    let (shutdown, running) = place.start("retention-agent").await;
    until(Duration::from_secs(40), async || {
        let left = rows(&client).await;
        if left["incidents"] + left["signals"] + left["removed_incidents"] == 0 { Ok(()) } else { Err(left) }
    })
    .await
    .unwrap();
    let shown = |line: &str| shared::metrics::render().lines().any(|shown| shown.starts_with(line));
    until(Duration::from_secs(20), async || {
        let lines = [
            "firewatch_retention_removed_rows_total{table=\"incidents\"} 3",
            "firewatch_retention_oldest_seconds{table=\"audit\"} 432",
            "firewatch_retention_failures_total{stage=\"remediation\"} 0",
        ];
        let missing: Vec<&str> = lines.into_iter().filter(|line| !shown(line)).collect();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    })
    .await
    .unwrap();
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
