use std::collections::BTreeMap;

use super::*;

fn span(id: &str, parent: Option<&str>, service: &str, ts_ms: i64) -> Span {
    Span {
        trace_id: "t".into(),
        span_id: id.into(),
        parent_span_id: parent.map(str::to_owned),
        service: service.into(),
        operation: "op".into(),
        ts_ms,
        duration_ms: 1.0,
        status: SpanStatus::Ok,
        environment: "production".into(),
        peer: None,
    }
}

#[test]
fn a_call_is_learned_whichever_span_comes_first() {
    for turned in [false, true] {
        let mut spans = [span("a", None, "order", 1), span("b", Some("a"), "payment", 2)];
        if turned {
            spans.reverse();
        }
        let mut edges = Edges::default();
        let writes: Vec<Write> = spans.iter().flat_map(|span| edges.observe(span)).collect();
        assert!(
            matches!(&writes[..], [Write::Edge { caller, callee, .. }] if caller == "order" && callee == "payment"),
            "{writes:?}"
        );
    }
}

#[test]
fn a_busy_edge_is_written_once_in_a_while() {
    let mut edges = Edges::default();
    let mut writes = 0;
    for i in 0..100 {
        writes += edges.observe(&span(&format!("p{i}"), None, "order", i * 1000)).len();
        writes += edges.observe(&span(&format!("c{i}"), Some(&format!("p{i}")), "payment", i * 1000)).len();
    }
    assert_eq!(writes, 4, "at 0, 30, 60 and 90 s");
}

/// Everything that was written, added up: calls by caller and callee.
#[derive(Default)]
struct Written {
    edges: BTreeMap<(String, String), (Calls, Callee)>,
}

impl Written {
    fn take(&mut self, writes: Vec<Write>) {
        for write in writes {
            let Write::Edge { caller, callee, seen, .. } = write else { panic!("{write:?}") };
            let (sum, kind) = self.edges.entry((caller, callee)).or_insert((Calls::default(), seen.kind));
            sum.calls += seen.calls.calls;
            sum.failed += seen.calls.failed;
            sum.latency_ms += seen.calls.latency_ms;
            sum.self_calls += seen.calls.self_calls;
            sum.self_ms += seen.calls.self_ms;
            if seen.kind == Callee::Service {
                *kind = Callee::Service;
            }
        }
    }

    fn of(&self, caller: &str, callee: &str) -> Option<(&Calls, Callee)> {
        self.edges.get(&(caller.to_owned(), callee.to_owned())).map(|(calls, kind)| (calls, *kind))
    }

    fn kinds(&self) -> Vec<(&str, &str, Callee)> {
        self.edges.iter().map(|((caller, callee), (_, kind))| (&**caller, &**callee, *kind)).collect()
    }
}

/// Reads spans and lets so much event time pass that all is settled and written.
fn read(spans: impl IntoIterator<Item = Span>) -> Written {
    let mut edges = Edges::default();
    let mut written = Written::default();
    let mut last_ms = 0;
    for span in spans {
        last_ms = last_ms.max(span.ts_ms);
        written.take(edges.observe(&span));
    }
    for minute in 1..=3 {
        written.take(edges.observe(&span(
            &format!("later {minute}"),
            None,
            "later",
            last_ms + minute * 60_000,
        )));
    }
    written
}

fn lasting(duration_ms: f64, span: Span) -> Span {
    Span { duration_ms, ..span }
}

fn naming(peer: &str, span: Span) -> Span {
    Span { peer: Some(peer.into()), ..span }
}

#[test]
fn an_edge_has_the_latency_of_its_calls_and_the_self_time_of_the_callee() {
    let all = [
        lasting(100.0, span("a", None, "gateway", 1_000)),
        lasting(80.0, span("b", Some("a"), "order", 1_010)),
        // two calls at once count once, and what ends after the span does not count there
        lasting(30.0, span("c", Some("b"), "payment", 1_020)),
        lasting(30.0, span("d", Some("b"), "inventory", 1_030)),
        lasting(500.0, span("e", Some("b"), "audit", 1_080)),
    ];
    let failing = Span { status: SpanStatus::Error, ..lasting(20.0, span("f", Some("a"), "order", 1_095)) };
    let spans = || all.iter().cloned().chain([failing.clone()]);
    for turned in [false, true] {
        let order: Vec<Span> = if turned { spans().rev().collect() } else { spans().collect() };
        let written = read(order);
        let (order, kind) = written.of("gateway", "order").unwrap();
        assert_eq!((order.calls, order.failed, order.latency_ms), (2, 1, 100.0));
        // 80 ms less 1,020 to 1,060 and 1,080 to 1,090, and 20 ms
        assert_eq!((order.self_calls, order.self_ms, kind), (2, 50.0, Callee::Service));
        assert_eq!(written.of("order", "payment").unwrap().0.self_ms, 30.0);
    }
}

#[test]
fn time_that_own_spans_wait_for_others_is_no_self_time() {
    let spans = [
        lasting(100.0, span("a", None, "gateway", 1_000)),
        lasting(90.0, span("b", Some("a"), "order", 1_000)),
        lasting(80.0, span("internal", Some("b"), "order", 1_005)),
        naming("payment", lasting(40.0, span("client", Some("internal"), "order", 1_010))),
        lasting(30.0, span("c", Some("client"), "payment", 1_015)),
        naming("ledger", lasting(10.0, span("d", Some("internal"), "order", 1_060))),
    ];
    for turned in [false, true] {
        let mut order = spans.to_vec();
        if turned {
            order.reverse();
        }
        let written = read(order);
        assert_eq!(written.of("gateway", "order").unwrap().0.self_ms, 40.0);
        let expected = [
            ("gateway", "order", Callee::Service),
            ("order", "ledger", Callee::FarEnd),
            ("order", "payment", Callee::Service),
        ];
        assert_eq!(written.kinds(), expected);
        assert_eq!(
            written.of("order", "payment").unwrap().0.calls,
            1,
            "the client's span is not another call"
        );
    }
}

#[test]
fn a_peer_that_no_span_answers_is_a_far_end_with_the_figures_of_the_caller() {
    let failing =
        Span { status: SpanStatus::Error, ..naming("acquirer", span("b", Some("a"), "payment", 2)) };
    let written = read([span("a", None, "payment", 1), failing]);
    let (calls, kind) = written.of("payment", "acquirer").unwrap();
    assert_eq!((calls.calls, calls.failed, calls.self_calls, kind), (1, 1, 0, Callee::FarEnd));
    // the outer one of two spans for one call, and a service that names itself
    let inner = naming("ledger", span("b", Some("a"), "payment", 2));
    let written =
        read([naming("db", span("a", None, "payment", 1)), inner, naming("x", span("c", None, "x", 3))]);
    assert_eq!(written.kinds(), [("payment", "ledger", Callee::FarEnd)]);
}

#[test]
fn a_far_end_waits_for_its_span() {
    let mut edges = Edges::default();
    let mut writes = edges.observe(&naming("payment-vip", span("a", None, "order", 0)));
    writes.extend(edges.observe(&span("x", None, "later", SETTLE_MS - 1)));
    assert!(writes.is_empty(), "{writes:?}");
    writes.extend(edges.observe(&span("b", Some("a"), "payment", 5)));
    writes.extend(edges.observe(&span("y", None, "later", SETTLE_MS)));
    assert!(matches!(&writes[..], [Write::Edge { callee, .. }] if callee == "payment"), "{writes:?}");
}

#[test]
fn a_span_that_is_read_again_counts_once() {
    let mut edges = Edges::default();
    let spans = [span("a", None, "order", 1), span("b", Some("a"), "payment", 2)];
    let mut written = Written::default();
    for span in spans.iter().chain(&spans) {
        written.take(edges.observe(span));
    }
    assert_eq!(edges.take_forgotten(), Forgotten { repeated: 2, ..Forgotten::default() });
    written.take(edges.observe(&span("later", None, "later", 60_000)));
    assert_eq!(written.of("order", "payment").unwrap().0.calls, 1);
}

#[test]
fn calls_are_written_while_other_spans_come() {
    let mut edges = Edges::default();
    let mut written = Written::default();
    for number in 0..10 {
        let parent = format!("p{number}");
        written.take(edges.observe(&span(&parent, None, "order", number)));
        written.take(edges.observe(&span(&format!("c{number}"), Some(&parent), "payment", number)));
    }
    assert_eq!(written.of("order", "payment").unwrap().0.calls, 1, "the first at once");
    written.take(edges.observe(&span("x", None, "later", WRITE_EVERY_MS)));
    assert_eq!(written.of("order", "payment").unwrap().0.calls, 10);
}

#[test]
fn a_service_is_noted_once_an_hour() {
    let mut edges = Edges::default();
    let mut noted = 0;
    for minute in 0..120 {
        edges.observe(&span(&format!("s{minute}"), None, "order", minute * 60_000));
        noted += edges.take_services().len();
    }
    assert_eq!(noted, 2);
}

#[test]
fn odd_times_and_durations_are_bounded() {
    let times = [i64::MIN, -1, 0, i64::MAX, 1_700_000_000_000];
    let durations = [f64::NAN, f64::NEG_INFINITY, -1.0, 1e300];
    let mut edges = Edges::default();
    let mut last = None;
    for (number, (ts_ms, duration_ms)) in
        times.iter().flat_map(|time| durations.map(|duration| (*time, duration))).enumerate()
    {
        let parent = lasting(duration_ms, span(&format!("p{number}"), None, "order", ts_ms));
        let child =
            lasting(duration_ms, span(&format!("c{number}"), Some(&parent.span_id), "payment", ts_ms));
        for write in [edges.observe(&parent), edges.observe(&child)].concat() {
            let Write::Edge { seen, last_seen, .. } = write else { panic!("{write:?}") };
            assert!(seen.calls.latency_ms.is_finite() && seen.calls.self_ms.is_finite());
            assert!((0..=LATEST_MS).contains(&last_seen.as_millisecond()));
            last = Some(last_seen);
        }
    }
    assert!(last.is_some());
}

#[test]
fn memory_is_bounded_and_what_is_dropped_is_counted() {
    let mut edges = Edges::default();
    for number in 0..(3 * GENERATION) {
        let id = format!("s{number}");
        let missing = format!("missing {number}");
        edges.observe(&naming("db", span(&id, Some(&missing), "order", 1)));
    }
    assert!(edges.unsettled.len() <= GENERATION && edges.orphans.len() <= GENERATION);
    assert_eq!(edges.take_forgotten().spans, 2 * GENERATION as u64);
    for number in 0..=MAX_CHILDREN {
        edges.observe(&span(&format!("c{number}"), Some("s59999"), "payment", 1));
    }
    assert_eq!(edges.take_forgotten().intervals, 1);
    for number in 0..=MAX_EDGES {
        edges.observe(&span(&format!("d{number}"), Some("s59999"), &format!("service-{number}"), 1));
    }
    assert!(edges.calls.len() <= MAX_EDGES && edges.due.len() <= MAX_EDGES);
}
