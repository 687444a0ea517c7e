//! A real API server with its store, and nothing beside them: pods and events are what the test writes.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use investigation::query::adapters::kubernetes::{EventSource, PodLogSource};
use investigation::query::options::Kubernetes;
use investigation::query::source::Failure;
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Report, Subject};
use shared::secret::Secret;

use super::super::ask;
use super::{Server, eventually, free, recent};

const TOKEN: &str = "t0ken";

/// Asks about a service whose name a label can hold.
fn asked(subject: Subject) -> Question {
    Question { service: "payment".into(), ..recent(subject) }
}

/// Starts both in one folder.
fn cluster(address: &str) -> Option<(Server, Server, PathBuf)> {
    let (store, peers) = (format!("http://{}", free()), format!("http://{}", free()));
    let etcd = Server::start("FIREWATCH_ETCD_BIN", "etcd", |_| {
        let list = ["--data-dir=data", "--unsafe-no-fsync", "--log-level=warn"];
        let mut arguments: Vec<String> = list.map(str::to_owned).to_vec();
        for name in ["listen-client-urls", "advertise-client-urls"] {
            arguments.push(format!("--{name}={store}"));
        }
        for name in ["listen-peer-urls", "initial-advertise-peer-urls"] {
            arguments.push(format!("--{name}={peers}"));
        }
        arguments.push(format!("--initial-cluster=default={peers}"));
        arguments
    })?;
    let server = Server::start("FIREWATCH_KUBE_APISERVER_BIN", "kube-apiserver", |folder| {
        let key =
            Command::new("openssl").args(["genrsa", "-out", "sa.key", "2048"]).current_dir(folder).output();
        assert!(key.unwrap().status.success());
        std::fs::write(folder.join("tokens.csv"), format!("{TOKEN},admin,1,\"system:masters\"\n")).unwrap();
        let (host, port) = address.split_once(':').unwrap();
        [
            format!("--etcd-servers={store}"),
            format!("--bind-address={host}"),
            format!("--advertise-address={host}"),
            format!("--secure-port={port}"),
            "--cert-dir=certs".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            "--service-account-key-file=sa.key".into(),
            "--service-account-signing-key-file=sa.key".into(),
            "--authorization-mode=RBAC".into(),
            "--token-auth-file=tokens.csv".into(),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            // accounts are made by controllers, which are not there
            "--disable-admission-plugins=ServiceAccount".into(),
        ]
        .to_vec()
    })?;
    let ca = server.folder.join("certs/apiserver.crt");
    Some((etcd, server, ca))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_gives_events_and_pods() {
    let address = free();
    let Some((_etcd, _server, ca_file)) = cluster(&address) else { return };
    let url = format!("https://{address}");
    eventually(async || if ca_file.exists() { Ok(()) } else { Err("no certificate yet") }).await;
    let options =
        Kubernetes { url: url.clone(), token: Secret::new(TOKEN), ca_file, ..Kubernetes::default() };
    let (events, logs) = (EventSource::new(&options).unwrap(), PodLogSource::new(&options).unwrap());
    let failing = || asked(Subject::Events { about: Report::Failing });
    // the first answer comes once the server is ready: it knows no such workload
    let unknown = eventually(async || match ask(&events, &failing()).await {
        Err(Failure::Unknown(service)) => Ok(service),
        other => Err(other),
    });
    assert_eq!(unknown.await, "payment");

    let client = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build().unwrap();
    // the server makes it a moment after it is ready
    eventually(async || {
        let namespace = client.get(format!("{url}/api/v1/namespaces/default")).bearer_auth(TOKEN);
        namespace.send().await?.error_for_status()
    })
    .await;
    let create = async |kind: &str, document: Value| {
        let request =
            client.post(format!("{url}/api/v1/namespaces/default/{kind}")).bearer_auth(TOKEN).json(&document);
        let answer = request.timeout(Duration::from_secs(5)).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    };
    let container = json!({ "name": "payment", "image": "payment:1" });
    create(
        "pods",
        json!({
            "metadata": { "name": "payment-0", "labels": { "app": "payment" } },
            "spec": { "containers": [container] },
        }),
    )
    .await;
    assert_eq!(ask(&events, &failing()).await, Ok(Answer::Events { events: Vec::new() }));

    let onset = failing().onset;
    let at = onset + SignedDuration::from_millis(500);
    let event = |name: &str, pod: &str| {
        let object = json!({ "kind": "Pod", "namespace": "default", "name": pod });
        json!({
            "metadata": { "name": name }, "involvedObject": object, "reason": "BackOff", "type": "Warning", "count": 7,
            "message": "Back-off restarting failed container", "firstTimestamp": at, "lastTimestamp": at,
        })
    };
    create("events", event("a", "payment-0")).await;
    create("events", event("b", "payment-history-0")).await;
    let Answer::Events { events } = ask(&events, &failing()).await.unwrap() else { panic!() };
    let seen: Vec<_> =
        events.iter().map(|one| (one.reason.as_str(), one.object.as_str(), one.count)).collect();
    assert_eq!(seen, [("BackOff", "pod payment-0", 7)]);

    // no container runs, and an empty log of none says nothing
    let answer = ask(&logs, &asked(Subject::Lines { about: LogTopic::Memory })).await;
    assert_eq!(answer, Err(Failure::Unknown("payment".into())));
    // a server that another authority has signed is not trusted
    let other = Kubernetes { ca_file: PathBuf::new(), ..options };
    let answer = ask(&EventSource::new(&other).unwrap(), &failing()).await;
    assert!(matches!(answer, Err(Failure::Unreachable(_))), "{answer:?}");
}
