//! How an incident ends, and who is waited for.

use std::sync::Arc;

use correlation::grouping::{self, Grouping, decide};
use correlation::{Options, endings};
use jiff::SignedDuration;
use shared::events::anomaly::{Anomaly, Ended, Status};
use shared::events::incident::Signal;
use shared::events::{Kind, Severity};

use crate::shop::{Shop, anomaly, at};

fn cleared(metric: &str, ended: Option<Ended>, severity: Severity) -> Arc<Signal> {
    let anomaly =
        Anomaly { status: Status::Cleared, ended, severity, ..anomaly("payment", metric, Kind::Latency, 10) };
    Arc::new(Signal::from_anomaly(&anomaly, None))
}

#[test]
fn an_incident_is_over_for_the_worst_reason_of_the_members_that_fired() {
    use Ended::{Forced, NewLevel, Recovered, Retired, SourceGone};
    let worst = |ends: &[Ended]| {
        let end = |ended: &Ended| cleared(&format!("{ended:?}"), Some(*ended), Severity::Sev3);
        endings::resolution(&ends.iter().map(end).collect::<Vec<_>>())
    };
    let ascending = [Recovered, Retired, NewLevel, Forced, SourceGone];
    for (place, ended) in ascending.iter().enumerate() {
        assert_eq!(worst(&ascending[..=place]), *ended);
    }
    assert_eq!(endings::resolution(&[]), Recovered);
}

#[test]
fn what_never_fired_does_not_decide_unless_nothing_did() {
    let weak = cleared("cpu", Some(Ended::SourceGone), Severity::Sev4);
    let fired = cleared("latency", Some(Ended::Recovered), Severity::Sev3);
    assert_eq!(endings::resolution(&[weak.clone(), fired]), Ended::Recovered);
    assert_eq!(endings::resolution(&[weak]), Ended::SourceGone);
}

#[test]
fn an_end_without_a_reason_is_that_of_an_older_writer_and_a_recovery() {
    assert_eq!(endings::resolution(&[cleared("latency", None, Severity::Sev2)]), Ended::Recovered);
    let firing = Anomaly { ended: Some(Ended::Forced), ..anomaly("payment", "latency", Kind::Latency, 10) };
    assert_eq!(Signal::from_anomaly(&firing, None).ended, None, "what fires has not ended");
}

#[test]
fn a_member_of_which_nothing_comes_is_waited_for_as_long_as_its_interval_says_and_then_ends() {
    let options = Options::default();
    let mut shop = Shop::default();
    let latency = anomaly("payment", "latency_p99_ms", Kind::Latency, 10);
    let slow = Anomaly { interval_ms: 60_000, ..anomaly("payment", "error_rate", Kind::Errors, 10) };
    shop.take(&latency);
    shop.take(&slow);
    let id = shop.incidents[0].incident_id;
    let members = grouping::members(id, &shop.neighbourhood());
    let wait = endings::wait(&members, &options);
    assert_eq!(wait.wait, SignedDuration::from_hours(1), "60 intervals of the slowest");
    assert_eq!(wait.asked.len(), 2);

    // one of them is repeated meanwhile
    shop.take(&Anomaly { revision: 2, observed_at: at(100), ..slow });
    let members = grouping::members(id, &shop.neighbourhood());
    let gone = endings::unseen(&members, &wait.asked, &options);
    assert_eq!(gone.iter().map(|member| &*member.metric).collect::<Vec<_>>(), ["latency_p99_ms"]);
    assert_eq!((gone[0].status, gone[0].end()), (Status::Cleared, Some(Ended::SourceGone)));
    assert_eq!(gone[0].cleared_at, Some(latency.observed_at + SignedDuration::from_mins(30)));
    assert_eq!(endings::wait(&members, &options).asked.len(), 2, "it is asked about the other one again");
}

#[test]
fn members_that_a_rule_reports_once_are_not_taken_for_gone() {
    let options = Options::default();
    let mut shop = Shop::default();
    for (metric, kind) in [
        ("latency_p99_ms:objective", Kind::Latency),
        ("disk_used_percent:time_to_full", Kind::Disk),
        ("certificate_expiry_seconds", Kind::Certificate),
        ("silence", Kind::Silence),
        ("restarts", Kind::Restarts),
        ("logs:errors", Kind::Logs),
        ("joint", Kind::Other),
    ] {
        shop.take(&anomaly("payment", metric, kind, 10));
    }
    let members = grouping::members(shop.incidents[0].incident_id, &shop.neighbourhood());
    assert_eq!(members.len(), 7);
    let wait = endings::wait(&members, &options);
    assert_eq!((wait.asked.len(), wait.wait), (0, SignedDuration::from_mins(30)));
}

#[test]
fn an_absurd_interval_or_many_members_bound_the_wait() {
    let absurd = Arc::new(Signal {
        status: Status::Firing,
        interval_ms: u64::MAX,
        ..Signal::clone(&cleared("latency", None, Severity::Sev3))
    });
    let options = Options::default();
    assert_eq!(
        endings::wait(std::slice::from_ref(&absurd), &options).wait,
        SignedDuration::from_hours(24 * 365)
    );
    let members = vec![absurd; 1_000];
    assert_eq!(endings::wait(&members, &options).asked.len(), 200);
}

#[test]
fn an_old_incident_goes_on_with_its_own_series_and_takes_in_no_other() {
    let mut shop = Shop::default();
    shop.take(&anomaly("payment", "latency_p99_ms", Kind::Latency, 10));
    let day = 24 * 360;
    let grouping = |anomaly: Anomaly| decide(&anomaly, &shop.neighbourhood(), &Options::default()).grouping;
    let other = |tick| anomaly("order", "error_rate", Kind::Errors, tick);
    assert!(matches!(grouping(other(day)), Grouping::Join { .. }), "before it is a day old");
    assert!(matches!(grouping(other(day + 20)), Grouping::Open { .. }));
    let same_service = anomaly("payment", "cpu_percent", Kind::Cpu, day + 20);
    assert!(matches!(grouping(same_service), Grouping::Open { .. }));
    let own = anomaly("payment", "latency_p99_ms", Kind::Latency, day + 20);
    assert!(matches!(grouping(own), Grouping::Join { .. }), "another episode of a member's series");
    let later = Anomaly {
        revision: 2,
        observed_at: at(day + 20),
        ..anomaly("payment", "latency_p99_ms", Kind::Latency, 10)
    };
    assert!(matches!(grouping(later), Grouping::Join { .. }), "a further revision of a member");
}
