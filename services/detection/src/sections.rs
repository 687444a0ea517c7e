//! The container of a snapshot's records: named sections, each with the version of its own format.
//!
//! A record is the byte [`FORMAT`] and then its sections, one after the other: name, version, length and bytes. The
//! bytes are postcard, which keeps every number to the last bit. A section that is unknown is passed over. One that is
//! missing, of another version or damaged is left out, so that what it holds warms up again; the other sections stay.
//! A change of a section's types therefore needs another version of that section, and of nothing else.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Format of the container. A record of another format is not read.
pub const FORMAT: u8 = 6;

/// Name and version of one section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Name; unique in a record.
    pub name: &'static str,
    /// Version of the types that it holds.
    pub version: u16,
}

impl Section {
    /// Returns a section of that name and version.
    pub const fn new(name: &'static str, version: u16) -> Self {
        Self { name, version }
    }
}

/// One section as it lies in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Name.
    pub name: &'a str,
    /// Version.
    pub version: u16,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// Writes the sections of one record.
#[derive(Debug)]
pub struct Writer {
    record: Vec<u8>,
    section: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { record: vec![FORMAT], section: Vec::new() }
    }
}

impl Writer {
    /// Adds a section that holds `state`.
    pub fn put<T: Serialize + ?Sized>(&mut self, section: Section, state: &T) {
        let mut bytes = std::mem::take(&mut self.section);
        bytes.clear();
        let bytes = extend(bytes, state);
        self.put_raw(Raw { name: section.name, version: section.version, bytes: &bytes });
        self.section = bytes;
    }

    /// Adds a section that holds `state`, if there is one.
    pub fn put_some<T: Serialize + ?Sized>(&mut self, section: Section, state: Option<&T>) {
        if let Some(state) = state {
            self.put(section, state);
        }
    }

    /// Adds a section that holds `entries`, unless there are none.
    pub fn put_all<T: Serialize>(&mut self, section: Section, entries: &[T]) {
        if !entries.is_empty() {
            self.put(section, entries);
        }
    }

    /// Adds a section as it lies in a record.
    pub fn put_raw(&mut self, Raw { name, version, bytes }: Raw<'_>) {
        self.record = extend(std::mem::take(&mut self.record), &(name, version, bytes.len()));
        self.record.extend_from_slice(bytes);
    }

    /// Returns the record.
    pub fn finish(self) -> Vec<u8> {
        self.record
    }
}

fn extend<T: Serialize + ?Sized>(bytes: Vec<u8>, state: &T) -> Vec<u8> {
    postcard::to_extend(state, bytes)
        .expect("writing to memory cannot fail, and postcard can express all of these types")
}

/// The sections of one record, and what was wrong with those that were read.
#[derive(Debug)]
pub struct Sections<'a> {
    sections: Vec<Raw<'a>>,
    refused: Vec<String>,
}

impl<'a> Sections<'a> {
    /// Splits a record into its sections.
    pub fn parse(record: &'a [u8]) -> Result<Self, String> {
        let mut rest = match record.split_first() {
            Some((&FORMAT, rest)) => rest,
            Some((other, _)) => return Err(format!("format {other} is not {FORMAT}")),
            None => return Err("empty".to_owned()),
        };
        let mut sections = Vec::new();
        while !rest.is_empty() {
            let ((name, version, bytes), after) =
                postcard::take_from_bytes::<(&str, u16, &[u8])>(rest).map_err(|error| error.to_string())?;
            sections.push(Raw { name, version, bytes });
            rest = after;
        }
        Ok(Self { sections, refused: Vec::new() })
    }

    /// Returns the sections in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = Raw<'a>> {
        self.sections.iter().copied()
    }

    /// Returns whether a section is there, of this version.
    pub fn has(&self, section: Section) -> bool {
        self.iter().any(|raw| (raw.name, raw.version) == (section.name, section.version))
    }

    /// Returns what a section holds, if it is there, of this version and readable.
    pub fn get<T: DeserializeOwned>(&mut self, section: Section) -> Option<T> {
        let raw = self.sections.iter().copied().find(|raw| raw.name == section.name)?;
        if raw.version != section.version {
            let reason = format!("version {} is not {}", raw.version, section.version);
            self.refuse(section, &reason);
            return None;
        }
        match postcard::take_from_bytes(raw.bytes) {
            Ok((state, [])) => Some(state),
            Ok((_, rest)) => {
                let reason = format!("{} bytes too many", rest.len());
                self.refuse(section, &reason);
                None
            }
            Err(error) => {
                self.refuse(section, &error.to_string());
                None
            }
        }
    }

    /// Notes why what a section holds is not used.
    pub fn refuse(&mut self, section: Section, reason: &str) {
        self.refused.push(format!("section {}: {reason}", section.name));
    }

    /// Returns the sections that were not used, and why.
    pub fn into_refused(self) -> Vec<String> {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Section = Section::new("a", 1);
    const B: Section = Section::new("b", 1);

    fn record() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.put(A, &(7_u32, "seven"));
        writer.put(B, &vec![1.5_f64, f64::MIN_POSITIVE]);
        writer.finish()
    }

    #[test]
    fn each_section_is_read_by_itself() {
        let record = record();
        let mut sections = Sections::parse(&record).unwrap();
        assert_eq!(sections.get(B), Some(vec![1.5, f64::MIN_POSITIVE]));
        assert_eq!(sections.get(A), Some((7_u32, "seven".to_owned())));
        assert_eq!(sections.get::<u32>(Section::new("missing", 1)), None);
        assert_eq!(sections.into_refused(), [""; 0]);
    }

    #[test]
    fn another_version_and_damage_are_named_and_touch_no_other_section() {
        let record = record();
        let mut sections = Sections::parse(&record).unwrap();
        assert_eq!(sections.get::<(u32, String)>(Section::new("a", 2)), None);
        assert_eq!(sections.get::<u32>(A), None, "more than was asked for");
        assert_eq!(sections.get::<Vec<String>>(B), None);
        assert!(sections.get::<Vec<f64>>(B).is_some());
        assert_eq!(sections.into_refused().len(), 3);
    }

    #[test]
    fn a_damaged_container_is_refused_whole() {
        let record = record();
        assert!(Sections::parse(&[]).is_err());
        assert!(Sections::parse(&[FORMAT + 1]).is_err());
        assert!(Sections::parse(&record[..record.len() - 1]).is_err());
        assert_eq!(Sections::parse(&[FORMAT]).unwrap().iter().count(), 0);
    }
}
