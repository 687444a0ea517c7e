//! The workload that an object of Kubernetes belongs to, by its name.

/// Characters of generated parts of names: no vowels, nothing that looks alike. Source: `k8s.io/apimachinery/pkg/util/rand`.
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
/// Length of the end that a controller gives a pod or a job.
const END: usize = 5;

/// Returns the workload of an object; none if it belongs to none.
///
/// The names of pods are those of their owners and a generated end. What only looks generated cannot be told from it: labels are
/// better, where there are some.
pub(super) fn of<'a>(kind: &str, name: &'a str) -> Option<&'a str> {
    let workload = match kind {
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "CronJob"
        | "Service"
        | "Rollout"
        | "Ingress"
        | "HorizontalPodAutoscaler"
        | "Endpoints"
        | "PodDisruptionBudget"
        | "ReplicationController" => name,
        "ReplicaSet" => without_hash(name),
        "Job" => without_schedule(name),
        "Pod" => of_pod(name),
        _ => return None,
    };
    Some(workload).filter(|workload| !workload.is_empty())
}

/// Returns the workload of a pod: of a StatefulSet with an ordinal, of a Deployment with hash and end, of the others with an
/// end.
fn of_pod(name: &str) -> &str {
    let Some((owner, end)) = name.rsplit_once('-') else { return name };
    if !end.is_empty() && end.len() <= 4 && end.bytes().all(|byte| byte.is_ascii_digit()) {
        return owner;
    }
    if end.len() != END || !is_generated(end) {
        return name;
    }
    without_schedule(without_hash(owner))
}

/// Removes the hash of a pod template, which has up to 10 characters.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((owner, hash)) if (8..=10).contains(&hash.len()) && is_generated(hash) => owner,
        _ => name,
    }
}

/// Removes the time that a CronJob gives its jobs: minutes since 1970.
fn without_schedule(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((owner, minutes)) if minutes.len() == 8 && minutes.bytes().all(|byte| byte.is_ascii_digit()) => {
            owner
        }
        _ => name,
    }
}

fn is_generated(end: &str) -> bool {
    end.chars().all(|character| GENERATED.contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ends_are_removed_and_names_of_people_are_not() {
        for (kind, name, workload) in [
            ("Pod", "payment-7d9c5b6f4d-x2k8p", Some("payment")),
            ("Pod", "payment-api-7d9c5b6f4-zzxwv", Some("payment-api")),
            ("Pod", "postgres-0", Some("postgres")),
            ("Pod", "node-exporter-tq4gz", Some("node-exporter")),
            ("Pod", "backup-29012345-k7wqz", Some("backup")),
            ("Pod", "payment-worker", Some("payment-worker")),
            ("Pod", "payment-batch", Some("payment-batch")),
            ("Pod", "payment", Some("payment")),
            ("ReplicaSet", "payment-7d9c5b6f4d", Some("payment")),
            ("ReplicaSet", "payment-gateway", Some("payment-gateway")),
            ("Job", "backup-29012345", Some("backup")),
            ("Deployment", "payment-7d9c5b6f4d", Some("payment-7d9c5b6f4d")),
            ("Node", "worker-1", None),
            ("Pod", "", None),
            ("Pod", "-0", None),
        ] {
            assert_eq!(of(kind, name), workload, "{kind} {name}");
        }
    }
}
