//! A postmortem as a page of HTML: one file without scripts and without anything that is loaded, in light and dark, fit to be printed.
//! Every text in it is escaped.

use std::fmt::Write as _;

use communication::markdown::{escape, to_html};
use jiff::Timestamp;
use shared::audit::AuditAction;
use shared::store::action_items::Item;
use shared::store::postmortems::Standing;
use shared::store::timeline::{Entry, LONGEST, Outcome, offset, who, words};
use shared::text::format::{clock, counted, duration, moment};
use shared::text::sanitize::{NAME, one_line};

use super::page::revision;
use super::show::Shown;

/// Most rows of the timeline.
const MAX_ROWS: usize = 400;
/// Longest title, characters.
const MAX_TITLE: usize = 200;
/// Sections that the page has by itself.
const OWN: [&str; 2] = ["Timeline", "Action items"];

const STYLE: &str = include_str!("page.css");

/// Renders the page; `now` is when that is.
pub fn render(shown: &Shown, now: Timestamp) -> String {
    let of = &shown.incident;
    let title = text(&one_line(&of.title, MAX_TITLE));
    let mut out = String::with_capacity(shown.markdown.len() * 3);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Postmortem of incident #{}: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        of.number
    );
    header(&mut out, shown, &title);
    let _ = write!(out, "<article>\n{}</article>\n", to_html(&body(shown)));
    action_items(&mut out, &shown.action_items);
    timeline(&mut out, shown);
    let _ = write!(
        out,
        "<footer>Revision {}. Action items and timeline as they stood {}. Times are UTC. Incident {}</footer>\n\
         </main>\n</body>\n</html>\n",
        text(&revision(shown)),
        moment(now),
        of.incident_id
    );
    out
}

fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    escape(&mut out, raw);
    out
}

fn header(out: &mut String, shown: &Shown, title: &str) {
    let of = &shown.incident;
    let by = |who: &str, at: &Timestamp| format!("by {}, {}", one_line(who, NAME), moment(*at));
    let (class, state, whose) = match &shown.standing {
        Standing::Draft => ("draft", "Draft", "not approved yet".to_owned()),
        Standing::Approved { by: who, at } => ("approved", "Approved", by(who, at)),
        Standing::Withdrawn { by: who, at } => ("withdrawn", "Withdrawn", by(who, at)),
    };
    let _ = write!(
        out,
        "<header>\n<p class=\"soft\">Postmortem of incident #{} &middot; {}</p>\n<h1>{title}</h1>\n\
         <p><span class=\"badge {}\">{}</span> <span class=\"badge {class}\">{state}</span> \
         <span class=\"soft\">{}; revision {}</span></p>\n",
        of.number,
        text(&one_line(&of.environment, NAME)),
        of.severity.label().to_ascii_lowercase(),
        of.severity.label(),
        text(&whose),
        text(&revision(shown)),
    );
    if shown.is_outdated() {
        out.push_str("<p class=\"note\">A later revision of this document exists.</p>\n");
    }
    out.push_str("<dl>\n");
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", text(&value));
    };
    fact("Opened", moment(of.opened_at));
    if let Some(at) = of.resolved_at {
        fact("Over", moment(at));
    }
    fact("Detected after", duration(shown.times.to_detect_ms));
    if let Some(ms) = shown.times.to_cause_ms {
        fact("Cause after", duration(ms));
    }
    fact("Resolved after", duration(shown.times.to_resolve_ms));
    out.push_str("</dl>\n</header>\n");
}

/// Returns the text without its title, and without the sections that the page has by itself, as far as a person has not changed them.
fn body(shown: &Shown) -> String {
    let written: Vec<&str> = sections(&shown.written);
    let is_own = |section: &str| {
        let heading = section.lines().next().and_then(|line| line.strip_prefix("## "));
        heading.is_some_and(|heading| OWN.contains(&heading))
            && written.iter().any(|one| one.trim() == section.trim())
    };
    let kept: Vec<&str> = sections(&shown.markdown).into_iter().filter(|section| !is_own(section)).collect();
    let text = kept.concat();
    match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("# ") => rest.to_owned(),
        _ => text,
    }
}

/// Splits Markdown before each heading of the second level.
fn sections(markdown: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = markdown.match_indices("\n## ").map(|(at, _)| at + 1).collect();
    starts.insert(0, 0);
    starts.push(markdown.len());
    starts.windows(2).filter_map(|pair| markdown.get(pair[0]..pair[1])).collect()
}

fn action_items(out: &mut String, items: &[Item]) {
    out.push_str("<section>\n<h2>Action items</h2>\n");
    if items.is_empty() {
        out.push_str("<p class=\"soft\">None are tracked.</p>\n</section>\n");
        return;
    }
    out.push_str(
        "<table>\n<tr><th>Id</th><th>What</th><th>Owner</th><th>Due</th><th>Priority</th><th>State</th></tr>\n",
    );
    for item in items {
        let changed = item.changed.as_ref().map_or_else(String::new, |change| {
            let note = if change.note.is_empty() { String::new() } else { format!(": {}", change.note) };
            format!(
                "<br><span class=\"soft\">{}</span>",
                text(&format!("{}, {}{note}", change.by, moment(change.at)))
            )
        });
        let _ = writeln!(
            out,
            "<tr class=\"{state}\"><td class=\"id\">{}</td><td>{}<br><span class=\"soft\">{}</span></td><td class=\"who\">{}</td>\
             <td class=\"time\">{}</td><td>{}</td><td><span class=\"state\">{state}</span>{changed}</td></tr>",
            text(&item.name),
            text(&item.title),
            text(&item.reason),
            text(&item.owner),
            item.due,
            item.priority,
            state = item.standing(),
        );
    }
    out.push_str("</table>\n</section>\n");
}

fn timeline(out: &mut String, shown: &Shown) {
    // each series that joined or cleared can be looked up
    let minor = |entry: &&Entry| {
        !matches!(entry.action.parse(), Ok(AuditAction::Joined | AuditAction::Cleared | AuditAction::Unseen))
    };
    let rows: Vec<&Entry> = shown.timeline.iter().filter(minor).take(MAX_ROWS).collect();
    out.push_str("<section>\n<h2>Timeline</h2>\n<table class=\"timeline\">\n");
    out.push_str("<tr><th>Time (UTC)</th><th>Since the opening</th><th>Who</th><th>What</th></tr>\n");
    let mut day = None;
    for entry in &rows {
        let date = entry.at.strftime("%-d %B %Y").to_string();
        if day.as_ref() != Some(&date) {
            let _ = writeln!(out, "<tr class=\"day\"><td colspan=\"4\">{date}</td></tr>");
            day = Some(date);
        }
        let outcome = match entry.outcome {
            None | Some(Outcome::Accepted | Outcome::Sent) => String::new(),
            Some(outcome) => format!(" <span class=\"state\">{}</span>", words(outcome)),
        };
        let kind: &str = entry.kind.into();
        let _ = writeln!(
            out,
            "<tr class=\"{kind}\"><td class=\"time\">{}</td><td class=\"time\">{}</td><td class=\"who\">{}</td><td>{}{outcome}</td></tr>",
            clock(entry.at),
            offset(entry.offset_ms),
            text(&one_line(&who(entry), 2 * NAME)),
            text(&one_line(&entry.what, LONGEST)),
        );
    }
    out.push_str("</table>\n");
    let left_out = shown.timeline.len() - rows.len() + shown.left_out;
    if left_out > 0 {
        // a timeline is bounded, too
        let command = if shown.left_out > 0 { "export" } else { "timeline" };
        let _ = writeln!(
            out,
            "<p class=\"soft\">{} left out; <code>firewatch incidents {command} {}</code> has all.</p>",
            counted(left_out, "line"),
            shown.incident.number
        );
    }
    out.push_str("</section>\n");
}
