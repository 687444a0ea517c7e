//! Who is told, by role and severity.
//!
//! | role | from | opened | root cause | plan | resolved | postmortem |
//! |---|---|---|---|---|---|---|
//! | on-call of the suspect's service | catalogue | always | always | always | always | always |
//! | its team | catalogue | SEV1-3 | SEV1-3 | SEV1-3 | SEV1-3 | always |
//! | incident commanders | `commanders` | SEV1-2 | SEV1-2 | SEV1-2 | SEV1-2 | SEV1-2 |
//! | stakeholders | `stakeholders` | SEV1 | - | - | SEV1 | - |
//! | readers of postmortems | `postmortem_readers` | - | - | - | - | always |
//! | `fallback` | settings | if the table names nobody else | | | | |

use lettre::Address;
use shared::catalogue::Catalogue;
use shared::events::Severity;
use shared::text::sanitize;

use crate::metrics::Metric;
use crate::occasion::Kind;
use crate::options::Options;

/// Most recipients of one mail; the first in the order of the table stay.
pub const MAX: usize = 50;

/// Who is told, and which configured addresses could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients {
    /// Addresses in the order of the table, each once, never empty.
    pub addresses: Vec<String>,
    /// Entries that are no mail address, as they were found.
    pub unusable: Vec<String>,
}

/// Chooses who is told of `kind` for an incident of that severity with `service` as its first suspect.
pub fn choose(
    options: &Options,
    catalogue: &Catalogue,
    service: Option<&str>,
    severity: Severity,
    kind: Kind,
) -> Recipients {
    let owner = service.and_then(|name| catalogue.get(name));
    let mut wanted: Vec<&str> = Vec::new();
    wanted.extend(owner.map(|service| service.oncall.as_str()));
    if severity >= Severity::Sev3 || kind == Kind::Postmortem {
        wanted.extend(owner.map(|service| service.contact.as_str()));
    }
    if severity >= Severity::Sev2 {
        wanted.extend(options.commanders.iter().map(String::as_str));
    }
    if severity == Severity::Sev1 && matches!(kind, Kind::Opened | Kind::Resolved) {
        wanted.extend(options.stakeholders.iter().map(String::as_str));
    }
    if kind == Kind::Postmortem {
        wanted.extend(options.postmortem_readers.iter().map(String::as_str));
    }
    let mut chosen = collect(wanted);
    if chosen.addresses.is_empty() {
        chosen.addresses.push(options.fallback.trim().to_owned());
    }
    chosen
}

fn collect(wanted: Vec<&str>) -> Recipients {
    let mut addresses: Vec<String> = Vec::new();
    let mut unusable = Vec::new();
    for entry in wanted {
        match entry.trim().parse::<Address>() {
            Ok(address) if addresses.iter().any(|known| known.eq_ignore_ascii_case(address.as_ref())) => {}
            Ok(_) if addresses.len() == MAX => break,
            Ok(address) => addresses.push(address.to_string()),
            Err(_) => {
                metrics::counter!(Metric::AddressesUnusable.name()).increment(1);
                unusable.push(sanitize::one_line(entry, 80));
            }
        }
    }
    unusable.dedup();
    Recipients { addresses, unusable }
}

#[cfg(test)]
mod tests {
    use shared::catalogue::Service;

    use super::*;

    fn options() -> Options {
        Options {
            commanders: vec!["commander@example.com".into()],
            stakeholders: vec!["board@example.com".into()],
            postmortem_readers: vec!["learning@example.com".into()],
            fallback: "ops@example.com".into(),
            ..Options::default()
        }
    }

    fn catalogue(oncall: &str, contact: &str) -> Catalogue {
        Catalogue::new([Service {
            name: "payment".into(),
            description: String::new(),
            team: "payments".into(),
            tier: 1,
            slo: 99.9,
            latency_slo_ms: 500.0,
            language: String::new(),
            depends_on: vec![],
            oncall: oncall.into(),
            contact: contact.into(),
            runbooks: vec![],
            failure_modes: vec![],
        }])
    }

    fn told(severity: Severity, kind: Kind) -> Vec<String> {
        let catalogue = catalogue("oncall@example.com", "team@example.com");
        choose(&options(), &catalogue, Some("payment"), severity, kind).addresses
    }

    #[test]
    fn the_table_holds() {
        use Kind::{Opened, Plan, Postmortem, Resolved};
        let (oncall, team, commander, board, learning) = (
            "oncall@example.com",
            "team@example.com",
            "commander@example.com",
            "board@example.com",
            "learning@example.com",
        );
        assert_eq!(told(Severity::Sev4, Opened), [oncall]);
        assert_eq!(told(Severity::Sev3, Opened), [oncall, team]);
        assert_eq!(told(Severity::Sev2, Opened), [oncall, team, commander]);
        assert_eq!(told(Severity::Sev1, Opened), [oncall, team, commander, board]);
        assert_eq!(told(Severity::Sev1, Plan), [oncall, team, commander]);
        assert_eq!(told(Severity::Sev1, Resolved), [oncall, team, commander, board]);
        assert_eq!(told(Severity::Sev4, Postmortem), [oncall, team, learning]);
    }

    #[test]
    fn one_person_in_two_roles_gets_one_mail() {
        let catalogue = catalogue("Same@example.com", " same@example.com ");
        let chosen = choose(&options(), &catalogue, Some("payment"), Severity::Sev3, Kind::Opened);
        assert_eq!(chosen.addresses, ["Same@example.com"]);
    }

    #[test]
    fn someone_is_always_told() {
        let hostile = catalogue("eve@example.com\r\nBcc: all@example.com", "not an address");
        let chosen = choose(&options(), &hostile, Some("payment"), Severity::Sev3, Kind::Opened);
        assert_eq!(chosen.addresses, ["ops@example.com"]);
        assert_eq!(chosen.unusable, ["eve@example.com Bcc: all@example.com", "not an address"]);
        let nobody = choose(&options(), &Catalogue::default(), None, Severity::Sev4, Kind::Opened);
        assert_eq!(nobody.addresses, ["ops@example.com"]);
    }

    #[test]
    fn the_number_of_recipients_is_bounded() {
        let many =
            Options { commanders: (0..200).map(|n| format!("c{n}@example.com")).collect(), ..options() };
        let chosen = choose(&many, &Catalogue::default(), None, Severity::Sev1, Kind::Opened);
        assert_eq!(chosen.addresses.len(), MAX);
    }
}
