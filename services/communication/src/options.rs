//! Settings of the stage.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use shared::service::{Secret, StageOptions};
use url::Url;

use crate::channel;
use crate::channel::email::dkim;
use crate::heartbeat;
use crate::receivers::{Receiver, Slack};

/// Settings under `[communication]`, or `FIREWATCH_COMMUNICATION__...`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Mail server: `smtp://host:port` (add `?tls=required` or `?tls=opportunistic` for STARTTLS) or `smtps://host:port`.
    pub smtp_url: String,
    /// User at the mail server; empty: none.
    pub smtp_user: String,
    /// Password at the mail server; never printed.
    pub smtp_password: Secret,
    /// Sender, e.g. `Firewatch <firewatch@example.com>`.
    pub from: String,
    /// Envelope sender: where mail servers report what they cannot deliver; empty: the address in `from`.
    pub bounce_address: String,
    /// Domain of Message-IDs and of the list; also how the mail server is greeted.
    pub domain: String,
    /// Signature of mails.
    pub dkim: dkim::Options,
    /// Where an incident can be seen: `{link_base_url}/incidents/{number}`; empty: mails carry no link.
    pub link_base_url: String,
    /// Folder with templates that replace embedded ones; empty: none.
    pub templates_dir: String,
    /// Notified of SEV1 and SEV2.
    #[serde(deserialize_with = "list")]
    pub commanders: Vec<String>,
    /// Notified when a SEV1 is opened and when it is resolved.
    #[serde(deserialize_with = "list")]
    pub stakeholders: Vec<String>,
    /// Notified of every postmortem.
    #[serde(deserialize_with = "list")]
    pub postmortem_readers: Vec<String>,
    /// Notified where no other recipient is known.
    pub fallback: String,
    /// Minutes after which each level is called where nobody acknowledges a SEV1 or SEV2; empty: no escalation.
    #[serde(deserialize_with = "list")]
    pub escalation_minutes: Vec<u32>,
    /// How often the escalation begins again after its last level.
    pub escalation_repeats: u32,
    /// Minutes between two reports on how a SEV1 or SEV2 stands; 0: none.
    pub status_report_minutes: u32,
    /// Minutes between two digests; they are written at multiples of it since midnight, UTC.
    pub digest_minutes: u32,
    /// Most messages of one incident to one address within an hour; the others wait for a summary. The opening, the end and calls of an
    /// escalation are always sent.
    pub hourly_messages: u32,
    /// Messages to one address within ten minutes after which those of SEV3 and SEV4 wait for a digest.
    pub storm_messages: u32,
    /// Attempts to send one message before it is given up.
    pub max_attempts: u32,
    /// Pause after the first failed attempt, milliseconds; doubled after each further one.
    pub retry_initial_ms: u64,
    /// Longest pause between two attempts, milliseconds.
    pub retry_max_ms: u64,
    /// Longest wait for a connection and for each answer of the server, milliseconds.
    pub command_timeout_ms: u64,
    /// Longest time one attempt may take as a whole, milliseconds.
    pub send_timeout_ms: u64,
    /// Sends nothing: what would be sent is logged and recorded.
    pub dry_run: bool,
    /// A Slack app.
    pub slack: Slack,
    /// Services that are reached by HTTP, by name.
    pub receivers: BTreeMap<String, Receiver>,
    /// Heartbeat to an address outside of Firewatch.
    pub heartbeat: heartbeat::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            smtp_url: "smtp://127.0.0.1:1025".to_owned(),
            smtp_user: String::new(),
            smtp_password: Secret::default(),
            from: "Firewatch <firewatch@firewatch.local>".to_owned(),
            bounce_address: String::new(),
            domain: "firewatch.local".to_owned(),
            dkim: dkim::Options::default(),
            link_base_url: String::new(),
            templates_dir: String::new(),
            commanders: Vec::new(),
            stakeholders: Vec::new(),
            postmortem_readers: Vec::new(),
            fallback: "oncall@firewatch.local".to_owned(),
            escalation_minutes: vec![15, 30],
            escalation_repeats: 3,
            status_report_minutes: 60,
            digest_minutes: 60,
            hourly_messages: 10,
            storm_messages: 30,
            max_attempts: 500,
            retry_initial_ms: 1_000,
            retry_max_ms: 60_000,
            command_timeout_ms: 10_000,
            send_timeout_ms: 30_000,
            dry_run: false,
            slack: Slack::default(),
            receivers: BTreeMap::new(),
            heartbeat: heartbeat::Options::default(),
        }
    }
}

/// Longest time one attempt may be given, milliseconds: less than the runtime gives a timer.
const MAX_SEND_MS: u64 = 40_000;

impl StageOptions for Options {
    fn validate(&self) -> Vec<String> {
        self.validate()
    }
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    None,
    /// STARTTLS where the server offers it; an attacker on the path can remove the offer.
    StartTlsIfOffered,
    /// STARTTLS; without it no mail is sent.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// Where the mail server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

impl Options {
    /// Returns every problem, one sentence each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = channel::validate(self);
        problems.extend(self.heartbeat.validate());
        if let Err(problem) = link(&self.link_base_url) {
            problems.push(format!("link_base_url: {problem}"));
        }
        let lists = [
            ("commanders", &self.commanders),
            ("stakeholders", &self.stakeholders),
            ("postmortem_readers", &self.postmortem_readers),
        ];
        let entries = lists.into_iter().flat_map(|(name, list)| list.iter().map(move |entry| (name, entry)));
        for (name, entry) in entries.chain([("fallback", &self.fallback)]) {
            if !channel::is_address(entry, self) {
                problems.push(format!("{name}: {entry:?} is not an address"));
            }
        }
        for (name, value, range) in [
            ("status_report_minutes", u64::from(self.status_report_minutes), 0..=1_440),
            ("digest_minutes", u64::from(self.digest_minutes), 1..=1_440),
            ("hourly_messages", u64::from(self.hourly_messages), 1..=1_000),
            ("storm_messages", u64::from(self.storm_messages), 1..=10_000),
            ("max_attempts", u64::from(self.max_attempts), 1..=10_000),
            ("retry_initial_ms", self.retry_initial_ms, 10..=60_000),
            ("retry_max_ms", self.retry_max_ms, 10..=3_600_000),
            ("command_timeout_ms", self.command_timeout_ms, 100..=MAX_SEND_MS),
            // the runtime cancels a timer that takes longer
            ("send_timeout_ms", self.send_timeout_ms, 100..=MAX_SEND_MS),
        ] {
            if !range.contains(&value) {
                problems.push(format!("{name}: {value} is outside {} to {}", range.start(), range.end()));
            }
        }
        let steps = &self.escalation_minutes;
        if steps.len() > 10 || steps.iter().any(|minutes| !(1..=7 * 24 * 60).contains(minutes)) {
            problems.push("escalation_minutes: not at most 10 numbers from 1 to 10080".to_owned());
        }
        if !steps.is_sorted_by(|a, b| a < b) {
            problems.push("escalation_minutes: each number must be larger than the one before".to_owned());
        }
        if self.escalation_repeats > 100 {
            problems.push(format!("escalation_repeats: {} is more than 100", self.escalation_repeats));
        }
        if self.send_timeout_ms < self.command_timeout_ms {
            problems.push("send_timeout_ms is below command_timeout_ms".to_owned());
        }
        problems
    }

    /// Returns what works but is risky, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.dry_run {
            warnings.push("dry_run is set; nobody is notified".to_owned());
        }
        let Ok(server) = self.server() else { return warnings };
        let near = matches!(server.host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if !near && matches!(server.security, Security::None | Security::StartTlsIfOffered) {
            warnings.push(format!(
                "mail to {} can be sent unencrypted; use smtps:// or ?tls=required",
                server.host
            ));
            if !self.smtp_user.is_empty() {
                warnings.push(format!("the password for {} can be sent unencrypted", server.host));
            }
        }
        warnings
    }

    /// Returns where the mail server is.
    pub fn server(&self) -> Result<Server, String> {
        let url = Url::parse(&self.smtp_url).map_err(|error| error.to_string())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("user and password belong in smtp_user and smtp_password".to_owned());
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("has no host")?.to_owned();
        let tls = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
        let (security, port) = match (url.scheme(), tls.as_deref()) {
            ("smtp", None) => (Security::None, 25),
            ("smtp", Some("opportunistic")) => (Security::StartTlsIfOffered, 587),
            ("smtp", Some("required")) => (Security::StartTls, 587),
            ("smtps", None) => (Security::Tls, 465),
            (scheme, None) => return Err(format!("scheme {scheme:?} is neither smtp nor smtps")),
            (scheme, Some(tls)) => return Err(format!("tls={tls} is not supported with {scheme}://")),
        };
        Ok(Server { host, port: url.port().unwrap_or(port), security })
    }

    /// Returns the folder with templates, if one is set.
    pub fn templates_dir(&self) -> Option<&Path> {
        (!self.templates_dir.is_empty()).then(|| Path::new(&self.templates_dir))
    }

    /// Returns the longest wait for one answer.
    pub fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms)
    }

    /// Returns the longest time one attempt may take.
    pub fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.send_timeout_ms)
    }
}

fn link(base: &str) -> Result<(), String> {
    if base.is_empty() {
        return Ok(());
    }
    let url = Url::parse(base).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" if url.query().is_none() && url.fragment().is_none() => Ok(()),
        "http" | "https" => Err("has a query or a fragment".to_owned()),
        scheme => Err(format!("scheme {scheme:?} is neither http nor https")),
    }
}

/// Reads a list, or one string with commas, which is what an environment variable can hold.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr<Err: Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entries<T> {
        Many(Vec<T>),
        Line(String),
        One(T),
    }
    match Entries::deserialize(deserializer)? {
        Entries::Many(entries) => Ok(entries),
        Entries::One(entry) => Ok(vec![entry]),
        Entries::Line(line) => {
            let entries = line.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            entries.map(|entry| entry.parse().map_err(D::Error::custom)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Options::default().validate(), Vec::<String>::new());
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let options = Options {
            smtp_url: "http://mail".into(),
            smtp_user: "me".into(),
            from: "nobody".into(),
            domain: "fire watch\r\n".into(),
            link_base_url: "javascript:alert(1)".into(),
            commanders: vec!["a@example.com, b".into()],
            max_attempts: 0,
            send_timeout_ms: 200,
            ..Options::default()
        };
        let problems = options.validate();
        let named: Vec<_> = problems.iter().filter_map(|p| p.split([':', ' ']).next()).collect();
        assert_eq!(
            named,
            [
                "smtp_url",
                "smtp_user",
                "from",
                "domain",
                "link_base_url",
                "commanders",
                "max_attempts",
                "send_timeout_ms"
            ]
        );
    }

    #[test]
    fn a_server_is_read_from_its_url() {
        let server = |url: &str| Options { smtp_url: url.into(), ..Options::default() }.server();
        let expect = |host: &str, port, security| Ok(Server { host: host.into(), port, security });
        assert_eq!(server("smtp://mail:1025"), expect("mail", 1025, Security::None));
        assert_eq!(server("smtp://mail?tls=required"), expect("mail", 587, Security::StartTls));
        assert_eq!(server("smtps://mail"), expect("mail", 465, Security::Tls));
        assert!(server("smtp://me:secret@mail").is_err());
        assert!(server("smtps://mail?tls=none").is_err());
    }

    #[test]
    fn a_password_is_never_shown_and_a_list_may_be_one_string() {
        let options: Options = serde_json::from_str(
            r#"{"smtp_user":"me","smtp_password":"hunter2","commanders":"a@example.com, b@example.com",
                "escalation_minutes":"5, 20"}"#,
        )
        .unwrap();
        assert_eq!(options.escalation_minutes, [5, 20]);
        let read =
            |text: &str| serde_json::from_str::<Options>(text).map(|options| options.escalation_minutes);
        assert_eq!(read(r#"{"escalation_minutes":7}"#).unwrap(), [7]);
        assert!(read(r#"{"escalation_minutes":"5, soon"}"#).is_err());
        assert_eq!(options.commanders, ["a@example.com", "b@example.com"]);
        let shown = format!("{options:?} {}", serde_json::to_string(&options).unwrap());
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        assert!(serde_json::from_str::<Options>(r#"{"smtp_ur1":""}"#).is_err());
    }
}
