//! What the service catalogue states of a service, for those that read no database (`catalogue.services`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, Refusal, named};
use crate::catalogue::Service;

/// What the service catalogue states of one service (`catalogue.services`). The newest record of a service in a partition
/// counts; one without a payload withdraws it. Like the raw topics it needs no envelope, so that another catalogue can be its source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CatalogueService {
    /// Name as it stands in telemetry; also the key of the record.
    pub service: String,
    /// Availability objective, percent of the requests that must not fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<f64>,
    /// Latency objective (p99), milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_slo_ms: Option<f64>,
}

impl Event for CatalogueService {
    const TYPE: &'static str = "firewatch.service.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        let is_share = |slo: f64| slo > 0.0 && slo < 100.0;
        if let Some(slo) = self.slo.filter(|&slo| !is_share(slo)) {
            return Err(Refusal::Invalid(format!("slo {slo} is not between 0 and 100 percent")));
        }
        let is_time = |ms: f64| ms > 0.0 && ms.is_finite();
        if let Some(ms) = self.latency_slo_ms.filter(|&ms| !is_time(ms)) {
            return Err(Refusal::Invalid(format!("latency_slo_ms {ms} is not a time")));
        }
        Ok(())
    }
}

impl From<&Service> for CatalogueService {
    fn from(service: &Service) -> Self {
        Self {
            service: service.name.clone(),
            slo: Some(service.slo),
            latency_slo_ms: Some(service.latency_slo_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::decode;

    #[test]
    fn objectives_that_are_none_are_refused() {
        let read = |fields: &str| {
            decode::<CatalogueService>(format!(r#"{{"service":"user"{fields}}}"#).as_bytes()).is_ok()
        };
        for fields in ["", r#","slo":99.9"#, r#","slo":99.9,"latency_slo_ms":400"#, r#","tier":1"#] {
            assert!(read(fields), "{fields}");
        }
        for fields in [r#","slo":0"#, r#","slo":100"#, r#","latency_slo_ms":-1"#, r#","slo":"99.9""#] {
            assert!(!read(fields), "{fields}");
        }
    }
}
