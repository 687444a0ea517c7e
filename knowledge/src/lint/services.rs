//! Names of services in texts. Prose has no sign for them, so only three forms are read: a label (`service="order"`), a workload
//! of Kubernetes (`deployment/order`), and a metric with its service (`error_rate of order`).

use super::{Known, Severity, Unknown, line_at};

/// Prefixes of workloads and their services.
const WORKLOADS: [&str; 7] =
    ["deployment/", "deployments/", "deploy/", "statefulset/", "sts/", "daemonset/", "svc/"];
/// What names of metrics end with.
const METRICS: [&str; 13] = [
    "_bytes",
    "_connections",
    "_count",
    "_errors",
    "_lag",
    "_lines",
    "_messages",
    "_ms",
    "_percent",
    "_rate",
    "_requests",
    "_seconds",
    "_total",
];
/// What follows `of` and names no service.
const WORDS: [&str; 22] = [
    "a",
    "all",
    "an",
    "any",
    "both",
    "callers",
    "consumers",
    "each",
    "every",
    "its",
    "many",
    "most",
    "one",
    "other",
    "our",
    "several",
    "some",
    "that",
    "the",
    "their",
    "these",
    "this",
];

/// Returns the names in a text that no service of the catalogue has. A label states a service, as telemetry has it, and is an
/// error; the other forms may name something else, and are warnings.
pub(super) fn check(text: &str, known: &Known) -> Vec<Unknown> {
    let labels = labels(text).into_iter().map(|found| (found, Severity::Error, "label service".to_owned()));
    let workloads = workloads(text).into_iter().map(|found| {
        let written = text[found.0..].split(found.1).next().unwrap_or_default();
        (found, Severity::Warning, format!("{written}{}", found.1))
    });
    let metrics = metrics(text)
        .into_iter()
        .map(|(found, metric)| (found, Severity::Warning, format!("{metric} of {}", found.1)));
    labels
        .chain(workloads)
        .chain(metrics)
        .filter(|((_, name), ..)| !known.services.contains(*name))
        .map(|((place, name), severity, form)| Unknown {
            line: line_at(text, place),
            severity,
            name: name.to_owned(),
            message: format!("{name:?} is not a service of the catalogue ({form})"),
        })
        .collect()
}

/// A place and the name that stands there.
type Named<'t> = (usize, &'t str);

/// Returns the services of `service="..."`, also with other operators, quotes and several names (`a|b`). Patterns and
/// placeholders are passed over.
fn labels(text: &str) -> Vec<Named<'_>> {
    let mut found = Vec::new();
    for (place, word) in text.match_indices("service") {
        if text[..place].ends_with(is_name) {
            continue;
        }
        let rest = text[place + word.len()..].trim_start_matches(' ');
        let operator = ["=~", "!~", "!=", "==", "="].iter().find_map(|operator| rest.strip_prefix(operator));
        let Some(rest) = operator.map(|rest| rest.trim_start_matches([' ', '\\'])) else { continue };
        let Some(quote) = rest.chars().next().filter(|char| matches!(char, '"' | '\'')) else { continue };
        let Some((names, _)) = rest[1..].split_once(quote) else { continue };
        let names = names.trim_end_matches('\\').split('|');
        found.extend(names.filter(|name| is_plain(name)).map(|name| (place, name)));
    }
    found
}

/// Returns the names behind `deployment/` and the like.
fn workloads(text: &str) -> Vec<Named<'_>> {
    let mut found = Vec::new();
    for prefix in WORKLOADS {
        for (place, _) in text.match_indices(prefix) {
            let is_inside = text[..place].ends_with(|char| is_name(char) || matches!(char, '/' | '.'));
            let rest = &text[place + prefix.len()..];
            let Some(name) = name_at(rest).filter(|_| !is_inside) else { continue };
            let after = &rest[name.len()..];
            let is_whole = !after.starts_with(|char| is_name(char) || matches!(char, '/' | '{' | '$'));
            if is_whole {
                found.push((place, name));
            }
        }
    }
    found
}

/// Returns the names in `METRIC of NAME`, each with its metric; line breaks and code marks may stand between.
fn metrics(text: &str) -> Vec<(Named<'_>, &str)> {
    let mut found = Vec::new();
    for (place, word) in text.match_indices("of") {
        let (before, after) = (&text[..place], &text[place + word.len()..]);
        let is_word = before.ends_with(char::is_whitespace) && after.starts_with(char::is_whitespace);
        let before = before.trim_end().trim_end_matches('`');
        let metric = &before[before.rfind(|char| !is_name(char)).map_or(0, |at| at + 1)..];
        if !is_word || !METRICS.iter().any(|end| metric.ends_with(end) && metric.len() > end.len()) {
            continue;
        }
        let name = name_at(after.trim_start().trim_start_matches('`'));
        found.extend(name.filter(|name| !WORDS.contains(name)).map(|name| ((place, name), metric)));
    }
    found
}

fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_')
}

/// Returns whether a label's value is a name: neither a pattern nor a placeholder such as `{service}` or `NAME`.
fn is_plain(name: &str) -> bool {
    name.chars().all(|char| is_name(char) || char == '.')
        && name.contains(|char: char| char.is_ascii_lowercase())
}

/// Returns the name that a text begins with, as services have them: small letters, digits and hyphens.
fn name_at(text: &str) -> Option<&str> {
    let is_part = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    let name = &text[..text.find(|char| !is_part(char)).unwrap_or(text.len())];
    let name = name.trim_end_matches('-');
    name.starts_with(|char: char| char.is_ascii_lowercase()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_three_forms_and_nowhere_else() {
        let known = Known { documents: [].into(), services: ["order".to_owned()].into() };
        let text = "up{service=\"order\"} up{service=~\"orders|user\"} up{service=\"{service}\"} service=\".*\"\n\
            where my_service = 'x' and service = 'billing'\n\
            kubectl rollout undo deployment/order deploy/orders deployment/{service} deployment/x/y docs/deploy/x\n\
            `error_rate` of order, error_rate of\norders' callers, error_rate of the service, slot_id of relation";
        let found: Vec<_> = check(text, &known).into_iter().map(|found| (found.line, found.name)).collect();
        let expected = [(1, "orders"), (1, "user"), (2, "billing"), (3, "orders"), (4, "orders")];
        assert_eq!(found, expected.map(|(line, name)| (line, name.to_owned())));
    }
}
