//! Ids of documents in texts, such as `runbook/disk-full`.

use super::{Known, Severity, Unknown, line_at};

/// Returns the ids in a text that no document has.
///
/// `service/NAME` may also be an object of Kubernetes, and is a warning. An id of an incident has a number, so that
/// `incident/problem` is none. A path such as `../runbook/x.md` is none either.
pub(super) fn check(text: &str, known: &Known) -> Vec<Unknown> {
    let mut found = Vec::new();
    for (kind, severity) in
        [("runbook", Severity::Error), ("incident", Severity::Error), ("service", Severity::Warning)]
    {
        let prefix = format!("{kind}/");
        for (place, _) in text.match_indices(&prefix) {
            let Some(id) = id(text, place, &prefix) else { continue };
            if (kind == "incident" && !has_number(id)) || known.documents.contains(id) {
                continue;
            }
            found.push(Unknown {
                line: line_at(text, place),
                severity,
                name: id.to_owned(),
                message: format!("{id} does not exist"),
            });
        }
    }
    found
}

/// Returns the id that begins at a place, where one does.
fn id<'t>(text: &'t str, place: usize, prefix: &str) -> Option<&'t str> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let is_inside = |char: char| is_name(char) || matches!(char, '/' | '.');
    if text[..place].ends_with(is_inside) {
        return None;
    }
    let rest = &text[place + prefix.len()..];
    let name = &rest[..rest.find(|char| !is_name(char)).unwrap_or(rest.len())];
    let after = &rest[name.len()..];
    let name = name.trim_end_matches(['-', '_']);
    let mut after = after.chars();
    let is_path = match after.next() {
        Some('/') => true,
        Some('.') => after.next().is_some_and(is_name),
        _ => false,
    };
    let begins = name.starts_with(|char: char| char.is_ascii_alphanumeric());
    (begins && !is_path).then(|| &text[place..place + prefix.len() + name.len()])
}

fn has_number(id: &str) -> bool {
    let number = id.strip_prefix("incident/INC-");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_and_paths_and_prose_are_not() {
        let known = Known { documents: ["runbook/disk-full".to_owned()].into(), services: [].into() };
        let text = "See runbook/disk-full, `runbook/disk-ful`.\nincident/INC-12 (incident/problem).\n\
            [x](../runbook/gone.md) docs/runbook/gone runbook/gone.md runbook/{slug}\nkubectl get service/db-";
        let found: Vec<_> = check(text, &known).into_iter().map(|found| (found.line, found.name)).collect();
        let expected = [(1, "runbook/disk-ful"), (2, "incident/INC-12"), (4, "service/db")];
        assert_eq!(found, expected.map(|(line, id)| (line, id.to_owned())));
    }
}
