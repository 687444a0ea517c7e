//! Templates of mails: the embedded ones, and those of a folder in their place.
//!
//! A template sees `frame` (a [`Frame`]) and `mail` (the content of its kind of mail). A name that does not exist is an error, never
//! an empty text. HTML templates escape every value; text templates escape none.

mod sample;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use minijinja::value::Serde;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context,
};
use shared::text::markdown::{CodeSpans, sentence_kept, sentence_text};

use crate::content::Kind;
use crate::mail::Frame;
use crate::{markdown, text};

/// Name and source of every template.
static EMBEDDED: [(&str, &str); 16] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("layout.txt", include_str!("../templates/layout.txt")),
    ("opened.html", include_str!("../templates/opened.html")),
    ("opened.txt", include_str!("../templates/opened.txt")),
    ("parts.html", include_str!("../templates/parts.html")),
    ("parts.txt", include_str!("../templates/parts.txt")),
    ("plan.html", include_str!("../templates/plan.html")),
    ("plan.txt", include_str!("../templates/plan.txt")),
    ("postmortem.html", include_str!("../templates/postmortem.html")),
    ("postmortem.txt", include_str!("../templates/postmortem.txt")),
    ("resolved.html", include_str!("../templates/resolved.html")),
    ("resolved.txt", include_str!("../templates/resolved.txt")),
    ("root_cause.html", include_str!("../templates/root_cause.html")),
    ("root_cause.txt", include_str!("../templates/root_cause.txt")),
    ("update.html", include_str!("../templates/update.html")),
    ("update.txt", include_str!("../templates/update.txt")),
];

/// Largest template that is read, bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// Most instructions of one rendering; the embedded templates take a few thousand.
const MAX_INSTRUCTIONS: u64 = 1_000_000;
/// Width of the label column in a text part.
const LABEL_COLUMNS: usize = 15;

/// Templates, ready to render.
#[derive(Debug)]
pub struct Templates {
    embedded: Environment<'static>,
    custom: Option<Custom>,
}

/// Which part of a mail is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Html,
    Text,
}

/// Returns the name of a kind's templates: all news between the events of every incident have the same.
fn template_name(kind: Kind) -> &'static str {
    if Kind::LIFECYCLE.contains(&kind) { kind.name() } else { "update" }
}

/// Returns one kind for each pair of templates.
fn kinds() -> [Kind; 6] {
    let [opened, root_cause, plan, resolved, postmortem] = Kind::LIFECYCLE;
    [opened, root_cause, plan, resolved, postmortem, Kind::SeverityChanged]
}

impl Part {
    fn template(self, kind: Kind) -> String {
        let extension = match self {
            Self::Html => "html",
            Self::Text => "txt",
        };
        format!("{}.{extension}", template_name(kind))
    }
}

impl Templates {
    /// Loads the embedded templates and, in place of those that it has, the templates of a folder.
    ///
    /// Returns every problem of the folder, with file and line: a file that is no template or does not parse, and a name
    /// that templates do not have.
    pub fn load(folder: Option<&Path>) -> Result<Self, Vec<String>> {
        let embedded = environment(&EMBEDDED.map(|(name, source)| (name, source.to_owned())))
            .map_err(|(name, error)| vec![format!("embedded {name}: {error}")])?;
        let custom = folder.map(Custom::load).transpose()?;
        Ok(Self { embedded, custom })
    }

    /// Renders the HTML part.
    pub fn html(&self, kind: Kind, frame: &Frame, mail: &Value) -> anyhow::Result<String> {
        self.part(&Part::Html.template(kind), frame, mail)
    }

    /// Renders the text part.
    pub fn text(&self, kind: Kind, frame: &Frame, mail: &Value) -> anyhow::Result<String> {
        self.part(&Part::Text.template(kind), frame, mail)
    }

    fn part(&self, name: &str, frame: &Frame, mail: &Value) -> anyhow::Result<String> {
        let context = values(frame, mail);
        if let Some(custom) = &self.custom {
            match render(&custom.environment, name, &context) {
                Ok(text) => return Ok(text),
                Err(error) => {
                    let error = custom.problem(&error);
                    tracing::warn!(template = name, error, "template failed; embedded template used");
                }
            }
        }
        render(&self.embedded, name, &context).with_context(|| format!("rendering {name}"))
    }
}

/// The embedded templates with those of a folder in their place.
#[derive(Debug)]
struct Custom {
    folder: PathBuf,
    /// Sources of the folder's templates by name.
    sources: BTreeMap<&'static str, String>,
    environment: Environment<'static>,
}

impl Custom {
    fn load(folder: &Path) -> Result<Self, Vec<String>> {
        let sources = read(folder)?;
        let templates = EMBEDDED
            .map(|(name, source)| (name, sources.get(name).cloned().unwrap_or_else(|| source.to_owned())));
        let mut custom = Self { folder: folder.to_owned(), sources, environment: Environment::new() };
        custom.environment = environment(&templates).map_err(|(_, error)| vec![custom.problem(&error)])?;
        let problems = custom.check();
        if problems.is_empty() { Ok(custom) } else { Err(problems) }
    }

    /// Renders every template over samples, and looks for names that no sample reaches.
    fn check(&self) -> Vec<String> {
        if self.sources.is_empty() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        for kind in kinds() {
            for (frame, mail) in sample::of(kind) {
                let context = values(&frame, &mail);
                for part in [Part::Html, Part::Text] {
                    if let Err(error) = render(&self.environment, &part.template(kind), &context) {
                        problems.push(self.problem(&error));
                    }
                }
            }
        }
        for name in self.sources.keys() {
            problems.extend(self.unknown_names(name));
        }
        problems.sort_unstable();
        problems.dedup();
        problems
    }

    /// Returns a problem for each name of a template that exists in no mail which the template is part of.
    fn unknown_names(&self, template: &str) -> Vec<String> {
        let Ok(parsed) = self.environment.get_template(template) else { return Vec::new() };
        let kinds: Vec<Kind> = match kinds().iter().find(|kind| template.starts_with(template_name(**kind))) {
            Some(kind) => vec![*kind],
            None => kinds().to_vec(),
        };
        let contexts: Vec<Value> = kinds
            .into_iter()
            .map(|kind| {
                let [(frame, mail), _] = sample::of(kind);
                values(&frame, &mail)
            })
            .collect();
        parsed
            .undeclared_variables(true)
            .into_iter()
            .filter(|name| !self.is_global(name) && !contexts.iter().any(|context| has(context, name)))
            .map(|name| {
                format!("{}:{}: unknown name: {name}", self.place(template), self.line_of(template, &name))
            })
            .collect()
    }

    fn is_global(&self, name: &str) -> bool {
        let root = name.split('.').next().unwrap_or(name);
        self.environment.globals().any(|(global, _)| global == root)
    }

    /// Returns the first line of a template that has a word.
    fn line_of(&self, template: &str, word: &str) -> usize {
        let source = self.sources.get(template).map_or("", String::as_str);
        source.lines().position(|line| line.contains(word)).map_or(1, |index| index + 1)
    }

    fn place(&self, template: &str) -> String {
        if self.sources.contains_key(template) {
            self.folder.join(template).display().to_string()
        } else {
            format!("embedded {template}")
        }
    }

    /// Returns file, line and reason of an error, with the line of the file.
    fn problem(&self, error: &Error) -> String {
        let template = error.name().unwrap_or("template");
        let line = error.line().unwrap_or(1);
        let reason = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        let source = self.sources.get(template).and_then(|source| source.lines().nth(line.saturating_sub(1)));
        let source = source.map(|line| shared::text::sanitize::one_line(line, 160)).unwrap_or_default();
        let mut problem = format!("{}:{line}: {reason}", self.place(template));
        if !source.is_empty() {
            let _ = write!(problem, ": {source}");
        }
        problem
    }
}

/// Reads the templates of a folder.
fn read(folder: &Path) -> Result<BTreeMap<&'static str, String>, Vec<String>> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let entries = fs::read_dir(folder).map_err(|error| vec![failed(folder, &error)])?;
    let (mut sources, mut problems) = (BTreeMap::new(), Vec::new());
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                problems.push(failed(folder, &error));
                continue;
            }
        };
        let is_template = path.extension().is_some_and(|extension| extension == "html" || extension == "txt");
        if !is_template {
            continue;
        }
        let known = EMBEDDED.iter().find(|(name, _)| path.file_name().is_some_and(|file| file == *name));
        let Some((name, _)) = known else {
            let names = EMBEDDED.map(|(name, _)| name).join(", ");
            problems.push(failed(&path, &format!("not a template name; names are {names}")));
            continue;
        };
        match source(&path) {
            Ok(source) => {
                sources.insert(*name, source);
            }
            Err(problem) => problems.push(failed(&path, &problem)),
        }
    }
    if problems.is_empty() {
        Ok(sources)
    } else {
        problems.sort_unstable();
        Err(problems)
    }
}

fn source(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("the file has {size} bytes and the limit is {MAX_BYTES}"));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Parses templates. Returns the name of the first that does not parse.
fn environment<'n>(templates: &[(&'n str, String)]) -> Result<Environment<'static>, (&'n str, Error)> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| {
        if name.rsplit('.').next() == Some("html") { AutoEscape::Html } else { AutoEscape::None }
    });
    environment.set_formatter(format_value);
    environment.set_fuel(Some(MAX_INSTRUCTIONS));
    environment.add_filter("wrap", wrapped);
    environment.add_filter("labelled", labelled);
    environment.add_filter("right", right);
    environment.add_filter("code", code);
    environment.add_filter("plain", plain);
    environment.add_filter("sentence", sentence);
    for (name, source) in templates {
        environment.add_template_owned((*name).to_owned(), source.clone()).map_err(|error| (*name, error))?;
    }
    Ok(environment)
}

/// Breaks a text into lines that hang under `lead`.
fn wrapped(value: &Value, lead: &str) -> Result<String, Error> {
    Ok(text::wrap(lead, &defined(value)?))
}

/// Breaks a text into lines beside a label.
fn labelled(value: &Value, label: &str) -> Result<String, Error> {
    Ok(text::wrap(&format!("{label:<LABEL_COLUMNS$}"), &defined(value)?))
}

/// Aligns a value to the right.
fn right(value: &Value, width: usize) -> Result<String, Error> {
    Ok(format!("{:>width$}", defined(value)?))
}

/// Renders a sentence as HTML, with its code spans as `<code>`.
fn code(value: &Value) -> Result<Value, Error> {
    Ok(Value::from_safe_string(markdown::sentence_html(&defined(value)?, escape)))
}

/// Removes the backticks of a sentence's code spans.
fn plain(value: &Value) -> Result<String, Error> {
    Ok(sentence_text(&defined(value)?))
}

/// Removes the backticks of a sentence's code spans, and breaks it into lines that hang under `lead`. A code span stays on
/// one line, so that it can be pasted.
fn sentence(value: &Value, lead: &str) -> Result<String, Error> {
    Ok(text::wrap(lead, &sentence_kept(&defined(value)?, CodeSpans::Bare)))
}

/// Returns the text of a filter's input.
fn defined(value: &Value) -> Result<String, Error> {
    if value.is_undefined() { Err(ErrorKind::UndefinedError.into()) } else { Ok(value.to_string()) }
}

fn render(environment: &Environment<'_>, name: &str, context: &Value) -> Result<String, Error> {
    environment.get_template(name)?.render(context.clone())
}

fn values(frame: &Frame, mail: &Value) -> Value {
    context! { frame => Value::from(Serde(frame)), mail => mail.clone() }
}

/// Returns whether a context has a dotted name.
fn has(context: &Value, name: &str) -> bool {
    let found = name.split('.').try_fold(context.clone(), |value, part| value.get_attr(part).ok());
    found.is_some_and(|value| !value.is_undefined())
}

/// Writes a value; in HTML with its markup characters as character references, unless it is marked as safe.
fn format_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = value.to_string();
    if *state.auto_escape() == AutoEscape::None || value.is_safe() {
        return out.write_str(&text).map_err(Error::from);
    }
    let mut escaped = String::with_capacity(text.len());
    escape(&mut escaped, &text);
    out.write_str(&escaped).map_err(Error::from)
}

/// Writes a text with its markup characters as character references.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' | '&' | '\'' | '<' | '>' => {
                let _ = write!(out, "&#{};", u32::from(character));
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_template_renders_every_sample() {
        let templates = Templates::load(None).unwrap();
        for kind in kinds() {
            for (frame, mail) in sample::of(kind) {
                assert!(!templates.html(kind, &frame, &mail).unwrap().is_empty());
                assert!(!templates.text(kind, &frame, &mail).unwrap().is_empty());
            }
        }
    }

    /// A name that templates may use is in the README as `name`.
    #[test]
    fn the_readme_documents_every_name() {
        fn collect(value: &serde_json::Value, into: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(fields) => {
                    for (name, value) in fields {
                        into.push(name.clone());
                        collect(value, into);
                    }
                }
                serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
                _ => {}
            }
        }
        let readme = include_str!("../README.md");
        for kind in kinds() {
            let [(frame, mail), _] = sample::of(kind);
            let mut names = Vec::new();
            collect(&serde_json::to_value(values(&frame, &mail)).unwrap(), &mut names);
            for name in names {
                assert!(
                    readme.contains(&format!("`{name}`")),
                    "`{name}` of {} is not documented",
                    kind.name()
                );
            }
        }
    }
}
