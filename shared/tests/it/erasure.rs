//! What is stored of a person is erased, over a real PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Object;
use serde_json::json;
use shared::clock::from_ms;
use shared::secret::Secret;
use shared::store::Store;
use shared::store::erasure::{self, Erased, NOT_REACHED, Request};
use shared::testing;
use shared::text::person::Person;
use shared::text::seal::Sealer;
use stack::testing::Database;
use tokio_postgres::types::Json;

/// Rows that name al and alice, one of each table but those of `MANY`.
const ROWS: &str = "\
insert into incidents (incident_id, number, environment, state, severity, revision, opened_at, body) values \
    (md5('i')::uuid, 1, 'production', 'closed', 'sev2', 3, now(), '{\"title\": \"al is slow\", \"assignee\": \"al\", \
    \"acknowledged\": {\"by\": \"Al\", \"reason\": \"alice asked al\"}, \"kept_open\": {\"by\": \"alice\", \"reason\": \"\"}}'); \
insert into incidents (incident_id, number, environment, state, severity, revision, opened_at, body) values \
    (md5('o')::uuid, 2, 'production', 'investigating', 'sev2', 3, now(), '{}'); \
insert into commands (command_id, environment, incident_id, verb, asked_by, origin, asked_at, outcome, answer, body, stage) values \
    (md5('c')::uuid, 'production', md5('i')::uuid, 'comment', 'al', 'cli', now(), 'accepted', 'al commented', \
    '{\"by\": \"al\", \"action\": {\"verb\": \"comment\", \"text\": \"ask al, al.gore or alice\"}}', 'correlation'); \
insert into silences (silence_id, environment, spec, starts_at, ends_at, asked_by, begun_at, ended_at, ended_by, end_reason) values \
    (md5('s')::uuid, 'production', '{\"matchers\": \"service=\\\"al\\\"\", \"comment\": \"al works on it\"}', now(), now(), 'alice', \
    now(), now(), 'al', 'says al'); \
insert into notifications (id, incident_id, kind, channel, state, body, created_at) values \
    (md5('n1')::uuid, md5('i')::uuid, 'opened', 'email', 'sent', '{\"recipients\": [\"al\", \"alice\"], \"subject\": \"x\"}', now()), \
    (md5('n2')::uuid, md5('i')::uuid, 'plan', 'email', 'pending', '{\"recipients\": [\"al\"], \"subject\": \"x\"}', now()), \
    (md5('n3')::uuid, md5('o')::uuid, 'opened', 'email', 'sent', '{\"recipients\": [\"al\"], \"subject\": \"x\"}', now()); \
update notifications set recipients = array['al', 'alice'], held_for = 'email:al' where id = md5('n1')::uuid; \
insert into notification_attempts (notification_id, state, outcome, at) values (md5('n1')::uuid, 'sent', 'al was refused', now()); \
insert into feedback (incident_id, cause, body, given_at) values (md5('i')::uuid, 'right', '{\"given_by\": \"al\"}', now()); \
insert into evidence (id, incident_id, revision, source, excerpt, content) values (md5('e')::uuid, md5('i')::uuid, 1, \
    '{\"service\": \"al\"}', 'deployed by al', '{\"deployed_by\": \"al\"}'); \
insert into deployments (environment, service, version, at, body) values ('production', 'al', '1', now(), '{\"deployed_by\": \"al\", \
    \"service\": \"al\"}'); \
insert into approved_documents (doc_id, incident_id, chunks, approved_by, approved_at) values ('incident/FW-1', md5('i')::uuid, '[]', \
    'al', now()); \
insert into signals (anomaly_id, environment, service, metric, revision, status, started_at, observed_at, body, context) values \
    (md5('a')::uuid, 'production', 'payment', 'cpu', 1, 'cleared', now(), now(), '{}', '{\"deployments\": [{\"deployed_by\": \"al\"}]}'); \
insert into postmortem_revisions (incident_id, revision, markdown, revised_by, note, revised_at) values \
    (md5('i')::uuid, 9, 'Al called al', 'al', 'al was there', now()); \
insert into action_items (item_id, incident_id, revision, place, service, title, owner, due, priority, reason, state, changed_by, \
    changed_at, note) values (md5('t')::uuid, md5('i')::uuid, 1, 1, 'payment', 'Train al', 'al', '2026-01-01', 'low', 'al said so', \
    'done', 'Al', now(), 'by al'), \
    (md5('t2')::uuid, md5('i')::uuid, 1, 2, 'payment', 'x', 'al gore', '2026-01-01', 'low', 'x', 'open', null, null, null); \
insert into tokens (id, name, sha256, scopes) values (md5('k')::uuid, 'laptop of al', sha256('x'), array['read']); \
insert into erasures (id, placeholder, asked_by, finished_at) values (md5('x')::uuid, 'erased-0', 'al', now());";

/// Rows of more than two pages: one table with a key of three columns, and the audit trail.
const MANY: &str = "\
insert into artifacts (incident_id, kind, revision, body) select md5('i')::uuid, kind, n, '{\"owner\": \"al\", \"markdown\": \"by al\"}' \
    from generate_series(1, 225) n, unnest(array['plan', 'postmortem']) kind; \
insert into audit (incident_id, at, actor, action, summary, detail, event_id, ordinal) select md5('i')::uuid, now(), \
    case when n % 2 = 0 then 'al' else 'alice' end, 'commented', 'said al', '{\"reason\": \"al\"}', md5('i')::uuid, n \
    from generate_series(1, 450) n;";

async fn filled() -> (Database, Store, Object) {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let client = testing::client(&store).await.unwrap();
    client.batch_execute(ROWS).await.unwrap();
    client.batch_execute(MANY).await.unwrap();
    (database, store, client)
}

async fn erase(store: &Store, name: &str, by: &str) -> Result<Erased, shared::store::Error> {
    let person = Person::new(name).unwrap();
    store.erase_person(&Request { person: &person, by, at: from_ms(1), sealer: None }).await
}

async fn text(client: &Object, statement: &str) -> String {
    client.query_one(statement, &[]).await.unwrap().try_get(0).unwrap()
}

/// Everything that the tables of an erasure hold, by table.
async fn all(client: &Object) -> BTreeMap<&'static str, String> {
    let mut all = BTreeMap::new();
    for table in erasure::tables() {
        let rows =
            format!("select coalesce(string_agg(t::text, chr(10) order by t::text), '') from {table} t");
        all.insert(table, text(client, &rows).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_erased_everywhere_and_others_and_services_are_not() {
    let (_database, store, client) = filled().await;
    let before = all(&client).await;
    let counted = store.count_person(&Person::new("al").unwrap(), None).await.unwrap();
    assert_eq!(all(&client).await, before, "a preview changes nothing");

    let erased = erase(&store, "al", "the privacy desk").await.unwrap();
    let placeholder = erased.placeholder.clone().unwrap();
    assert!(placeholder.starts_with("erased-") && placeholder.len() == 17, "{placeholder}");
    assert_eq!(erased.rows, counted.rows);
    let of_each = [
        "incidents",
        "commands",
        "silences",
        "notifications",
        "notification_attempts",
        "feedback",
        "evidence",
    ];
    assert!(of_each.iter().all(|table| erased.rows[table] == 1), "{erased:?}");
    let reached: BTreeSet<&str> = erased.rows.keys().copied().collect();
    assert_eq!(reached, erasure::tables().collect(), "each table has a row that names the person");
    assert_eq!(counted.values, ["Al", "al", "email:al"].map(str::to_owned).into());
    assert!(erased.values.is_empty(), "{erased:?}");
    assert_eq!((erased.rows["artifacts"], erased.rows["audit"]), (450, 450));

    let after = all(&client).await;
    let waiting =
        "select coalesce(string_agg(t::text, chr(10)), '') from notifications t where id <> md5('n1')::uuid";
    let waiting = text(&client, waiting).await;
    for (table, held) in &after {
        // the names of others, the service of that name, and what is not sent yet
        let others = [
            "al.gore",
            "al gore",
            "al is slow",
            "\"\"service\"\": \"\"al\"\"",
            "production,al,",
            "service=\\\\\"\"al\\\\\"\"",
        ];
        let lines: Vec<&str> = held.lines().filter(|line| !waiting.contains(line)).collect();
        let left = others.iter().fold(lines.join("\n"), |held, other| held.replace(other, ""));
        for name in ["al", "Al"] {
            // in texts the case of a name counts
            let left = left.replace("Al called", "");
            assert_eq!(Person::new(name).unwrap().replaced(&left, ""), None, "{table}: {left:.300}");
        }
    }
    let item = text(
        &client,
        "select concat_ws('|', title, owner, reason, changed_by, note) from action_items where place = 1",
    )
    .await;
    assert_eq!(item, "Train X|X|X said so|X|by X".replace('X', &placeholder));
    let body = text(&client, "select body::text from incidents where number = 1").await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap(),
        json!({"title": "al is slow", "assignee": placeholder, "kept_open": {"by": "alice", "reason": ""},
            "acknowledged": {"by": placeholder, "reason": format!("alice asked {placeholder}")}})
    );
    let said = text(&client, "select body #>> '{action,text}' from commands").await;
    assert_eq!(said, format!("ask {placeholder}, al.gore or alice"));
    let silence = text(
        &client,
        "select concat_ws('|', asked_by, ended_by, end_reason, spec ->> 'matchers') from silences",
    )
    .await;
    assert_eq!(silence, format!("alice|{placeholder}|says {placeholder}|service=\"al\""));
    let columns = "select held_for || ' ' || array_to_string(recipients, ' ') from notifications where held_for is not null";
    assert_eq!(text(&client, columns).await, format!("email:{placeholder} {placeholder} alice"));
    // what is not sent yet, and what follows in an open incident, goes to them
    let kept =
        "select string_agg(body #>> '{recipients,0}', ' ') from notifications where id <> md5('n1')::uuid";
    assert_eq!(text(&client, kept).await, "al al");
    assert_eq!(text(&client, "select service || (body ->> 'service') from deployments").await, "alal");
    assert!(after["audit"].matches("alice").count() == 225, "others stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_on_record_without_the_name_and_a_second_one_changes_nothing() {
    let (_database, store, client) = filled().await;
    // the person asks for it
    let erased = erase(&store, "al", "al").await.unwrap();
    let placeholder = erased.placeholder.unwrap();
    let line = text(
        &client,
        "select actor || '|' || summary || '|' || detail from audit where action = 'person_erased'",
    )
    .await;
    let who = format!(
        "{placeholder}|What is stored of a person was replaced by {placeholder}, as {placeholder} asked.|"
    );
    assert!(line.starts_with(&who), "{line}");
    assert_eq!(Person::new("al").unwrap().replaced(&line, ""), None, "{line}");
    // nothing leads back to the name
    let left =
        "select count(*)::text || count(salt) || count(finished_at) from erasures where id <> md5('x')::uuid";
    assert_eq!(text(&client, left).await, "101");

    let before = all(&client).await;
    let again = erase(&store, "al", "the privacy desk").await.unwrap();
    assert_eq!(again, Erased::default());
    assert_eq!(all(&client).await, before);
    // another person has another placeholder, and a name in another case is another name in texts
    let other = erase(&store, "alice", "the privacy desk").await.unwrap().placeholder.unwrap();
    assert_ne!(other, placeholder);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_interrupted_goes_on_with_the_same_placeholder() {
    let (database, store, mut client) = filled().await;
    let name = database.url().rsplit('/').next().unwrap().to_owned();
    client.batch_execute(&format!("alter database {name} set lock_timeout to '300ms'")).await.unwrap();
    let held = client.transaction().await.unwrap();
    held.execute("select from audit where ordinal = 300 for update", &[]).await.unwrap();
    erase(&database.store().unwrap(), "al", "the privacy desk").await.unwrap_err();
    held.rollback().await.unwrap();

    let half = text(&client, "select body ->> 'assignee' from incidents where number = 1").await;
    assert!(half.starts_with("erased-"), "{half}");
    assert_eq!(
        text(&client, "select count(*)::text from audit where actor = 'al'").await,
        "125",
        "one page was committed"
    );
    let erased = erase(&store, "al", "the privacy desk").await.unwrap();
    assert_eq!(erased.placeholder.as_deref(), Some(half.as_str()));
    assert_eq!(text(&client, "select count(*)::text from audit where actor = 'al'").await, "0");
    assert_eq!(text(&client, "select count(*)::text from audit where action = 'person_erased'").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_values_go_with_the_key_and_addresses_from_every_text() {
    let (_database, store, client) = filled().await;
    let sealer = Sealer::new(&Secret::new("a".repeat(64))).unwrap();
    let sealed = [
        sealer.seal("[email 1]", "ada@example.com").unwrap(),
        sealer.seal("[email 2]", "lada@example.com").unwrap(),
    ];
    let context = json!({"sealed": sealed, "logs": [{"template": "mail to ADA@example.com bounced"}]});
    client
        .execute(
            "insert into signals (anomaly_id, environment, service, metric, revision, status, started_at, observed_at, body, context) \
             select md5(n::text)::uuid, 'production', 'payment', 'cpu', 1, 'cleared', now(), now(), '{}', $1 \
             from generate_series(1, 250) n",
            &[&Json(&context)],
        )
        .await
        .unwrap();
    let person = Person::new("ada@example.com").unwrap();
    let request = Request { person: &person, by: "the privacy desk", at: from_ms(1), sealer: Some(&sealer) };
    let erased = store.erase_person(&request).await.unwrap();
    assert_eq!((erased.rows["signals"], erased.texts, erased.sealed), (250, 250, 250));
    let left =
        text(&client, "select string_agg(distinct context::text, '') from signals where context ? 'sealed'")
            .await;
    let left: serde_json::Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left["sealed"], json!([sealed[1]]));
    assert_eq!(store.count_person(&person, Some(&sealer)).await.unwrap(), Erased::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_is_gone_through_or_has_a_reason() {
    let database = stack::testing::postgres().await.unwrap();
    let client = testing::client(&database.store().unwrap()).await.unwrap();
    let statement = "select tablename from pg_tables where schemaname = current_schema()";
    let found = client.query(statement, &[]).await.unwrap();
    let tables: BTreeSet<&str> = found.iter().map(|row| row.try_get(0).unwrap()).collect();
    let known: BTreeSet<&str> = erasure::tables().chain(NOT_REACHED.map(|(table, _)| table)).collect();
    assert_eq!(tables, known, "say in shared/src/store/erasure.rs where a table names people, or why not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_more_than_one_page_is_gone_through_and_no_other_row_is_locked() {
    let (_database, store, mut client) = filled().await;
    client
        .batch_execute(
            "insert into deployments (environment, service, version, at, body) select 'production', 'payment', n::text, now(), \
             jsonb_build_object('deployed_by', case when n % 1000 = 0 then 'al' else 'ann' end) from generate_series(1, 4500) n",
        )
        .await
        .unwrap();
    let counted = store.count_person(&Person::new("al").unwrap(), None).await.unwrap();
    assert_eq!(counted.rows["deployments"], 5);
    // rows of others that somebody changes do not matter
    let held = client.transaction().await.unwrap();
    held.execute("select from deployments where body ->> 'deployed_by' = 'ann' for update", &[])
        .await
        .unwrap();
    let erased = erase(&store, "al", "the privacy desk").await.unwrap();
    held.rollback().await.unwrap();
    assert_eq!(erased.rows, counted.rows);
    let left = "select count(*)::text from deployments where body ->> 'deployed_by' = 'al'";
    assert_eq!(text(&client, left).await, "0");
}
