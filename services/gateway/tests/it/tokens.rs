//! Tokens: who may send, while the database answers and while it does not.

use std::time::Duration;

use anyhow::Result;
use gateway::Settings;
use gateway::config::Requests;
use jiff::ToSpan as _;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use shared::clock::{Clock as _, SystemClock};
use shared::service::Common;
use shared::store::tokens::{Created, New, Scope, draw};
use shared::store::{self, Store};
use stack::testing::bench::until;
use tonic::Code;

use crate::export;
use crate::place::{Gateway, JSON, PATIENCE, bench};

/// Creates a token.
pub(crate) async fn create(
    store: &Store,
    name: &str,
    scope: Scope,
    lasts: Option<Duration>,
) -> Result<String> {
    let token = draw().unwrap().expose().to_owned();
    let at = SystemClock.now();
    let expires_at = lasts.map(|lasts| at + lasts);
    let new = New { token: &token, name, scopes: &[scope], at, expires_at };
    assert!(matches!(store.create_token(&new).await?, Created::Valid(_)));
    Ok(token)
}

async fn status(gateway: &Gateway, authorization: &str) -> u16 {
    let mut request = gateway.post("/v1/metrics", JSON, b"{}".to_vec());
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    request.send().await.unwrap().status().as_u16()
}

async fn reaches(gateway: &Gateway, authorization: &str, expected: u16) -> Result<()> {
    until(PATIENCE, async || {
        let found = status(gateway, authorization).await;
        if found == expected { Ok(()) } else { Err(found) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_needed_and_its_scope_its_end_and_its_revocation_count() -> Result<()> {
    let bench = bench().await?;
    let token = create(&bench.store, "collector", Scope::Ingest, None).await?;
    let short = create(&bench.store, "short", Scope::Ingest, Some(Duration::from_secs(8))).await?;
    let reader = create(&bench.store, "reader", Scope::Read, None).await?;
    let admin = create(&bench.store, "admin", Scope::Admin, None).await?;
    let gateway = Gateway::start(&bench.common, Settings { tokens: true, ..Settings::default() }).await?;
    reaches(&gateway, &format!("Bearer {token}"), 200).await?;
    assert_eq!(status(&gateway, &format!("bearer {short}")).await, 200);
    assert_eq!(status(&gateway, &format!("Bearer {admin}")).await, 200);
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("any:{token}"));
    assert_eq!(status(&gateway, &format!("Basic {basic}")).await, 200);
    assert_eq!(status(&gateway, &format!("Bearer {reader}")).await, 403);
    for wrong in ["", "Bearer", "Bearer ", "Bearer fw_0", "Basic !", "Digest x", &token] {
        assert_eq!(status(&gateway, wrong).await, 401, "{wrong:?}");
    }
    let client = MetricsServiceClient::new(crate::grpc::channel(&gateway).await?);
    let export = |authorization: Option<String>| {
        let mut request = tonic::Request::new(export::metrics("x", Vec::new()));
        if let Some(text) = authorization {
            request.metadata_mut().insert("authorization", text.parse().unwrap());
        }
        let mut client = client.clone();
        async move { client.export(request).await.map_or_else(|status| status.code(), |_| Code::Ok) }
    };
    assert_eq!(export(None).await, Code::Unauthenticated);
    assert_eq!(export(Some(format!("Bearer {reader}"))).await, Code::PermissionDenied);
    assert_eq!(export(Some(format!("Bearer {token}"))).await, Code::Ok);

    reaches(&gateway, &format!("Bearer {short}"), 401).await?;
    assert!(bench.store.revoke_token("collector", SystemClock.now()).await?.is_some());
    reaches(&gateway, &format!("Bearer {token}"), 401).await?;
    let fresh = create(&bench.store, "collector", Scope::Ingest, None).await?;
    reaches(&gateway, &format!("Bearer {fresh}"), 200).await?;
    until(PATIENCE, async || {
        let all = bench.store.reads().all_tokens(10).await.unwrap();
        let admin = all.iter().find(|token| token.name == "admin").unwrap().last_used_at;
        if admin.is_some_and(|at| at > SystemClock.now() - 5.minutes()) { Ok(()) } else { Err(admin) }
    })
    .await?;
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_at_start_clients_are_told_to_try_again() -> Result<()> {
    let bench = bench().await?;
    let token = create(&bench.store, "collector", Scope::Ingest, None).await?;
    let postgres =
        store::Options { url: "postgres://u@127.0.0.1:1/x".into(), ..bench.common.postgres.clone() };
    let common = Common { postgres, ..bench.common.clone() };
    let gateway = Gateway::start(&common, Settings { tokens: true, ..Settings::default() }).await?;
    assert_eq!(status(&gateway, &format!("Bearer {token}")).await, 503);
    until(PATIENCE, async || {
        let (ready, report) = gateway.readiness.report();
        if !ready && report.contains("postgres: down") { Ok(()) } else { Err(report) }
    })
    .await?;
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_tokens_that_are_known_are_valid() -> Result<()> {
    let bench = bench().await?;
    let token = create(&bench.store, "collector", Scope::Ingest, None).await?;
    let gateway = Gateway::start(&bench.common, Settings { tokens: true, ..Settings::default() }).await?;
    reaches(&gateway, &format!("Bearer {token}"), 200).await?;
    let client = shared::testing::client(&bench.store).await?;
    client.batch_execute("alter table tokens rename to tokens_elsewhere").await?;
    until(PATIENCE, async || {
        let (ready, report) = gateway.readiness.report();
        if !ready && report.contains("postgres: down") { Ok(()) } else { Err(report) }
    })
    .await?;
    assert_eq!(status(&gateway, &format!("Bearer {token}")).await, 200);
    assert_eq!(status(&gateway, "Bearer fw_0").await, 401);
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_used_only_so_often() -> Result<()> {
    let bench = bench().await?;
    let (token, other) = (
        create(&bench.store, "busy", Scope::Ingest, None).await?,
        create(&bench.store, "other", Scope::Ingest, None).await?,
    );
    let requests = Requests { per_token_per_s: 2, ..Requests::default() };
    let settings = Settings { tokens: true, requests, ..Settings::default() };
    let gateway = Gateway::start(&bench.common, settings).await?;
    reaches(&gateway, &format!("Bearer {other}"), 200).await?;
    let mut found = Vec::new();
    for _ in 0..20 {
        found.push(status(&gateway, &format!("Bearer {token}")).await);
    }
    assert!(found.contains(&200) && found.contains(&429), "{found:?}");
    reaches(&gateway, &format!("Bearer {other}"), 200).await?;
    gateway.stop().await
}
