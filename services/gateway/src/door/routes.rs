//! The table of paths. A format is plugged in as a [`Reader`]: which bodies it reads, and how it is answered.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::answers::{Answers, Plain, RemoteWrite};
use crate::config::Settings;
use crate::formats::deployments::{self, Source};
use crate::formats::generic::{self, Kind, cloudevents};
use crate::formats::influx::{self, Precision};
use crate::formats::otlp::{self, Signal};
use crate::formats::remote_write::{self, Version};
use crate::formats::{Context, Unreadable, alertmanager, kubernetes};
use crate::telemetry::Batch;

/// One path.
pub struct Route {
    /// The path.
    pub path: &'static str,
    /// Name of the format in metrics.
    pub format: &'static str,
    /// Who reads its bodies; the first one answers requests whose content type belongs to none of them.
    pub readers: &'static [Reader],
}

/// All paths.
pub static ROUTES: [Route; 20] = [
    Route::new(
        "/v1/metrics",
        "otlp_http_metrics",
        &[Reader::OtlpProtobuf(Signal::Metrics), Reader::OtlpJson(Signal::Metrics)],
    ),
    Route::new(
        "/v1/logs",
        "otlp_http_logs",
        &[Reader::OtlpProtobuf(Signal::Logs), Reader::OtlpJson(Signal::Logs)],
    ),
    Route::new(
        "/v1/traces",
        "otlp_http_traces",
        &[Reader::OtlpProtobuf(Signal::Traces), Reader::OtlpJson(Signal::Traces)],
    ),
    Route::new("/api/v1/write", "remote_write", &[Reader::RemoteWrite]),
    Route::new("/v1/alertmanager", "alertmanager_webhook", &[Reader::Webhook]),
    Route::new("/api/v2/alerts", "alertmanager_api", &[Reader::Posted]),
    Route::new("/v1/events/metrics", "events_metrics", &[Reader::Events(Kind::Metrics)]),
    Route::new("/v1/events/logs", "events_logs", &[Reader::Events(Kind::Logs)]),
    Route::new("/v1/events/deployments", "events_deployments", &[Reader::Events(Kind::Deployments)]),
    Route::new("/v1/events/spans", "events_spans", &[Reader::Events(Kind::Spans)]),
    Route::new("/v1/events/alerts", "events_alerts", &[Reader::Events(Kind::Alerts)]),
    Route::new("/v1/cloudevents", "cloudevents", &[Reader::CloudEvents]),
    Route::new("/v1/deployments/github", "deployments_github", &[Reader::Deployments(Source::GitHub)]),
    Route::new("/v1/deployments/gitlab", "deployments_gitlab", &[Reader::Deployments(Source::GitLab)]),
    Route::new("/v1/deployments/argocd", "deployments_argocd", &[Reader::Deployments(Source::ArgoCd)]),
    Route::new("/v1/deployments/flux", "deployments_flux", &[Reader::Deployments(Source::Flux)]),
    Route::new("/v1/kubernetes/events", "kubernetes_events", &[Reader::Kubernetes]),
    Route::new("/v1/influx/write", "influx", &[Reader::Influx]),
    Route::new("/api/v2/write", "influx", &[Reader::Influx]),
    Route::new("/write", "influx", &[Reader::Influx]),
];

impl Route {
    const fn new(path: &'static str, format: &'static str, readers: &'static [Reader]) -> Self {
        Self { path, format, readers }
    }

    /// Returns how a client shows that it may send.
    pub fn access(&self) -> Access {
        let is_signed = |reader: &Reader| matches!(reader, Reader::Deployments(_));
        if self.readers.iter().all(is_signed) { Access::Secret } else { Access::Token }
    }

    /// Returns content encodings that the reader takes apart itself, besides those that are for all.
    pub fn encodings(&self) -> &'static [&'static str] {
        if matches!(self.readers, [Reader::RemoteWrite]) { &["snappy"] } else { &[] }
    }
}

/// How a client shows that it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By a token, where tokens are asked for.
    Token,
    /// By a secret of the source, or a signature with it, which the reader checks.
    Secret,
}

/// What a reader is given.
pub struct Call<'a> {
    /// The body, without encodings that are taken apart for every reader.
    pub body: &'a [u8],
    /// What follows the question mark in the address.
    pub query: &'a str,
    /// Settings of the gateway.
    pub settings: &'a Settings,
    /// The rest.
    pub context: &'a Context<'a>,
}

impl Call<'_> {
    fn header(&self, name: &str) -> &str {
        self.context.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    fn parameter(&self, wanted: &str) -> Option<&str> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    }
}

/// Who reads a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// OTLP in protobuf.
    OtlpProtobuf(Signal),
    /// OTLP in JSON.
    OtlpJson(Signal),
    /// Remote write of Prometheus.
    RemoteWrite,
    /// The webhook of Alertmanager.
    Webhook,
    /// Alerts that Prometheus posts to an Alertmanager.
    Posted,
    /// Our own JSON.
    Events(Kind),
    /// Our own JSON in CloudEvents.
    CloudEvents,
    /// What tools of deployment report.
    Deployments(Source),
    /// Events of Kubernetes.
    Kubernetes,
    /// Lines of InfluxDB.
    Influx,
}

impl Reader {
    /// Returns the content types that it reads, in lower case and without parameters.
    pub fn content_types(self) -> &'static [&'static str] {
        match self {
            Self::OtlpProtobuf(_) | Self::RemoteWrite => &["application/x-protobuf", "application/protobuf"],
            Self::OtlpJson(_) | Self::Webhook | Self::Posted | Self::Deployments(_) => &["application/json"],
            Self::Events(_) | Self::Kubernetes => &generic::CONTENT_TYPES,
            Self::CloudEvents => {
                &["application/cloudevents+json", "application/cloudevents-batch+json", "application/json"]
            }
            Self::Influx => &["text/plain", "application/octet-stream", ""],
        }
    }

    /// Returns how it is answered.
    pub fn answers(self) -> Box<dyn Answers> {
        match self {
            Self::OtlpProtobuf(signal) => Box::new(otlp::answers::Protobuf(signal)),
            Self::OtlpJson(signal) => Box::new(otlp::answers::Json(signal)),
            Self::RemoteWrite => Box::new(RemoteWrite),
            Self::Influx => Box::new(Plain::NO_CONTENT),
            _ => Box::new(Plain::OK),
        }
    }

    /// Reads a body.
    pub fn read(self, call: &Call<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
        let (body, context, settings) = (call.body, call.context, call.settings);
        match self {
            Self::OtlpProtobuf(signal) => protobuf(signal, call, batch),
            Self::OtlpJson(signal) => json(signal, call, batch),
            Self::RemoteWrite => remote_write(call, batch),
            Self::Webhook => {
                let answer = alertmanager::webhook(body, &settings.alertmanager, context, batch)?;
                batch.pass_over("skipped", answer.skipped);
                batch.pass_over(
                    "cut off by max_alerts",
                    usize::try_from(answer.truncated).unwrap_or(usize::MAX),
                );
                Ok(())
            }
            Self::Posted => {
                let answer = alertmanager::posted(body, &settings.alertmanager, context, batch)?;
                batch.pass_over("skipped", answer.skipped);
                Ok(())
            }
            Self::Events(kind) => generic::read(body, kind, context, batch),
            Self::CloudEvents => cloudevents::read(body, context, batch),
            Self::Deployments(source) => {
                let answer = deployments::read(body, source, &settings.deployments, context, batch)?;
                if let deployments::Answer::Ignored(why) = answer {
                    batch.pass_over(&why, 1);
                }
                Ok(())
            }
            Self::Kubernetes => {
                let answer = kubernetes::read(body, &settings.kubernetes, context, batch)?;
                batch.pass_over("no warning", answer.ignored);
                Ok(())
            }
            Self::Influx => lines(call, batch),
        }
    }
}

fn protobuf(signal: Signal, call: &Call<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
    let (body, context) = (call.body, call.context);
    match signal {
        Signal::Metrics => otlp::read_protobuf::<ExportMetricsServiceRequest>(body, context, batch),
        Signal::Logs => otlp::read_protobuf::<ExportLogsServiceRequest>(body, context, batch),
        Signal::Traces => otlp::read_protobuf::<ExportTraceServiceRequest>(body, context, batch),
    }
}

fn json(signal: Signal, call: &Call<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
    let (body, context) = (call.body, call.context);
    match signal {
        Signal::Metrics => otlp::read_json::<ExportMetricsServiceRequest>(body, context, batch),
        Signal::Logs => otlp::read_json::<ExportLogsServiceRequest>(body, context, batch),
        Signal::Traces => otlp::read_json::<ExportTraceServiceRequest>(body, context, batch),
    }
}

fn remote_write(call: &Call<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
    let content_type = call.header("content-type");
    let version = Version::of(content_type).ok_or_else(|| Unreadable::MediaType {
        found: content_type.chars().take(100).collect(),
        needed: "application/x-protobuf, with proto=prometheus.WriteRequest or io.prometheus.write.v2.Request",
    })?;
    let max_bytes = call.settings.requests.body_bytes;
    let answer = remote_write::read(call.body, version, max_bytes, call.context, batch)?;
    batch.pass_over("stale markers", answer.stale);
    batch.pass_over("values that are not finite", answer.not_finite);
    batch.pass_over("exemplars", answer.exemplars);
    batch.headers = answer.headers().to_vec();
    Ok(())
}

fn lines(call: &Call<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
    let parameter = call.parameter("precision").unwrap_or("ns");
    let precision = Precision::of(parameter).ok_or_else(|| Unreadable::Malformed {
        format: "line protocol",
        reason: "the parameter precision is none of ns, us, ms and s".to_owned(),
    })?;
    let answer = influx::read(call.body, precision, call.context, batch)?;
    batch.pass_over("fields with texts", answer.texts);
    Ok(())
}
