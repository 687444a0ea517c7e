//! Why an incident or a member of it ended, in words that are true of its own figures. Mails, timelines and documents ask
//! here: nothing else may say that something recovered.

use jiff::Timestamp;

use crate::events::Kind;
use crate::events::anomaly::Ended;
use crate::events::incident::Signal;
use crate::text::format::{between, duration, figure};
use crate::text::sanitize::{NAME, one_line};

/// Returns why an incident is over, as the beginning of a sentence.
pub fn headline(ended: Ended) -> &'static str {
    match ended {
        Ended::Recovered => "Recovered",
        Ended::NewLevel => "Ended without recovery, at a new level",
        Ended::SourceGone => "Ended without recovery, because a source stopped reporting",
        Ended::Retired => "Ended with the retirement of a service",
        Ended::Manual => "Resolved by a person",
        Ended::Forced => "Ended by a limit, without known recovery",
    }
}

/// Returns the same in a word or two, for a column or a subject.
pub fn label(ended: Ended) -> &'static str {
    match ended {
        Ended::Recovered => "recovered",
        Ended::NewLevel => "new level accepted",
        Ended::SourceGone => "stopped reporting",
        Ended::Retired => "retired",
        Ended::Manual => "resolved by a person",
        Ended::Forced => "ended by a limit",
    }
}

/// Says how a member ended, without a full stop; that it has not where it has not.
pub fn sentence(signal: &Signal) -> String {
    let (service, metric) = (one_line(&signal.service, NAME), one_line(&signal.series(), 2 * NAME));
    let lasted =
        signal.cleared_at.map_or_else(String::new, |at| format!(" after {}", between(signal.started_at, at)));
    match signal.end() {
        None => format!("{metric} of {service} has not ended"),
        Some(Ended::Recovered) => format!("{metric} of {service} recovered{lasted}"),
        Some(Ended::NewLevel) => format!(
            "{metric} of {service} did not recover: the new level of {} was accepted{lasted}",
            figure(signal.observed, &signal.unit)
        ),
        Some(Ended::SourceGone) if signal.kind == Kind::Silence => {
            let silent_ms = (signal.observed * 1000.0) as i64;
            format!("{service} has not reported for {}", duration(silent_ms))
        }
        Some(Ended::SourceGone) => match unseen(signal) {
            Some((last, at)) => {
                format!("{metric} of {service} did not recover: not reported for {}", between(last, at))
            }
            None => format!("{metric} of {service} did not recover: it stopped being reported"),
        },
        Some(Ended::Retired) => format!("{metric} of {service} ended because {service} was retired"),
        Some(Ended::Manual) => {
            format!("{metric} of {service} was still abnormal when a person resolved the incident{lasted}")
        }
        Some(Ended::Forced) => {
            format!("{metric} of {service} was ended by a limit{lasted}; whether it recovered is not known")
        }
    }
}

/// Returns when a member was seen last, and when it was given up.
fn unseen(signal: &Signal) -> Option<(Timestamp, Timestamp)> {
    let cleared_at = signal.cleared_at?;
    let sample = signal.samples.last().and_then(|point| Timestamp::from_millisecond(point.ts_ms).ok());
    let last = sample.unwrap_or(signal.observed_at);
    (last < cleared_at).then_some((last, cleared_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_ms;
    use crate::events::anomaly::{Point, Status};
    use crate::lifecycle::tests::signal;

    #[test]
    fn each_end_is_said_with_its_own_figures() {
        let hour_ms = 3_600_000;
        let ended = |ended, change: fn(&mut Signal)| {
            let mut signal = Signal {
                metric: "latency_p99_ms".into(),
                unit: "ms".into(),
                status: Status::Cleared,
                observed: 820.0,
                cleared_at: Some(from_ms(hour_ms * 3 / 2)),
                ended: Some(ended),
                ..signal(1)
            };
            change(&mut signal);
            sentence(&signal).replace('\u{a0}', " ")
        };
        let sampled = |signal: &mut Signal| signal.samples = vec![Point { ts_ms: 1_800_000, value: 820.0 }];
        let silent = |signal: &mut Signal| (signal.kind, signal.observed) = (Kind::Silence, 86_400.0);
        let older = |signal: &mut Signal| signal.ended = None;
        let open = |signal: &mut Signal| signal.status = Status::Firing;
        for (sentence, figures) in [
            (ended(Ended::NewLevel, |_| ()), ["820 ms", "1 h 30 min"]),
            (ended(Ended::SourceGone, sampled), ["latency_p99_ms", "1 h"]),
            (ended(Ended::SourceGone, silent), ["payment", "1 d"]),
            (ended(Ended::Forced, |_| ()), ["not known", "1 h 30 min"]),
        ] {
            assert!(figures.iter().all(|figure| sentence.contains(figure)), "{sentence}");
        }
        assert_eq!(ended(Ended::SourceGone, older), ended(Ended::Recovered, |_| ()));
        let all = [Ended::NewLevel, Ended::SourceGone, Ended::Retired, Ended::Forced];
        let recovered = format!("{} of {} recovered", "latency_p99_ms", "payment");
        assert!(ended(Ended::Recovered, |_| ()).starts_with(&recovered));
        assert!(all.iter().all(|one| !ended(*one, |_| ()).starts_with(&recovered)));
        assert!(!ended(Ended::Recovered, open).starts_with(&recovered), "it has not ended");
    }
}
