//! What a partition makes of `raw.alerts`: alerts of other rule engines, and time that passes.

use shared::events::raw::event_time;
use shared::events::{Alert, Refusal, decode};

use super::{At, Outcome, Partition};
use crate::sample;
use crate::service::outcome::Reason;

impl Partition {
    /// Takes one record of `raw.alerts`: an alert, or a tick (`[]`).
    pub fn alert(&mut self, payload: &[u8], at: At) -> Outcome {
        self.version += 1;
        self.applied.alerts = self.applied.alerts.max(at.offset);
        let mut outcome = Outcome::default();
        if sample::is_tick(payload) {
            self.pass_alert_time(at.timestamp_ms, &mut outcome);
            return outcome;
        }
        let alert: Alert = match decode(payload) {
            Ok(alert) => alert,
            Err(refusal) => return Outcome::refusing(refusal),
        };
        let named = [("service", &alert.service), ("environment", &alert.environment), ("name", &alert.name)];
        let checked =
            named.into_iter().try_for_each(|(field, name)| sample::named(field, name)).and_then(|()| {
                [alert.starts_ms, alert.ts_ms]
                    .into_iter()
                    .try_for_each(|ms| event_time(ms).map_err(|error| error.to_string()))
            });
        if let Err(reason) = checked {
            return Outcome::refusing(Refusal::Invalid(reason));
        }
        match self.rule_alert(&alert, at, &mut outcome) {
            Ok(()) => outcome.used = 1,
            Err(reason) => outcome.dropped.count(reason),
        }
        outcome
    }

    fn rule_alert(&mut self, alert: &Alert, at: At, outcome: &mut Outcome) -> Result<(), Reason> {
        let newest_ms = self.alerts_ms.unwrap_or(i64::MIN).max(at.stamp_ms());
        if alert.ts_ms.max(alert.starts_ms) > newest_ms.saturating_add(self.settings.ahead_ms()) {
            return Err(Reason::Ahead);
        }
        self.pass_alert_time(Some(at.timestamp_ms.unwrap_or(alert.ts_ms)), outcome);
        let slot = self.service(&alert.environment, &alert.service)?;
        let now_ms = self.alerts_ms.unwrap_or(alert.ts_ms);
        let service = &mut self.services[slot];
        if at.offset <= service.restored.alerts {
            return Ok(());
        }
        service.version = self.version;
        service.observe_rule_alert(alert, now_ms, &self.settings.alerts, outcome)
    }

    /// Lets time pass until `now_ms`, and ends the alerts that were not sent again.
    fn pass_alert_time(&mut self, now_ms: Option<i64>, outcome: &mut Outcome) {
        self.alerts_ms = self.alerts_ms.max(now_ms);
        let Some(now_ms) = self.alerts_ms else { return };
        for service in &mut self.services {
            if service.rule_alerts.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
                service.version = self.version;
                service.expire_rule_alerts(now_ms, outcome);
            }
        }
    }

    /// Returns how long no alert must have come for it to mean something, milliseconds; nothing while none fires.
    pub fn alert_patience_ms(&self) -> Option<i64> {
        let due_ms = self.services.iter().filter_map(|service| service.rule_alerts.due_ms()).min()?;
        Some(due_ms.saturating_sub(self.alerts_ms?).saturating_add(1))
    }
}
