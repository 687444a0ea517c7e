//! Services that log complaints of the same thing which nobody watches: a database, a broker, a service of someone else.
//! Neither calls the other, and what they have lost shows nothing itself. It follows from what is abnormal now, holds for
//! one decision, and is not stored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

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
/// Signals with complaints that are compared, the newest first, and services of one complaint.
const MAX_COMPARED: usize = 200;
const MAX_SERVICES: usize = 50;
/// Ends of names of source files: `server.go:108` is no address.
const SOURCES: [&str; 29] = [
    "c", "cc", "clj", "cpp", "cs", "erl", "ex", "exs", "fs", "go", "h", "hs", "java", "js", "jsx", "kt",
    "lua", "m", "mjs", "php", "pl", "py", "rb", "rs", "scala", "sh", "swift", "ts", "tsx",
];
/// Least port of a name without a dot or a hyphen, and words before a number that are no such names.
const LEAST_PORT: u16 = 1_024;
const KEYS: [&str; 14] = [
    "attempt", "code", "count", "errno", "error", "id", "line", "pid", "port", "retry", "size", "status",
    "tid", "user",
];

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
    let who = |service, began, cleared, interval_ms| Complaining {
        service,
        began,
        cleared,
        interval_ms,
        is_named: false,
    };
    let signals = neighbourhood.signals.iter().map(|(known, _)| known);
    let known = signals.filter(|known| !known.complaints.is_empty()).map(|known| {
        let who = who(known.service.as_str(), known.started_at, known.cleared_at, known.interval_ms);
        (who, known.complaints.as_slice())
    });
    let newest = anomaly.filter(|(new, _)| new.status != Status::Cleared).map(|(new, complaints)| {
        (who(new.service.as_str(), new.started_at, None, new.interval_ms), complaints)
    });
    let mut compared: Vec<(Complaining<'_>, &[Complaint])> = known.chain(newest).collect();
    compared.sort_by(|(a, _), (b, _)| (b.began, a.service).cmp(&(a.began, b.service)));
    compared.truncate(MAX_COMPARED);
    // of a service that complains in several signals, the one that still does, and of those the first
    let mut by_complaint: BTreeMap<ComplaintId, BTreeMap<&str, Complaining<'_>>> = BTreeMap::new();
    for (who, complaints) in compared {
        for complaint in complaints.iter().take(MAX_COMPLAINTS) {
            let who = Complaining { is_named: complaint.is_named, ..who };
            let known = by_complaint.entry(complaint.id).or_default().entry(who.service).or_insert(who);
            if (who.cleared.is_some(), who.began) < (known.cleared.is_some(), known.began) {
                *known = who;
            }
        }
    }
    let mut pairs = BTreeSet::new();
    for services in by_complaint.values().filter(|services| services.len() > 1) {
        let all: Vec<&Complaining<'_>> = services.values().take(MAX_SERVICES).collect();
        for (place, one) in all.iter().enumerate() {
            let callers = neighbourhood.graph.ancestors(one.service);
            let callees = neighbourhood.graph.descendants(one.service);
            let apart = all[place + 1..]
                .iter()
                .filter(|other| !callers.contains(other.service) && !callees.contains(other.service));
            pairs.extend(
                apart.filter(|other| are_together(one, other)).map(|other| (one.service, other.service)),
            );
        }
    }
    pairs
}

/// Whether both complain at one time.
fn are_together(one: &Complaining<'_>, other: &Complaining<'_>) -> bool {
    let interval_ms = one.interval_ms.max(other.interval_ms);
    let (earlier, later) = if one.began <= other.began { (one, other) } else { (other, one) };
    let since = earlier.cleared.unwrap_or(later.began).clamp(earlier.began, later.began);
    // what is named may be lost by one service long before another one asks for it
    let since = if one.is_named { since } else { earlier.began };
    sampling::began_together(since, later.began, interval_ms)
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
    let mut named: Vec<Complaint> = placeholders(line).map(|address| named_by("address", address)).collect();
    let is_address = |c: char| c.is_alphanumeric() || ".-_:".contains(c);
    let tokens: Vec<&str> = line
        .split(|c: char| !is_address(c))
        .map(|token| token.trim_start_matches(['.', '-', '_']).trim_end_matches(['.', '-', '_', ':']))
        .collect();
    let is_of_names = is_of_names(&line.to_lowercase());
    let mut has_other = !named.is_empty() || is_of_names;
    for token in &tokens {
        let lower = token.to_lowercase();
        match address(&lower) {
            // the server that was asked for a name is not what is lost
            _ if is_of_names => named.extend(host(token).map(|host| named_by("name", host))),
            Address::Machine => named.push(named_by("address", &lower)),
            Address::Own => has_other = true,
            Address::None => {}
        }
        let host = lower.split(':').next().unwrap_or(&lower);
        if graph.calls_far_end(service, host) {
            named.push(named_by("far_end", host));
        }
    }
    if !named.is_empty() || has_other {
        return named;
    }
    let is_word = |token: &&str| token.chars().all(char::is_alphabetic) && !token.is_empty();
    let words: Vec<String> =
        tokens.into_iter().filter(is_word).filter(|word| *word != service).map(str::to_lowercase).collect();
    if words.len() < MIN_WORDS { Vec::new() } else { vec![complaint("words", &words.join(" "), false)] }
}

fn named_by(kind: &str, name: &str) -> Complaint {
    complaint(kind, name, true)
}

fn complaint(kind: &str, what: &str, is_named: bool) -> Complaint {
    Complaint { id: ComplaintId(derive(&["complaint", kind, what])), is_named }
}

/// Returns the addresses that were redacted, each with its port: the same address has the same placeholder.
fn placeholders(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("[ip ").filter_map(|(at, _)| {
        let end = at + line[at..].find(']')? + 1;
        let port = line[end..]
            .strip_prefix(':')
            .map_or(0, |port| 1 + port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len()));
        Some(&line[at..end + port])
    })
}

/// Whether a line, in lower case, says that a name was not resolved.
fn is_of_names(line: &str) -> bool {
    ["no such host", "name resolution", "could not resolve", "unknownhostexception", "enotfound", "lookup "]
        .into_iter()
        .any(|words| line.contains(words))
}

/// Returns the token, as it was written, if it is the name of a machine: several labels, which names of classes and packages have
/// too, but not in lower case behind the last dot.
fn host(token: &str) -> Option<&str> {
    let host = token.split(':').next()?;
    let (start, end) = host.rsplit_once('.')?;
    let is_name = end.len() > 1 && end.chars().all(|c| c.is_ascii_lowercase()) && !SOURCES.contains(&end);
    let is_package =
        ["java.", "javax.", "org.", "com.", "io.", "net."].iter().any(|package| host.starts_with(package));
    (is_name && !start.is_empty() && !is_package).then_some(host)
}

/// What a token of a line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address {
    /// Another machine.
    Machine,
    /// The machine that the service runs on: a proxy beside it, or itself.
    Own,
    /// None.
    None,
}

/// Returns what a token in lower case names: an IP address, with or without a port, or a name with a port.
fn address(token: &str) -> Address {
    let of =
        |ip: IpAddr| if ip.is_loopback() || ip.is_unspecified() { Address::Own } else { Address::Machine };
    if let Ok(ip) = token.parse::<IpAddr>() {
        return of(ip);
    }
    let Some((host, port)) = token.split_once(':') else {
        return if token == "localhost" { Address::Own } else { Address::None };
    };
    let Ok(port) = port.parse::<u16>() else { return Address::None };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return of(ip);
    }
    if host == "localhost" {
        return Address::Own;
    }
    let is_source = host.rsplit_once('.').is_some_and(|(_, end)| SOURCES.contains(&end));
    // `status:503` and `attempt:3` have the form of a name with a port
    let is_dotted = host.contains(['.', '-']);
    let is_name = host.contains(char::is_alphabetic) && !is_source;
    if is_name && (is_dotted || port >= LEAST_PORT && !KEYS.contains(&host)) {
        Address::Machine
    } else {
        Address::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_places_in_code_times_figures_and_the_own_machine() {
        use Address::{Machine, None, Own};
        for (token, expected) in [
            ("db-1.internal:5432", Machine),
            ("postgres:5432", Machine),
            ("ledger-db:443", Machine),
            ("10.0.3.4:6379", Machine),
            ("10.0.3.4", Machine),
            ("2001:db8::17", Machine),
            ("127.0.0.1:15001", Own),
            ("::1", Own),
            ("localhost:8080", Own),
            ("localhost", Own),
            ("server.go:108", None),
            ("index.mjs:42", None),
            ("12:30", None),
            ("status:503", None),
            ("attempt:3", None),
            ("pid:4711", None),
            ("db-1.internal:70000", None),
            ("java.net.connectexception", None),
            ("error::kind", None),
        ] {
            assert_eq!(address(token), expected, "{token}");
        }
    }

    fn of(line: &str, service: &str) -> Vec<Complaint> {
        let mut graph = Graph::default();
        graph.add_far_end("order".into(), "acquirer".into());
        complaints_of(line, service, &graph)
    }

    #[test]
    fn a_line_complains_of_what_it_names_or_else_in_its_words() {
        let go = of("dial tcp db-1:5432: connect: connection refused", "order");
        assert_eq!(go, of("Connection to DB-1:5432 refused. Check that the postmaster is running", "user"));
        assert_ne!(go, of("dial tcp db-2:5432: connect: connection refused", "order"));
        assert_eq!(of("call to acquirer failed: timed out", "order"), [named_by("far_end", "acquirer")]);
        // another service's far end is a word like any other
        let words = of("call 17 to acquirer timed out", "user");
        assert_eq!(words, of("user: call 4 to acquirer timed out", "user"));
        assert!(!words[0].is_named);
        assert_eq!(of("upstream timed out", "user"), []);
        assert!(!of("upstream call of the user failed with status:503", "user")[0].is_named);
    }

    #[test]
    fn addresses_that_say_nothing_leave_no_words_to_compare() {
        for line in [
            "dial tcp 127.0.0.1:6379: connect: connection refused by peer",
            "dial tcp [::1]:6379: connect: connection refused by peer",
            "lookup of the name failed: no such host was found anywhere",
        ] {
            assert_eq!(of(line, "user"), [], "{line}");
        }
    }

    #[test]
    fn a_redacted_address_is_known_by_its_placeholder_and_port() {
        let first = of("dial tcp [ip 3f2a]:5432: connect: connection refused", "order");
        assert_eq!(first, of("Connection to [ip 3f2a]:5432 refused, check the server", "user"));
        for other in ["[ip 3f2a]:6379", "[ip 3f2b]:5432", "[ip 3f2a]"] {
            assert_ne!(
                first,
                of(&format!("dial tcp {other}: connect: connection refused"), "order"),
                "{other}"
            );
        }
    }

    #[test]
    fn of_a_name_that_is_not_resolved_the_name_is_lost_and_not_its_server() {
        let go = of("dial tcp: lookup db-a.internal on 10.96.0.10:53: no such host", "order");
        assert_eq!(go, [named_by("name", "db-a.internal")]);
        assert_eq!(go, of("java.net.UnknownHostException: db-a.internal: Name or service not known", "user"));
        assert_eq!(go, of("getaddrinfo ENOTFOUND db-a.internal db-a.internal:5432", "user")[..1]);
        assert_ne!(go, of("dial tcp: lookup kafka-b.internal on 10.96.0.10:53: no such host", "order"));
    }
}
