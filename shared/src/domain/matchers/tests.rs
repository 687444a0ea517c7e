use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Matchers {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    text.parse::<Matchers>().expect_err(text).to_string()
}

fn facts() -> Facts {
    let mut facts = Facts {
        environment: Some("production".into()),
        services: ["order".into(), "payment".into()].into(),
        metrics: ["db_connections".into()].into(),
        kinds: [Kind::Pool].into(),
        categories: [Category::Pool, Category::Deployment].into(),
        severity: Some(Severity::Sev2),
        ..Facts::default()
    };
    facts.add_label("route", "/pay");
    facts.add_label("route", "/refund");
    facts
}

#[test]
fn a_positive_matcher_needs_one_value_and_a_negative_one_excludes_all() {
    for (text, expected) in [
        ("", true),
        ("environment=\"production\"", true),
        ("service=\"payment\"", true),
        ("service=\"payment\", service=\"order\"", true),
        ("service=\"user\"", false),
        ("service!=\"user\"", true),
        ("service!=\"payment\"", false),
        ("service=~\"pay.*\"", true),
        ("service=~\"pay\"", false),
        ("service=~\"pay|order\"", true),
        ("service!~\"pay\"", true),
        ("service!~\"pay.*\"", false),
        ("kind=\"pool\", category=\"deployment\"", true),
        ("metric=~\"db_.+\", service=\"user\"", false),
        ("severity=\"sev2\"", true),
        ("severity=~\"sev1|Sev2\"", true),
        ("severity>=\"SEV2\"", true),
        ("severity>=\"SEV1\"", false),
        ("severity<=\"SEV2\"", true),
        ("severity<=\"SEV3\"", false),
        ("label.route=\"/refund\"", true),
        ("label.route!=\"/refund\"", false),
        ("label.team=\"\"", true),
        ("label.team!=\"\"", false),
        ("label.team=~\".+\"", false),
        ("label.route!=\"\"", true),
    ] {
        assert_eq!(read(text).matches(&facts()), expected, "{text}");
    }
    assert!(!read("severity>=\"SEV4\"").matches(&Facts::default()), "no severity is not a low one");
}

#[test]
fn it_is_read_however_it_is_written() {
    let plain = read("service=\"payment\", label.k8s.io/app-name=~\"a\\\\.b|\\\"c\\\"\"");
    for text in [
        "{service=\"payment\",label.k8s.io/app-name=~\"a\\\\.b|\\\"c\\\"\"}",
        "  service = \"payment\" ,\n label.k8s.io/app-name =~ \"a\\\\.b|\\\"c\\\"\" , ",
        "service=payment, label.k8s.io/app-name=~\"a\\\\.b|\\\"c\\\"\"",
    ] {
        assert_eq!(read(text), plain);
    }
    assert_eq!(read("{ }"), Matchers::default());
    assert_eq!(serde_json::to_string(&read("service=payment")).unwrap(), r#""service=\"payment\"""#);
    let wrong = serde_json::from_str::<Matchers>(r#""service:payment""#).unwrap_err().to_string();
    assert!(wrong.contains("column 1: unknown name"), "{wrong}");
}

#[test]
fn what_is_wrong_has_its_place() {
    for (text, column, fault) in [
        ("=\"x\"", 1, Fault::NoName),
        ("severity=\"sev1\", team=\"x\"", 18, Fault::UnknownName("team".into())),
        ("label.=\"x\"", 1, Fault::UnknownName("label.".into())),
        ("service", 8, Fault::NoOperator("service".into())),
        ("service>\"x\"", 8, Fault::NoOperator("service".into())),
        ("service>=\"x\"", 10, Fault::NotOrdered { name: "service".into(), operator: Operator::AtLeast }),
        ("service=", 9, Fault::NoValue),
        ("service=\"é\", metric=\"x", 21, Fault::Unclosed),
        ("service=~\"a\\.b\"", 12, Fault::Escape('.')),
        ("kind=\"latnecy\"", 6, Fault::UnknownValue { name: "kind".into(), value: "latnecy".into() }),
        ("severity>=\"high\"", 11, Fault::UnknownValue { name: "severity".into(), value: "high".into() }),
        ("service=~\"(\\\\w{200}){200}\"", 10, Fault::RegexTooLarge),
        ("service=\"a\" metric=\"b\"", 13, Fault::NoComma),
        ("{service=\"a\"", 13, Fault::NoComma),
        ("{service=\"a\"} x", 15, Fault::NoComma),
    ] {
        let error = text.parse::<Matchers>().expect_err(text);
        assert_eq!((error.column, error.fault), (Some(column), fault), "{text}");
    }
    assert_eq!(refused("service=~\"a)|(?:b\""), "column 10: invalid regular expression: unopened group");
}

#[test]
fn lists_and_matchers_have_a_bound() {
    let many = |number: usize| vec!["service=\"a\""; number].join(",");
    assert_eq!(read(&many(MAX_MATCHERS)).iter().count(), MAX_MATCHERS);
    assert!(refused(&many(MAX_MATCHERS + 1)).contains("more than 20 matchers"));
    assert!(refused(&many(100_000)).contains("bytes"));
    let long = |bytes: usize| format!("service=\"{}\"", "a".repeat(bytes - "service=\"\"".len()));
    assert!(!read(&long(MAX_BYTES)).is_empty());
    assert_eq!(refused(&long(MAX_BYTES + 1)), "column 1: the matcher has 1001 bytes, more than 1000");
    let matcher = Matcher::new(Name::Service, Operator::Equal, "a").unwrap();
    assert!(Matchers::new(vec![matcher; MAX_MATCHERS + 1]).is_err());
}

#[test]
fn matchers_that_select_nothing_in_particular_are_told_apart() {
    for text in ["", "service=~\".*\"", "service!=\"payment\"", "severity!=\"SEV1\", metric=\"\""] {
        assert!(read(text).selective().is_err(), "{text}");
    }
    for text in ["service=\"payment\"", "severity>=\"SEV4\"", "service!=\"payment\", environment=\"staging\""]
    {
        assert!(read(text).selective().is_ok(), "{text}");
    }
}

#[test]
fn matchers_that_never_hold_together_are_found() {
    for text in [
        "environment=\"a\", environment=\"b\"",
        "environment=\"a\", environment!~\"a|b\"",
        "environment=\"a\", environment=~\"b.*\"",
        "service=\"a\", service!=\"a\"",
        "label.x!~\"a.*\", label.x=\"ab\"",
        "severity=\"SEV1\", severity=\"SEV2\"",
        "severity>=\"SEV2\", severity<=\"SEV3\"",
    ] {
        assert!(read(text).contradiction().is_some(), "{text}");
    }
    for text in [
        "service=\"a\", service=\"b\"",
        "service=\"a\", service=~\"b\"",
        "environment=\"a\", environment!=\"b\"",
        "severity>=\"SEV3\", severity<=\"SEV3\"",
    ] {
        assert_eq!(read(text).contradiction(), None, "{text}");
    }
}

#[test]
fn what_is_covered_is_decided_only_where_it_is_certain() {
    for (wide, narrow, expected) in [
        ("", "service=\"a\"", true),
        ("service=\"a\"", "service=\"a\", metric=\"m\"", true),
        ("service=\"a\", metric=\"m\"", "service=\"a\"", false),
        ("service=~\"a|b\"", "service=\"a\"", true),
        ("service!=\"b\"", "service=\"a\"", false),
        ("environment!=\"b\"", "environment=\"a\"", true),
        ("severity>=\"SEV2\"", "severity=\"SEV1\"", true),
        ("severity>=\"SEV2\"", "severity=~\"SEV[12]\", service=\"a\"", true),
        ("severity>=\"SEV2\"", "severity>=\"SEV3\"", false),
        ("severity>=\"SEV4\"", "service=\"a\"", false),
    ] {
        assert_eq!(read(wide).cover(&read(narrow)), expected, "{wide} covers {narrow}");
    }
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let names = prop_oneof![
        Just(Name::Environment),
        Just(Name::Service),
        Just(Name::Metric),
        "[a-zA-Z0-9_./-]{1,12}".prop_map(Name::Label),
    ];
    let exact =
        (names.clone(), prop_oneof![Just(Operator::Equal), Just(Operator::NotEqual)], any::<String>());
    let regex = (names, prop_oneof![Just(Operator::Matches), Just(Operator::NotMatches)], any::<String>())
        .prop_map(|(name, operator, value)| (name, operator, regex::escape(&value)));
    let severity = (
        Just(Name::Severity),
        prop_oneof![Just(Operator::AtLeast), Just(Operator::AtMost), Just(Operator::Equal)],
        "(SEV|sev)[1-4]",
    );
    prop_oneof![exact, regex, severity]
        .prop_filter_map("too long", |(name, operator, value)| Matcher::new(name, operator, value).ok())
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(matchers in prop::collection::vec(any_matcher(), 0..6)) {
        let matchers = Matchers(matchers);
        prop_assert_eq!(matchers.to_string().parse::<Matchers>(), Ok(matchers));
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_inside_of_it(text in ".{0,80}") {
        if let Err(Error { column: Some(column), .. }) = text.parse::<Matchers>() {
            prop_assert!(column <= text.chars().count() + 1);
        }
    }

    #[test]
    fn an_operator_and_its_negation_never_agree(value in "[a-c]{0,2}", services in prop::collection::btree_set("[a-c]{1,2}", 0..3)) {
        let facts = Facts { services, ..Facts::default() };
        for (one, other) in [(Operator::Equal, Operator::NotEqual), (Operator::Matches, Operator::NotMatches)] {
            let holds = |operator| Matcher::new(Name::Service, operator, value.clone()).unwrap().matches(&facts);
            prop_assert_ne!(holds(one), holds(other));
        }
    }

    #[test]
    fn what_is_covered_matches_and_contradictions_match_nothing(
        one in prop::collection::vec(small(), 0..3), other in prop::collection::vec(small(), 0..3), facts in small_facts()
    ) {
        let (one, other) = (Matchers(one), Matchers(other));
        if other.matches(&facts) {
            prop_assert!(!one.cover(&other) || one.matches(&facts), "{one} covers {other}");
            prop_assert_eq!(other.contradiction(), None);
        }
    }
}

/// Matchers over few values, so that they meet.
fn small() -> impl Strategy<Value = Matcher> {
    let name = prop_oneof![Just(Name::Environment), Just(Name::Service)];
    let operator = prop_oneof![
        Just(Operator::Equal),
        Just(Operator::NotEqual),
        Just(Operator::Matches),
        Just(Operator::NotMatches)
    ];
    let plain =
        (name, operator.clone(), "a|b|a\\|b|").prop_map(|(name, op, value)| Matcher::new(name, op, value));
    let severity = (prop_oneof![operator, Just(Operator::AtLeast), Just(Operator::AtMost)], "SEV[1-4]")
        .prop_map(|(op, value)| Matcher::new(Name::Severity, op, value));
    prop_oneof![plain, severity].prop_map(Result::unwrap)
}

fn small_facts() -> impl Strategy<Value = Facts> {
    let severity = prop::option::of(prop::sample::select(vec![
        Severity::Sev1,
        Severity::Sev2,
        Severity::Sev3,
        Severity::Sev4,
    ]));
    (prop::option::of("a|b"), prop::collection::btree_set("a|b", 0..3), severity).prop_map(
        |(environment, services, severity)| Facts { environment, services, severity, ..Facts::default() },
    )
}
