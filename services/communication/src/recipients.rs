//! Recipients: by routes where there are some, else by role and severity.
//!
//! | role | from | opened | root cause | plan | resolved | postmortem |
//! |---|---|---|---|---|---|---|
//! | on-call of the suspect's service | catalogue: an address, or `rotation:NAME` | always | always | always | always | always |
//! | its team | catalogue | SEV1-3 | SEV1-3 | SEV1-3 | SEV1-3 | always |
//! | incident commanders | `commanders` | SEV1-2 | SEV1-2 | SEV1-2 | SEV1-2 | SEV1-2 |
//! | stakeholders | `stakeholders` | SEV1 | - | - | SEV1 | - |
//! | readers of postmortems | `postmortem_readers` | - | - | - | - | always |
//! | `fallback` | settings | if the table names nobody else | | | | |
//!
//! Routes (`routes.yaml` of the knowledge base) take the place of the on-call and the team of the service, and say when; the other
//! roles stay.

use jiff::Timestamp;
use shared::catalogue::Catalogue;
use shared::events::Severity;
use shared::events::incident::Incident;
use shared::matchers::Facts;
use shared::oncall::{Roster, Whom};
use shared::routes::{Routes, Told, When};
use shared::text::sanitize;

use crate::channel::{Address, Channels, Destination, Email};
use crate::content::{AddressClass, Kind};
use crate::escalation::Chain;
use crate::holding::{self, Hold, Waiting, Why};
use crate::notifications::Thread;
use crate::options::Options;

/// Most recipients of one message; the first in the order of the table stay.
pub const MAX: usize = 50;

/// Where recipients are looked up.
#[derive(Clone, Copy)]
pub struct Directory<'a> {
    /// Settings.
    pub options: &'a Options,
    /// Who owns which service.
    pub catalogue: &'a Catalogue,
    /// Channels that can be used.
    pub channels: &'a Channels,
    /// Who is on call.
    pub roster: &'a Roster,
    /// Who is notified of what; none: roles decide.
    pub routes: Option<&'a Routes>,
    /// Time for which the people on call are looked up.
    pub at: Timestamp,
}

/// Recipients, and configured entries that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients {
    /// Destinations that are notified at once, in the order of the table, each once.
    pub destinations: Vec<Destination>,
    /// Destinations that are notified later; empty without routes. One of both lists has a destination.
    pub later: Vec<Waiting>,
    /// Entries that are no address of any channel, as they were found.
    pub unusable: Vec<String>,
}

impl Recipients {
    /// Returns the addresses on one channel as they are stored.
    pub fn addresses(&self, channel: &str) -> Vec<String> {
        self.destinations
            .iter()
            .filter(|destination| destination.channel == channel)
            .map(|destination| destination.address.as_str().to_owned())
            .collect()
    }
}

impl Recipients {
    /// Returns one thread for each message that an event makes: of a channel, or of a channel and address.
    pub fn threads(&self, channels: &Channels) -> Vec<Thread> {
        let mut threads = Vec::new();
        for channel in channels.all() {
            let name = channel.name();
            let here = self.destinations.iter().filter(|destination| destination.channel == name);
            let recipients = self.addresses(name);
            if !channel.one_message_for_all() {
                threads.extend(here.map(|destination| Thread::of_one(name, &destination.address)));
            } else if !recipients.is_empty() {
                threads.push(Thread { channel: name, class: AddressClass::All, recipients, subject: None });
            }
        }
        threads
    }
}

impl Directory<'_> {
    /// Chooses the recipients of `kind` for an incident.
    pub fn choose(&self, incident: &Incident, kind: Kind) -> Recipients {
        let service = incident.suspect().map(|suspect| suspect.service.as_str());
        match self.routes {
            None => self.by_role(service, incident.severity, kind),
            Some(routes) => {
                let told = routes.plan(&Facts::of_incident(incident), self.at);
                self.by_routes(&told, incident.severity, kind)
            }
        }
    }

    /// Chooses the recipients of `kind` for an incident of that severity with `service` as its first suspect.
    pub fn by_role(&self, service: Option<&str>, severity: Severity, kind: Kind) -> Recipients {
        let owner = service.and_then(|name| self.catalogue.get(name));
        let mut wanted: Vec<&str> = Vec::new();
        wanted.extend(owner.map(|service| service.oncall.as_str()));
        if severity >= Severity::Sev3 || kind == Kind::Postmortem {
            wanted.extend(owner.map(|service| service.contact.as_str()));
        }
        wanted.extend(self.of_all_services(severity, kind));
        self.or_fallback(self.collect(wanted))
    }

    /// Returns the entries of the settings that are notified whatever the service is.
    fn of_all_services(&self, severity: Severity, kind: Kind) -> Vec<&str> {
        let options = self.options;
        let mut wanted: Vec<&str> = Vec::new();
        if severity >= Severity::Sev2 {
            wanted.extend(options.commanders.iter().map(String::as_str));
        }
        if severity == Severity::Sev1 && matches!(kind, Kind::Opened | Kind::Resolved | Kind::SeverityChanged)
        {
            wanted.extend(options.stakeholders.iter().map(String::as_str));
        }
        if kind == Kind::Postmortem {
            wanted.extend(options.postmortem_readers.iter().map(String::as_str));
        }
        wanted
    }

    /// Chooses those whom routes name. Whoever is notified at once by one route is not notified later by another.
    fn by_routes(&self, told: &[Told], severity: Severity, kind: Kind) -> Recipients {
        let entries = |told: &Told| -> Vec<String> {
            told.receivers.iter().flat_map(|(_, whom)| whom).map(written).collect()
        };
        let now: Vec<String> = told.iter().filter(|one| one.when == When::Now).flat_map(entries).collect();
        let mut wanted: Vec<&str> = now.iter().map(String::as_str).collect();
        wanted.extend(self.of_all_services(severity, kind));
        let mut chosen = self.collect(wanted);
        for one in told {
            let why = if one.why.is_quiet { Why::QuietHours } else { Why::Digest };
            let until = match one.when {
                When::Now => continue,
                When::Digest => holding::next_digest(self.at, self.options),
                When::At(at) => at,
            };
            let entries = entries(one);
            // whoever is on call by then
            let then = Self { at: until, ..*self };
            let found = then.collect(entries.iter().map(String::as_str).collect());
            chosen.unusable.extend(found.unusable);
            for to in found.destinations {
                let hold = Hold { until, why };
                let is_now = chosen.destinations.contains(&to);
                let is_full = chosen.later.len() >= MAX;
                match chosen.later.iter_mut().find(|one| one.to == to) {
                    // the earlier one of two
                    Some(known) if known.hold.until > until => known.hold = hold,
                    None if !is_now && !is_full => chosen.later.push(Waiting { to, hold }),
                    _ => {}
                }
            }
        }
        self.or_fallback(chosen)
    }

    fn or_fallback(&self, mut chosen: Recipients) -> Recipients {
        if chosen.destinations.is_empty() && chosen.later.is_empty() {
            chosen.destinations.push(self.fallback());
        }
        chosen
    }

    /// Returns the escalation of an incident that begins now. By routes it is that of the first one that has one and notifies at once:
    /// another one begins when what waits is said. For the fallback, and without routes, it is that of the first suspect's service.
    pub fn escalation(&self, incident: &Incident) -> Chain {
        let Some(routes) = self.routes else { return self.escalation_of(incident) };
        let told = routes.plan(&Facts::of_incident(incident), self.at);
        if told.iter().any(|one| one.why.route.is_none()) {
            return self.escalation_of(incident);
        }
        let found = told.iter().filter(|one| one.when == When::Now).find_map(|one| {
            let policy = self.roster.policy(one.escalation.as_deref()?)?;
            let notified = one.receivers.iter().flat_map(|(_, whom)| whom).map(written);
            Some(Chain::of(policy, &notified.collect::<Vec<_>>()))
        });
        found.unwrap_or_default()
    }

    /// Returns the escalation of the first suspect's service: the first one of its rotation, or that of the settings. There the first
    /// level calls the on-call and team of the service once more and the commanders, all others the commanders and `fallback` as well.
    fn escalation_of(&self, incident: &Incident) -> Chain {
        let service = incident.suspect().map(|suspect| suspect.service.as_str());
        let owner = service.and_then(|name| self.catalogue.get(name));
        let rotation = owner.and_then(|service| rotation(&service.oncall));
        let policy =
            rotation.and_then(|name| self.roster.schedule(name)).and_then(|one| one.policies().first());
        if let Some(policy) = policy {
            return Chain::of(
                policy,
                &owner.map(|service| service.oncall.trim().to_owned()).into_iter().collect::<Vec<_>>(),
            );
        }
        let commanders = self.options.commanders.iter().cloned();
        let own = owner.into_iter().flat_map(|service| [service.oncall.clone(), service.contact.clone()]);
        let first: Vec<String> = own.chain(commanders.clone()).collect();
        let others: Vec<String> = commanders.chain([self.options.fallback.clone()]).collect();
        Chain::of_settings(self.options, &first, &others)
    }

    /// Chooses whom a level of an escalation calls.
    pub fn called(&self, entries: &[String]) -> Recipients {
        self.or_fallback(self.collect(entries.iter().map(String::as_str).collect()))
    }

    fn collect(&self, wanted: Vec<&str>) -> Recipients {
        let mut destinations: Vec<Destination> = Vec::new();
        let mut unusable = Vec::new();
        for entry in wanted {
            let found = self.destinations(entry);
            if found.is_empty() && !self.channels.passes_over(entry) {
                unusable.push(sanitize::one_line(entry, 80));
            }
            for destination in found {
                let on_channel =
                    destinations.iter().filter(|known| known.channel == destination.channel).count();
                if on_channel < MAX && !destinations.contains(&destination) {
                    destinations.push(destination);
                }
            }
        }
        Recipients { destinations, later: Vec::new(), unusable }
    }

    /// Returns where an entry leads: a rotation to the person on call, a team to its addresses. People have addresses on channels that
    /// are not set up; those are passed over.
    fn destinations(&self, entry: &str) -> Vec<Destination> {
        match whom(entry) {
            Some(whom) => {
                let reached = self.roster.reach(&whom, self.at);
                reached.addresses.iter().filter_map(|address| self.channels.destination(address)).collect()
            }
            None => self.channels.destination(entry).into_iter().collect(),
        }
    }

    fn fallback(&self) -> Destination {
        let entry = self.options.fallback.trim();
        self.channels.destination(entry).unwrap_or_else(|| Destination {
            // not reached with validated settings; the channel refuses the entry, which is recorded
            channel: Email::NAME,
            address: Address::new(entry, entry),
        })
    }
}

/// Returns whom an entry names that is no address itself: `rotation:NAME` or `team:NAME`.
pub fn whom(entry: &str) -> Option<Whom> {
    let (kind, name) = entry.trim().split_once(':')?;
    match kind {
        "rotation" => Some(Whom::Rotation(name.trim().to_owned())),
        "team" => Some(Whom::Team(name.trim().to_owned())),
        _ => None,
    }
}

/// Returns whom a file names as an entry of the settings has it.
pub fn written(whom: &Whom) -> String {
    match whom {
        Whom::Rotation(name) => format!("rotation:{name}"),
        Whom::Team(name) => format!("team:{name}"),
        Whom::Entry(entry) => entry.clone(),
    }
}

/// Returns the rotation that an entry names.
fn rotation(entry: &str) -> Option<&str> {
    entry.trim().strip_prefix("rotation:").map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
            users_share: None,
            revenue: None,
            language: String::new(),
            depends_on: vec![],
            oncall: oncall.into(),
            contact: contact.into(),
            runbooks: vec![],
            failure_modes: vec![],
        }])
    }

    fn choose(
        options: &Options,
        catalogue: &Catalogue,
        service: Option<&str>,
        severity: Severity,
        kind: Kind,
    ) -> Recipients {
        let channels = Channels::new([Arc::new(Email::new(&Options::default()).unwrap()) as _]);
        let roster = &Roster::default();
        let directory = Directory {
            options,
            catalogue,
            channels: &channels,
            roster,
            routes: None,
            at: Timestamp::UNIX_EPOCH,
        };
        directory.by_role(service, severity, kind)
    }

    fn chosen(severity: Severity, kind: Kind) -> Vec<String> {
        let catalogue = catalogue("oncall@example.com", "team@example.com");
        choose(&options(), &catalogue, Some("payment"), severity, kind).addresses(Email::NAME)
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
        assert_eq!(chosen(Severity::Sev4, Opened), [oncall]);
        assert_eq!(chosen(Severity::Sev3, Opened), [oncall, team]);
        assert_eq!(chosen(Severity::Sev2, Opened), [oncall, team, commander]);
        assert_eq!(chosen(Severity::Sev1, Opened), [oncall, team, commander, board]);
        assert_eq!(chosen(Severity::Sev1, Plan), [oncall, team, commander]);
        assert_eq!(chosen(Severity::Sev1, Resolved), [oncall, team, commander, board]);
        assert_eq!(chosen(Severity::Sev4, Postmortem), [oncall, team, learning]);
    }

    #[test]
    fn one_person_in_two_roles_gets_one_mail() {
        let catalogue = catalogue("Same@example.com", " same@example.com ");
        let chosen = choose(&options(), &catalogue, Some("payment"), Severity::Sev3, Kind::Opened);
        assert_eq!(chosen.addresses(Email::NAME), ["Same@example.com"]);
    }

    #[test]
    fn there_is_always_a_recipient() {
        let hostile = catalogue("eve@example.com\r\nBcc: all@example.com", "not an address");
        let chosen = choose(&options(), &hostile, Some("payment"), Severity::Sev3, Kind::Opened);
        assert_eq!(chosen.addresses(Email::NAME), ["ops@example.com"]);
        assert_eq!(chosen.unusable, ["eve@example.com Bcc: all@example.com", "not an address"]);
        let nobody = choose(&options(), &Catalogue::default(), None, Severity::Sev4, Kind::Opened);
        assert_eq!(nobody.addresses(Email::NAME), ["ops@example.com"]);
    }

    #[test]
    fn the_number_of_recipients_is_bounded() {
        let many =
            Options { commanders: (0..200).map(|n| format!("c{n}@example.com")).collect(), ..options() };
        let chosen = choose(&many, &Catalogue::default(), None, Severity::Sev1, Kind::Opened);
        assert_eq!(chosen.destinations.len(), MAX);
    }
}
