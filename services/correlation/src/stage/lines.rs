//! Lines of the audit trail.

use jiff::Timestamp;
use serde_json::json;
use shared::audit::AuditAction;
use shared::events::Anomaly;
use shared::events::anomaly::Status;
use shared::events::incident::Incident;
use shared::ids::IncidentId;
use shared::lifecycle::Assessment;
use shared::stage::Audit;
use shared::text::format::counted;

pub(super) fn reopened(incident: &Incident, anomaly: &Anomaly) -> Audit {
    let times = incident.reopened + 1;
    let after = incident.resolved_at.map_or(0, |at| anomaly.started_at.duration_since(at).as_secs().max(0));
    Audit {
        incident_id: incident.incident_id,
        at: anomaly.observed_at,
        action: AuditAction::Reopened,
        summary: format!(
            "Opened again, {after} s after it was resolved ({}): {}.",
            counted(times as usize, "time"),
            anomaly.explanation
        ),
        detail: json!({ "anomaly_id": anomaly.anomaly_id, "times": times, "after_s": after }),
    }
}

pub(super) fn opened(incident_id: IncidentId, anomaly: &Anomaly, assessment: &Assessment) -> Audit {
    Audit {
        incident_id,
        at: anomaly.observed_at,
        action: AuditAction::Opened,
        summary: if assessment.storm {
            format!(
                "Opened for what breaks while very many incidents open at once; first: {}.",
                anomaly.explanation
            )
        } else {
            format!("Opened: {}.", anomaly.explanation)
        },
        detail: json!({
            "anomaly_id": anomaly.anomaly_id,
            "service": anomaly.service,
            "metric": anomaly.metric,
            "severity": assessment.severity,
            "title": assessment.title,
        }),
    }
}

/// Says that a member joined or cleared; a stronger revision of a member is no line of its own.
pub(super) fn member_line(incident: &Incident, anomaly: &Anomaly, is_new: bool) -> Option<Audit> {
    let (action, summary) = match anomaly.status {
        // what did not recover is explained by detection, with its figures
        Status::Cleared if anomaly.ended.is_some_and(|ended| !ended.is_recovery()) => {
            (AuditAction::Cleared, format!("{}.", anomaly.explanation))
        }
        Status::Cleared => {
            (AuditAction::Cleared, format!("{} of {} has cleared.", anomaly.series(), anomaly.service))
        }
        _ if is_new => (AuditAction::Joined, format!("Joined: {}.", anomaly.explanation)),
        _ => return None,
    };
    Some(Audit {
        incident_id: incident.incident_id,
        at: anomaly.observed_at,
        action,
        summary,
        detail: json!({ "anomaly_id": anomaly.anomaly_id, "service": anomaly.service, "metric": anomaly.metric }),
    })
}

/// Says in both incidents that members of one became the other.
pub(super) fn split_lines(
    whole: &Incident,
    part: IncidentId,
    assessment: &Assessment,
    at: Timestamp,
) -> [Audit; 2] {
    let signals = counted(assessment.signals.len(), "signal");
    let cause = assessment.suspects.first().map_or_else(
        || "not visible in this telemetry".to_owned(),
        |first| format!("{}, {}", first.service, first.category.words()),
    );
    let line = |incident_id, action, other: IncidentId, summary| Audit {
        incident_id,
        at,
        action,
        summary,
        detail: json!({ "incident_id": other, "title": assessment.title }),
    };
    [
        line(
            whole.incident_id,
            AuditAction::Split,
            part,
            format!("{signals} left and became an incident of their own: of another fault ({cause})."),
        ),
        line(
            part,
            AuditAction::Opened,
            whole.incident_id,
            format!(
                "Opened: split from incident #{} with {signals}, of another fault ({cause}).",
                whole.number
            ),
        ),
    ]
}

pub(super) fn late_line(incident: &Incident, anomaly: &Anomaly) -> Audit {
    Audit {
        incident_id: incident.incident_id,
        at: anomaly.observed_at,
        action: AuditAction::JoinedLate,
        summary: format!(
            "Joined after the incident was over, for it was read late: {}.",
            anomaly.explanation
        ),
        detail: json!({ "anomaly_id": anomaly.anomaly_id, "service": anomaly.service, "metric": anomaly.metric }),
    }
}

pub(super) fn suspect_line(incident: &Incident, assessment: &Assessment, at: Timestamp) -> Option<Audit> {
    let (before, after) = (incident.suspects.first()?, assessment.suspects.first()?);
    if (&before.service, before.category) == (&after.service, after.category) {
        return None;
    }
    Some(Audit {
        incident_id: incident.incident_id,
        at,
        action: AuditAction::SuspectChanged,
        summary: format!(
            "First suspect is now {} ({}), before it was {} ({}).",
            after.service,
            after.category.words(),
            before.service,
            before.category.words()
        ),
        detail: json!({ "before": before, "after": after }),
    })
}
