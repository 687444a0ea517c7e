//! JSON Schema of every payload, generated from the types and checked in under `docs/schemas`.

use schemars::{JsonSchema, Schema, schema_for};

use super::remediation::ActionResult;
use super::{
    Alert, Anomaly, CatalogueService, Command, Deployment, Event, Fault, Incident, LogRecord, MetricSample,
    Plan, Postmortem, RootCause, Span, Topic,
};

/// Returns (file stem, schema) of every event type.
pub fn all() -> Vec<(&'static str, Schema)> {
    fn of<E: Event + JsonSchema>() -> (&'static str, Schema) {
        (E::TYPE, schema_for!(E))
    }
    vec![
        of::<MetricSample>(),
        of::<LogRecord>(),
        of::<Deployment>(),
        of::<Span>(),
        of::<Alert>(),
        of::<CatalogueService>(),
        of::<Command>(),
        of::<Anomaly>(),
        of::<Incident>(),
        of::<RootCause>(),
        of::<Plan>(),
        of::<ActionResult>(),
        of::<Postmortem>(),
        of::<Fault>(),
    ]
}

/// Returns the event type that a topic carries, where it carries exactly one.
pub fn type_of(topic: Topic) -> Option<&'static str> {
    Some(match topic {
        Topic::RawMetrics => MetricSample::TYPE,
        Topic::RawLogs => LogRecord::TYPE,
        Topic::RawDeployments => Deployment::TYPE,
        Topic::RawSpans => Span::TYPE,
        Topic::RawAlerts => Alert::TYPE,
        Topic::CatalogueServices => CatalogueService::TYPE,
        Topic::OperatorCommands => Command::TYPE,
        Topic::Anomalies => Anomaly::TYPE,
        Topic::IncidentsOpened | Topic::IncidentsUpdated | Topic::IncidentsResolved => Incident::TYPE,
        Topic::RcaCompleted => RootCause::TYPE,
        Topic::Plans => Plan::TYPE,
        Topic::Actions => ActionResult::TYPE,
        Topic::Postmortems => Postmortem::TYPE,
        Topic::SimFaults => Fault::TYPE,
        Topic::DetectionState | Topic::DeadLetters(_) => return None,
    })
}
