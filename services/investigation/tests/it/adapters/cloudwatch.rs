//! CloudWatch: metrics, and log groups.

use std::collections::BTreeMap;

use investigation::query::adapters::cloudwatch::{LogSource, MetricSource};
use investigation::query::options::{CloudWatch, Metric, Options, Statistic};
use investigation::query::source::{Failure, QuerySource};
use serde_json::{Value, json};
use shared::clock::ManualClock;
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Role, Subject};
use shared::secret::Secret;
use shared::text::secrets::Redactor;

use super::ask;
use crate::answers::question;
use crate::double::{Double, Reply, Request};
use crate::scene::at;

const MEMORY: Subject = Subject::Lines { about: LogTopic::Memory };
const LINE: &str = "java.lang.OutOfMemoryError: Java heap space";

fn metric(name: &str, statistic: Statistic) -> Metric {
    let dimensions = [("ClusterName", "shop"), ("ServiceName", "$service")];
    let dimensions = dimensions.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Metric { namespace: "AWS/ECS".into(), name: name.into(), statistic, period_s: 60, dimensions }
}

/// Settings with both APIs at that address.
pub(super) fn options(url: &str) -> CloudWatch {
    CloudWatch {
        region: "eu-central-1".into(),
        access_key_id: Secret::new("AKIDEXAMPLE"),
        secret_access_key: Secret::new("s3cret"),
        metrics_url: url.into(),
        logs_url: url.into(),
        metrics: BTreeMap::from([
            (Role::CpuUsage, metric("CPUUtilization", Statistic::Average)),
            (Role::Requests, metric("RequestCount", Statistic::Sum)),
        ]),
        log_group: "/ecs/$service".into(),
        ..CloudWatch::default()
    }
}

fn metrics(url: &str) -> MetricSource {
    MetricSource::new(&options(url)).unwrap().with_clock(ManualClock::starting_at(at(600)))
}

fn logs(url: &str) -> LogSource {
    LogSource::new(&options(url)).unwrap()
}

fn series(role: Role) -> Subject {
    Subject::Series { role }
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn error(code: &str) -> Reply {
    Reply::Status(400, json!({ "__type": code, "message": "no" }).to_string())
}

/// A value for each minute that is asked for.
fn each_minute(request: &Request, value: f64) -> Value {
    let body = body(request);
    let time = |name: &str| body[name].as_i64().unwrap();
    let times: Vec<i64> = (time("StartTime")..time("EndTime")).step_by(60).collect();
    json!({ "Id": "m", "Label": "x", "Values": vec![value; times.len()], "Timestamps": times, "StatusCode": "Complete" })
}

async fn points(source: &MetricSource, role: Role) -> (String, Vec<(i64, f64)>) {
    let answer = ask(source, &question("payment", series(role))).await;
    let Ok(Answer::Series { unit, points }) = answer else { panic!("{answer:?}") };
    let second = |ts_ms: i64| ts_ms / 1_000 - at(0).as_second();
    (unit, points.iter().map(|point| (second(point.ts_ms), point.value)).collect())
}

#[tokio::test]
async fn a_metric_is_asked_for_by_its_dimensions_in_a_signed_request() {
    let double =
        Double::serve(|request| Reply::Json(json!({ "MetricDataResults": [each_minute(request, 42.0)] })))
            .await;
    let options = CloudWatch { session_token: Secret::new("t0ken"), ..options(&double.url) };
    let source = MetricSource::new(&options).unwrap();
    let source = source.with_clock(ManualClock::starting_at("2015-08-30T12:36:00Z".parse().unwrap()));
    let (unit, points) = points(&source, Role::CpuUsage).await;
    // a value counts at the end of its period; the last whole minute ends 20 s before the end of the question
    assert_eq!((unit.as_str(), points.len()), ("%", 70));
    assert_eq!((points[0], points[69]), ((-3_580, 42.0), (560, 42.0)));
    let request = &double.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
    let dimensions =
        json!([{ "Name": "ClusterName", "Value": "shop" }, { "Name": "ServiceName", "Value": "payment" }]);
    assert_eq!(
        body(request)["MetricDataQueries"],
        json!([{ "Id": "m", "MetricStat": {
            "Metric": { "Namespace": "AWS/ECS", "MetricName": "CPUUtilization", "Dimensions": dimensions },
            "Period": 60, "Stat": "Average",
        } }])
    );
    for (name, value) in [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", "GraniteServiceVersion20100801.GetMetricData"),
        ("x-amz-date", "20150830T123600Z"),
        ("x-amz-security-token", "t0ken"),
    ] {
        assert_eq!(request.headers[name], value);
    }
    let signed = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1/monitoring/aws4_request, \
                  SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=";
    assert!(request.headers["authorization"].starts_with(signed), "{request:?}");
    assert!(!format!("{options:?} {request:?}").contains("s3cret"));
}

#[tokio::test]
async fn totals_are_rates_and_are_read_once_all_values_have_arrived() {
    let double =
        Double::serve(|request| Reply::Json(json!({ "MetricDataResults": [each_minute(request, 120.0)] })))
            .await;
    let (unit, found) = points(&metrics(&double.url), Role::Requests).await;
    // it is as late as the end of the question, and the last two minutes are still incomplete
    assert_eq!((unit.as_str(), found.last().copied()), ("1/s", Some((440, 2.0))));
    // nothing of the time has arrived
    let early = metrics(&double.url).with_clock(ManualClock::starting_at(at(-3_600)));
    assert_eq!(points(&early, Role::Requests).await.1, []);
    assert_eq!(double.requests().len(), 1);
}

#[tokio::test]
async fn pages_are_joined_and_a_token_without_an_end_is_an_incomplete_answer() {
    let double = Double::serve(|request| {
        let mut all = each_minute(request, 42.0);
        let half = |part: &Value, is_first: bool| -> Vec<Value> {
            let list = part.as_array().unwrap();
            if is_first { list[..30].to_vec() } else { list[30..].to_vec() }
        };
        let is_first = body(request)["NextToken"].is_null();
        for name in ["Timestamps", "Values"] {
            all[name] = half(&all[name], is_first).into();
        }
        if is_first {
            all["StatusCode"] = "PartialData".into();
            Reply::Json(json!({ "MetricDataResults": [all], "NextToken": "2" }))
        } else {
            assert_eq!(body(request)["NextToken"], "2");
            Reply::Json(json!({ "MetricDataResults": [all] }))
        }
    })
    .await;
    assert_eq!(points(&metrics(&double.url), Role::CpuUsage).await.1.len(), 70);
    assert_eq!(double.requests().len(), 2);
    // an empty answer is one, of a metric that is not there
    let double = Double::serve(|_| {
        let none = json!({ "Id": "m", "Timestamps": [], "Values": [], "StatusCode": "Complete" });
        Reply::Json(json!({ "MetricDataResults": [none], "Messages": [] }))
    })
    .await;
    assert_eq!(points(&metrics(&double.url), Role::CpuUsage).await.1, []);

    let endless = Double::serve(|_| {
        Reply::Json(json!({ "MetricDataResults": [], "events": [], "NextToken": "n", "nextToken": "n" }))
    })
    .await;
    let answer = ask(&metrics(&endless.url), &question("payment", series(Role::CpuUsage))).await;
    assert_eq!(answer, Err(Failure::Partial));
    assert_eq!(ask(&logs(&endless.url), &question("payment", MEMORY)).await, Err(Failure::Partial));
    assert_eq!(endless.requests().len(), 20);
}

#[tokio::test]
async fn what_is_incomplete_or_of_another_shape_is_a_failure() {
    let one = |status: &str, times: Value| json!({ "MetricDataResults": [{ "Timestamps": times, "Values": [1.0], "StatusCode": status }] });
    for (document, failure) in [
        (one("InternalError", json!([0])), Failure::Partial),
        (one("PartialData", json!([0])), Failure::Partial),
        (one("Forbidden", json!([0])), Failure::Refused("Forbidden".into())),
        (json!({ "MetricDataResults": [], "Messages": [{ "Code": "x", "Value": "y" }] }), Failure::Partial),
    ] {
        let double = Double::serve(move |_| Reply::Json(document.clone())).await;
        let answer = ask(&metrics(&double.url), &question("payment", series(Role::CpuUsage))).await;
        assert_eq!(answer, Err(failure));
    }
    let many: Vec<i64> = (0..481).collect();
    let many =
        json!({ "MetricDataResults": [{ "Timestamps": many, "Values": many, "StatusCode": "Complete" }] });
    let double = Double::serve(move |_| Reply::Json(many.clone())).await;
    let answer = ask(&metrics(&double.url), &question("payment", series(Role::CpuUsage))).await;
    assert_eq!(answer, Err(Failure::TooLarge));
    for document in [
        one("Complete", json!([])),
        one("Complete", json!(["2026-11-29T09:26:40Z"])),
        one("Great", json!([0])),
        json!({ "events": [{ "message": "no time" }] }),
        json!([]),
    ] {
        let text = document.to_string();
        let double = Double::serve(move |_| Reply::Json(document.clone())).await;
        let asked = [
            ask(&metrics(&double.url), &question("payment", series(Role::CpuUsage))).await,
            ask(&logs(&double.url), &question("payment", MEMORY)).await,
        ];
        for answer in asked {
            assert!(matches!(answer, Err(Failure::Malformed(_))), "{text}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_named_by_its_code() {
    for (code, failure) in [
        ("ThrottlingException", Failure::Refused("ThrottlingException".into())),
        ("com.amazon.coral.availability#ThrottlingException", Failure::Refused("ThrottlingException".into())),
        ("UnrecognizedClientException", Failure::Refused("UnrecognizedClientException".into())),
        // what is no code is not shown
        ("<b>buy</b>", Failure::Status(400)),
        (&"x".repeat(61), Failure::Status(400)),
    ] {
        let code = code.to_owned();
        let double = Double::serve(move |_| error(&code)).await;
        let asked = [
            ask(&metrics(&double.url), &question("payment", series(Role::CpuUsage))).await,
            ask(&logs(&double.url), &question("payment", MEMORY)).await,
        ];
        assert_eq!(asked, [Err(failure.clone()), Err(failure)]);
    }
    // a log group that is not there says no more than an empty one
    let double = Double::serve(|_| error("ResourceNotFoundException")).await;
    let answer = ask(&logs(&double.url), &question("payment", MEMORY)).await;
    assert_eq!(answer, Err(Failure::Unknown("payment".into())));
    let down =
        Double::serve(|_| Reply::Status(503, json!({ "__type": "ServiceUnavailableException" }).to_string()))
            .await;
    let answer = ask(&logs(&down.url), &question("payment", MEMORY)).await;
    assert_eq!(answer, Err(Failure::Status(503)));
    assert_eq!(Failure::Refused("X".into()).to_string(), "refused the query: X");
}

fn event(second: i64, message: &str) -> Value {
    json!({ "logStreamName": "a", "timestamp": at(second).as_millisecond(), "message": message, "eventId": "1" })
}

#[tokio::test]
async fn lines_are_counted_by_the_minute_and_the_newest_is_the_example() {
    let double = Double::serve(|_| {
        let other = event(25, "ready, which no expression should have found");
        Reply::Json(json!({ "events": [event(30, "Out of memory: killed"), other, event(20, LINE), event(-500, LINE)] }))
    })
    .await;
    let with_prefix = CloudWatch { stream_prefix: "$service/".into(), ..options(&double.url) };
    let source = LogSource::new(&with_prefix).unwrap();
    let answer = ask(&source, &question("payment", MEMORY)).await;
    let Ok(Answer::Lines { minutes, example }) = answer else { panic!("{answer:?}") };
    let counts: Vec<(i64, f64)> = minutes
        .iter()
        .filter(|minute| minute.value > 0.0)
        .map(|minute| (minute.ts_ms / 1_000 - at(0).as_second(), minute.value))
        .collect();
    assert_eq!((minutes.len(), counts), (71, vec![(-520, 1.0), (20, 2.0)]));
    assert_eq!(example.as_deref(), Some("Out of memory: killed"));
    let request = &double.requests()[0];
    assert_eq!(request.headers["x-amz-target"], "Logs_20140328.FilterLogEvents");
    assert_eq!(request.headers["content-type"], "application/x-amz-json-1.1");
    assert!(request.headers["authorization"].contains("/eu-central-1/logs/aws4_request"), "{request:?}");
    let body = body(request);
    assert!(body["filterPattern"].as_str().unwrap().starts_with(r"%[Oo][Uu][Tt]\s[Oo][Ff]\s[Mm]"), "{body}");
    assert_eq!(
        (&body["logGroupName"], &body["logStreamNamePrefix"]),
        (&json!("/ecs/payment"), &json!("payment/"))
    );
    assert_eq!((&body["startFromHead"], &body["limit"]), (&json!(false), &json!(5_000)));
    let (from, to) = (at(-3_640).as_millisecond(), at(600).as_millisecond() - 1);
    assert_eq!((&body["startTime"], &body["endTime"]), (&json!(from), &json!(to)));
}

#[tokio::test]
async fn no_line_of_a_kind_is_an_answer_only_where_there_are_others() {
    let serve = |others: bool| {
        Double::serve(move |request| {
            let body = body(request);
            let is_any = body["filterPattern"].is_null();
            // the first page of a search may be empty
            let found = is_any && others && !body["nextToken"].is_null();
            let events = if found { vec![event(10, "ready")] } else { Vec::new() };
            let next = if is_any && body["nextToken"].is_null() { json!("2") } else { Value::Null };
            Reply::Json(json!({ "events": events, "nextToken": next }))
        })
    };
    let double = serve(true).await;
    let answer = ask(&logs(&double.url), &question("payment", MEMORY)).await;
    let Ok(Answer::Lines { minutes, example: None }) = answer else { panic!("{answer:?}") };
    assert!(minutes.iter().all(|minute| minute.value == 0.0));
    let any = body(&double.requests()[1]);
    assert_eq!((&any["startTime"], &any["limit"]), (&json!(at(0).as_millisecond()), &json!(1)));
    let double = serve(false).await;
    let answer = ask(&logs(&double.url), &question("payment", MEMORY)).await;
    assert_eq!(answer, Err(Failure::Unknown("payment".into())));
    assert_eq!(double.requests().len(), 3);
}

#[tokio::test]
async fn of_very_many_lines_the_minutes_are_counted_that_were_read_in_full() {
    // each page is a minute earlier than the one before, and there are ever more
    let serve = |begin: i64, step: i64| {
        let mut page = 0;
        Double::serve(move |_| {
            page += 1;
            Reply::Json(
                json!({ "events": [event(begin + page * step, LINE)], "nextToken": page.to_string() }),
            )
        })
    };
    let double = serve(120, -60).await;
    let answer = ask(&logs(&double.url), &question("payment", MEMORY)).await;
    let Ok(Answer::Lines { minutes, example }) = answer else { panic!("{answer:?}") };
    // ten pages: the last line is of the second -480, so the minute from -460 on is the first that is known
    let first = minutes[0].ts_ms / 1_000 - at(0).as_second();
    assert_eq!((first, minutes.len(), example.is_some()), (-460, 18, true));
    assert_eq!(minutes.iter().map(|minute| minute.value).sum::<f64>(), 9.0);
    // not even the time since the first symptom was read, or it was read in another order than was asked for
    for (begin, step) in [(590, -5), (-600, 60)] {
        let double = serve(begin, step).await;
        let answer = ask(&logs(&double.url), &question("payment", MEMORY)).await;
        assert_eq!(answer, Err(Failure::Partial));
    }
}

#[tokio::test]
async fn a_service_cannot_leave_its_place_in_a_request() {
    let double =
        Double::serve(|request| Reply::Json(json!({ "MetricDataResults": [each_minute(request, 1.0)] })))
            .await;
    let hostile = r#"a"}],"Period":1 $service"#;
    let answer = ask(&metrics(&double.url), &question(hostile, series(Role::CpuUsage))).await;
    assert!(answer.is_ok(), "{answer:?}");
    let sent = &body(&double.requests()[0])["MetricDataQueries"][0]["MetricStat"];
    assert_eq!((&sent["Metric"]["Dimensions"][1]["Value"], &sent["Period"]), (&json!(hostile), &json!(60)));
    // names that no dimension and no log group can have are not asked about
    for name in ["pay\nment", "zahlung\u{fc}"] {
        let answer = ask(&metrics(&double.url), &question(name, series(Role::CpuUsage))).await;
        assert_eq!(answer, Err(Failure::Unknown(name.into())));
    }
    for name in ["../payment", "a/b", "a#b", "a b", "a\",\"limit\":1", "$service"] {
        let answer = ask(&logs(&double.url), &question(name, MEMORY)).await;
        assert_eq!(answer, Err(Failure::Unknown(name.into())));
    }
    assert_eq!(double.requests().len(), 1);
}

#[test]
fn settings_are_checked_and_what_is_not_configured_is_not_asked() {
    let with = |cloudwatch: CloudWatch| Options { cloudwatch, ..Options::default() };
    let good = with(options(""));
    assert_eq!((good.validate(), good.warnings()), (Vec::new(), Vec::new()));
    assert_eq!(good.cloudwatch.metrics_address(), "https://monitoring.eu-central-1.amazonaws.com");
    assert_eq!(good.cloudwatch.logs_address(), "https://logs.eu-central-1.amazonaws.com");
    assert!(good.looker(3, &Redactor::default()).unwrap().is_some());
    let source = metrics("http://127.0.0.1:1");
    assert!(source.can_answer(series(Role::CpuUsage)) && !source.can_answer(series(Role::Restarts)));
    let without = with(CloudWatch { region: String::new(), ..options("") });
    assert!(without.validate().is_empty() && without.looker(3, &Redactor::default()).unwrap().is_none());

    let fixed = Metric {
        name: String::new(),
        period_s: 90,
        dimensions: BTreeMap::from([("ServiceName".into(), "payment".into())]),
        ..metric("x", Statistic::Sum)
    };
    let bad = with(CloudWatch {
        access_key_id: Secret::default(),
        session_token: Secret::new("a\nb"),
        metrics_url: "monitoring".into(),
        logs_url: "http://user:secret@logs".into(),
        ca_file: "/nowhere/ca.pem".into(),
        metrics: BTreeMap::from([(Role::Restarts, fixed)]),
        log_group: "/ecs/shop *".into(),
        stream_prefix: "a:".into(),
        ..options("")
    });
    let problems = bad.validate();
    for part in [
        "access_key_id is empty",
        "session_token has characters",
        "metrics_url: is no address",
        "logs_url: holds a login",
        "ca_file",
        "metrics.restarts.name has a name",
        "metrics.restarts.period_s 90",
        "metrics.restarts.dimensions do not contain $service",
        "log_group has characters",
        "stream_prefix has characters",
        "log_group and stream_prefix do not contain",
    ] {
        let found = problems.iter().filter(|problem| problem.starts_with(&format!("cloudwatch.{part}")));
        assert_eq!(found.count(), 1, "{part}: {problems:#?}");
    }
    assert_eq!(problems.len(), 11, "{problems:#?}");
    for (cloudwatch, part) in [
        (CloudWatch { region: "x.example.com/".into(), ..options("") }, "region has other characters"),
        (
            CloudWatch { metrics: BTreeMap::new(), log_group: String::new(), ..options("") },
            "region is set, and neither",
        ),
        (
            CloudWatch { log_group: String::new(), stream_prefix: "$service".into(), ..options("") },
            "stream_prefix is set without",
        ),
    ] {
        let problems = with(cloudwatch).validate();
        assert!(
            problems[0].starts_with(&format!("cloudwatch.{part}")) && problems.len() == 1,
            "{problems:?}"
        );
    }
    let plain = with(CloudWatch { session_token: Secret::new("t"), ..options("http://aws.example.com") });
    assert!(plain.warnings().iter().all(|warning| warning.starts_with("a login is sent to cloudwatch")));
    assert_eq!(plain.warnings().len(), 2);
}

#[test]
fn settings_are_read_with_the_names_of_dimensions_as_they_are() {
    let file = "[investigation.queries.cloudwatch]\nregion = 'eu-central-1'\nlog_group = '/ecs/$service'\n\
                [investigation.queries.cloudwatch.metrics.cpu_usage]\nnamespace = 'AWS/ECS'\nname = 'CPUUtilization'\n\
                dimensions = { ClusterName = 'shop', ServiceName = '$service' }\n\
                [investigation.queries.cloudwatch.metrics.requests]\nnamespace = 'Shop'\nname = 'Requests'\n\
                statistic = 'Sum'\nperiod_s = 300\ndimensions = { app = '$service' }\n";
    let secret = std::env::temp_dir().join(format!("firewatch-key-{}", std::process::id()));
    std::fs::write(&secret, "s3cret\n").unwrap();
    let variables = [
        ("FIREWATCH_INVESTIGATION__QUERIES__CLOUDWATCH__ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("FIREWATCH_INVESTIGATION__QUERIES__CLOUDWATCH__SECRET_ACCESS_KEY_FILE", secret.to_str().unwrap()),
        ("FIREWATCH_INVESTIGATION__QUERIES__CLOUDWATCH__SESSION_TOKEN", "t0ken"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = shared::service::Config::<investigation::Options>::from_sources(
        "investigation",
        Some(file),
        variables,
    );
    let config = config.unwrap();
    let cloudwatch = &config.stage.queries.cloudwatch;
    assert_eq!(cloudwatch.metrics[&Role::CpuUsage], metric("CPUUtilization", Statistic::Average));
    let requests = &cloudwatch.metrics[&Role::Requests];
    assert_eq!((requests.statistic, requests.period_s), (Statistic::Sum, 300));
    assert_eq!(cloudwatch.secret_access_key.expose(), "s3cret");
    assert!(config.stage.queries.validate().is_empty());
    let printed = config.to_toml();
    for secret in ["AKIDEXAMPLE", "s3cret", "t0ken"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    std::fs::remove_file(&secret).unwrap();
}
