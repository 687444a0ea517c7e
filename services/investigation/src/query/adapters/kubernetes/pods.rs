//! Pods of a service, and their logs: `/api/v1/namespaces/{namespace}/pods` and `.../pods/{pod}/log`.

use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::question::Subject;
use tokio::time::Instant;

use crate::query::http::{Client, parse};
use crate::query::options::Kubernetes;
use crate::query::source::{Failure, QuerySource, topic};
use crate::query::{minutes, words};

/// Most pods whose logs are read.
const MAX_PODS: usize = 3;
/// Most lines of a pod: the last ones.
const MAX_LINES: usize = 5_000;
/// Most bytes of the log of a pod.
const MAX_BYTES: usize = 1024 * 1024;

/// A namespace of a cluster, and its pods.
pub(super) struct Pods {
    client: Client,
    namespace: String,
    label: String,
}

impl Pods {
    pub(super) fn new(options: &Kubernetes) -> Result<Self> {
        let client = Client::new(options.access())?;
        Ok(Self { client, namespace: options.namespace.clone(), label: options.label.clone() })
    }

    /// Gets a document of the namespace.
    pub(super) async fn get(
        &self,
        what: &[&str],
        query: &[(&str, String)],
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let path = [&["api", "v1", "namespaces", &self.namespace], what].concat();
        self.client.get(&path, query, deadline).await
    }

    /// Returns pods of a service.
    pub(super) async fn of(&self, service: &str, deadline: Instant) -> Result<Vec<Pod>, Failure> {
        // a value of a label has these characters only, so any other service has no pods
        if !service.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character)) {
            return Ok(Vec::new());
        }
        let query = [("labelSelector", format!("{}={service}", self.label)), ("limit", MAX_PODS.to_string())];
        let document: Document = parse(&self.get(&["pods"], &query, deadline).await?)?;
        Ok(document.items.into_iter().take(MAX_PODS).collect())
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    items: Vec<Pod>,
}

/// A pod.
#[derive(Deserialize)]
pub(super) struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    #[serde(default)]
    name: String,
    #[serde(default)]
    state: State,
}

#[derive(Default, Deserialize)]
struct State {
    running: Option<Running>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<Timestamp>,
}

impl Pod {
    /// Returns the container of the service: the one of its name, or else the first.
    fn container(&self, service: &str) -> Option<&str> {
        let mut names = self.spec.containers.iter().map(|container| container.name.as_str());
        let first = names.clone().next();
        names.find(|name| *name == service).or(first)
    }

    /// Returns since when its log is there; nothing while the container does not run.
    fn started(&self, container: &str) -> Option<Timestamp> {
        let own = self.status.container_statuses.iter().find(|status| status.name == container);
        own.and_then(|status| status.state.running.as_ref()?.started_at)
    }
}

/// Asks the API server for logs of pods.
pub struct PodLogSource {
    pods: Pods,
}

impl PodLogSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &Kubernetes) -> Result<Self> {
        Ok(Self { pods: Pods::new(options)? })
    }

    async fn log(
        &self,
        pod: &Pod,
        container: &str,
        from: Timestamp,
        deadline: Instant,
    ) -> Result<String, Failure> {
        let query = [
            ("container", container.to_owned()),
            ("timestamps", "true".to_owned()),
            // whole seconds, as the API takes them
            (
                "sinceTime",
                jiff::fmt::temporal::DateTimePrinter::new().precision(Some(0)).timestamp_to_string(&from),
            ),
            ("tailLines", MAX_LINES.to_string()),
            ("limitBytes", MAX_BYTES.to_string()),
        ];
        let body = self.pods.get(&["pods", &pod.metadata.name, "log"], &query, deadline).await?;
        if body.len() >= MAX_BYTES {
            return Err(Failure::TooLarge);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

#[async_trait]
impl QuerySource for PodLogSource {
    fn name(&self) -> &'static str {
        "pod_logs"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Lines { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let about = topic(question)?;
        let pods = self.pods.of(&question.service, deadline).await?;
        let mut known_from = question.from;
        let (mut counts, mut example, mut is_known) = (Vec::new(), None, false);
        // of a container that never ran the API gives an empty log
        let running = pods.iter().filter_map(|pod| {
            let container = pod.container(&question.service)?;
            Some((pod, container, pod.started(container)?))
        });
        let running: Vec<(&Pod, &str, Timestamp)> = running.collect();
        if running.is_empty() {
            return Err(Failure::Unknown(question.service.clone()));
        }
        for (pod, container, started) in running {
            known_from = known_from.max(started);
            let log = self.log(pod, container, question.from, deadline).await?;
            let lines: Vec<(Timestamp, &str)> = log
                .lines()
                .filter_map(|line| line.split_once(' '))
                .filter_map(|(at, line)| Some((at.parse().ok()?, line)))
                .collect();
            // of a long log the begin is not there
            if let Some((first, _)) = lines.first().filter(|_| lines.len() >= MAX_LINES) {
                known_from = known_from.max(*first);
            }
            is_known |= lines.iter().any(|(at, _)| (question.onset..question.to).contains(at));
            for (at, line) in
                lines.into_iter().filter(|(at, line)| *at < question.to && words::are_in(about, line))
            {
                counts.push((at.as_millisecond(), 1.0));
                if at >= question.onset {
                    example = example.max(Some((at, line.to_owned())));
                }
            }
        }
        if !is_known {
            // then the absence of some lines says nothing
            return Err(Failure::Unknown(question.service.clone()));
        }
        let mut minutes = minutes::of(question.from, question.to, counts.into_iter());
        minutes.retain(|minute| minute.ts_ms >= known_from.as_millisecond());
        Ok(Answer::Lines { minutes, example: example.map(|(_, line)| line) })
    }
}
