//! What a snapshot holds of one service: the offsets that it reflects, its names, and a section for each detector.

use serde::{Deserialize, Serialize};
use shared::events::Topic;

use super::Service;
use crate::config::Settings;
use crate::fold::Fold;
use crate::metric_profile::Metrics;
use crate::sections::{Section, Sections, Writer};
use crate::series;

/// The offsets that a record reflects. A record without them is not read.
const OFFSETS: Section = Section::new("offsets", 1);
/// Environment and name. A record without them is not read.
const SERVICE: Section = Section::new("service", 1);
const LOGS: Section = Section::new("logs", 2);
/// Lines of new templates that are judged together with the open window.
const LOGS_GATHERED: Section = Section::new("logs_gathered", 1);
/// Requests for which warnings or errors were lately logged.
const LOGS_REQUESTS: Section = Section::new("logs_requests", 1);
const DEPLOYMENT: Section = Section::new("deployment", 1);
const SILENCE: Section = Section::new("silence", 1);
/// When it reported again after a pause.
const RESUMED: Section = Section::new("resumed", 1);
/// A question about its silence that is under way.
const INQUIRY: Section = Section::new("inquiry", 1);
/// How often the log of an input began anew.
pub(crate) const LOG: Section = Section::new("log", 1);
const JOINT: Section = Section::new("joint", 1);
const REGRESSION: Section = Section::new("regression", 1);
const RESTARTS: Section = Section::new("restarts", 2);
/// Alerts of other rule engines.
const RULE_ALERTS: Section = Section::new("rule_alerts", 1);
/// The offset of `raw.alerts` that a record reflects; it is missing where none was read.
const ALERTS_OFFSET: Section = Section::new("alerts_offset", 1);
/// Labelled samples of replicas whose windows are open.
const FOLD: Section = Section::new("fold", 2);
/// Samples that cannot be used.
const INTAKE: Section = Section::new("intake", 1);

/// The last record of each input topic that has been taken in; -1 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    /// Of `raw.metrics`.
    pub metrics: i64,
    /// Of `raw.logs`.
    pub logs: i64,
    /// Of `raw.deployments`.
    pub deployments: i64,
    /// Of `raw.alerts`; kept in a section of its own.
    #[serde(skip, default = "none_read")]
    pub alerts: i64,
}

fn none_read() -> i64 {
    -1
}

impl Default for Offsets {
    fn default() -> Self {
        Self { metrics: -1, logs: -1, deployments: -1, alerts: -1 }
    }
}

impl Offsets {
    /// Returns the one of an input; none of another topic.
    pub(crate) fn of(&self, topic: Topic) -> Option<i64> {
        match topic {
            Topic::RawMetrics => Some(self.metrics),
            Topic::RawLogs => Some(self.logs),
            Topic::RawDeployments => Some(self.deployments),
            Topic::RawAlerts => Some(self.alerts),
            _ => None,
        }
    }

    /// Forgets the one of an input: its offsets begin anew.
    pub(crate) fn forget(&mut self, topic: Topic) {
        match topic {
            Topic::RawMetrics => self.metrics = -1,
            Topic::RawLogs => self.logs = -1,
            Topic::RawDeployments => self.deployments = -1,
            Topic::RawAlerts => self.alerts = -1,
            _ => {}
        }
    }

    /// Returns the later one of each topic.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            metrics: self.metrics.max(other.metrics),
            logs: self.logs.max(other.logs),
            deployments: self.deployments.max(other.deployments),
            alerts: self.alerts.max(other.alerts),
        }
    }

    /// Writes them.
    pub(crate) fn write(&self, sections: &mut Writer) {
        sections.put(OFFSETS, self);
        sections.put_some(ALERTS_OFFSET, Some(&self.alerts).filter(|alerts| **alerts >= 0));
    }

    /// Reads them, if they are there.
    pub(crate) fn read(sections: &mut Sections<'_>) -> Option<Self> {
        let alerts = sections.get(ALERTS_OFFSET).unwrap_or_else(none_read);
        Some(Self { alerts, ..sections.get(OFFSETS)? })
    }
}

impl Service {
    /// Returns the record that holds it and reflects these offsets of these logs.
    pub(crate) fn record(&self, applied: Offsets, log: u32) -> Vec<u8> {
        let mut sections = Writer::default();
        applied.write(&mut sections);
        sections.put_some(LOG, Some(&log).filter(|log| **log > 0));
        sections.put(SERVICE, &(&self.environment, &self.name));
        series::state::write(&self.series, &mut sections);
        sections.put(SILENCE, &self.reporting);
        sections.put_some(RESUMED, self.resumed_ms.as_ref());
        sections.put_some(INQUIRY, self.inquiry.as_deref());
        sections.put_some(LOGS, self.logs.as_deref());
        sections.put_some(LOGS_GATHERED, self.logs.as_ref().map(|logs| logs.gathered()));
        let requests = self.logs.as_ref().map(|logs| logs.requests());
        sections.put_some(LOGS_REQUESTS, requests.filter(|requests| !requests.is_empty()));
        sections.put_some(DEPLOYMENT, self.deployed.as_ref());
        sections.put_some(JOINT, self.joint.as_deref());
        sections.put_some(REGRESSION, self.rollout.as_deref());
        sections.put_some(RESTARTS, self.restarts.as_deref());
        sections.put_some(INTAKE, self.intake.as_deref());
        sections.put_some(RULE_ALERTS, Some(&self.rule_alerts).filter(|alerts| !alerts.is_empty()));
        sections.put_some(FOLD, self.fold.as_deref());
        sections.finish()
    }

    /// Goes on from a record. Returns why it cannot, or the service and what could not be read of it.
    pub(crate) fn restore(
        record: &[u8],
        metrics: &mut Metrics,
        settings: &Settings,
    ) -> Result<(Self, Vec<String>), String> {
        let mut sections = Sections::parse(record)?;
        let restored = Offsets::read(&mut sections).ok_or("the offsets cannot be read")?;
        let (environment, name): (Box<str>, Box<str>) =
            sections.get(SERVICE).ok_or("the name of the service cannot be read")?;
        let log = sections.get(LOG).unwrap_or_default();
        let mut service = Self { restored, log, ..Self::new(&environment, &name, 0) };
        service.reporting = sections.get(SILENCE).unwrap_or_default();
        service.resumed_ms = sections.get(RESUMED);
        service.inquiry = sections.get(INQUIRY);
        service.logs = sections.get(LOGS);
        let gathered = sections.get(LOGS_GATHERED);
        if let Some((logs, gathered)) = service.logs.as_mut().zip(gathered) {
            logs.resume_gathered(gathered);
        }
        let requests = sections.get(LOGS_REQUESTS);
        if let Some((logs, requests)) = service.logs.as_mut().zip(requests) {
            logs.resume_requests(requests);
        }
        service.deployed = sections.get(DEPLOYMENT);
        service.joint = sections.get(JOINT);
        service.intake = sections.get(INTAKE);
        service.rule_alerts = sections.get(RULE_ALERTS).unwrap_or_default();
        service.fold = sections.get::<Fold>(FOLD).map(|fold| Box::new(fold.resume()));
        if let Some(series) = series::state::read(&mut sections, &name, metrics, settings) {
            // these know the series by their places
            service.rollout = sections.get(REGRESSION);
            service.restarts = sections.get(RESTARTS);
            for one in series {
                service.add(one);
            }
        }
        Ok((service, sections.into_refused()))
    }
}
