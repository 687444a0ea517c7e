//! Templates of a folder in place of the embedded ones.

use std::fs;
use std::path::PathBuf;

use communication::content::NotificationContent;
use communication::options::Options;
use communication::render::{RenderedMail, render};
use communication::templates::Templates;

use crate::scenario;

/// A folder with these files, empty before.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("templates").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (file, source) in files {
        fs::write(folder.join(file), source).unwrap();
    }
    folder
}

fn load(name: &str, files: &[(&str, &str)]) -> Result<Templates, Vec<String>> {
    Templates::load(Some(&folder(name, files)))
}

fn opened() -> NotificationContent {
    scenario::thread().remove(0)
}

fn mail(templates: &Templates, content: &NotificationContent) -> RenderedMail {
    render(templates, content, "", None).unwrap()
}

fn embedded() -> Templates {
    Templates::load(None).unwrap()
}

#[test]
fn a_file_replaces_its_template_and_no_other() {
    let own = "#{{ frame.number }} {% for row in mail.signals %}{{ row.metric }} {% endfor %}";
    let templates = load("one", &[("opened.txt", own), ("notes.md", "{{ not a template")]).unwrap();
    let (ours, theirs) = (mail(&templates, &opened()), mail(&embedded(), &opened()));
    assert_eq!(ours.text.trim(), "#12 db_connections error_rate error_rate");
    assert_eq!(ours.html, theirs.html);
    for content in &scenario::thread()[1..] {
        assert_eq!(mail(&templates, content), mail(&embedded(), content));
    }
}

#[test]
fn a_copy_of_the_embedded_templates_changes_nothing() {
    let templates =
        Templates::load(Some(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("templates"))).unwrap();
    for content in scenario::thread() {
        assert_eq!(mail(&templates, &content), mail(&embedded(), &content));
    }
}

#[test]
fn html_is_escaped_without_being_asked_to_and_text_is_not() {
    let templates = load(
        "escape",
        &[
            ("opened.html", "<p title=\"{{ frame.title }}\">{{ frame.title }}</p>"),
            ("opened.txt", "{{ frame.title }}"),
        ],
    )
    .unwrap();
    let mut content = opened();
    content.incident.title = "<b>\"x\" & 'y'</b>".into();
    let mail = mail(&templates, &content);
    let escaped = "&#60;b&#62;&#34;x&#34; &#38; &#39;y&#39;&#60;/b&#62;";
    assert_eq!(mail.html, format!("<p title=\"{escaped}\">{escaped}</p>"));
    assert_eq!(mail.text.trim(), "<b>\"x\" & 'y'</b>");
}

/// Each is one file and the file and line that must be named.
#[test]
fn what_cannot_work_is_a_problem_at_start_with_its_file_and_line() {
    let cases = [
        ("does-not-parse", "opened.html", "a\n{% if %}", "opened.html:2: "),
        ("unknown-name", "opened.html", "a\nb\n{{ frame.titel }}", "opened.html:3: "),
        ("unknown-root", "plan.txt", "{{ incident }}", "plan.txt:1: "),
        (
            "unknown-in-a-loop",
            "opened.txt",
            "{% for row in mail.signals %}\n{{ row.seen }}{% endfor %}",
            "opened.txt:2: ",
        ),
        (
            "unknown-in-a-branch",
            "opened.txt",
            "\n{% if frame.number == 7 %}{{ mail.sginals }}{% endif %}",
            "opened.txt:2: ",
        ),
        ("of-another-mail", "plan.html", "{{ mail.signals }}", "plan.html:1: "),
        ("unknown-filter", "plan.txt", "\n\n{{ frame.title|shout }}", "plan.txt:3: "),
        ("undefined-in-a-filter", "plan.txt", "{{ frame.titel|wrap(\"\") }}", "plan.txt:1: "),
        ("unknown-include", "plan.txt", "{% include \"footer.txt\" %}", "plan.txt:1: "),
        ("layout", "layout.txt", "\n{{ frame.titel }}", "layout.txt:2: "),
        ("without-macros", "parts.txt", "\n", "embedded "),
        ("no-template-has-this-name", "opend.html", "", "opend.html: "),
    ];
    for (name, file, source, place) in cases {
        let problems = load(name, &[(file, source)]).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(place)), "{name}: {problems:#?}");
        let dir = folder(name, &[(file, source)]);
        let options = Options { templates_dir: dir.display().to_string(), ..Options::default() };
        assert!(options.validate().iter().all(|problem| problem.starts_with("templates_dir: ")), "{name}");
        assert!(!options.validate().is_empty(), "{name}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let files = [("plan.txt", "{{ frame.titel }}{{ mail.sumary }}"), ("opened.html", "{{ frame.colr }}")];
    let problems = load("several", &files).unwrap_err();
    for name in ["frame.titel", "mail.sumary", "frame.colr"] {
        assert!(problems.iter().any(|problem| problem.contains(name)), "{name}: {problems:#?}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_a_problem() {
    let missing = folder("missing", &[]).join("no-such-folder");
    assert_eq!(Templates::load(Some(&missing)).unwrap_err().len(), 1);
    let binary = folder("binary", &[]);
    fs::write(binary.join("plan.txt"), [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(Templates::load(Some(&binary)).unwrap_err().len(), 1);
    let large = folder("large", &[("plan.txt", &"a".repeat(300_000))]);
    assert_eq!(Templates::load(Some(&large)).unwrap_err().len(), 1);
}

/// Both work for every sample and fail for a real mail.
#[test]
fn a_template_that_fails_is_replaced_by_the_embedded_one() {
    let fails = "{% if frame.title|length > 10 %}{{ frame.title / 2 }}{% endif %}";
    let endless = "{% if frame.title|length > 10 %}{% for a in range(9999) %}{% for b in range(9999) %}x\
                   {% endfor %}{% endfor %}{% endif %}";
    for (name, source) in [("fails", fails), ("endless", endless)] {
        let templates = load(name, &[("opened.html", source), ("opened.txt", "own")]).unwrap();
        let (ours, theirs) = (mail(&templates, &opened()), mail(&embedded(), &opened()));
        assert_eq!(ours.html, theirs.html, "{name}");
        assert_eq!(ours.text.trim(), "own", "the other part is as it was written");
    }
}
