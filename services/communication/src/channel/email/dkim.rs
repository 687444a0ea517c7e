//! Signs mails (DKIM, RFC 6376 with RFC 8301 and RFC 8463), so that mail servers can check that the domain sent them unchanged.
//! `lettre` can sign too, with two more cryptographic libraries; `ring` is in the programs already.

use std::fmt;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::service::Secret;

/// Settings under `dkim`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Domain that signs: that of the address in `from`, or one above it.
    pub domain: String,
    /// Selector: the public key is the TXT record `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// Private key, PEM: RSA of 2048 bits or more (PKCS #8 or PKCS #1), or Ed25519 (PKCS #8). Empty: mails are not signed. Never
    /// printed.
    pub private_key: Secret,
}

impl Options {
    /// Returns everything that is wrong with the settings, one sentence each, without the key. `from` is the domain of the sender.
    pub fn validate(&self, from: &str) -> Vec<String> {
        let names = [&self.domain, &self.selector];
        if self.private_key.is_empty() {
            let is_set = names.iter().any(|name| !name.is_empty());
            return is_set.then(|| "dkim.private_key: not set".to_owned()).into_iter().collect();
        }
        let mut problems = Vec::new();
        for (name, value) in [("domain", &self.domain), ("selector", &self.selector)] {
            if !is_domain(value) {
                problems.push(format!("dkim.{name}: {value:?} is not a domain in ASCII"));
            }
        }
        let (domain, from) = (self.domain.to_ascii_lowercase(), from.to_ascii_lowercase());
        if problems.is_empty() && from != domain && !from.ends_with(&format!(".{domain}")) {
            problems.push(format!("dkim.domain: mails are sent from {from}, which is not below {domain}"));
        }
        if let Err(error) = Key::read(&self.private_key) {
            problems.push(format!("dkim.private_key: {error:#}"));
        }
        problems
    }
}

/// Returns whether a text can stand for a domain or selector in a header.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Signs mails with one key.
#[derive(Debug)]
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Headers that are signed where a mail has them. Another one of the first few cannot be added without breaking the signature.
const SIGNED: [&str; 13] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Auto-Submitted",
    "List-Id",
    "Importance",
    "X-Firewatch-Incident",
];
/// How many of them are named once more than the mail has them.
const SEALED: usize = 9;
/// Longest line of the signature's header.
const LINE: usize = 72;

impl Signer {
    /// Builds the signer of valid options; none where no key is set.
    pub fn new(options: &Options) -> anyhow::Result<Option<Self>> {
        if options.private_key.is_empty() {
            return Ok(None);
        }
        let key = Key::read(&options.private_key).context("dkim.private_key")?;
        Ok(Some(Self { domain: options.domain.clone(), selector: options.selector.clone(), key }))
    }

    /// Returns a mail with its signature in front. The same mail at the same time has the same signature.
    pub fn sign(&self, mail: &[u8], at: Timestamp) -> anyhow::Result<Vec<u8>> {
        let text = std::str::from_utf8(mail).context("the mail is not text")?;
        let (head, body) = text.split_once("\r\n\r\n").context("the mail has no body")?;
        let headers = fields(head);
        let found = |name: &str| headers.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut names: Vec<String> = Vec::new();
        let mut input = String::new();
        for name in SIGNED {
            if let Some((name, value)) = found(name) {
                names.push(name.to_ascii_lowercase());
                input.push_str(&relaxed_header(name, value));
                input.push_str("\r\n");
            }
        }
        names.extend(SIGNED[..SEALED].iter().map(|name| name.to_ascii_lowercase()));
        let digest = STANDARD.encode(Sha256::digest(relaxed_body(body).as_bytes()));
        let value = format!(
            " v=1; a={}; c=relaxed/relaxed; d={};\r\n s={}; t={};\r\n h={};\r\n bh={digest};\r\n b=",
            self.key.algorithm(),
            self.domain,
            self.selector,
            at.as_second(),
            folded(&names.join(":"), |rest| rest.rfind(':').map(|colon| colon + 1)),
        );
        input.push_str(&relaxed_header("DKIM-Signature", &value));
        let signature = folded(&STANDARD.encode(self.key.sign(input.as_bytes())?), |line| Some(line.len()));
        Ok([format!("DKIM-Signature:{value}{signature}\r\n").as_bytes(), mail].concat())
    }
}

/// Breaks a value into lines, each at the end of what `cut` finds of it.
fn folded(value: &str, cut: impl Fn(&str) -> Option<usize>) -> String {
    let mut lines = Vec::new();
    let mut rest = value;
    while rest.len() > LINE {
        let Some(end) = cut(&rest[..LINE]) else { break };
        lines.push(&rest[..end]);
        rest = &rest[end..];
    }
    lines.push(rest);
    lines.join("\r\n ")
}

/// Returns the names and values of headers; a value keeps its line breaks.
fn fields(head: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        match (line.starts_with([' ', '\t']), fields.last_mut(), line.split_once(':')) {
            (true, Some((_, value)), _) => {
                value.push_str("\r\n");
                value.push_str(line);
            }
            (false, _, Some((name, value))) => fields.push((name.to_owned(), value.to_owned())),
            _ => {}
        }
    }
    fields
}

/// Returns a header in the relaxed form (RFC 6376, 3.4.2), without a line break at its end.
fn relaxed_header(name: &str, value: &str) -> String {
    let value = value.replace("\r\n", "");
    format!("{}:{}", name.trim_end().to_ascii_lowercase(), single_spaced(value.trim_matches([' ', '\t'])))
}

/// Returns a body in the relaxed form (RFC 6376, 3.4.4).
fn relaxed_body(body: &str) -> String {
    let lines: Vec<String> =
        body.split("\r\n").map(|line| single_spaced(line).trim_end_matches(' ').to_owned()).collect();
    let kept = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    let mut relaxed = String::with_capacity(body.len());
    for line in &lines[..kept] {
        relaxed.push_str(line);
        relaxed.push_str("\r\n");
    }
    relaxed
}

/// Returns a text with each run of blanks and tabs as one blank.
fn single_spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' ' | '\t' if spaced.ends_with(' ') => {}
            ' ' | '\t' => spaced.push(' '),
            other => spaced.push(other),
        }
    }
    spaced
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm())
    }
}

impl Key {
    /// Reads a key. Errors do not quote it.
    fn read(pem: &Secret) -> anyhow::Result<Self> {
        let (label, der) = block(pem.expose())?;
        match label {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der).map(Self::Rsa).map_err(rejected),
            "PRIVATE KEY" => match Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
                Ok(key) => Ok(Self::Ed25519(key)),
                Err(_) => RsaKeyPair::from_pkcs8(&der).map(Self::Rsa).map_err(rejected),
            },
            "ENCRYPTED PRIVATE KEY" => bail!("the key is encrypted; store it without a passphrase"),
            _ => bail!("holds no private key; make one with: openssl genrsa 2048"),
        }
    }

    /// Returns its name in a signature.
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn sign(&self, input: &[u8]) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature)
                    .map_err(|_| anyhow::anyhow!("signing failed"))?;
                Ok(signature)
            }
            // RFC 8463: what is signed is the digest
            Self::Ed25519(key) => Ok(key.sign(&Sha256::digest(input)).as_ref().to_vec()),
        }
    }
}

fn rejected(error: ring::error::KeyRejected) -> anyhow::Error {
    anyhow::anyhow!("{error}: neither an RSA key of 2048 to 4096 bits nor an Ed25519 key")
}

/// Returns the label and the bytes of the first block of a PEM text.
fn block(pem: &str) -> anyhow::Result<(&str, Vec<u8>)> {
    let (_, rest) = pem.split_once("-----BEGIN ").context("is no PEM text")?;
    let (label, rest) = rest.split_once("-----").context("is no PEM text")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----")).context("is cut off")?;
    let digits: String = body.chars().filter(|character| !character.is_whitespace()).collect();
    let bytes = STANDARD.decode(digits).map_err(|_| anyhow::anyhow!("is damaged"))?;
    Ok((label, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6376, 3.4.5.
    #[test]
    fn mails_are_made_canonical_as_in_the_rfc() {
        let fields = fields("A: X\r\nB : Y\t\r\n\tZ  ");
        let headers: Vec<String> = fields.iter().map(|(name, value)| relaxed_header(name, value)).collect();
        assert_eq!(headers, ["a:X", "b:Y Z"]);
        assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
        assert_eq!(relaxed_body(""), "");
        assert_eq!(relaxed_body("\r\n"), "");
        assert_eq!(relaxed_body("no end"), "no end\r\n");
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused_without_being_shown() {
        let secret = "c2VjcmV0IGtleQ==";
        for (pem, expected) in [
            ("nothing".to_owned(), "is no PEM text"),
            (
                format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----"),
                "neither an RSA key",
            ),
            (format!("-----BEGIN PRIVATE KEY-----\n{secret}"), "is cut off"),
            ("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----".to_owned(), "is damaged"),
            (format!("-----BEGIN CERTIFICATE-----\n{secret}\n-----END CERTIFICATE-----"), "openssl genrsa"),
            (
                format!(
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{secret}\n-----END ENCRYPTED PRIVATE KEY-----"
                ),
                "without a passphrase",
            ),
        ] {
            let options = Options {
                domain: "example.com".into(),
                selector: "firewatch".into(),
                private_key: Secret::new(pem.clone()),
            };
            let problems = options.validate("example.com");
            assert_eq!(problems.len(), 1, "{pem} gave {problems:?}");
            assert!(problems[0].contains(expected) && !problems[0].contains(secret), "{problems:?}");
        }
    }

    #[test]
    fn names_that_would_break_a_header_or_the_alignment_are_refused() {
        let named = |domain: &str, selector: &str| {
            let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            let pem =
                format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", STANDARD.encode(key));
            let options =
                Options { domain: domain.into(), selector: selector.into(), private_key: Secret::new(pem) };
            options.validate("mail.example.com").len()
        };
        assert_eq!(named("example.com", "2026._a"), 0);
        assert_eq!(named("mail.example.com", "s"), 0);
        assert_eq!(named("example.com; x=y", "s"), 1);
        assert_eq!(named("example.com", "s\r\nBcc: eve@example.com"), 1);
        assert_eq!(named("", ""), 2);
        assert_eq!(named("ample.com", "s"), 1);
        let without_key = Options { domain: "example.com".into(), ..Options::default() };
        assert_eq!(without_key.validate("example.com").len(), 1);
        assert!(Options::default().validate("example.com").is_empty());
    }
}
