//! OTLP over HTTP: what is sent in each encoding arrives as the shared types read it.

use anyhow::Result;
use gateway::Settings;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use shared::events::raw::{Instrument, Level, SpanStatus, Temporality};

use crate::export;
use crate::place::{Gateway, JSON, PROTOBUF, bench, lines, now_ms, samples, spans};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_arrive_in_each_encoding() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, Settings::default()).await?;
    let ms = now_ms();
    for (content_type, encoding) in
        [PROTOBUF, JSON].into_iter().flat_map(|one| ["identity", "gzip", "zstd"].map(|other| (one, other)))
    {
        let service = format!("http-{}-{encoding}-{ms}", content_type.len());
        let export = export::metrics(&service, export::all_kinds(ms));
        let body = if content_type == JSON { serde_json::to_vec(&export)? } else { export.encode_to_vec() };
        let answer = gateway.post_compressed("/v1/metrics", content_type, encoding, &body).send().await?;
        assert_eq!(answer.status(), 200, "{content_type} {encoding}");
        assert_eq!(answer.headers()["content-type"], content_type);
        let answer = answer.bytes().await?;
        if content_type == JSON {
            assert_eq!(&*answer, b"{}");
        } else {
            assert_eq!(ExportMetricsServiceResponse::decode(answer)?.partial_success, None);
        }
        let found = samples(&bench, &service, 8).await?;
        let names: Vec<&str> = found.iter().map(|sample| &*sample.metric).collect();
        let expected = [
            "a.gauge",
            "b.counter",
            "c.updown",
            "d.histogram",
            "e.native",
            "f.summary_count",
            "f.summary_sum",
            "f.summary",
        ];
        assert_eq!(names, expected);
        let all = |check: fn(&shared::events::MetricSample) -> bool| found.iter().all(check);
        assert!(all(|sample| sample.environment == "staging" && sample.labels["k8s.pod.name"] == "pod-1"));
        assert!(all(|sample| !sample.labels.contains_key("telemetry.sdk.language")));
        assert!(found.iter().all(|sample| sample.ts_ms == ms));
        assert_eq!((found[0].value, found[0].instrument), (0.25, Some(Instrument::Gauge)));
        assert_eq!(found[0].labels["http.route"], "/pay");
        assert_eq!(
            (found[1].instrument, found[1].temporality),
            (Some(Instrument::Counter), Temporality::Delta)
        );
        assert_eq!((found[1].start_ms, found[2].instrument), (Some(ms - 1_000), Some(Instrument::Gauge)));
        let histogram = found[3].histogram.as_ref().unwrap();
        assert_eq!((found[3].value, histogram.sum, &*histogram.counts), (3.0, Some(1.5), &[1.0, 2.0][..]));
        assert_eq!((&*histogram.bounds, found[3].temporality), (&[0.5][..], Temporality::Delta));
        let native = found[4].histogram.as_ref().unwrap();
        assert_eq!((native.scale, native.zero_count), (Some(2), 1.0));
        assert_eq!(native.positive.as_ref().unwrap().counts, [1.0, 0.0, 2.0]);
        assert_eq!((found[5].value, found[6].value, &*found[7].labels["quantile"]), (7.0, 3.5, "0.99"));
    }
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_arrive_without_their_secrets() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, Settings::default()).await?;
    let ms = now_ms();
    let service = format!("logs-{ms}");
    let records = vec![
        export::line("login of ada@example.com failed: password=hunter2secret", ms),
        opentelemetry_proto::tonic::logs::v1::LogRecord { body: None, ..export::line("", ms) },
        export::line("second", ms - 10),
    ];
    let body = serde_json::to_vec(&export::logs(&service, records))?;
    let answer = gateway.post("/v1/logs", JSON, body).send().await?;
    assert_eq!(answer.status(), 200);
    let answer: serde_json::Value = answer.json().await?;
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1", "{answer}");
    let found = lines(&bench, &service).await?;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].level, found[0].ts_ms, &*found[0].environment), (Level::Error, ms, "staging"));
    assert!(!found[0].message.contains("hunter2secret") && !found[0].message.contains("ada@"), "{found:?}");
    assert_eq!(found[0].trace_id.as_deref(), Some(&*"07".repeat(16)));
    assert_eq!((&*found[0].labels["thread"], &*found[0].labels["k8s.pod.name"]), ("main", "pod-1"));
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_and_their_durations_become_metrics() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, Settings::default()).await?;
    // in the middle of the time of one point
    let ms = now_ms() / 10_000 * 10_000 - 5_000;
    let service = format!("spans-{ms}");
    let trace = u8::try_from(ms / 10_000 % 250)? + 1;
    let mut call = export::span(trace, 4, 3, 30, ms);
    call.attributes =
        vec![export::attribute("db.system", "postgresql"), export::attribute("db.name", "orders")];
    let backwards = opentelemetry_proto::tonic::trace::v1::Span {
        end_time_unix_nano: 1_700_000_000_000_000_000,
        ..export::span(trace, 5, 2, 10, ms)
    };
    let all = vec![
        export::span(trace, 1, 2, 120, ms),
        export::span(trace, 2, 2, 8, ms - 1_000),
        export::span(trace, 3, 2, 60_000, ms),
        call,
        export::span(trace, 6, 1, 5, ms),
        backwards,
    ];
    let body = export::spans(&service, all).encode_to_vec();
    let answer = gateway.post_compressed("/v1/traces", PROTOBUF, "gzip", &body).send().await?;
    assert_eq!(answer.status(), 200);
    let hex = format!("{trace:02x}").repeat(16);
    let mut found = spans(&bench, &hex).await?;
    found.retain(|span| span.service == service);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert_eq!((found[0].duration_ms, found[0].parent_span_id.as_ref()), (120.0, None));
    assert_eq!((found[2].status, found[3].peer.as_deref()), (SpanStatus::Error, Some("postgresql/orders")));
    let derived = samples(&bench, &service, 4).await?;
    let of = |metric: &str, status: &str| {
        let found = derived.iter().find(|one| one.metric == metric && one.labels["status"] == status);
        found.unwrap_or_else(|| panic!("{metric} {status}: {derived:#?}"))
    };
    let served = of("span.server.duration", "ok");
    let histogram = served.histogram.as_ref().unwrap();
    assert_eq!((served.value, histogram.sum, served.ts_ms), (2.0, Some(128.0), ms));
    assert_eq!((served.temporality, served.start_ms), (Temporality::Delta, None));
    assert_eq!((&*served.labels["span.name"], served.unit.as_deref()), ("GET /pay", Some("ms")));
    let failed = of("span.server.duration", "error").histogram.as_ref().unwrap();
    assert_eq!(failed.counts.last(), Some(&1.0));
    assert_eq!(of("span.client.duration", "ok").labels["peer"], "postgresql/orders");
    let own = derived.iter().find(|one| one.metric == "span.server.self_time").unwrap();
    let sum = own.histogram.as_ref().and_then(|histogram| histogram.sum);
    assert_eq!((own.value, sum, own.labels.get("status")), (3.0, Some(90.0 + 8.0 + 60_000.0), None));
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_taken_in_part_and_says_what_was_refused() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, Settings::default()).await?;
    let ms = now_ms();
    let service = format!("partial-{ms}");
    let points = vec![
        export::number(1.0, ms),
        export::number(f64::NAN, ms),
        export::number(1.0, ms / 1_000),
        export::number(1.0, ms + 3_600_000),
        export::number(1.0, ms - 90 * 3_600_000),
    ];
    let kinds = vec![export::gauge("a", points), export::sum("b", false, true, ms)];
    let body = export::metrics(&service, kinds).encode_to_vec();
    let answer = gateway.post("/v1/metrics", PROTOBUF, body).send().await?;
    assert_eq!(answer.status(), 200);
    let partial = ExportMetricsServiceResponse::decode(answer.bytes().await?)?.partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 5, "{}", partial.error_message);
    for word in ["not finite", "microseconds", "ahead", "ago", "export it as cumulative"] {
        assert!(partial.error_message.contains(word), "{word}: {}", partial.error_message);
    }
    assert_eq!(samples(&bench, &service, 1).await?[0].metric, "a");
    gateway.stop().await
}
