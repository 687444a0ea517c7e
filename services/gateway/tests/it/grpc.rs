//! OTLP over gRPC.

use std::time::Duration;

use anyhow::Result;
use gateway::Settings;
use gateway::config::Requests;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::Code;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::transport::Channel;

use crate::export;
use crate::place::{Gateway, bench, lines, now_ms, samples};

pub(crate) async fn channel(gateway: &Gateway) -> Result<Channel> {
    let address = format!("http://{}", gateway.addresses.grpc.unwrap());
    Ok(Channel::from_shared(address)?.timeout(Duration::from_secs(30)).connect().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_services_take_exports() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, Settings::default()).await?;
    let ms = now_ms();
    let channel = channel(&gateway).await?;
    for (name, encoding) in [("plain", None), ("gzip", Some(Gzip)), ("zstd", Some(Zstd))] {
        let service = format!("grpc-{name}-{ms}");
        let mut client = MetricsServiceClient::new(channel.clone());
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        let mut kinds = export::all_kinds(ms);
        kinds.push(export::sum("refused", false, true, ms));
        let answer = client.export(export::metrics(&service, kinds)).await?.into_inner();
        assert_eq!(answer.partial_success.unwrap().rejected_data_points, 1);
        assert_eq!(samples(&bench, &service, 8).await?[0].labels["k8s.pod.name"], "pod-1");
    }
    let service = format!("grpc-{ms}");
    let mut client = LogsServiceClient::new(channel.clone());
    let answer =
        client.export(export::logs(&service, vec![export::line("it failed", ms)])).await?.into_inner();
    assert_eq!((answer.partial_success, lines(&bench, &service).await?.len()), (None, 1));
    let mut client = TraceServiceClient::new(channel);
    let answer =
        client.export(export::spans(&service, vec![export::span(9, 1, 2, 5, ms)])).await?.into_inner();
    assert_eq!(answer.partial_success, None);
    assert_eq!(samples(&bench, &service, 2).await?[0].metric, "span.server.duration");
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_before_or_after_decompression_is_refused_for_good() -> Result<()> {
    let bench = bench().await?;
    let requests = Requests { body_bytes: 20_000, ..Requests::default() };
    let gateway = Gateway::start(&bench.common, Settings { requests, ..Settings::default() }).await?;
    let ms = now_ms();
    let large = || {
        let points = vec![export::number(1.0, ms); 20_000];
        export::metrics("large", vec![export::gauge("a", points)])
    };
    let client = MetricsServiceClient::new(channel(&gateway).await?);
    for mut client in [client.clone(), client.clone().send_compressed(Gzip), client.send_compressed(Zstd)] {
        let refused = client.export(large()).await.unwrap_err();
        assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused:?}");
        assert!(refused.details().is_empty(), "{refused:?}");
    }
    gateway.stop().await
}
