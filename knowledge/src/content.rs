//! The content directory: `incidents/*.yaml`, `runbooks/*.md`, `services/*.yaml`; where there are any, `oncall/*.yaml` and
//! `routes.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::DeserializeOwned;
use shared::catalogue::{Catalogue, Service};
use shared::events::Category;
use shared::knowledge::Chunk;
use shared::oncall::Rotation;
use shared::routes;

use crate::incident::Incident;
use crate::oncall;
use crate::problem::{Problem, Problems, Report};
use crate::runbook::Runbook;
use crate::service;
use crate::yaml;

/// Largest file, bytes.
pub const MAX_FILE: u64 = 256 * 1024;
/// Most files of one kind.
const MAX_FILES: usize = 1_000;

/// Everything there is, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// Past incidents, by file name.
    pub incidents: Vec<Incident>,
    /// Runbooks, by file name.
    pub runbooks: Vec<Runbook>,
    /// The service catalogue.
    pub catalogue: Catalogue,
    /// Rotations of people on call, by file name.
    pub rotations: Vec<Rotation>,
    /// Who is notified of what, if there is such a file.
    pub routes: Option<routes::Document>,
}

impl Content {
    /// Reads and checks a content directory.
    pub fn load(directory: &Path) -> Result<Self, Problems> {
        let Files { incidents, runbooks, services, rotations, routes, problems, .. } = Files::read(directory);
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Self {
            incidents: values(incidents),
            runbooks: values(runbooks),
            catalogue: Catalogue::new(values(services)),
            rotations: values(rotations),
            routes,
        })
    }

    /// Returns the chunks of all documents.
    pub fn chunks(&self) -> Vec<Chunk> {
        let incidents = self.incidents.iter().flat_map(Incident::chunks);
        let runbooks = self.runbooks.iter().flat_map(Runbook::chunks);
        let services = self.catalogue.services().map(|service| service::chunk(service, &self.catalogue));
        incidents.chain(runbooks).chain(services).collect()
    }
}

/// Documents of one kind that could be read, each with its file.
pub(crate) type Named<T> = Vec<(String, T)>;

/// The files of a content directory as far as they could be read, and everything that is wrong with them.
pub(crate) struct Files {
    /// Text of each file.
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) incidents: Named<Incident>,
    pub(crate) runbooks: Named<Runbook>,
    pub(crate) services: Named<Service>,
    pub(crate) rotations: Named<Rotation>,
    pub(crate) routes: Option<routes::Document>,
    /// By file and line.
    pub(crate) problems: Vec<Problem>,
    /// What may be meant.
    pub(crate) warnings: Vec<Problem>,
    /// Whether documents were compared with each other: only where each of them could be read.
    pub(crate) is_compared: bool,
}

impl Files {
    /// Reads and checks the files of a content directory.
    pub(crate) fn read(directory: &Path) -> Self {
        let (mut texts, mut problems) = (BTreeMap::new(), Vec::new());
        let incidents = documents::<Incident>(directory, "incidents", &mut texts, &mut problems);
        let services = documents::<Service>(directory, "services", &mut texts, &mut problems);
        let mut runbooks = Vec::new();
        for (file, text) in files(directory, "runbooks", "md", &mut problems) {
            if let Some(runbook) = Runbook::read(&text, &mut Report::new(&file, &mut problems)) {
                runbooks.push((file.clone(), runbook));
            }
            texts.insert(file, text);
        }
        let rotations = oncall::rotations(directory, &mut texts, &mut problems);
        let routes = oncall::routes(directory, &mut texts, &mut problems);
        let mut warnings = Vec::new();
        // a file that cannot be read would also be missed by all that refer to it
        let is_compared = problems.is_empty();
        if is_compared {
            check(&incidents, &runbooks, &services, &mut problems);
            let teams: BTreeSet<&str> = services.iter().map(|(_, service)| &*service.team).collect();
            oncall::check(&rotations, routes.as_ref(), Some(&teams), &mut problems, &mut warnings);
        }
        problems.sort();
        Self { texts, incidents, runbooks, services, rotations, routes, problems, warnings, is_compared }
    }
}

fn values<T>(files: Named<T>) -> Vec<T> {
    files.into_iter().map(|(_, value)| value).collect()
}

pub(crate) fn documents<T: DeserializeOwned>(
    directory: &Path,
    kind: &str,
    texts: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Named<T> {
    let mut read = Vec::new();
    for (file, text) in files(directory, kind, "yaml", problems) {
        read.extend(document(&file, &text, problems).map(|value| (file.clone(), value)));
        texts.insert(file, text);
    }
    read
}

/// Reads one document, or reports why it cannot be read.
pub(crate) fn document<T: DeserializeOwned>(
    file: &str,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    yaml::read(text).map_err(|error| error.report(0, "", &mut Report::new(file, problems))).ok()
}

/// Reads all files of one kind, by name. A file of another kind is a problem: it would be forgotten silently.
fn files(directory: &Path, kind: &str, extension: &str, problems: &mut Vec<Problem>) -> Named<String> {
    let folder = directory.join(kind);
    let mut names = BTreeSet::new();
    match std::fs::read_dir(&folder) {
        Ok(entries) => {
            names.extend(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        Err(error) => Report::new(kind, problems).add("", format!("cannot be read: {error}")),
    }
    let mut read = Vec::new();
    for name in names.iter().take(MAX_FILES) {
        let file = format!("{kind}/{name}");
        let mut report = Report::new(&file, problems);
        let path = folder.join(name);
        if path.extension().is_none_or(|found| found != extension) {
            report.add("", format!("is not a .{extension} file"));
            continue;
        }
        read.extend(text(&path, &mut report).map(|text| (file.clone(), text)));
    }
    Report::new(kind, problems)
        .unless(names.len() <= MAX_FILES, "", || format!("holds more than {MAX_FILES} files"));
    read
}

/// Reads the text of a file that is not too large.
pub(crate) fn text(path: &Path, report: &mut Report<'_>) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_FILE => {
            report.add("", format!("is larger than {MAX_FILE} bytes"));
            return None;
        }
        Ok(_) => match std::fs::read_to_string(path) {
            Ok(text) => return Some(text),
            Err(error) => report.add("", format!("cannot be read: {error}")),
        },
        Err(error) => report.add("", format!("cannot be read: {error}")),
    }
    None
}

/// Returns a file's name without folder and extension.
pub(crate) fn stem(file: &str) -> &str {
    file.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or(file)
}

fn check(
    incidents: &[(String, Incident)],
    runbooks: &[(String, Runbook)],
    services: &[(String, Service)],
    problems: &mut Vec<Problem>,
) {
    let names: BTreeSet<&str> = services.iter().map(|(_, service)| &*service.name).collect();
    let by_id: BTreeMap<&str, &Runbook> =
        runbooks.iter().map(|(_, runbook)| (&*runbook.front.id, runbook)).collect();

    for (file, value) in services {
        let mut report = Report::new(file, problems);
        let is_runbook = |id: &str| by_id.contains_key(id);
        service::check(value, stem(file), &mut report, |name| names.contains(name), is_runbook);
    }
    for (file, runbook) in runbooks {
        runbook.check(stem(file), &mut Report::new(file, problems));
    }
    let mut seen = BTreeSet::new();
    for (file, incident) in incidents {
        let mut report = Report::new(file, problems);
        report.unless(seen.insert(&incident.id), "id", || format!("{:?} is used twice", incident.id));
        check_incident(incident, stem(file), &mut report);
        report.known("services", &incident.services, |name| names.contains(name));
        report.known("runbooks", &incident.runbooks, |id| by_id.contains_key(id));
        let covered =
            |id: &String| by_id.get(&**id).is_some_and(|r| r.front.categories.contains(&incident.category));
        report.unless(incident.runbooks.iter().any(covered), "runbooks", || {
            format!("none is for the category {}", incident.category)
        });
    }
    // without one, an incident of that kind would have no plan
    for category in Category::CAUSES {
        let covered = runbooks.iter().any(|(_, runbook)| runbook.front.categories.contains(&category));
        Report::new("runbooks", problems)
            .unless(covered, "", || format!("none is for the category {category}"));
    }
}

/// Checks an incident that is a file of the content directory.
fn check_incident(incident: &Incident, stem: &str, report: &mut Report<'_>) {
    let number = incident.id.strip_prefix("INC-").unwrap_or_default();
    let fine = number.len() >= 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    report.unless(fine, "id", || format!("{:?} is not INC- and at least four digits", incident.id));
    report.unless(stem.starts_with(&format!("{}-", incident.id)), "id", || {
        format!("{:?} does not begin the file's name", incident.id)
    });
    incident.check(report);
}
