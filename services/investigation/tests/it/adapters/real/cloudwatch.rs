//! The emulator moto, which checks signatures: <https://docs.getmoto.org/>.

use std::collections::BTreeMap;

use investigation::query::adapters::cloudwatch::{LogSource, MetricSource};
use investigation::query::options::{CloudWatch, Metric, Statistic};
use investigation::query::source::Failure;
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::clock::{Clock as _, SystemClock};
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Role, Subject};
use shared::secret::Secret;

use super::super::ask;
use super::{SERVICE, Server, eventually, free, recent};

const REGION: &str = "eu-central-1";

/// What the test itself asks of the emulator, before that checks signatures.
struct Admin {
    http: reqwest::Client,
    url: String,
}

impl Admin {
    async fn post(&self, service: &str, headers: &[(&str, &str)], body: String) -> reqwest::Result<String> {
        let scope = format!("AWS4-HMAC-SHA256 Credential=admin/20200101/{REGION}/{service}/aws4_request");
        let signed = format!("{scope}, SignedHeaders=host, Signature=0");
        let mut request = self.http.post(&self.url).header("authorization", signed).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await?.error_for_status()?.text().await
    }

    async fn json(&self, service: &str, target: &str, body: Value) {
        let version = if service == "logs" { "1.1" } else { "1.0" };
        let content = format!("application/x-amz-json-{version}");
        let headers = [("content-type", content.as_str()), ("x-amz-target", target)];
        self.post(service, &headers, body.to_string()).await.unwrap();
    }

    /// Makes a user who may read CloudWatch, and returns the id and the key.
    async fn key(&self) -> (String, String) {
        let iam = async |action: &str| {
            let form = format!("Version=2010-05-08&UserName=firewatch&Action={action}");
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            self.post("iam", &headers, form).await
        };
        eventually(async || iam("CreateUser").await).await;
        // {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[...],"Resource":"*"}]}
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22\
                      %3A%5B%22cloudwatch%3AGetMetricData%22%2C%22monitoring%3AGetMetricData%22%2C%22logs%3AFilterLogEvents%22\
                      %5D%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";
        iam(&format!("PutUserPolicy&PolicyName=read&PolicyDocument={policy}")).await.unwrap();
        let made = iam("CreateAccessKey").await.unwrap();
        let field = |name: &str| {
            let (_, rest) = made.split_once(&format!("<{name}>")).unwrap();
            rest.split('<').next().unwrap().to_owned()
        };
        (field("AccessKeyId"), field("SecretAccessKey"))
    }

    /// Lets the emulator check each further request.
    async fn check_signatures(&self) {
        let reset = self.http.post(format!("{}/moto-api/reset-auth", self.url)).body("0");
        reset.send().await.unwrap().error_for_status().unwrap();
    }
}

/// Writes values of a metric for the last minutes, and lines of a service; the last ones are about memory.
async fn fill(admin: &Admin, service: &str) {
    let now = SystemClock.now();
    let values: Vec<Value> = (0..4)
        .map(|minute| {
            let at = (now - SignedDuration::from_mins(minute)).as_second();
            let dimensions = json!([{ "Name": "ServiceName", "Value": SERVICE }]);
            json!({ "MetricName": "cpu", "Dimensions": dimensions, "Timestamp": at, "Value": 42.0 })
        })
        .collect();
    let target = "GraniteServiceVersion20100801.PutMetricData";
    admin.json("monitoring", target, json!({ "Namespace": "Shop", "MetricData": values })).await;
    let logs = async |operation: &str, body: Value| {
        admin.json("logs", &format!("Logs_20140328.{operation}"), body).await;
    };
    let (group, stream) = (format!("/shop/{service}"), "a");
    logs("CreateLogGroup", json!({ "logGroupName": group })).await;
    logs("CreateLogStream", json!({ "logGroupName": group, "logStreamName": stream })).await;
    let line = |second: i64, message: &str| {
        let at = now + SignedDuration::from_secs(second);
        json!({ "timestamp": at.as_millisecond(), "message": message })
    };
    let lines =
        [line(-60, "ready"), line(-2, "java.lang.OutOfMemoryError: heap"), line(-1, "Out of memory: killed")];
    logs("PutLogEvents", json!({ "logGroupName": group, "logStreamName": stream, "logEvents": lines })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulator_moto_answers_what_is_signed() {
    let address = free();
    let server = Server::start("FIREWATCH_MOTO_BIN", "moto_server", |_| {
        let (host, port) = address.split_once(':').unwrap();
        vec!["-H".into(), host.into(), "-p".into(), port.into()]
    });
    let Some(_server) = server else { return };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let admin = Admin { http, url: format!("http://{address}") };
    let (id, key) = admin.key().await;
    fill(&admin, "payment").await;
    admin.check_signatures().await;

    let cpu = Metric {
        namespace: "Shop".into(),
        name: "cpu".into(),
        statistic: Statistic::Average,
        period_s: 60,
        dimensions: BTreeMap::from([("ServiceName".into(), "$service".into())]),
    };
    let options = CloudWatch {
        region: REGION.into(),
        access_key_id: Secret::new(id),
        secret_access_key: Secret::new(key),
        metrics_url: admin.url.clone(),
        logs_url: admin.url.clone(),
        metrics: BTreeMap::from([(Role::CpuUsage, cpu)]),
        log_group: "/shop/$service".into(),
        ..CloudWatch::default()
    };
    let (metrics, logs) = (MetricSource::new(&options).unwrap(), LogSource::new(&options).unwrap());
    let usage = recent(Subject::Series { role: Role::CpuUsage });
    let Ok(Answer::Series { points, .. }) = ask(&metrics, &usage).await else { panic!() };
    assert!(points.len() >= 3 && points.iter().all(|point| point.value == 42.0), "{points:?}");
    // no such metric
    let other = Question { service: "stock".into(), ..usage.clone() };
    let Ok(Answer::Series { points, .. }) = ask(&metrics, &other).await else { panic!() };
    assert!(points.is_empty(), "{points:?}");

    let lines = |service: &str, about| {
        let asked = recent(Subject::Lines { about });
        Question { service: service.into(), onset: asked.onset - SignedDuration::from_secs(30), ..asked }
    };
    let answer = ask(&logs, &lines("payment", LogTopic::Memory)).await;
    let Ok(Answer::Lines { minutes, example }) = answer else { panic!("{answer:?}") };
    assert_eq!(minutes.iter().map(|minute| minute.value).sum::<f64>(), 2.0, "{minutes:?}");
    assert_eq!(example.as_deref(), Some("Out of memory: killed"));
    let answer = ask(&logs, &lines("payment", LogTopic::Disk)).await;
    assert!(matches!(answer, Ok(Answer::Lines { example: None, .. })), "{answer:?}");
    let answer = ask(&logs, &lines("stock", LogTopic::Memory)).await;
    assert_eq!(answer, Err(Failure::Unknown("stock".into())));

    // with another key nothing is answered
    let wrong = CloudWatch { secret_access_key: Secret::new("other"), ..options };
    for answer in [
        ask(&MetricSource::new(&wrong).unwrap(), &usage).await,
        ask(&LogSource::new(&wrong).unwrap(), &lines("payment", LogTopic::Memory)).await,
    ] {
        assert_eq!(answer, Err(Failure::Status(403)));
    }
}
