//! Tokens are shown once, listed, and revoked.

use cli::token::{Listed, table};
use jiff::Timestamp;
use shared::events::Topic;
use shared::store::tokens::{Scope, Token, hash};
use stack::testing::bench::Bench;

use crate::fixtures::screen;
use crate::learning::{firewatch, json, printed};

#[test]
fn tokens_are_a_table() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let token = |name: &str, scopes: &[Scope]| Token {
        id: shared::ids::TokenId(shared::ids::derive(&[name])),
        name: name.into(),
        hash: hash(name),
        scopes: scopes.to_vec(),
        created_at: at("2026-01-02T03:04:05Z"),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    let used = at("2026-02-03T04:05:06Z");
    let tokens = [
        Token { last_used_at: Some(used), ..token("collector\u{1b}[31m", &[Scope::Ingest]) },
        Token { expires_at: Some(used), ..token("laptop", &[Scope::Read, Scope::Operate]) },
        Token { revoked_at: Some(used), ..token("old", &[Scope::Admin]) },
    ];
    let now = at("2026-03-01T00:00:00Z");
    let listed: Vec<Listed> = tokens.into_iter().map(|token| Listed::of(token, now)).collect();
    insta::assert_snapshot!("tokens", [table(&listed, &screen()), table(&[], &screen())].join("---\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_is_refused_once_it_is_revoked() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    let create = ["token", "create", "--name", "collector", "--scope", "ingest", "--expires", "90d"];
    let token = printed(&firewatch(&bench, &create)).trim().to_owned();
    assert!(token.starts_with("fw_") && token.len() == 67, "{token}");
    let known = bench.store.reads().tokens().await.unwrap();
    assert_eq!((known[0].hash, &*known[0].scopes), (hash(&token), &[Scope::Ingest][..]));
    assert!(known[0].expires_at.is_some());
    let again = firewatch(&bench, &create);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let listed = firewatch(&bench, &["token", "list", "--json"]);
    assert!(!printed(&listed).contains(&token));
    assert_eq!(json(&listed)[0]["state"], "valid");
    let revoked = json(&firewatch(&bench, &["token", "revoke", "collector", "--json"]));
    assert_eq!((&revoked["name"], &revoked["state"]), (&"collector".into(), &"revoked".into()));
    assert_eq!(firewatch(&bench, &["token", "revoke", "collector"]).status.code(), Some(3));
    assert_eq!(bench.store.reads().tokens().await.unwrap(), []);
    let drawn = json(&firewatch(&bench, &[&create[..], &["--scope", "read", "--json"]].concat()));
    assert_eq!(drawn["scopes"], serde_json::json!(["ingest", "read"]));
    assert!(drawn["token"].as_str().unwrap() != token);
}
