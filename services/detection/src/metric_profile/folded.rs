//! What series mean that are folded from labelled samples, and how samples of replicas are folded.

use serde::{Deserialize, Serialize};
use shared::events::Kind;

use super::key::{Form, Key};
use super::state;
use super::{BadDirection, DetectionMode, MetricProfile, Override, Role};

/// How levels of replicas become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Folding {
    /// They are added.
    Sum,
    /// The highest counts.
    Max,
    /// The lowest counts.
    Min,
    /// Their mean.
    Mean,
}

impl Key<'_> {
    /// Returns what the series means: what its metric means, in the form that it has.
    pub(super) fn profile(&self, unit: &str, correction: Option<&Override>) -> MetricProfile {
        let correction = correction.cloned().unwrap_or_default();
        let public = self.public();
        let of = |name: &str, unit: &str, stated: Override| {
            MetricProfile::of_name(name, unit, &[Override { metric: name.to_owned(), ..stated }])
        };
        let mut profile = match self.form {
            Form::Level | Form::Mean => of(self.metric, unit, correction),
            Form::Rate => of(self.metric, unit, Override { counter: Some(true), ..correction }),
            Form::Requests => {
                let kind = correction.kind.or(Some(Kind::Traffic));
                of(
                    &format!("{}_count", self.metric),
                    "",
                    Override { counter: Some(true), kind, ..correction },
                )
            }
            Form::Median | Form::Percentile99 => {
                let mode = correction.mode.or(Some(DetectionMode::Normal));
                let stated = Override { counter: Some(false), mode, ..correction };
                let guess = of(self.metric, unit, stated.clone());
                match quantile_kind(&guess).filter(|_| stated.kind.is_none()) {
                    Some(kind) => of(self.metric, unit, Override { kind: Some(kind), ..stated }),
                    None => guess,
                }
            }
            Form::ErrorRatio => {
                let kind = correction.kind.or(Some(Kind::Errors));
                let bad_direction = correction.bad_direction.or(Some(BadDirection::Up));
                of(&public, "1", Override { counter: Some(false), kind, bad_direction, ..correction })
            }
            Form::Restarts => {
                let mode = correction.mode.or(Some(DetectionMode::Restarts));
                of(self.metric, "", Override { counter: Some(false), mode, ..correction })
            }
        };
        if self.form == Form::Restarts {
            profile.unit = "".into();
        }
        if self.form != Form::Level {
            // its increase is taken before samples of replicas are added
            profile.counter = false;
        }
        if let Some(resource) = &mut profile.resource
            && !self.dimensions.is_empty()
        {
            // what is used is limited as a whole
            let is_whole =
                |&(label, value): &(&str, &str)| !(state::is_state(label) && state::is_used(value));
            let dimensions = super::key::canonical(self.pairs().filter(is_whole));
            if !dimensions.is_empty() {
                *resource = format!("{resource} {dimensions}").into();
            }
        }
        profile
    }
}

/// Returns of what kind quantiles are whose metric is guessed to be of another: what is measured in time is a latency, and a
/// size is neither traffic nor errors, whatever it is the size of.
fn quantile_kind(guess: &MetricProfile) -> Option<Kind> {
    let is_time = matches!(&*guess.unit, "s" | "ms" | "us" | "ns" | "min");
    match guess.kind {
        Kind::Latency | Kind::Lag => None,
        _ if is_time => Some(Kind::Latency),
        Kind::Traffic | Kind::Errors => Some(Kind::Other),
        _ => None,
    }
}

impl MetricProfile {
    /// Returns how levels of replicas become one: what can be used up by its worst replica, what adds up as a sum, so that it
    /// does not depend on the number of replicas where the load does not either.
    pub fn folding(&self) -> Folding {
        let worst = if self.bad_direction == BadDirection::Down { Folding::Min } else { Folding::Max };
        let is_time = matches!(&*self.unit, "s" | "ms" | "us" | "ns" | "min" | "h" | "d");
        let is_share = matches!(&*self.unit, "%" | "1") || self.role == Role::Share;
        match (self.mode, self.kind) {
            (DetectionMode::Expiry | DetectionMode::ExpiresAt, _) => Folding::Min,
            (DetectionMode::Limit, _) | (_, Kind::Latency) => Folding::Max,
            (_, Kind::Cpu | Kind::Memory | Kind::Disk | Kind::Pool | Kind::Certificate) => worst,
            _ if is_share => worst,
            (_, Kind::Errors) if self.bad_direction == BadDirection::Down => Folding::Min,
            (_, Kind::Lag) if is_time => Folding::Max,
            (_, Kind::Traffic) if self.role == Role::PerInstance => Folding::Mean,
            (_, Kind::Other) if self.role != Role::Instances => Folding::Mean,
            _ => Folding::Sum,
        }
    }

    /// Returns whether the mean of its replicas says something beside the worst of them.
    pub fn has_mean(&self) -> bool {
        self.mode.is_by_normal()
            && !matches!(self.kind, Kind::Latency | Kind::Lag)
            && matches!(self.folding(), Folding::Max | Folding::Min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric_profile::Pace;

    fn of(form: Form, metric: &str, unit: &str) -> MetricProfile {
        let name = Key { form, dimensions: "", metric }.name();
        MetricProfile::of(&name, unit, &[])
    }

    #[test]
    fn levels_of_replicas_are_folded_by_what_they_measure() {
        for (metric, unit, folding, has_mean) in [
            ("cpu_percent", "", Folding::Max, true),
            ("process.cpu.utilization", "1", Folding::Max, true),
            ("jvm.memory.used", "By", Folding::Max, true),
            ("node_filesystem_avail_bytes", "", Folding::Min, true),
            ("hikaricp_connections_active", "", Folding::Max, true),
            ("hikaricp_connections_max", "", Folding::Max, false),
            ("up", "", Folding::Min, true),
            ("error_rate", "%", Folding::Max, true),
            ("request_rate", "", Folding::Sum, false),
            ("requests_per_pod", "", Folding::Mean, false),
            ("kafka_consumergroup_lag", "", Folding::Sum, false),
            ("replication_lag_seconds", "", Folding::Max, false),
            ("latency_p99_ms", "", Folding::Max, false),
            ("probe_ssl_earliest_cert_expiry", "", Folding::Min, false),
            ("flux_capacitance", "", Folding::Mean, false),
            ("ready_replicas", "", Folding::Sum, false),
        ] {
            let profile = MetricProfile::of(metric, unit, &[]);
            assert_eq!((profile.folding(), profile.has_mean()), (folding, has_mean), "{metric}");
        }
    }

    #[test]
    fn what_is_derived_means_what_its_name_says() {
        let latency = of(Form::Percentile99, "http.server.request.duration", "s");
        assert_eq!((latency.kind, &*latency.unit, latency.of_requests), (Kind::Latency, "s", true));
        let prometheus = of(Form::Median, "http_request_duration_seconds", "");
        assert_eq!((prometheus.kind, &*prometheus.unit), (Kind::Latency, "s"));
        let rate = of(Form::Requests, "http.server.request.duration", "s");
        assert_eq!((rate.kind, &*rate.unit, rate.role), (Kind::Traffic, "1/s", Role::Requests));
        assert_eq!((rate.counter, rate.pace), (false, Pace::Second));
        let counter = of(Form::Rate, "http_requests_total", "");
        assert_eq!((counter.kind, &*counter.unit, counter.counter), (Kind::Traffic, "1/s", false));
        assert_eq!((counter.role, counter.pace), (Role::Requests, Pace::Second));
        let errors = of(Form::ErrorRatio, "http_requests_total", "");
        assert_eq!((errors.kind, &*errors.unit, errors.role), (Kind::Errors, "1", Role::Share));
        assert_eq!((errors.bad_direction, errors.ceiling), (BadDirection::Up, Some(1.0)));
        let successes = of(Form::ErrorRatio, "success_total", "");
        assert_eq!(successes.bad_direction, BadDirection::Up);
        let restarts = of(Form::Restarts, "process_start_time_seconds", "");
        assert_eq!((restarts.kind, restarts.mode), (Kind::Restarts, DetectionMode::Restarts));
        let io = of(Form::Rate, "system.network.io", "By");
        assert_eq!(&*io.unit, "By/s");
    }

    #[test]
    fn a_limit_belongs_to_what_has_the_same_dimensions() {
        let of = |metric: &str, dimensions: &str| {
            let name = Key { form: Form::Level, dimensions, metric }.name();
            MetricProfile::of(&name, "", &[]).resource
        };
        let size = of("node_filesystem_size_bytes", "device\u{4}sda");
        assert_eq!(of("node_filesystem_avail_bytes", "device\u{4}sda"), size);
        assert_ne!(of("node_filesystem_avail_bytes", "device\u{4}sdb"), size);
    }

    #[test]
    fn the_configuration_corrects_what_is_derived_by_its_public_name() {
        let stated = Override {
            metric: "http.server.request.duration.p99".into(),
            sensitivity: Some(2.0),
            ..Override::default()
        };
        let sensitivity = |form, overrides: &[Override]| {
            let key = Key { form, dimensions: "", metric: "http.server.request.duration" };
            MetricProfile::of(&key.name(), "s", overrides).sensitivity
        };
        let overrides = [stated];
        assert!((sensitivity(Form::Percentile99, &overrides) - 2.0).abs() < 1e-9);
        assert!((sensitivity(Form::Median, &overrides) - 1.0).abs() < 1e-9);
    }
}
