//! Services that log complaints of the same thing which nobody watches: a database, a broker, a service of someone else.
//! Neither calls the other, and what they have lost shows nothing itself. It follows from what is abnormal now, holds for
//! one decision, and is not stored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::Timestamp;
use shared::events::Kind;
use shared::events::anomaly::{Anomaly, LogTemplate, Status};
use shared::events::incident::{Complaint, MAX_COMPLAINTS, Signal};
use shared::events::raw::Level;
use shared::graph::Graph;
use shared::ids::{ComplaintId, derive};
use shared::store::Neighbourhood;

use crate::explanation::is_outside;
use crate::log_terms::LogTerms;
use crate::sampling;

/// Bytes of a template or of a line by which the sentence of an anomaly is seen to quote it.
const QUOTED_BYTES: usize = 100;
/// Words that a line has at least by which a complaint without a name is known.
const MIN_WORDS: usize = 4;
/// Signals with complaints that are compared, the newest first.
const MAX_COMPARED: usize = 200;
/// Ends of names of source files: `server.go:108` is no address.
const SOURCES: [&str; 16] =
    ["c", "cc", "cpp", "cs", "ex", "go", "h", "java", "js", "kt", "php", "py", "rb", "rs", "scala", "ts"];

/// A signal that is compared with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Complaining<'a> {
    service: &'a str,
    began: Timestamp,
    /// When it cleared, if it has: it may still belong to an open incident.
    cleared: Option<Timestamp>,
    interval_ms: u64,
    is_named: bool,
}

/// Returns the pairs of services, in order of their names, whose log lines complain of the same: of one address or far end while
/// the other still does, or in the same words since nearly the same time. Pairs of which one calls the other are left out.
pub fn pairs<'a>(
    neighbourhood: &'a Neighbourhood,
    anomaly: Option<(&'a Anomaly, &[Complaint])>,
) -> BTreeSet<(&'a str, &'a str)> {
    let mut compared: Vec<(Complaining<'_>, &[Complaint])> = neighbourhood
        .signals
        .iter()
        .filter(|(known, _)| !known.complaints.is_empty())
        .map(|(known, _)| {
            let who = Complaining {
                service: &known.service,
                began: known.started_at,
                cleared: known.cleared_at,
                interval_ms: known.interval_ms,
                is_named: false,
            };
            (who, known.complaints.as_slice())
        })
        .collect();
    if let Some((new, complaints)) = anomaly.filter(|(new, _)| new.status != Status::Cleared) {
        let who = Complaining {
            service: &new.service,
            began: new.started_at,
            cleared: None,
            interval_ms: new.interval_ms,
            is_named: false,
        };
        compared.push((who, complaints));
    }
    compared.sort_by(|(a, _), (b, _)| (b.began, a.service).cmp(&(a.began, b.service)));
    compared.truncate(MAX_COMPARED);
    let mut by_complaint: BTreeMap<ComplaintId, Vec<Complaining<'_>>> = BTreeMap::new();
    for (who, complaints) in compared {
        for complaint in complaints.iter().take(MAX_COMPLAINTS) {
            let who = Complaining { is_named: complaint.is_named, ..who };
            by_complaint.entry(complaint.id).or_default().push(who);
        }
    }
    let mut pairs = BTreeSet::new();
    for all in by_complaint.values() {
        for (place, one) in all.iter().enumerate() {
            pairs.extend(all[place + 1..].iter().filter_map(|other| pair(one, other, &neighbourhood.graph)));
        }
    }
    pairs
}

fn pair<'a>(one: &Complaining<'a>, other: &Complaining<'a>, graph: &Graph) -> Option<(&'a str, &'a str)> {
    let interval_ms = one.interval_ms.max(other.interval_ms);
    let (earlier, later) = if one.began <= other.began { (one, other) } else { (other, one) };
    let since = earlier.cleared.unwrap_or(later.began).clamp(earlier.began, later.began);
    // what is named may be lost by one service long before another one asks for it
    let since = if one.is_named { since } else { earlier.began };
    let is_together = sampling::began_together(since, later.began, interval_ms);
    (is_together && !graph.related(one.service, other.service))
        .then(|| (one.service.min(other.service), one.service.max(other.service)))
}

/// Returns what the log lines that an anomaly is about complain of, beside what is known of earlier revisions: only lines that
/// name what lies outside the service. Lines that it always logs are not what the anomaly is about, and say nothing.
pub fn of(anomaly: &Anomaly, before: Option<&Signal>, graph: &Graph, log_terms: &LogTerms) -> Vec<Complaint> {
    let mut complaints = before.map(|before| before.complaints.clone()).unwrap_or_default();
    if anomaly.kind == Kind::Logs {
        let raised = anomaly.context.logs.iter().filter(|log| is_quoted(log, &anomaly.explanation));
        let outside = raised.filter(|log| log.level >= Level::Warn && names_outside(&log.example, log_terms));
        complaints.extend(outside.flat_map(|log| complaints_of(&log.example, &anomaly.service, graph)));
    }
    // those by name first, and the same ones whatever came first
    complaints.sort_by_key(|complaint| (!complaint.is_named, complaint.id));
    complaints.dedup();
    complaints.truncate(MAX_COMPLAINTS);
    complaints
}

fn is_quoted(log: &LogTemplate, sentence: &str) -> bool {
    [&log.template, &log.example].into_iter().any(|text| {
        let start = &text[..text.floor_char_boundary(QUOTED_BYTES)];
        !start.is_empty() && sentence.contains(start)
    })
}

fn names_outside(line: &str, log_terms: &LogTerms) -> bool {
    log_terms.category(line).is_some_and(is_outside)
}

/// Returns the addresses and far ends that a line names; where it names none, its words.
fn complaints_of(line: &str, service: &str, graph: &Graph) -> Vec<Complaint> {
    let line = line.to_lowercase();
    let tokens: Vec<&str> = line.split(|c: char| !(c.is_alphanumeric() || ".-_:".contains(c))).collect();
    let mut named: Vec<Complaint> = Vec::new();
    for token in &tokens {
        let token = token.trim_matches(|c: char| ".-_:".contains(c));
        if let Some(address) = address(token) {
            named.push(complaint("address", address, true));
        }
        let host = token.split(':').next().unwrap_or(token);
        if graph.calls_far_end(service, host) {
            named.push(complaint("far_end", host, true));
        }
    }
    if !named.is_empty() {
        return named;
    }
    let is_word = |token: &&str| token.chars().all(char::is_alphabetic) && !token.is_empty();
    let words: Vec<&str> = tokens.into_iter().filter(is_word).filter(|word| *word != service).collect();
    if words.len() < MIN_WORDS { Vec::new() } else { vec![complaint("words", &words.join(" "), false)] }
}

fn complaint(kind: &str, what: &str, is_named: bool) -> Complaint {
    Complaint { id: ComplaintId(derive(&["complaint", kind, what])), is_named }
}

/// Returns the token if it is an address of another machine: an IPv4 address or a name with a port, or an IPv4 address.
fn address(token: &str) -> Option<&str> {
    let (host, port) = token.split_once(':').map_or((token, None), |(host, port)| (host, Some(port)));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return None;
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return (!ip.is_loopback() && !ip.is_unspecified()).then_some(token);
    }
    let is_source = host.rsplit_once('.').is_some_and(|(_, end)| SOURCES.contains(&end));
    let is_name = host.contains(char::is_alphabetic) && host != "localhost" && !is_source;
    (is_name && port.is_some()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_places_in_code_times_and_the_own_machine() {
        for (token, expected) in [
            ("db-1.internal:5432", true),
            ("postgres:5432", true),
            ("10.0.3.4:6379", true),
            ("10.0.3.4", true),
            ("127.0.0.1:15001", false),
            ("localhost:8080", false),
            ("server.go:108", false),
            ("main.java:42", false),
            ("12:30", false),
            ("db-1.internal:70000", false),
            ("java.net.connectexception", false),
            ("error::kind", false),
        ] {
            assert_eq!(address(token).is_some(), expected, "{token}");
        }
    }

    #[test]
    fn a_line_complains_of_what_it_names_or_else_in_its_words() {
        let mut graph = Graph::default();
        graph.add_far_end("order".into(), "acquirer".into());
        let of = |line: &str, service: &str| complaints_of(line, service, &graph);
        let go = of("dial tcp db-1:5432: connect: connection refused", "order");
        assert_eq!(go, of("Connection to DB-1:5432 refused. Check that the postmaster is running", "user"));
        assert_ne!(go, of("dial tcp db-2:5432: connect: connection refused", "order"));
        assert_eq!(
            of("call to acquirer failed: timed out", "order"),
            [complaint("far_end", "acquirer", true)]
        );
        // another service's far end is a word like any other
        let words = of("call 17 to acquirer timed out", "user");
        assert_eq!(words, of("user: call 4 to acquirer timed out", "user"));
        assert!(!words[0].is_named);
        assert_eq!(of("upstream timed out", "user"), []);
    }
}
