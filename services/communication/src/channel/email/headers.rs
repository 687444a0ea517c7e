//! Headers by which mail clients sort: the list of a mail and how urgent it is.

use sha2::{Digest as _, Sha256};
use shared::events::Severity;
use shared::store::Notification;

use crate::content::Kind;

/// Most characters of a name in a `List-Id`, before what distinguishes it from others.
const LABEL: usize = 40;

/// How a mail client is asked to show a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A critical path is failing.
    Highest,
    /// Users are affected.
    High,
    /// Everything else.
    Normal,
}

impl Urgency {
    /// Returns that of a mail: urgent is what a person has to act on during a SEV1 or SEV2.
    pub fn of(kind: Kind, severity: Severity) -> Self {
        let needs_nobody = matches!(kind, Kind::Resolved | Kind::Postmortem | Kind::Acknowledged);
        match severity {
            Severity::Sev1 if !needs_nobody => Self::Highest,
            Severity::Sev2 if !needs_nobody => Self::High,
            _ => Self::Normal,
        }
    }

    /// Returns the value of `Importance` (RFC 2156).
    pub fn importance(self) -> &'static str {
        match self {
            Self::Highest | Self::High => "high",
            Self::Normal => "normal",
        }
    }

    /// Returns the value of `X-Priority`, which Outlook and Thunderbird read.
    pub fn priority(self) -> &'static str {
        match self {
            Self::Highest => "1 (Highest)",
            Self::High => "2 (High)",
            Self::Normal => "3 (Normal)",
        }
    }
}

/// Returns the `List-Id` (RFC 2919) of a thread whose first mail is `opening`: `SERVICE.ENVIRONMENT.incidents.DOMAIN`.
pub(super) fn list_id(opening: &Notification, domain: &str) -> String {
    let about =
        |name: &str| opening.event.pointer(&format!("/about/{name}")).and_then(|value| value.as_str());
    let service = about("service").map_or_else(|| "unknown".to_owned(), label);
    let environment = about("environment").map_or_else(|| "unknown".to_owned(), label);
    format!("Firewatch incidents <{service}.{environment}.incidents.{domain}>")
}

/// Returns a name as one label of a domain: lower case, other characters than letters, digits and hyphens as one hyphen. Where
/// that, or a cut, could make two names one, the label ends in eight digits of the name's SHA-256.
fn label(name: &str) -> String {
    let mut label = String::new();
    let mut is_same = true;
    for character in name.chars() {
        let kept = character.to_ascii_lowercase();
        if kept.is_ascii_alphanumeric() || kept == '-' {
            label.push(kept);
        } else {
            is_same = false;
            if !label.ends_with('-') {
                label.push('-');
            }
        }
    }
    is_same &= label.len() <= LABEL;
    // what is left is ASCII
    label.truncate(LABEL);
    let trimmed = label.trim_matches('-');
    is_same &= !trimmed.is_empty() && trimmed.len() == label.len();
    let mut label = if trimmed.is_empty() { "name".to_owned() } else { trimmed.to_owned() };
    if !is_same {
        let digest = Sha256::digest(name.as_bytes());
        label = format!("{label}-{}", hex::encode(&digest[..4]));
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_label_whatever_the_name() {
        for (name, begins) in [
            ("payment", "payment"),
            ("Api-Gateway", "api-gateway"),
            ("api_gateway", "api-gateway-"),
            ("", "name-"),
            ("--", "name-"),
            ("결제", "name-"),
            ("x>\r\nBcc: eve@example.com", "x-bcc-eve-example-com-"),
        ] {
            let made = label(name);
            assert!(made.starts_with(begins), "{made}");
            assert!(made.len() <= 63 && !made.starts_with('-') && !made.ends_with('-'), "{made}");
            assert!(made.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{made}");
        }
        assert_eq!(label("payment"), "payment");
        assert_ne!(label("api_gateway"), label("api.gateway"));
        assert_ne!(label("결제"), label("주문"));
        let long = "checkout-".repeat(40);
        assert!(label(&long).len() <= 63);
        assert_ne!(label(&long), label(&format!("{long}-2")));
    }

    #[test]
    fn urgent_is_what_needs_a_person_in_a_severe_incident() {
        use Severity::{Sev1, Sev2, Sev3, Sev4};
        for kind in Kind::LIFECYCLE.into_iter().chain(Kind::UPDATES) {
            let is_calm = matches!(kind, Kind::Resolved | Kind::Postmortem | Kind::Acknowledged);
            let all = [Sev1, Sev2, Sev3, Sev4].map(|severity| Urgency::of(kind, severity));
            let expected = if is_calm {
                [Urgency::Normal; 4]
            } else {
                [Urgency::Highest, Urgency::High, Urgency::Normal, Urgency::Normal]
            };
            assert_eq!(all, expected, "{}", kind.name());
        }
    }
}
