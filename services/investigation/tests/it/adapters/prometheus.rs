//! Prometheus.

use investigation::query::adapters::prometheus::{PrometheusSource, check_template, fill, template};
use investigation::query::options::Prometheus;
use investigation::query::source::Failure;
use serde_json::json;
use shared::events::evidence::Answer;
use shared::events::question::{Role, Subject};
use shared::secret::Secret;

use super::ask;
use crate::answers::question;
use crate::double::{Double, Reply, matrix};
use crate::scene::at;

const RESTARTS: Subject = Subject::Series { role: Role::Restarts };

fn source(url: &str) -> PrometheusSource {
    let token = Secret::new("t0ken");
    PrometheusSource::new(&Prometheus { url: url.into(), token, ..Prometheus::default() }).unwrap()
}

#[tokio::test]
async fn a_range_is_asked_for_and_the_largest_of_several_series_counts() {
    let double = Double::serve(|request| match matrix(request, at(0).as_second(), 2.0, 3.0) {
        Reply::Json(mut document) => {
            let result = document["data"]["result"].as_array_mut().unwrap();
            let start: i64 = request.query["start"].parse().unwrap();
            result.push(
                json!({ "metric": {}, "values": [[start, "7"], [start + 15, "NaN"], [start + 30, "+Inf"]] }),
            );
            Reply::Json(document)
        }
        other => other,
    })
    .await;
    let answer =
        ask(&source(&format!("{}/prefix/", double.url)), &question("payment", RESTARTS)).await.unwrap();
    let Answer::Series { unit, points } = answer else { panic!("{answer:?}") };
    assert_eq!((unit.as_str(), points.len()), ("", 283));
    assert_eq!((points[0].value, points[1].value, points[2].value, points[282].value), (7.0, 2.0, 2.0, 3.0));
    let request = &double.requests()[0];
    assert_eq!(request.path, "/prefix/api/v1/query_range");
    assert_eq!(request.headers["authorization"], "Bearer t0ken");
    assert_eq!(
        request.query["query"],
        r#"sum(kube_pod_container_status_restarts_total{container="payment"})"#
    );
    assert_eq!(request.query["end"], at(600).as_second().to_string());
}

#[tokio::test]
async fn errors_and_other_shapes_are_failures() {
    let matrix =
        |result| json!({ "status": "success", "data": { "resultType": "matrix", "result": result } });
    let documents = [
        json!({ "status": "error", "errorType": "execution", "error": "query timed out" }),
        json!({ "status": "success" }),
        json!({ "status": "success", "data": { "resultType": "vector", "result": [] } }),
        matrix(json!([{ "values": [[1, "many"]] }])),
        matrix(json!([{ "values": [["1", "2"]] }])),
        json!([]),
    ];
    for document in documents {
        let text = document.to_string();
        let double = Double::serve(move |_| Reply::Json(document.clone())).await;
        let answer = ask(&source(&double.url), &question("payment", RESTARTS)).await;
        assert!(matches!(answer, Err(Failure::Malformed(_))), "{text}: {answer:?}");
    }
    let partial = json!({ "status": "success", "warnings": ["store down"], "data": { "resultType": "matrix", "result": [] } });
    let double = Double::serve(move |_| Reply::Json(partial.clone())).await;
    assert_eq!(ask(&source(&double.url), &question("payment", RESTARTS)).await, Err(Failure::Partial));
    let body = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    let double = Double::serve(|_| Reply::Status(400, body.to_owned())).await;
    assert_eq!(ask(&source(&double.url), &question("payment", RESTARTS)).await, Err(Failure::Status(400)));
    let many: Vec<_> = (0..21).map(|_| json!({ "values": [] })).collect();
    let double = Double::serve(move |_| Reply::Json(matrix(json!(many)))).await;
    assert_eq!(ask(&source(&double.url), &question("payment", RESTARTS)).await, Err(Failure::TooLarge));
}

#[test]
fn a_service_cannot_leave_its_place_in_a_query() {
    let filled = fill(r#"up{job="$service",x=~"$pattern.*",y="$other"}"#, "a\"}\\ or b.c$service\n");
    assert_eq!(
        filled,
        r#"up{job="a\x22}\\ or b.c$service\n",x=~"a\x22\\}\\\\ or b\\.c\\$service\n.*",y="$other"}"#
    );
    assert_eq!(fill("up{job='$service'}", "a'} or b"), r"up{job='a\x27} or b'}");
    for (template, problem) in [
        ("up{job=`$service`}", "has a placeholder between backticks"),
        ("$service_up", "has a placeholder outside of quotes"),
        (r#"up{job="\"$service"}"#, ""),
        (r#"up{job="x",pod=~'$pattern.*'}"#, ""),
        ("up", "contains neither $service nor $pattern"),
    ] {
        assert_eq!(check_template(template).err().unwrap_or_default(), problem, "{template}");
    }
    let own = Prometheus {
        url: "http://127.0.0.1:1".into(),
        templates: [(Role::Restarts, "sum(x{app=\"$service\"})".to_owned())].into(),
        ..Prometheus::default()
    };
    let source = PrometheusSource::new(&own).unwrap();
    assert_eq!(source.query(Role::Restarts, "payment"), "sum(x{app=\"payment\"})");
    assert_eq!(source.query(Role::Instances, "payment"), fill(template(Role::Instances), "payment"));
}
