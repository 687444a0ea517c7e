//! `firewatch silence preview`: what matchers would have hidden.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use shared::events::{Incident, Severity};
use shared::matchers::{Facts, Matchers};
use shared::store::{Incidents, Reads};

use super::arguments::Preview as Arguments;
use crate::failure::CliError;
use crate::figures::{ago, counted};
use crate::incidents::{failed, severity_tone};
use crate::settings::Settings;
use crate::terminal::{self, Screen, Tone, cell, clean, finished};

/// Incidents that are read at once.
const PAGE: i64 = 200;
/// Most incidents that are looked at.
const MAX_INCIDENTS: usize = 10_000;

/// What matchers would have hidden.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// The matchers.
    pub matchers: String,
    /// Environment.
    pub environment: String,
    /// Since when incidents were looked at, by the time they were opened.
    pub since: Timestamp,
    /// How many were looked at.
    pub looked_at: usize,
    /// Whether there are older ones that were not looked at.
    pub is_cut: bool,
    /// Notifications that would have been hidden.
    pub notifications: usize,
    /// Incidents that match, newest first.
    pub incidents: Vec<Matched>,
}

/// An incident that matches, as it stands now.
#[derive(Debug, Clone, Serialize)]
pub struct Matched {
    /// For people.
    pub number: i64,
    /// Severity.
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Notifications on record.
    pub notifications: usize,
}

/// Runs `firewatch silence preview`.
pub async fn run(
    arguments: &Arguments,
    reads: &Reads,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let matchers: Matchers = arguments
        .matchers
        .parse()
        .map_err(|error: shared::matchers::Error| CliError::Usage(error.to_string()))?;
    let since = arguments.since.seen_from(screen.now);
    let mut preview = Preview {
        matchers: matchers.to_string(),
        environment: arguments.environment.clone(),
        since,
        looked_at: 0,
        is_cut: false,
        notifications: 0,
        incidents: Vec::new(),
    };
    let mut before = None;
    loop {
        let page =
            reads.incidents(Incidents::All, before, PAGE).await.map_err(|error| failed(settings, &error))?;
        before = page.incidents.last().map(|incident| incident.number);
        let recent: Vec<&Incident> =
            page.incidents.iter().filter(|incident| incident.opened_at >= since).collect();
        for incident in &recent {
            if incident.environment == arguments.environment {
                look(&mut preview, incident, &matchers, reads)
                    .await
                    .map_err(|error| failed(settings, &error))?;
            }
        }
        if before.is_none() || recent.is_empty() {
            break;
        }
        if preview.looked_at >= MAX_INCIDENTS {
            preview.is_cut = true;
            break;
        }
    }
    terminal::print(&if arguments.json { terminal::json(&preview, true)? } else { render(&preview, screen) })
}

async fn look(
    preview: &mut Preview,
    incident: &Incident,
    matchers: &Matchers,
    reads: &Reads,
) -> Result<(), shared::store::Error> {
    preview.looked_at += 1;
    if !matchers.matches(&Facts::of_incident(incident)) {
        return Ok(());
    }
    let notifications = reads.notifications(incident.incident_id).await?;
    let sent = notifications.iter().filter(|(_, state)| state.is_message()).count();
    preview.notifications += sent;
    preview.incidents.push(Matched {
        number: incident.number,
        severity: incident.severity,
        title: incident.title.clone(),
        opened_at: incident.opened_at,
        notifications: sent,
    });
    Ok(())
}

/// Renders what would have been hidden.
pub fn render(preview: &Preview, screen: &Screen) -> String {
    let mut text = format!(
        "{} would have hidden {} of {}, of {} since {} in {}\n",
        clean(&preview.matchers, 1_000),
        counted(preview.notifications, "notification"),
        counted(preview.incidents.len(), "incident"),
        counted(preview.looked_at, "incident"),
        crate::figures::moment(preview.since),
        clean(&preview.environment, 100),
    );
    if preview.is_cut {
        let _ = writeln!(text, "older incidents were not looked at");
    }
    if preview.incidents.is_empty() {
        return text;
    }
    let mut table = screen.table(&["#", "SEV", "TITLE", "OPENED", "NOTIFICATIONS"]);
    for incident in &preview.incidents {
        table.add_row([
            cell(Tone::Strong, incident.number),
            cell(severity_tone(incident.severity), incident.severity.label()),
            cell(Tone::Plain, clean(&incident.title, 1_000)),
            cell(Tone::Plain, ago(screen.now, incident.opened_at)),
            cell(Tone::Plain, incident.notifications),
        ]);
    }
    text.push('\n');
    text.push_str(&finished(&table));
    text
}
