//! An incident is exported, and read again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli::incidents::export::{Form, Manifest};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::events::Topic;
use shared::store::bundle::PARTS;
use stack::testing::bench::Bench;

use crate::learning::{firewatch, investigated, json, printed};

/// More rows of one part than are read at once, each with what could end a line or a document.
const HOSTILE: &str = "insert into evidence (id, incident_id, revision, source, excerpt, content) \
    select md5(n::text)::uuid, (select incident_id from incidents limit 1), 2, '{}', \
        E'line\\r\\nend ]}\\u2028 \\\\ \"quoted\" \\u001b[2J ' || n, jsonb_build_object('text', E'a\\nb]}', 'number', 1e300) \
    from generate_series(1, 250) n";

/// Reads a folder as its manifest describes it, and returns the rows of each part.
fn read(folder: &Path) -> Vec<(String, Vec<Value>)> {
    let manifest: Manifest =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    assert_eq!((manifest.format.as_str(), manifest.version), ("firewatch.incident-bundle", 1));
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, manifest.parts.len() + 1, "a file that the manifest does not name");
    let rows = manifest.parts.into_iter().map(|part| {
        let bytes = std::fs::read(folder.join(&part.file)).unwrap();
        assert_eq!(
            (bytes.len() as u64, hex::encode(Sha256::digest(&bytes))),
            (part.bytes, part.sha256),
            "{}",
            part.name
        );
        let text = String::from_utf8(bytes).unwrap();
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len() as u64, part.rows, "{}", part.name);
        (part.name, rows)
    });
    rows.collect()
}

fn place(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bundle-{}", std::process::id())).join(name);
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_exported_in_three_forms_and_read_again() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    let (id, number) = investigated(&bench).await;
    let client = shared::testing::client(&bench.store).await.unwrap();
    client.batch_execute(HOSTILE).await.unwrap();
    let number = number.to_string();
    let export = |out: &Path| {
        firewatch(&bench, &["incidents", "export", &number, "--json", "--out", out.to_str().unwrap()])
    };

    let folder = place("folder");
    let manifest: Manifest = serde_json::from_value(json(&export(&folder))).unwrap();
    let parts = read(&folder);
    assert_eq!(parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), PARTS.map(|part| part.name));
    let rows = |name: &str| &parts.iter().find(|(known, _)| known == name).unwrap().1;
    let incident = &rows("incident")[0];
    assert_eq!(incident["incident_id"], Value::from(id.to_string()));
    assert_eq!(incident["opened_at"], Value::from("2026-03-01T10:00:32+00:00"), "times are UTC");
    assert_eq!(incident["body"]["title"], Value::from("payment: the connection pool is running out"));
    assert_eq!(rows("signals").len(), 2);
    // what was sealed stays sealed
    assert_eq!(rows("signals")[0]["context"]["sealed"][0]["placeholder"], Value::from("[email 3f2a]"));
    assert!(!serde_json::to_string(rows("signals")).unwrap().contains("ada@example.com"));
    let hostile: Vec<&Value> = rows("evidence").iter().filter(|row| row["revision"] == 2).collect();
    assert_eq!(hostile.len(), 250);
    assert!(
        hostile.iter().all(|row| row["excerpt"]
            .as_str()
            .unwrap()
            .contains("\r\nend ]}\u{2028} \\ \"quoted\" \u{1b}[2J"))
    );
    assert_eq!(rows("artifacts").len(), 1);
    let trail = bench.store.reads().timeline(id).await.unwrap();
    assert_eq!(rows("timeline").len(), trail.len());

    let archive = place("one.tar.gz");
    printed(&export(&archive));
    let unpacked = place("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&unpacked).output().unwrap();
    assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
    assert_eq!(read(&unpacked.join(format!("incident-{number}"))), parts);

    let document = place("one.json");
    printed(&export(&document));
    let text = std::fs::read_to_string(&document).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    for (part, (name, rows)) in manifest.parts.iter().zip(&parts) {
        assert_eq!(whole["parts"][name], Value::from(rows.clone()), "{name}");
        // the checksum is that of the lines
        let lines = text.split(&format!("\n\"{name}\": [\n")).nth(1).unwrap_or_default();
        let lines = lines
            .lines()
            .take(rows.len())
            .map(|line| line.strip_suffix(',').unwrap_or(line).to_owned() + "\n");
        assert_eq!(hex::encode(Sha256::digest(lines.collect::<String>())), part.sha256, "{name}");
    }
    for path in [&archive, &document, &folder.join("signals.jsonl")] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "others cannot read it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_and_nothing_is_left_of_an_export_that_failed() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    let (_, number) = investigated(&bench).await;
    let number = number.to_string();
    let export =
        |out: &Path| firewatch(&bench, &["incidents", "export", &number, "--out", out.to_str().unwrap()]);
    let here = place("kept");
    std::fs::create_dir(&here).unwrap();
    std::fs::write(here.join("one.json"), "precious").unwrap();
    for taken in [here.clone(), here.join("one.json")] {
        let output = export(&taken);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("exists already"), "{output:?}");
    }
    assert_eq!(std::fs::read_to_string(here.join("one.json")).unwrap(), "precious");
    let output = export(&here.join("missing/one.json"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let client = shared::testing::client(&bench.store).await.unwrap();
    client.batch_execute("alter table audit rename to trail").await.unwrap();
    let output = export(&here.join("two"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 1, "what was begun is removed");
    let missing =
        firewatch(&bench, &["incidents", "export", "999", "--out", here.join("three").to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
}

#[test]
fn the_end_of_a_name_says_the_form() {
    for (name, form) in [
        ("a.json", Form::Document),
        ("a.tar.gz", Form::Archive),
        ("b/a.tgz", Form::Archive),
        ("a.gz", Form::Folder),
        ("json", Form::Folder),
    ] {
        assert_eq!(Form::of(Path::new(name)), form, "{name}");
    }
}
