//! The zone in which days begin.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

/// A time zone by its name in the IANA database. Read from the database of the system.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    name: String,
    /// Nothing for UTC.
    zone: Option<TimeZone>,
}

impl Zone {
    /// Returns the time that a clock of the zone shows, as milliseconds since 1970 began there.
    pub fn local_ms(&self, ts_ms: i64) -> i64 {
        let Some(zone) = &self.zone else { return ts_ms };
        let Ok(at) = Timestamp::from_millisecond(ts_ms) else { return ts_ms };
        ts_ms.saturating_add(i64::from(zone.to_offset(at).seconds()) * 1000)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), zone: None }
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == "UTC" {
            return Ok(Self::default());
        }
        let zone = TimeZone::get(&name)
            .map_err(|error| D::Error::custom(format!("time_zone {name:?} is not known: {error}")))?;
        Ok(Self { name, zone: Some(zone) })
    }
}
