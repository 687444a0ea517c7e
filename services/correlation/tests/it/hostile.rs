//! Ranking survives input that no one should send, and takes no notice of the order in which things come.

use correlation::backtest::{self, incidents};
use correlation::cause::family::Family;
use correlation::cause::{
    Alert, Case, Deployed, Evidence, LogCount, Minutes, Series, SpanTotal, blame, ranking,
};
use shared::events::Category;

const ODD: [f64; 8] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -1e300, f64::MIN_POSITIVE];

fn series(service: &str, metric: &str, base: Vec<f64>, window: Vec<f64>) -> Series {
    Series { service: service.into(), metric: metric.into(), family: Family::of(metric), base, window }
}

fn spans(ts_ms: i64, service: &str, caller: Option<&str>, count: f64, mean_ms: f64) -> Evidence {
    let (operation, caller) = ("op".to_owned(), caller.map(str::to_owned));
    Evidence::Span(SpanTotal {
        ts_ms,
        service: service.into(),
        operation,
        caller,
        count,
        mean_ms,
        p95_ms: mean_ms,
    })
}

fn lines(ts_ms: i64, count: f64) -> Evidence {
    let (level, template) = ("ERROR".to_owned(), "failed".to_owned());
    Evidence::Log(LogCount { ts_ms, service: "a".into(), level, template, count })
}

fn odd_case() -> Case {
    let odd: Vec<f64> = ODD.iter().copied().cycle().take(40).collect();
    let names = ["cpu", "memory", "latency_avg", "client_latency_p90", "availability", "errors", "requests"];
    let mut all: Vec<Series> =
        names.iter().map(|name| series("a", name, odd.clone(), odd[..9].to_vec())).collect();
    all.extend(names.iter().map(|name| series("b", name, vec![1.0; 40], vec![1.0; 2])));
    all.extend(names.iter().map(|name| series("c", name, Vec::new(), Vec::new())));
    let mut evidence: Vec<Evidence> = ODD.iter().map(|&odd| spans(0, "a", Some("b"), odd, odd)).collect();
    evidence.extend(ODD.iter().map(|&odd| lines(60_000, odd)));
    evidence.push(spans(i64::MIN, "b", Some("b"), 1e12, 1e12));
    evidence.push(spans(i64::MAX, "b", None, 1e12, 0.0));
    let edge = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    Case {
        services: ["a", "b", "c", "a", "x_remote"].map(str::to_owned).to_vec(),
        edges: vec![
            edge("a", "b"),
            edge("b", "a"),
            edge("a", "a"),
            edge("nobody", "c"),
            edge("c", "x_remote"),
            edge("x_remote", "c"),
        ],
        alert: Alert { ts_ms: i64::MIN, service: "a".into(), metric: Some("latency_avg".into()) },
        series: all,
        alert_row: 3,
        evidence,
        deployments: vec![Deployed { ts_ms: i64::MAX, service: "a".into() }],
    }
}

#[test]
fn odd_values_are_ranked_by_finite_scores() {
    for (row, ts_ms) in [(0, i64::MIN), (3, 0), (8, i64::MAX), (usize::MAX, 60_000)] {
        let mut case = odd_case();
        (case.alert_row, case.alert.ts_ms) = (row, ts_ms);
        let suspects = ranking::rank(&case, &Minutes::default());
        assert_eq!(suspects.len(), 4, "each service once");
        assert!(suspects.iter().all(|suspect| suspect.score.is_finite()), "{suspects:?}");
        let blame = blame::rank(&case).unwrap();
        assert!(blame.services.iter().all(|blamed| (0.0..=1.001).contains(&blamed.blame)), "{blame:?}");
        let ranked = backtest::cause::rank("odd", &case, &Minutes::default());
        assert!(ranked.ranking.iter().all(|ranked| (0.0..=1.0).contains(&ranked.probability)), "{ranked:?}");
    }
}

#[test]
fn nothing_is_ranked_of_nothing() {
    assert!(ranking::rank(&Case::default(), &Minutes::default()).is_empty());
    assert_eq!(blame::rank(&Case::default()), None);
    let ranked = backtest::cause::rank("nothing", &Case::default(), &Minutes::default());
    assert_eq!(ranked.verdict, backtest::cause::Verdict::NotVisible);
}

#[test]
fn the_order_in_which_series_and_rows_come_does_not_matter() {
    let mut case = odd_case();
    let rank = |case: &Case| {
        let suspects = ranking::rank(case, &Minutes::default());
        suspects.into_iter().map(|suspect| (suspect.service, suspect.score)).collect::<Vec<_>>()
    };
    // of two rows about the same spans the later one counts, so these may not be turned
    case.evidence.retain(|row| matches!(row, Evidence::Log(_)));
    let straight = rank(&case);
    case.series.reverse();
    case.edges.reverse();
    case.services.reverse();
    case.evidence.reverse();
    assert_eq!(rank(&case), straight);
}

#[test]
fn lines_that_are_no_samples_are_counted_and_passed_over() {
    let text = r#"{"ts_ms":0,"service":"a","metric":"cpu","value":1.0}
not a sample

{"ts_ms":60000,"service":"a","metric":"cpu","value":null}
{"ts_ms":60000,"service":"a","metric":"cpu","value":1e308}
{"ts_ms":120000,"service":"a","metric":"cpu","value":2.0}
{"ts_ms":0,"service":"a","metric":"cpu","value":3.0}
{"ts_ms":9223372036854775807,"service":"b","metric":"cpu","value":3.0}
{"ts_ms":-9223372036854775808,"service":"b","metric":"cpu","value":3.0}"#;
    let summary = incidents::run(text.as_bytes(), incidents::Options::default(), |_| Ok(()), |_| {}).unwrap();
    assert_eq!(
        (summary.used, summary.refused, summary.unusable, summary.late, summary.rows, summary.series),
        (3, 1, 2, 2, 3, 2)
    );
}

#[test]
fn a_topology_is_read_bare_or_within_a_sheet_and_is_bounded() {
    let bare = r#"{"services":["a","b"],"edges":[["a","b"]]}"#;
    assert_eq!(backtest::topology(bare).unwrap().edges.len(), 1);
    let within = format!(r#"{{"topology":{bare},"faults":[]}}"#);
    assert_eq!(backtest::topology(&within).unwrap().services, ["a", "b"]);
    assert!(backtest::topology("[]").is_err());
    let many = vec!["a"; backtest::MAX_SERVICES + 1];
    assert!(backtest::topology(&serde_json::json!({"services": many, "edges": []}).to_string()).is_err());
}

#[test]
fn a_fresh_change_supports_a_fault_of_the_code_and_is_no_evidence_alone() {
    let base: Vec<f64> = (0..60).map(|i| 50.0 + f64::from(i * 7 % 11)).collect();
    let mut window = base[..3].to_vec();
    window.extend([90.0; 3]);
    let mut case = Case {
        services: vec!["slow".into(), "calm".into()],
        alert: Alert { ts_ms: 7_200_000, service: "slow".into(), metric: None },
        series: vec![
            series("slow", "latency_p95_ms", base.clone(), window),
            series("calm", "latency_p95_ms", base.clone(), base[..6].to_vec()),
        ],
        alert_row: 3,
        ..Case::default()
    };
    let nats = |case: &Case, service: &str| {
        let suspects = ranking::rank(case, &Minutes::default());
        let suspect = suspects.iter().find(|suspect| suspect.service == service).unwrap();
        (suspect.nats(), suspect.category())
    };
    let (before, category) = nats(&case, "slow");
    assert!(before > 0.5 && category == Category::Code, "{before} {category}");
    for (age_ms, service, is_named) in
        [(60_000, "slow", true), (3_000_000, "slow", false), (4_000_000, "slow", false)]
    {
        case.deployments = vec![Deployed { ts_ms: case.alert.ts_ms - age_ms, service: service.into() }];
        let (after, category) = nats(&case, "slow");
        assert!(after >= before && after <= 2.0 * before, "{age_ms} ms ago: {after} after {before}");
        assert_eq!(category == Category::Deployment, is_named, "{age_ms} ms ago: {after} after {before}");
    }
    case.deployments = vec![Deployed { ts_ms: case.alert.ts_ms, service: "calm".into() }];
    assert_eq!(nats(&case, "calm").0, 0.0);
}
