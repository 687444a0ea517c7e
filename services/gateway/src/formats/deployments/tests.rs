use proptest::prelude::*;
use serde_json::{Value, json};
use shared::events::decode;

use super::*;
use crate::identity::Rules;
use crate::telemetry::Limits;

/// 2026-03-01 12:00:00 UTC.
const NOW_MS: i64 = 1_772_366_400_000;
const COMMIT: &str = "279484c09fbe69ededfced8c1bb6e6d24616b468";

fn settings() -> Settings {
    let [secret, previous_secret] = ["new", "old"].map(Secret::new);
    let of = |from: &str, to: &str| [(from.to_owned(), to.to_owned())].into();
    Settings {
        services: of("Shop/payments-api", "payment"),
        environments: of("prod", "production"),
        github: GitHub {
            secret: secret.clone(),
            previous_secret: previous_secret.clone(),
            ..GitHub::default()
        },
        gitlab: GitLab {
            secret: secret.clone(),
            previous_secret: previous_secret.clone(),
            ..GitLab::default()
        },
        argocd: ArgoCd { secret: secret.clone(), previous_secret: previous_secret.clone() },
        flux: Flux { secret, previous_secret },
    }
}

fn with(
    source: Source,
    headers: &[(&str, &str)],
    body: &[u8],
    settings: &Settings,
) -> (Result<Answer, Unreadable>, Batch) {
    let identity = Rules::default();
    let headers: BTreeMap<_, _> =
        headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let ctx = Context { identity: &identity, now_ms: NOW_MS, headers: &headers };
    let mut batch = Batch::new(&Limits::default(), NOW_MS);
    let answer = read(body, source, settings, &ctx, &mut batch);
    (answer, batch)
}

/// Returns what a source sends with a secret, and the name of its event.
fn sent(source: Source, secret: &str, event: &str, body: &[u8]) -> (Result<Answer, Unreadable>, Batch) {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = format!("sha256={}", hex::encode(ring::hmac::sign(&key, body)));
    let bearer = format!("Bearer {secret}");
    let headers = match source {
        Source::GitHub => [("x-hub-signature-256", &*signature), ("x-github-event", event)],
        Source::GitLab => [("x-gitlab-token", secret), ("x-gitlab-event", event)],
        Source::ArgoCd => [("authorization", &*bearer), ("x", event)],
        Source::Flux => [("x-signature", &*signature), ("gotk-component", event)],
    };
    with(source, &headers, body, &settings())
}

fn deployed(source: Source, event: &str, body: &Value) -> Deployment {
    let (answer, batch) = sent(source, "new", event, body.to_string().as_bytes());
    assert_eq!((answer, batch.refused.message()), (Ok(Answer::Deployment), String::new()));
    decode(&batch.into_records()[0].payload).unwrap()
}

fn ignored(source: Source, event: &str, body: &Value) -> String {
    let (answer, batch) = sent(source, "old", event, body.to_string().as_bytes());
    assert_eq!(batch.into_records().len(), 0);
    match answer {
        Ok(Answer::Ignored(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn github() -> Value {
    json!({
        "action": "created",
        "deployment_status": {
            "id": 1, "state": "success", "environment": "prod", "description": "", "target_url": "https://ci.example/1",
            "created_at": "2026-03-01T11:58:00Z", "updated_at": "2026-03-01T11:58:00Z", "creator": {"login": "ci"}
        },
        "deployment": {
            "id": 7, "sha": COMMIT, "ref": "main", "task": "deploy", "payload": {}, "environment": "prod",
            "description": "Raise the timeout of the bank", "creator": {"login": "maria"},
            "created_at": "2026-03-01T11:50:00Z"
        },
        "repository": {"id": 3, "name": "payments-api", "full_name": "shop/payments-api"},
        "sender": {"login": "ci"}
    })
}

fn gitlab() -> Value {
    json!({
        "object_kind": "deployment", "status": "success", "status_changed_at": "2026-03-01 13:50:00 +0200",
        "deployment_id": 15, "deployable_id": 796, "environment": "staging", "environment_slug": "staging",
        "project": {"id": 30, "name": "order", "path_with_namespace": "shop/backend/order"},
        "short_sha": "279484c0", "user": {"id": 1, "name": "Maria", "username": "maria"},
        "commit_url": format!("http://gitlab.example/shop/backend/order/-/commit/{COMMIT}"),
        "commit_title": "Add new file", "ref": "v1.4.2"
    })
}

fn argocd() -> Value {
    json!({
        "application": "cart", "namespace": "shop", "environment": "", "phase": "Succeeded",
        "finished_at": "2026-03-01T11:59:00Z", "revision": COMMIT,
        "image": "registry.example:5000/shop/cart:2.0.1@sha256:00", "initiated_by": "maria", "message": "synced"
    })
}

fn flux(kind: &str, reason: &str) -> Value {
    json!({
        "involvedObject": {"kind": kind, "namespace": "shop", "name": "cart", "uid": "1", "apiVersion": "x/v1"},
        "severity": "info", "timestamp": "2026-03-01T11:59:00Z", "reason": reason,
        "message": "ConfigMap/shop/cart configured\nDeployment/shop/cart configured\nService/shop/cart unchanged",
        "metadata": {"revision": format!("main@sha1:{COMMIT}"), "env": "prod"},
        "reportingController": "x", "reportingInstance": "x-1"
    })
}

#[test]
fn a_deployment_of_github_is_that_of_the_configured_service() {
    let read = deployed(Source::GitHub, "deployment_status", &github());
    assert_eq!(
        (&*read.service, &*read.environment, &*read.version),
        ("payment", "production", &COMMIT[..12])
    );
    assert_eq!((read.git_sha.as_deref(), read.deployed_by.as_deref()), (Some(COMMIT), Some("maria")));
    assert_eq!((read.ts_ms, &*read.change_type), (NOW_MS - 120_000, "deploy"));
    assert_eq!(read.description.as_deref(), Some("Raise the timeout of the bank"));
    let mut body = github();
    body["deployment"]["ref"] = json!("v2.1.0");
    body["deployment"]["task"] = json!("deploy:rollback");
    body["repository"]["full_name"] = json!("shop/order");
    let read = deployed(Source::GitHub, "deployment_status", &body);
    assert_eq!((&*read.service, &*read.version, &*read.change_type), ("order", "v2.1.0", "rollback"));
}

#[test]
fn a_deployment_of_gitlab_is_read_with_its_own_way_to_write_times() {
    let read = deployed(Source::GitLab, "Deployment Hook", &gitlab());
    assert_eq!((&*read.service, &*read.environment, &*read.version), ("order", "staging", "v1.4.2"));
    assert_eq!((read.ts_ms, read.git_sha.as_deref()), (NOW_MS - 600_000, Some(COMMIT)));
}

#[test]
fn a_synchronisation_of_argo_cd_has_the_version_of_its_image() {
    let read = deployed(Source::ArgoCd, "", &argocd());
    assert_eq!((&*read.service, &*read.environment, &*read.version), ("cart", "production", "2.0.1"));
    let mut body = argocd();
    body["image"] = json!("");
    assert_eq!(deployed(Source::ArgoCd, "", &body).version, COMMIT[..12]);
    body["revision"] = json!("1.2.3-rc.1+20260301");
    let read = deployed(Source::ArgoCd, "", &body);
    assert_eq!((&*read.version, read.git_sha), ("1.2.3-rc.1+20260301", None));
}

#[test]
fn what_a_kustomization_applies_is_a_deployment_of_each_workload() {
    let names = |message: &str| {
        let mut body = flux("Kustomization", "Progressing");
        body["involvedObject"]["name"] = json!("apps");
        body["message"] = json!(message);
        let (_, batch) = sent(Source::Flux, "new", "", body.to_string().as_bytes());
        let records = batch.into_records();
        records.into_iter().map(|record| record.key).collect::<Vec<_>>()
    };
    assert_eq!(
        names(
            "Deployment/shop/cart configured\nStatefulSet/shop/order created\nDeployment/shop/user unchanged"
        ),
        ["cart", "order"]
    );
    assert_eq!(names("ConfigMap/shop/cart configured"), ["apps"]);
    assert_eq!(names("Deployment/shop/cart deleted\nReconciliation finished in 1.2s"), [""; 0]);
    let many: Vec<_> = (0..300).map(|at| format!("Deployment/shop/d{at} created")).collect();
    assert_eq!(names(&many.join("\n")).len(), 100);
}

#[test]
fn a_change_by_flux_is_a_deployment() {
    let read = deployed(Source::Flux, "", &flux("Kustomization", "Progressing"));
    assert_eq!((&*read.service, &*read.environment, &*read.version), ("cart", "production", &COMMIT[..12]));
    let read = deployed(Source::Flux, "", &flux("HelmRelease", "RollbackSucceeded"));
    assert_eq!(read.change_type, "rollback");
    let mut body = flux("HelmRelease", "UninstallSucceeded");
    body["metadata"] =
        json!({"helm.toolkit.fluxcd.io/revision": "1.2.3", "helm.toolkit.fluxcd.io/app-version": "9"});
    let read = deployed(Source::Flux, "", &body);
    assert!(read.is_retirement());
    assert_eq!((&*read.version, read.git_sha), ("9", None));
}

#[test]
fn what_is_no_deployment_is_ignored_with_a_reason() {
    let mut pending = github();
    pending["deployment_status"]["state"] = json!("in_progress");
    let mut running = gitlab();
    running["status"] = json!("running");
    let mut failed = argocd();
    failed["phase"] = json!("Failed");
    let mut finished = flux("Kustomization", "ReconciliationSucceeded");
    finished["message"] = json!("Reconciliation finished in 1.2s, next run in 10m0s");
    for (source, event, body, why) in [
        (Source::GitHub, "ping", json!({"zen": "x"}), "a ping"),
        (Source::GitHub, "release", json!({}), "only deployment_status is a deployment"),
        (Source::GitHub, "deployment_status", pending, "state \"in_progress\""),
        (Source::GitLab, "Pipeline Hook", json!({"object_kind": "pipeline"}), "event \"Pipeline Hook\""),
        (Source::GitLab, "Deployment Hook", running, "status \"running\""),
        (Source::ArgoCd, "", failed, "phase \"Failed\""),
        (Source::Flux, "", finished, "ReconciliationSucceeded of a Kustomization: nothing was applied"),
        (Source::Flux, "", flux("GitRepository", "ReconciliationSucceeded"), "GitRepository"),
    ] {
        let found = ignored(source, event, &body);
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn a_request_without_a_valid_signature_is_refused_before_it_is_read() {
    let body = b"not even JSON";
    for source in Source::ALL {
        let (answer, _) = sent(source, "new", "deployment_status", body);
        assert!(matches!(answer, Err(Unreadable::Malformed { .. })), "{}: {answer:?}", source.name());
        for secret in ["wrong", ""] {
            assert_eq!(sent(source, secret, "deployment_status", body).0, Err(Unreadable::Signature));
        }
        assert_eq!(with(source, &[], body, &settings()).0, Err(Unreadable::Signature));
        let unset =
            with(source, &[("x-gitlab-token", ""), ("authorization", "Bearer ")], body, &Settings::default());
        assert_eq!(unset.0, Err(Unreadable::Signature));
    }
    let github = github().to_string();
    for signature in ["sha256=", "sha256=zz", "sha1=00", "00", "sha256=é"] {
        let headers = [("x-hub-signature-256", signature), ("x-github-event", "ping")];
        let (answer, _) = with(Source::GitHub, &headers, github.as_bytes(), &settings());
        assert_eq!(answer, Err(Unreadable::Signature), "{signature}");
    }
}

#[test]
fn bodies_of_a_wrong_shape_are_refused() {
    let mut late = gitlab();
    late["status_changed_at"] = json!("yesterday");
    let mut endless = argocd();
    endless["finished_at"] = json!("<no value>");
    for (source, body) in [
        (Source::GitHub, json!({"deployment_status": []})),
        (Source::GitHub, json!([])),
        (Source::GitLab, late),
        (Source::GitLab, json!({"object_kind": "deployment", "status": "success"})),
        (Source::ArgoCd, endless),
        (Source::ArgoCd, json!({"application": "cart"})),
        (Source::Flux, json!({"reason": "ReconciliationSucceeded"})),
    ] {
        let (answer, batch) = sent(source, "new", "deployment_status", body.to_string().as_bytes());
        assert!(matches!(answer, Err(Unreadable::Malformed { .. })), "{body}: {answer:?}");
        assert_eq!(batch.taken.deployments, 0);
    }
}

#[test]
fn settings_are_read_and_their_secrets_are_masked() {
    let text = r#"{"services": {"a/b": "c"}, "github": {"secret": "s3cret", "states": ["in_progress"]}}"#;
    let settings: Settings = serde_json::from_str(text).unwrap();
    assert_eq!(settings.github.secret.expose(), "s3cret");
    let shown = format!("{settings:?}{}", serde_json::to_string(&settings).unwrap());
    assert!(!shown.contains("s3cret") && shown.contains("***"), "{shown}");
    assert!(serde_json::from_str::<Settings>(r#"{"githup": {}}"#).is_err());
}

#[test]
fn settings_that_cannot_work_are_named() {
    assert_eq!((settings().validate(), Settings::default().validate()), (vec![], vec![]));
    let mut settings = settings();
    settings.flux.secret = Secret::default();
    settings.services.insert("a/b".into(), String::new());
    let problems = settings.validate();
    assert!(problems[0].starts_with("flux.previous_secret:") && problems[1].starts_with("services.a/b:"));
}

proptest! {
    #[test]
    fn any_signed_body_is_read_or_refused(body in "\\PC{0,200}", text in "\\PC{0,60}") {
        let mut texts = [github(), gitlab(), argocd(), flux("Kustomization", "Progressing")];
        texts[0]["deployment"]["ref"] = json!(text);
        texts[0]["deployment"]["sha"] = json!(text);
        texts[1]["status_changed_at"] = json!(text);
        texts[1]["short_sha"] = json!(text);
        texts[2]["image"] = json!(text);
        texts[2]["revision"] = json!(text);
        texts[3]["metadata"]["revision"] = json!(text);
        for (source, body_of) in Source::ALL.into_iter().zip(texts) {
            for body in [body.as_bytes(), body_of.to_string().as_bytes()] {
                let _ = sent(source, "new", "deployment_status", body);
            }
        }
    }
}
