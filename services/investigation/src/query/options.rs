//! Settings of queries (`[investigation.queries]`).

mod cloudwatch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use shared::events::question::Role;
use shared::secret::Secret;
use shared::text::redact::is_loopback;
use shared::text::secrets::Redactor;

use super::adapters::cloudwatch::{LogSource, MetricSource};
use super::adapters::elasticsearch::ElasticSource;
use super::adapters::jaeger::JaegerSource;
use super::adapters::kubernetes::{EventSource, PodLogSource};
use super::adapters::loki::LokiSource;
use super::adapters::prometheus::{self, PrometheusSource};
use super::adapters::tempo::TempoSource;
use super::adapters::victorialogs::VictoriaLogsSource;
use super::http::Access;
use super::look::Looker;
use super::source::{Guarded, QuerySource};

pub use self::cloudwatch::{CloudWatch, Metric, Statistic, fill};

/// Defines the settings of a source: where it is, how it is logged in to, and what it needs besides.
macro_rules! source {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Address; empty: the source is not asked.
            pub url: String,
            /// Bearer token; empty: none.
            pub token: Secret,
            /// User of basic authentication; empty: none.
            pub user: String,
            /// Password of that user.
            pub password: Secret,
            /// CA certificates to trust instead of the system's, PEM.
            pub ca_file: PathBuf,
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    url: String::new(),
                    token: Secret::default(),
                    user: String::new(),
                    password: Secret::default(),
                    ca_file: PathBuf::new(),
                    $($field: $default,)*
                }
            }
        }

        impl $name {
            /// Returns where the source is, and how it is logged in to.
            pub fn access(&self) -> Access<'_> {
                Access {
                    url: &self.url,
                    token: &self.token,
                    user: &self.user,
                    password: &self.password,
                    ca_file: &self.ca_file,
                }
            }
        }
    };
}

source! {
    /// Prometheus, or what speaks its HTTP API.
    Prometheus {
        /// PromQL by what is measured; replaces the embedded template.
        templates: BTreeMap<Role, String> = BTreeMap::new(),
    }
}
source! {
    /// The API server of a Kubernetes cluster.
    Kubernetes {
        /// Namespace of the workloads.
        namespace: String = "default".to_owned(),
        /// Label of pods that names the service.
        label: String = "app".to_owned(),
        /// Whether logs of pods are read, too.
        pod_logs: bool = true,
    }
}
source! {
    /// Jaeger.
    Jaeger {}
}
source! {
    /// Loki.
    Loki {
        /// Selector of the streams of a service.
        selector: String = r#"{service="$service"}"#.to_owned(),
        /// Tenant; empty: none.
        tenant: String = String::new(),
    }
}
source! {
    /// VictoriaLogs.
    VictoriaLogs {
        /// Field that names the service.
        service_field: String = "service".to_owned(),
    }
}
source! {
    /// Tempo.
    Tempo {
        /// Tenant; empty: none.
        tenant: String = String::new(),
    }
}
source! {
    /// Elasticsearch or OpenSearch.
    Elasticsearch {
        /// Indices that hold log lines.
        index: String = "logs-*".to_owned(),
        /// Field that names the service.
        service_field: String = "service.name".to_owned(),
        /// Field of the line.
        message_field: String = "message".to_owned(),
        /// Field of its time.
        time_field: String = "@timestamp".to_owned(),
    }
}

/// Settings of queries. Without the address of any source nothing is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Longest wait for one answer, milliseconds.
    pub timeout_ms: u64,
    /// Longest time of one look, milliseconds.
    pub look_ms: u64,
    /// Most queries of one incident.
    pub queries: u32,
    /// Most looks after one result.
    pub looks: u32,
    /// Prometheus.
    pub prometheus: Prometheus,
    /// Kubernetes.
    pub kubernetes: Kubernetes,
    /// Jaeger.
    pub jaeger: Jaeger,
    /// Tempo.
    pub tempo: Tempo,
    /// Loki.
    pub loki: Loki,
    /// VictoriaLogs.
    pub victorialogs: VictoriaLogs,
    /// Elasticsearch or OpenSearch.
    pub elasticsearch: Elasticsearch,
    /// Amazon CloudWatch.
    pub cloudwatch: CloudWatch,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout_ms: 2_000,
            look_ms: 10_000,
            queries: 80,
            looks: 5,
            prometheus: Prometheus::default(),
            kubernetes: Kubernetes::default(),
            jaeger: Jaeger::default(),
            tempo: Tempo::default(),
            loki: Loki::default(),
            victorialogs: VictoriaLogs::default(),
            elasticsearch: Elasticsearch::default(),
            cloudwatch: CloudWatch::default(),
        }
    }
}

impl Options {
    /// Returns how each configured source is reached, with its name.
    fn configured(&self) -> Vec<(&'static str, Access<'_>)> {
        let all = [
            ("prometheus", self.prometheus.access()),
            ("kubernetes", self.kubernetes.access()),
            ("jaeger", self.jaeger.access()),
            ("tempo", self.tempo.access()),
            ("loki", self.loki.access()),
            ("victorialogs", self.victorialogs.access()),
            ("elasticsearch", self.elasticsearch.access()),
        ];
        all.into_iter().filter(|(_, access)| !access.url.is_empty()).collect()
    }

    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value, least, most) in [
            ("timeout_ms", self.timeout_ms, 10, 20_000),
            ("look_ms", self.look_ms, 10, 30_000),
            ("queries", u64::from(self.queries), 1, 500),
            ("looks", u64::from(self.looks), 1, 10),
        ] {
            if !(least..=most).contains(&value) {
                problems.push(format!("{name} {value} is not between {least} and {most}"));
            }
        }
        for (source, access) in self.configured() {
            problems.extend(access.validate().into_iter().map(|problem| format!("{source}.{problem}")));
        }
        for (role, template) in &self.prometheus.templates {
            if let Err(problem) = prometheus::check_template(template) {
                problems.push(format!("prometheus.templates.{role} {problem}"));
            }
        }
        for (name, value) in [
            ("kubernetes.namespace", &self.kubernetes.namespace),
            ("kubernetes.label", &self.kubernetes.label),
            ("victorialogs.service_field", &self.victorialogs.service_field),
            ("elasticsearch.index", &self.elasticsearch.index),
            ("elasticsearch.service_field", &self.elasticsearch.service_field),
            ("elasticsearch.message_field", &self.elasticsearch.message_field),
            ("elasticsearch.time_field", &self.elasticsearch.time_field),
        ] {
            if value.trim().is_empty() {
                problems.push(format!("{name} is empty"));
            }
        }
        if let Err(problem) = prometheus::check_template(&self.loki.selector) {
            problems.push(format!("loki.selector {problem}"));
        }
        let cloudwatch = self.cloudwatch.validate().into_iter();
        problems.extend(cloudwatch.map(|problem| format!("cloudwatch.{problem}")));
        problems
    }

    /// Returns what works but is risky, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let plain = |source: &str, url: &str, has_login: bool| {
            let rest = url.strip_prefix("http://")?;
            let host = rest.split('/').next().unwrap_or_default();
            let what = if has_login { "a login is" } else { "queries are" };
            (!is_loopback(host))
                .then(|| format!("{what} sent to {source} at {host} in plain text; set an https:// address"))
        };
        let with_login = |(source, access): (&'static str, Access<'_>)| {
            plain(source, access.url, !access.token.is_empty() || !access.user.is_empty())
        };
        let mut warnings: Vec<String> = self.configured().into_iter().filter_map(with_login).collect();
        let urls = [&self.cloudwatch.metrics_url, &self.cloudwatch.logs_url];
        let urls = urls.into_iter().filter(|_| !self.cloudwatch.region.is_empty());
        // the key itself is not sent, a token is
        let has_token = !self.cloudwatch.session_token.is_empty();
        warnings.extend(urls.filter_map(|url| plain("cloudwatch", url, has_token)));
        warnings
    }

    /// Returns the same without what a cluster reports, which is not kept for as long as that.
    #[must_use]
    pub fn without_events(self) -> Self {
        Self { kubernetes: Kubernetes { url: String::new(), ..self.kubernetes }, ..self }
    }

    /// Makes what asks the configured sources about the first `suspects`; nothing where none is configured.
    pub fn looker(&self, suspects: usize, redactor: &Redactor) -> Result<Option<Looker>> {
        let mut sources: Vec<Box<dyn QuerySource>> = Vec::new();
        if !self.prometheus.url.is_empty() {
            sources.push(Box::new(PrometheusSource::new(&self.prometheus).context("queries.prometheus")?));
        }
        if !self.kubernetes.url.is_empty() {
            sources.push(Box::new(EventSource::new(&self.kubernetes).context("queries.kubernetes")?));
        }
        if !self.jaeger.url.is_empty() {
            sources.push(Box::new(JaegerSource::new(&self.jaeger).context("queries.jaeger")?));
        }
        if !self.tempo.url.is_empty() {
            sources.push(Box::new(TempoSource::new(&self.tempo).context("queries.tempo")?));
        }
        if !self.loki.url.is_empty() {
            sources.push(Box::new(LokiSource::new(&self.loki).context("queries.loki")?));
        }
        if !self.victorialogs.url.is_empty() {
            let source = VictoriaLogsSource::new(&self.victorialogs).context("queries.victorialogs")?;
            sources.push(Box::new(source));
        }
        if !self.elasticsearch.url.is_empty() {
            let source = ElasticSource::new(&self.elasticsearch).context("queries.elasticsearch")?;
            sources.push(Box::new(source));
        }
        if self.cloudwatch.asks_metrics() {
            sources.push(Box::new(MetricSource::new(&self.cloudwatch).context("queries.cloudwatch")?));
        }
        if self.cloudwatch.asks_logs() {
            sources.push(Box::new(LogSource::new(&self.cloudwatch).context("queries.cloudwatch")?));
        }
        // stores of logs answer about the whole time; pods know only their own
        if !self.kubernetes.url.is_empty() && self.kubernetes.pod_logs {
            sources.push(Box::new(PodLogSource::new(&self.kubernetes).context("queries.kubernetes")?));
        }
        if sources.is_empty() {
            return Ok(None);
        }
        let timeout = Duration::from_millis(self.timeout_ms);
        let guarded =
            sources.into_iter().map(|source| Guarded::new(source, timeout, redactor.clone())).collect();
        Ok(Some(Looker::new(guarded, suspects, Duration::from_millis(self.look_ms))))
    }
}
