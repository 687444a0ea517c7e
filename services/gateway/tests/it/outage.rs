//! While Kafka is away, producers are told to try again; what they send again arrives.

use std::time::Duration;

use anyhow::Result;
use gateway::Settings;
use gateway::config::Requests;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use prost::Message as _;
use shared::bus;
use shared::service::Common;
use stack::parts::kafka::{Further, create_topics};
use stack::testing::bench::until;

use crate::export;
use crate::place::{Gateway, PATIENCE, PROTOBUF, all_values, now_ms};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_while_kafka_is_away_arrives_when_it_is_sent_again() -> Result<()> {
    let broker = stack::testing::kafka_with(&Further::default()).await?;
    create_topics(broker.admin()).await?;
    let kafka = bus::Options { brokers: broker.brokers().to_owned(), ..bus::Options::default() };
    let requests = Requests { publish_timeout_ms: 2_000, ..Requests::default() };
    let common = Common { kafka: kafka.clone(), ..Common::default() };
    let gateway = Gateway::start(&common, Settings { requests, ..Settings::default() }).await?;
    let export = |value: f64| {
        export::metrics("outage", vec![export::gauge("a", vec![export::number(value, now_ms())])])
    };
    let send =
        async |value: f64| gateway.post("/v1/metrics", PROTOBUF, export(value).encode_to_vec()).send().await;
    assert_eq!(send(1.0).await?.status(), 200);

    broker.process().stop().await?;
    let refused = send(2.0).await?;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse()?));
    assert_eq!(tonic_types::Status::decode(refused.bytes().await?)?.code, 14);
    // once it is known, nobody waits
    until(PATIENCE, async || {
        let (ready, report) = gateway.readiness.report();
        if ready { Err(report) } else { Ok(()) }
    })
    .await?;
    let began = std::time::Instant::now();
    let mut client = MetricsServiceClient::new(crate::grpc::channel(&gateway).await?);
    let status = client.export(export(2.0)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(tonic_types::StatusExt::get_details_retry_info(&status).is_some());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());

    broker.restart().await?;
    until(PATIENCE, async || match send(2.0).await {
        Ok(answer) if answer.status() == 200 => Ok(()),
        other => Err(other.map(|answer| answer.status())),
    })
    .await?;
    let mut values = all_values(&kafka).await?;
    values.dedup();
    assert_eq!(values, [1.0, 2.0]);
    gateway.stop().await
}
