//! Secrets and personal data in text from telemetry: found by their form, and replaced before the text is stored, published or
//! shown.
//!
//! The same value gets the same placeholder, so that two lines about one customer are still seen to be about one. By itself a
//! placeholder cannot be turned back. With a key in the settings, values that tell who is concerned are [sealed](super::seal)
//! beside the text; passwords, tokens, keys, card numbers and what patterns of one's own match never are.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use regex::{Captures, Regex};
use serde::{Deserialize, Serialize};

use super::seal::{Sealed, Sealer};
use crate::events::anomaly::LogTemplate;
use crate::secret::Secret;

/// Most patterns of one's own.
const MAX_PATTERNS: usize = 50;
/// Longest pattern, bytes.
const MAX_PATTERN: usize = 1_000;
/// Most values that are sealed beside one anomaly.
pub const MAX_SEALED: usize = 20;
/// What may be read again: who is concerned. Nobody needs a password or a card number to end an incident, and a pattern of one's own
/// may match either.
const SEALED: [&str; 3] = ["email", "phone", "ip"];
/// Words that may stand where a secret would, and are none.
const NO_SECRETS: [&str; 22] = [
    "absent",
    "denied",
    "disabled",
    "empty",
    "enabled",
    "error",
    "expired",
    "failed",
    "failure",
    "false",
    "incorrect",
    "invalid",
    "missing",
    "mismatch",
    "nil",
    "none",
    "not",
    "null",
    "rejected",
    "required",
    "true",
    "wrong",
];

/// Settings (`[redaction]`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whether IP addresses are replaced as well.
    pub ip_addresses: bool,
    /// Further regular expressions whose matches are replaced (at most 50 of 1,000 bytes).
    pub patterns: Vec<String>,
    /// Key with which mail addresses, phone numbers and IP addresses are sealed, 64 hexadecimal digits; empty: they cannot be
    /// read again.
    pub seal_key: Secret,
}

impl Options {
    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.patterns.len() > MAX_PATTERNS {
            problems.push(format!("patterns: {} are more than {MAX_PATTERNS}", self.patterns.len()));
        }
        for pattern in &self.patterns {
            match Regex::new(pattern) {
                _ if pattern.len() > MAX_PATTERN => {
                    problems.push(format!("patterns: one is longer than {MAX_PATTERN} bytes"));
                }
                Err(error) => problems.push(format!("patterns: {error}")),
                Ok(expression) if expression.is_match("") => {
                    problems.push(format!("patterns: {pattern:?} matches an empty text"));
                }
                Ok(_) => {}
            }
        }
        if !self.seal_key.is_empty() && Sealer::new(&self.seal_key).is_none() {
            problems.push("seal_key: not 64 hexadecimal digits".to_owned());
        }
        problems
    }
}

/// A form of secret, by its name in placeholders.
struct Form {
    name: &'static str,
    expression: Regex,
    /// Group that holds the secret; 0 for the whole match.
    group: usize,
    is_secret: fn(&str) -> bool,
}

fn any(_: &str) -> bool {
    true
}

fn form(name: &'static str, expression: &str, group: usize, is_secret: fn(&str) -> bool) -> Form {
    let expression = Regex::new(expression).expect("the expression is a constant, and tested");
    Form { name, expression, group, is_secret }
}

/// Forms that are always replaced. Those that hold others come first.
static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let named = r#"(?i)\b[a-z0-9_.-]*(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|cookie|session[_-]?id|authorization)["']?\s*[:=]\s*"#;
    vec![
        form(
            "key",
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
            0,
            any,
        ),
        form("password", r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@\[\]]*:([^\s@\[\]]+)@", 1, any),
        form("token", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?", 0, any),
        form("token", r"(?i)\b(?:bearer|basic)\s+([a-z0-9+/_.=~-]{8,})", 1, any),
        form("key", r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b", 0, any),
        form("key", r"\bAIza[A-Za-z0-9_-]{35}", 0, any),
        form(
            "token",
            r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,}|xox[abeprs]-[A-Za-z0-9-]{10,}|hf_[A-Za-z0-9]{20,}|dop_v1_[a-f0-9]{32,})",
            0,
            any,
        ),
        form("key", r"\b(?:sk|rk|pk|whsec)[-_](?:(?:live|test|proj|ant)[-_])?[A-Za-z0-9_-]{16,}", 0, any),
        form("secret", &format!(r#"{named}"([^"\[\]]{{1,200}})""#), 1, is_named_secret),
        form("secret", &format!(r"{named}'([^'\[\]]{{1,200}})'"), 1, is_named_secret),
        form("secret", &format!(r#"{named}([^\s,;&"'\[\]{{}}()]{{3,200}})"#), 1, is_named_secret),
        form("card", r"\b\d(?:[ -]?\d){12,18}\b", 0, is_card),
        form(
            "email",
            r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}\b",
            0,
            any,
        ),
        form("phone", r"\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}\b", 0, any),
        form("phone", r"\(\d{3}\) ?\d{3}-\d{4}\b|\b\d{3}-\d{3}-\d{4}\b", 0, any),
    ]
});

/// Addresses: with a dot more they would be versions, with a colon less times.
static ADDRESSES: LazyLock<Form> = LazyLock::new(|| {
    let expression = r"\b(?:\d{1,3}\.){3}\d{1,3}\b|(?:\b[0-9a-fA-F]{1,4}:){3,7}(?::?[0-9a-fA-F]{1,4}){1,4}\b|\b[0-9a-fA-F]{1,4}::(?:[0-9a-fA-F]{1,4}:){0,5}[0-9a-fA-F]{1,4}\b";
    form("ip", expression, 0, |text| text.parse::<std::net::IpAddr>().is_ok())
});

/// Replaces secrets and personal data in texts.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    ip_addresses: bool,
    patterns: Vec<Regex>,
    sealer: Option<Arc<Sealer>>,
}

impl PartialEq for Redactor {
    fn eq(&self, other: &Self) -> bool {
        let patterns =
            |one: &Self| one.patterns.iter().map(|one| one.as_str().to_owned()).collect::<Vec<_>>();
        self.ip_addresses == other.ip_addresses && patterns(self) == patterns(other)
    }
}

impl Redactor {
    /// Replaces what those settings ask for besides the known forms. A pattern that cannot be compiled is left out:
    /// [`Options::validate`] reports it.
    pub fn new(options: &Options) -> Self {
        let patterns = options.patterns.iter().take(MAX_PATTERNS).filter_map(|one| Regex::new(one).ok());
        let sealer = Sealer::new(&options.seal_key).map(Arc::new);
        Self { ip_addresses: options.ip_addresses, patterns: patterns.collect(), sealer }
    }

    /// Returns the text with placeholders, e.g. `login of [email 3f2a] failed`. A text that was redacted stays as it is.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.sealing(text, &mut |_, _| {})
    }

    /// As [`Self::redact`]; `take` is called with each placeholder and the value that it stands for.
    fn sealing<'a>(&self, text: &'a str, take: &mut dyn FnMut(&str, &str)) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for form in FORMS.iter().chain(self.ip_addresses.then(|| &*ADDRESSES)) {
            replace(&mut text, form.name, &form.expression, form.group, form.is_secret, take);
        }
        for pattern in &self.patterns {
            let is_secret = |found: &str| !found.is_empty() && !found.starts_with('[');
            replace(&mut text, "redacted", pattern, 0, is_secret, take);
        }
        text
    }

    /// Redacts what an anomaly says: its explanation, and the lines beside it. With a key, values that may be read again are
    /// added to `sealed`, at most [`MAX_SEALED`].
    pub fn anomaly(&self, explanation: &mut String, logs: &mut [LogTemplate], sealed: &mut Vec<Sealed>) {
        let texts = logs.iter_mut().flat_map(|log| [&mut log.template, &mut log.example]);
        for text in std::iter::once(explanation).chain(texts) {
            let redacted = self.sealing(text, &mut |placeholder, value| {
                let kind = placeholder.trim_start_matches('[').split(' ').next().unwrap_or_default();
                let known = sealed.iter().any(|known| known.placeholder == placeholder);
                if SEALED.contains(&kind) && !known && sealed.len() < MAX_SEALED {
                    sealed.extend(self.sealer.as_ref().and_then(|sealer| sealer.seal(placeholder, value)));
                }
            });
            if let Cow::Owned(redacted) = redacted {
                *text = redacted;
            }
        }
    }

    /// Redacts a text in place.
    pub fn apply(&self, text: &mut String) {
        if let Cow::Owned(redacted) = self.redact(text) {
            *text = redacted;
        }
    }
}

fn replace(
    text: &mut Cow<'_, str>,
    name: &str,
    expression: &Regex,
    group: usize,
    is_secret: impl Fn(&str) -> bool,
    take: &mut dyn FnMut(&str, &str),
) {
    let mut of = |found: &Captures<'_>| -> String {
        let (whole, secret) = (found.get(0), found.get(group));
        let (Some(whole), Some(secret)) = (whole, secret) else { return String::new() };
        if !is_secret(secret.as_str()) {
            return whole.as_str().to_owned();
        }
        let place = secret.start() - whole.start();
        let rest = &whole.as_str()[place + secret.len()..];
        let placeholder = placeholder(name, secret.as_str());
        take(&placeholder, secret.as_str());
        format!("{}{placeholder}{rest}", &whole.as_str()[..place])
    };
    if let Cow::Owned(replaced) = expression.replace_all(text, &mut of) {
        *text = Cow::Owned(replaced);
    }
}

/// Returns what stands for a value: 16 bits of a digest tell values of one incident apart, and give none of them away.
fn placeholder(name: &str, value: &str) -> String {
    let digest = crate::ids::derive(&["redacted", value]).simple().to_string();
    format!("[{name} {}]", &digest[..4])
}

fn is_named_secret(value: &str) -> bool {
    let word = value.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    let is_masked = value.chars().all(|c| c == '*' || c == '.');
    !is_masked && !NO_SECRETS.contains(&word.as_str())
}

/// Whether digits are the number of a payment card: its length, its first digit, and its check digit (ISO/IEC 7812-1).
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let known =
        digits.first().is_some_and(|first| (3..=6).contains(first) || (*first == 2 && digits.len() == 16));
    let double = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| if place % 2 == 1 { double(*digit) } else { *digit })
        .sum();
    known && (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(text: &str) -> String {
        Redactor::default().redact(text).into_owned()
    }

    #[test]
    fn what_stands_for_a_secret_says_what_it_was() {
        for (text, shown) in [
            ("login of ada@example.com failed", "login of [email "),
            ("charge of 4111 1111 1111 1111 declined", "charge of [card "),
            ("GET /pay?token=abc123&x=1", "GET /pay?token=[secret "),
            ("{\"password\": \"hunter two\"}", "{\"password\": \"[secret "),
            ("Authorization: Bearer abcdefgh12345678", "Authorization: [secret "),
            ("connect postgres://app:s3cr3t@db/x failed", "connect postgres://app:[password "),
            ("call +49 170 1234567 back", "call [phone "),
        ] {
            let read = redacted(text);
            assert!(read.starts_with(shown), "{text}: {read}");
        }
        let twice = redacted("a@example.com wrote to b@example.com, a@example.com answered");
        let marks: Vec<&str> =
            twice.split_inclusive(']').map(|part| &part[part.len() - 5..]).take(3).collect();
        assert_eq!(marks[0], marks[2], "{twice}");
        assert_ne!(marks[0], marks[1], "{twice}");
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "password: incorrect",
            "token expired",
            "token: expired",
            "session_id is missing",
            "order 4711 failed after 5000 ms at 1790000000000",
            "call to payment failed: connect to 10.0.3.17:8443: no route to host",
            "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
            "basic checks passed",
            "secret rotation is disabled",
            "timed out waiting for a connection from the pool (5000 ms)",
            "GC pause 12-34-56",
            "user@host",
            "2026-03-14T09:26:53Z java.lang.OutOfMemoryError: Java heap space",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn addresses_and_further_patterns_by_settings() {
        let patterns = vec![r"\bCUST-\d+\b".to_owned()];
        let redactor = Redactor::new(&Options { ip_addresses: true, patterns, ..Options::default() });
        let read = redactor.redact("CUST-42 at 10.0.3.17 and 2001:db8::17, version 1.2.3, 12:34:56");
        assert!(read.starts_with("[redacted ") && read.contains("at [ip "), "{read}");
        assert!(!read.contains("10.0.3.17") && !read.contains("2001:db8"), "{read}");
        assert!(read.ends_with("version 1.2.3, 12:34:56"), "{read}");
        let wrong = Options {
            patterns: vec!["(".into(), "a*".into(), "x".repeat(2_000)],
            seal_key: Secret::new("short"),
            ..Options::default()
        };
        assert_eq!(wrong.validate().len(), 4);
    }

    #[test]
    fn with_a_key_who_is_concerned_can_be_read_again_and_secrets_cannot() {
        let seal_key = Secret::new("5a".repeat(32));
        let sealer = Sealer::new(&seal_key).unwrap();
        let line = "ada@example.com (CUST-42, 10.0.3.17) paid with 4111 1111 1111 1111, password=hunter22xyz";
        let says = |redactor: &Redactor| {
            let (mut explanation, mut sealed) = (line.to_owned(), Vec::new());
            redactor.anomaly(&mut explanation, &mut [], &mut sealed);
            redactor.anomaly(&mut explanation, &mut [], &mut sealed);
            (explanation, sealed)
        };
        let patterns = vec![r"\bCUST-\d+\b".to_owned()];
        let options = Options { ip_addresses: true, patterns, seal_key };
        let (explanation, sealed) = says(&Redactor::new(&options));
        let read: Vec<String> = sealed.iter().filter_map(|one| sealer.open(one)).collect();
        assert_eq!(read, ["ada@example.com", "10.0.3.17"]);
        assert!(sealed.iter().all(|one| explanation.contains(&one.placeholder)), "{explanation}");
        let (without, none) = says(&Redactor::new(&Options { seal_key: Secret::default(), ..options }));
        assert_eq!((without, none), (explanation, Vec::new()));
        let many: String =
            (0..100).map(|number| format!("a{number}@example.com")).collect::<Vec<_>>().join(" ");
        let mut sealed = Vec::new();
        let redactor =
            Redactor::new(&Options { seal_key: Secret::new("5a".repeat(32)), ..Options::default() });
        redactor.anomaly(&mut many.clone(), &mut [], &mut sealed);
        assert_eq!(sealed.len(), MAX_SEALED);
    }

    fn secret() -> impl Strategy<Value = (String, String)> {
        let plain = |expression: &'static str| expression.prop_map(|secret: String| (secret.clone(), secret));
        let named = |name: &'static str, expression: &'static str| {
            expression.prop_map(move |secret: String| (format!("{name}{secret}"), secret))
        };
        let card = "[3-6][0-9]{14}".prop_map(|start| {
            let last = (0..10).find(|last| is_card(&format!("{start}{last}"))).unwrap_or_default();
            let number = format!("{start}{last}");
            (number.clone(), number)
        });
        prop_oneof![
            plain("AKIA[A-Z0-9]{16}"),
            plain("ghp_[A-Za-z0-9]{36}"),
            plain("glpat-[A-Za-z0-9]{20}"),
            plain("xoxb-[0-9]{11}-[A-Za-z0-9]{24}"),
            plain("sk_live_[A-Za-z0-9]{24}"),
            plain("eyJ[A-Za-z0-9]{20}\\.eyJ[A-Za-z0-9]{20}\\.[A-Za-z0-9]{30}"),
            plain("[a-z]{3,10}\\.[a-z]{3,10}@[a-z]{3,10}\\.(com|org|io)"),
            plain("\\+49 1[5-7][0-9] [0-9]{7}"),
            named("password=", "[A-Za-z0-9!#$%*+/]{9,20}"),
            named("\"api_key\": \"", "[A-Za-z0-9]{20,40}"),
            named("DB_PASSWORD: ", "[A-Za-z0-9]{12,20}"),
            named("Authorization: Bearer ", "[A-Za-z0-9]{20,40}"),
            named("postgres://app:", "[A-Za-z0-9]{10,20}")
                .prop_map(|(text, secret)| (text + "@db:5432/x", secret)),
            card,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn no_planted_secret_is_left(
            before in "[a-zA-Z ,:(]{0,40}",
            (planted, secret) in secret(),
            after in "[a-zA-Z ,:)]{0,40}",
        ) {
            // a quote ends what it began
            let end = if planted.contains('"') { "\"" } else { "" };
            let text = format!("{before} {planted}{end} {after}");
            let read = redacted(&text);
            prop_assert!(!read.contains(&secret), "{} from {}", read, text);
            prop_assert_eq!(redacted(&read), read);
        }
    }
}
