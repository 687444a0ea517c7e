//! Rotations of people on call (`oncall/*.yaml`) and routes (`routes.yaml`). A content directory need not have them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use shared::oncall::{Gravity, Roster, Rotation};
use shared::routes::{Document, Routes};

use crate::content::{Named, document, documents, stem, text};
use crate::problem::{Problem, Problems, Report};

/// Folder of the rotations.
const ROTATIONS: &str = "oncall";
/// File of the routes.
pub const ROUTES: &str = "routes.yaml";

/// Rotations and routes of a content directory.
#[derive(Debug)]
pub struct OnCall {
    /// The rotations; empty if there are none.
    pub roster: Roster,
    /// The routes, if there is such a file.
    pub routes: Option<Routes>,
}

impl OnCall {
    /// Reads and checks rotations and routes; other documents are not looked at.
    ///
    /// # Errors
    /// All that is wrong, warnings left out.
    pub fn load(directory: &Path) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let roster = roster(directory, &mut problems);
        let document = routes(directory, &mut BTreeMap::new(), &mut problems);
        let Some(roster) = roster.filter(|_| problems.is_empty()) else { return Err(Problems(problems)) };
        let routes = document.map(|document| checked(ROUTES, document, &roster)).transpose()?;
        Ok(Self { roster, routes })
    }

    /// Reads and checks the rotations of a content directory, and the routes of a file that may be elsewhere.
    ///
    /// # Errors
    /// All that is wrong, warnings left out.
    pub fn with_routes(directory: &Path, file: &Path) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let roster = roster(directory, &mut problems);
        let name = file.display().to_string();
        let text = text(file, &mut Report::new(&name, &mut problems));
        let document: Option<Document> = text.and_then(|text| document(&name, &text, &mut problems));
        match (roster, document) {
            (Some(roster), Some(document)) if problems.is_empty() => {
                let routes = Some(checked(&name, document, &roster)?);
                Ok(Self { roster, routes })
            }
            _ => Err(Problems(problems)),
        }
    }
}

/// Reads the rotations of a directory; none if something is wrong.
fn roster(directory: &Path, problems: &mut Vec<Problem>) -> Option<Roster> {
    let rotations = rotations(directory, &mut BTreeMap::new(), problems);
    if problems.is_empty() {
        check(&rotations, None, None, problems, &mut Vec::new());
    }
    let rotations = rotations.into_iter().map(|(_, rotation)| rotation).collect();
    Roster::new(rotations).ok().filter(|_| problems.is_empty())
}

fn checked(file: &str, document: Document, roster: &Roster) -> Result<Routes, Problems> {
    Routes::new(document, roster).map_err(|found| {
        let mut problems = Vec::new();
        for problem in found {
            Report::new(file, &mut problems).add(problem.field, problem.reason);
        }
        Problems(problems)
    })
}

/// Reads the rotations, if there are any.
pub(crate) fn rotations(
    directory: &Path,
    texts: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Named<Rotation> {
    if directory.join(ROTATIONS).exists() {
        documents(directory, ROTATIONS, texts, problems)
    } else {
        Vec::new()
    }
}

/// Reads the routes, if there are any.
pub(crate) fn routes(
    directory: &Path,
    texts: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Option<Document> {
    let path = directory.join(ROUTES);
    if !path.exists() {
        return None;
    }
    let text = text(&path, &mut Report::new(ROUTES, problems))?;
    let read = document(ROUTES, &text, problems);
    texts.insert(ROUTES.to_owned(), text);
    read
}

/// Checks rotations and routes against each other and, where they are known, against the teams of the services.
pub(crate) fn check(
    rotations: &[(String, Rotation)],
    routes: Option<&Document>,
    teams: Option<&BTreeSet<&str>>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    let all: Vec<Rotation> = rotations.iter().map(|(_, rotation)| rotation.clone()).collect();
    for (place, problem) in Roster::problems(&all) {
        let to = match problem.gravity {
            Gravity::Error => &mut *problems,
            Gravity::Warning => &mut *warnings,
        };
        Report::new(&rotations[place].0, to).add(problem.field, problem.reason);
    }
    for (file, rotation) in rotations {
        let Rotation { name, team, .. } = rotation;
        Report::new(file, problems)
            .unless(name == stem(file), "name", || format!("{name:?} is not the file's name"));
        let owns = teams.is_none_or(|teams| teams.contains(&**team));
        Report::new(file, warnings)
            .unless(owns, "team", || format!("{team:?} owns no service of the catalogue"));
    }
    // without valid rotations all that routes refer to would be missed
    let roster = Roster::new(all).ok();
    let found = routes.map(|routes| routes.problems(roster.as_ref())).unwrap_or_default();
    for problem in found {
        Report::new(ROUTES, problems).add(problem.field, problem.reason);
    }
}
