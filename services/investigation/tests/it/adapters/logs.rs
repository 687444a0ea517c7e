//! Loki, VictoriaLogs, Elasticsearch.

use investigation::query::adapters::elasticsearch::ElasticSource;
use investigation::query::adapters::loki::LokiSource;
use investigation::query::adapters::victorialogs::VictoriaLogsSource;
use investigation::query::options::{Elasticsearch, Loki, VictoriaLogs};
use investigation::query::source::{Failure, QuerySource};
use serde_json::{Value, json};
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Subject};
use shared::secret::Secret;

use super::ask;
use crate::answers::question;
use crate::double::{Double, Reply, Request};
use crate::scene::at;

const MEMORY: Subject = Subject::Lines { about: LogTopic::Memory };
const LINE: &str = "java.lang.OutOfMemoryError: Java heap space";

/// Checks an answer: five lines in the minute of the first symptom, none else.
async fn five_lines(source: &dyn QuerySource) {
    let answer = ask(source, &question("payment", MEMORY)).await;
    let Ok(Answer::Lines { minutes, example }) = answer else { panic!("{}: {answer:?}", source.name()) };
    assert_eq!(minutes.len(), 71);
    let lines: Vec<(i64, f64)> = minutes
        .iter()
        .filter(|minute| minute.value > 0.0)
        .map(|minute| (minute.ts_ms / 1_000 - at(0).as_second(), minute.value))
        .collect();
    assert_eq!(lines, [(-40, 5.0)], "{}", source.name());
    assert_eq!(example.as_deref(), Some(LINE));
}

async fn is_unknown(source: &dyn QuerySource) {
    let answer = ask(source, &question("payment", MEMORY)).await;
    assert_eq!(answer, Err(Failure::Unknown("payment".into())), "{}", source.name());
}

fn loki(request: &Request, lines: bool, others: bool) -> Reply {
    assert_eq!(request.path, "/loki/api/v1/query_range");
    let query = &request.query["query"];
    let (kind, result) = if query.starts_with("sum(count_over_time(") {
        let values = json!([[at(20).as_second(), "5"]]);
        ("matrix", if lines { json!([{ "metric": {}, "values": values }]) } else { json!([]) })
    } else {
        let is_any = !query.contains("|~");
        let streams = json!([{ "stream": { "service": "payment" }, "values": [[at(20).as_nanosecond().to_string(), LINE]] }]);
        ("streams", if lines || (is_any && others) { streams } else { json!([]) })
    };
    Reply::Json(json!({ "status": "success", "data": { "resultType": kind, "result": result, "stats": {} } }))
}

#[tokio::test]
async fn loki_counts_by_the_minute_and_gives_an_example() {
    let options = |url: &str| Loki { url: url.into(), tenant: "shop".into(), ..Loki::default() };
    let double = Double::serve(|request| loki(request, true, true)).await;
    five_lines(&LokiSource::new(&options(&double.url)).unwrap()).await;
    let request = &double.requests()[0];
    assert!(
        request.query["query"]
            .starts_with(r#"sum(count_over_time({service="payment"} |~ `(?i)(out of memory|"#),
        "{request:?}"
    );
    assert_eq!(request.headers["x-scope-orgid"], "shop");
    // no line of that kind is an answer only where there are others
    let double = Double::serve(|request| loki(request, false, true)).await;
    let answer = ask(&LokiSource::new(&options(&double.url)).unwrap(), &question("payment", MEMORY)).await;
    assert!(matches!(answer, Ok(Answer::Lines { example: None, .. })), "{answer:?}");
    let double = Double::serve(|request| loki(request, false, false)).await;
    is_unknown(&LokiSource::new(&options(&double.url)).unwrap()).await;
    // streams where a matrix was asked for
    let double = Double::serve(|_| {
        Reply::Json(json!({ "status": "success", "data": { "resultType": "streams", "result": [] } }))
    })
    .await;
    let answer = ask(&LokiSource::new(&options(&double.url)).unwrap(), &question("payment", MEMORY)).await;
    assert!(matches!(answer, Err(Failure::Malformed(_))), "{answer:?}");
}

fn victorialogs(request: &Request, lines: bool) -> Reply {
    match request.path.as_str() {
        "/select/logsql/hits" if lines => Reply::Json(json!({ "hits": [
            { "fields": {}, "timestamps": [at(-40), at(20)], "values": [5, 0], "total": 5 },
        ] })),
        "/select/logsql/hits" => Reply::Json(json!({ "hits": [] })),
        "/select/logsql/query" if lines => Reply::Body(
            format!("{}\n", json!({ "_time": at(20), "_msg": LINE, "service": "payment" })).into_bytes(),
        ),
        "/select/logsql/query" => Reply::Body(Vec::new()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn victorialogs_counts_by_the_minute_and_gives_an_example() {
    let options = |url: &str| VictoriaLogs {
        url: url.into(),
        user: "u".into(),
        password: Secret::new("p"),
        ..VictoriaLogs::default()
    };
    let double = Double::serve(|request| victorialogs(request, true)).await;
    five_lines(&VictoriaLogsSource::new(&options(&double.url)).unwrap()).await;
    let request = &double.requests()[0];
    assert!(
        request.query["query"].starts_with(r#""service":="payment" AND _msg:~"(?i)(out of memory|"#),
        "{request:?}"
    );
    assert_eq!(request.headers["authorization"], "Basic dTpw");
    let double = Double::serve(|request| victorialogs(request, false)).await;
    is_unknown(&VictoriaLogsSource::new(&options(&double.url)).unwrap()).await;
    let uneven = json!({ "hits": [{ "timestamps": [at(0)], "values": [] }] });
    let double = Double::serve(move |_| Reply::Json(uneven.clone())).await;
    let answer =
        ask(&VictoriaLogsSource::new(&options(&double.url)).unwrap(), &question("payment", MEMORY)).await;
    assert!(matches!(answer, Err(Failure::Malformed(_))), "{answer:?}");
}

fn found(total: u64, timed_out: bool, failed: u64) -> Value {
    json!({
        "took": 3, "timed_out": timed_out, "_shards": { "total": 5, "successful": 5 - failed, "failed": failed },
        "hits": { "total": { "value": total, "relation": "eq" }, "hits": [] },
        "aggregations": { "since": { "doc_count": total }, "matching": {
            "doc_count": 5,
            // whole minutes of the clock, not of the window
            "minutes": { "buckets": [{ "key": at(0).as_millisecond() / 60_000 * 60_000, "doc_count": 5 }] },
            "example": { "hits": { "total": { "value": 5 }, "hits": [{ "_source": { "message": LINE } }] } },
        } },
    })
}

#[tokio::test]
async fn elasticsearch_counts_by_the_minute_and_gives_an_example() {
    let options =
        |url: &str| Elasticsearch { url: url.into(), index: "logs-shop".into(), ..Elasticsearch::default() };
    let double = Double::serve(|_| Reply::Json(found(900, false, 0))).await;
    let answer = ask(&ElasticSource::new(&options(&double.url)).unwrap(), &question("payment", MEMORY)).await;
    let Ok(Answer::Lines { minutes, example }) = answer else { panic!("{answer:?}") };
    assert_eq!((minutes.len(), minutes.iter().map(|minute| minute.value).sum::<f64>()), (71, 5.0));
    assert_eq!(example.as_deref(), Some(LINE));
    let request = &double.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/logs-shop/_search"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["query"]["bool"]["filter"][0], json!({ "term": { "service.name": "payment" } }));
    let should = body["aggs"]["matching"]["filter"]["bool"]["should"].as_array().unwrap();
    assert_eq!(should[0], json!({ "match_phrase": { "message": "out of memory" } }));
    assert!(should.iter().any(|one| one["wildcard"]["message"]["value"] == "*outofmemory*"), "{should:?}");

    for (document, failure) in [
        (found(0, false, 0), Failure::Unknown("payment".into())),
        (found(900, true, 0), Failure::Partial),
        (found(900, false, 1), Failure::Partial),
    ] {
        let double = Double::serve(move |_| Reply::Json(document.clone())).await;
        let answer =
            ask(&ElasticSource::new(&options(&double.url)).unwrap(), &question("payment", MEMORY)).await;
        assert_eq!(answer, Err(failure));
    }
    let error = json!({ "error": { "type": "index_not_found_exception" }, "status": 404 }).to_string();
    let double = Double::serve(move |_| Reply::Status(404, error.clone())).await;
    let answer = ask(&ElasticSource::new(&options(&double.url)).unwrap(), &question("payment", MEMORY)).await;
    assert_eq!(answer, Err(Failure::Status(404)));
}
