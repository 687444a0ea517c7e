//! `firewatch incidents export`: everything on record of one incident, as files of a fixed form (`docs/incident-bundle.md`).

pub mod archive;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::events::Incident;
use shared::ids::IncidentId;
use shared::store::bundle::PARTS;
use shared::store::{self, Reads};

use crate::failure::CliError;
use crate::settings::Settings;
use crate::terminal::Screen;

/// Name of the form.
const FORMAT: &str = "firewatch.incident-bundle";
/// Version of the form. Columns and parts may be added within one.
const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// Name of an archive or document in the spool.
const WHOLE: &str = "whole";

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `firewatch.incident-bundle`.
    pub format: String,
    /// Version of the form.
    pub version: u32,
    /// Version of the program that has written it.
    pub firewatch: String,
    /// When it was read, by the clock of the machine that has written it.
    pub exported_at: Timestamp,
    /// The incident.
    pub incident_id: IncidentId,
    /// Its number.
    pub number: i64,
    /// Its parts, each once.
    pub parts: Vec<Content>,
}

/// One part of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Name.
    pub name: String,
    /// Name of its file, where a part is a file.
    pub file: String,
    /// Rows, one a line.
    pub rows: u64,
    /// Bytes of all lines, each with its line feed.
    pub bytes: u64,
    /// SHA-256 of these bytes, hexadecimal.
    pub sha256: String,
}

/// What a bundle is written as, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A folder with a file for each part.
    Folder,
    /// The same folder as one file, `.tar.gz` or `.tgz`.
    Archive,
    /// One JSON document, `.json`.
    Document,
}

impl Form {
    /// Returns what a path asks for.
    pub fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            Self::Archive
        } else if name.ends_with(".json") {
            Self::Document
        } else {
            Self::Folder
        }
    }
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file could not be written.
    #[error("writing the bundle: {0}")]
    File(#[from] io::Error),
}

/// Exports an incident to `out`. Nothing that exists is overwritten.
pub async fn export(
    reads: &Reads,
    incident: &Incident,
    out: &Path,
    settings: &Settings,
    screen: &Screen,
) -> Result<Manifest, CliError> {
    if out.symlink_metadata().is_ok() {
        return Err(CliError::Usage(format!("{} exists already; name another one", out.display())));
    }
    let written = write(reads, incident, out, screen.now).await;
    written.map_err(|error| match error {
        Error::Store(error) => super::failed(settings, &error),
        Error::File(_) => CliError::Failed(format!("{}: {error}", out.display())),
    })
}

async fn write(reads: &Reads, incident: &Incident, out: &Path, now: Timestamp) -> Result<Manifest, Error> {
    let spool = Spool::create(out)?;
    let mut files = Vec::with_capacity(PARTS.len());
    for part in &PARTS {
        files.push(Lines::create(&spool.0, part.name)?);
    }
    reads
        .bundle(incident.incident_id, |part, line| {
            let file = files.iter_mut().find(|file| file.content.name == part.name);
            file.map_or(Ok(()), |file| file.put(line)).map_err(Error::File)
        })
        .await?;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        firewatch: env!("CARGO_PKG_VERSION").to_owned(),
        exported_at: now,
        incident_id: incident.incident_id,
        number: incident.number,
        parts: files.into_iter().map(Lines::finish).collect::<io::Result<_>>()?,
    };
    let text = serde_json::to_string_pretty(&manifest).map_err(io::Error::other)? + "\n";
    let mut file = new_file(&spool.0.join(MANIFEST))?;
    file.write_all(text.as_bytes())?;
    match Form::of(out) {
        Form::Folder => std::fs::rename(&spool.0, out)?,
        Form::Archive => whole(&spool, out, |file| archive::write(file, &spool.0, &manifest, &text))?,
        Form::Document => whole(&spool, out, |file| document(file, &spool.0, &manifest))?,
    }
    Ok(manifest)
}

/// A folder beside the bundle in which its parts are written first: their lengths are known before any is put together, and none
/// is held in memory. It is removed at the end.
struct Spool(PathBuf);

impl Spool {
    fn create(out: &Path) -> io::Result<Self> {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let folder = out.with_file_name(name);
        // it holds what people have written
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // a folder that became the bundle is not there any more
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a file in the spool, and gives it its name once it is whole.
fn whole(
    spool: &Spool,
    out: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let path = spool.0.join(WHOLE);
    let mut file = BufWriter::new(new_file(&path)?);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    named(&path, out)
}

/// Gives a file its name, if nothing has that name.
fn named(path: &Path, out: &Path) -> io::Result<()> {
    match std::fs::hard_link(path, out) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // not every file system has links
        Err(_) if out.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(path, out),
        // the other name goes with the spool
        Ok(()) => Ok(()),
    }
}

/// Writes the lines of a part, counted and hashed.
struct Lines {
    file: BufWriter<File>,
    hash: Sha256,
    content: Content,
}

impl Lines {
    fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let file = format!("{name}.jsonl");
        let content =
            Content { name: name.to_owned(), rows: 0, bytes: 0, sha256: String::new(), file: file.clone() };
        Ok(Self { file: BufWriter::new(new_file(&folder.join(file))?), hash: Sha256::new(), content })
    }

    fn put(&mut self, line: &str) -> io::Result<()> {
        for bytes in [line.as_bytes(), b"\n"] {
            self.file.write_all(bytes)?;
            self.hash.update(bytes);
            self.content.bytes += bytes.len() as u64;
        }
        self.content.rows += 1;
        Ok(())
    }

    fn finish(mut self) -> io::Result<Content> {
        self.file.flush()?;
        Ok(Content { sha256: hex::encode(self.hash.finalize()), ..self.content })
    }
}

/// Writes one JSON document: the manifest, and each part as an array with one row a line.
fn document(out: &mut impl Write, folder: &Path, manifest: &Manifest) -> io::Result<()> {
    write!(out, "{{\n\"manifest\": {},\n\"parts\": {{", serde_json::to_string(manifest)?)?;
    for (place, part) in manifest.parts.iter().enumerate() {
        write!(out, "{}\n{}: [", if place > 0 { "," } else { "" }, serde_json::to_string(&part.name)?)?;
        for (row, line) in BufReader::new(File::open(folder.join(&part.file))?).lines().enumerate() {
            write!(out, "{}\n{}", if row > 0 { "," } else { "" }, line?)?;
        }
        write!(out, "\n]")?;
    }
    out.write_all(b"\n}\n}\n")
}
