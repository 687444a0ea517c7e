//! Signatures of mails, checked by a reader that shares no code with the signer. `FIREWATCH_DKIM=FOLDER` writes the signed mails and
//! the public keys, for another program to check: `tests/verify_dkim.py FOLDER`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use communication::channel::email::dkim::{Options, Signer};
use communication::channel::email::message::written_at;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair};
use ring::signature::{UnparsedPublicKey, VerificationAlgorithm};
use sha2::{Digest as _, Sha256};
use shared::service::Secret;

use crate::mails::{mime_of, notification, rendered};
use crate::scenario;

/// Keys for these tests alone.
const RSA: &str = include_str!("dkim/rsa.pem");
const ED25519_KEY: &str = include_str!("dkim/ed25519.pem");

fn options(key: &str) -> Options {
    Options {
        domain: "firewatch.local".into(),
        selector: "sel".into(),
        private_key: Secret::new(key.to_owned()),
    }
}

/// Returns the mails of the thread, signed.
fn signed(key: &str) -> Vec<String> {
    let signer = Signer::new(&options(key)).unwrap().unwrap();
    let opening = notification(&scenario::thread()[0]);
    let sign = |content: &communication::content::NotificationContent| {
        let mut stored = notification(content);
        stored.subject = format!("{}  결제   서비스 \t x", stored.subject);
        let mime = mime_of(&stored, Some(&opening), &rendered(content));
        String::from_utf8(signer.sign(mime.as_bytes(), written_at(&stored)).unwrap()).unwrap()
    };
    scenario::thread().iter().map(sign).collect()
}

/// Returns the public key of a private one, as its record in the DNS has it.
fn public(key: &str) -> Vec<u8> {
    let digits: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(digits).unwrap();
    match Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
        Ok(pair) => pair.public_key().as_ref().to_vec(),
        Err(_) => RsaKeyPair::from_pkcs8(&der).unwrap().public_key().as_ref().to_vec(),
    }
}

/// Checks the first header of a mail by the letter of RFC 6376.
fn is_valid(mail: &str, algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> bool {
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", "\t");
    let headers: Vec<(&str, &str)> =
        unfolded.split("\r\n").map(|line| line.split_once(':').unwrap()).collect();
    let words =
        |text: &str| text.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let (name, signature) = headers[0];
    assert_eq!(name, "DKIM-Signature");
    let tags: BTreeMap<&str, String> = signature
        .split(';')
        .map(|tag| tag.split_once('=').unwrap())
        .map(|(name, value)| (name.trim(), value.replace([' ', '\t'], "")))
        .collect();
    let mut canonical = String::new();
    for line in body.split_inclusive("\r\n") {
        let mut squeezed = words(line.trim_end_matches("\r\n"));
        if line.starts_with([' ', '\t']) && !squeezed.is_empty() {
            squeezed.insert(0, ' ');
        }
        canonical.push_str(&squeezed);
        canonical.push_str("\r\n");
    }
    while canonical.ends_with("\r\n\r\n") {
        canonical.truncate(canonical.len() - 2);
    }
    if tags["bh"] != STANDARD.encode(Sha256::digest(canonical.as_bytes())) {
        return false;
    }
    let mut left: Vec<(&str, &str)> = headers[1..].to_vec();
    let mut input = String::new();
    for name in tags["h"].split(':') {
        // from the last one upwards; one that is not there counts as empty
        if let Some(place) = left.iter().rposition(|(known, _)| known.eq_ignore_ascii_case(name)) {
            let (_, value) = left.remove(place);
            write!(input, "{name}:{}\r\n", words(value)).unwrap();
        }
    }
    let without = &signature[..signature.rfind("b=").unwrap() + 2];
    write!(input, "dkim-signature:{}", words(without)).unwrap();
    let signed = STANDARD.decode(&tags["b"]).unwrap();
    let input = if tags["a"] == "ed25519-sha256" {
        Sha256::digest(input.as_bytes()).to_vec()
    } else {
        input.into_bytes()
    };
    UnparsedPublicKey::new(algorithm, key).verify(&input, &signed).is_ok()
}

#[test]
fn a_signature_holds_until_the_mail_is_changed() {
    let folder = std::env::var_os("FIREWATCH_DKIM").map(std::path::PathBuf::from);
    let keys: [(&str, &str, &'static dyn VerificationAlgorithm); 2] =
        [("rsa", RSA, &RSA_PKCS1_2048_8192_SHA256), ("ed25519", ED25519_KEY, &ED25519)];
    for (kind, key, algorithm) in keys {
        let public = public(key);
        for (mail, place) in signed(key).iter().zip(0..) {
            assert!(is_valid(mail, algorithm, &public), "{kind} {place}");
            assert!(mail.split("\r\n\r\n").next().unwrap().lines().all(|line| line.len() <= 78), "{mail}");
            for (from, to) in [
                ("\r\nSubject: ", "\r\nSubject: not "),
                ("\r\nFrom: Firewatch", "\r\nFrom: Firewatch\r\nFrom: Eve"),
                ("\r\nTo: ", "\r\nSubject: another\r\nTo: "),
                ("database connections", "database connection"),
                ("\r\nMessage-ID: <", "\r\nMessage-ID: <x"),
            ] {
                let changed = mail.replacen(from, to, 1);
                assert_ne!(&changed, mail);
                assert!(!is_valid(&changed, algorithm, &public), "{kind} {place} {from:?}");
            }
            // relays change blanks and fold lines elsewhere
            let folded = mail.replacen("\r\nX-Priority: ", "\r\nX-Priority:   ", 1);
            assert!(is_valid(&folded.replacen("\r\nTo: ", "\r\nTo:\r\n  ", 1), algorithm, &public));
            if let Some(folder) = &folder {
                std::fs::create_dir_all(folder).unwrap();
                std::fs::write(folder.join(format!("{kind}-{place}.eml")), mail).unwrap();
                let record = format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(record_key(kind, &public)));
                std::fs::write(folder.join(format!("{kind}.txt")), record).unwrap();
            }
        }
    }
}

/// Object identifier of RSA without parameters, as DER.
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// An RSA key stands in its record with the name of its algorithm around it (RFC 5280), an Ed25519 key does not (RFC 8463).
fn record_key(kind: &str, public: &[u8]) -> Vec<u8> {
    if kind == "ed25519" {
        return public.to_vec();
    }
    let with_length = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, content].concat()
    };
    let bits = with_length(0x03, &[&[0][..], public].concat());
    with_length(0x30, &[&RSA_ENCRYPTION[..], &bits].concat())
}

#[test]
fn the_same_mail_has_the_same_signature() {
    for key in [RSA, ED25519_KEY] {
        assert_eq!(signed(key), signed(key));
    }
}

#[test]
fn a_key_is_never_shown_and_may_be_in_the_older_form() {
    let options = options(RSA);
    let shown =
        format!("{options:?} {} {:?}", serde_json::to_string(&options).unwrap(), Signer::new(&options));
    let line = RSA.lines().nth(1).unwrap();
    assert!(!shown.contains(line) && !shown.contains("PRIVATE"), "{shown}");
    let digits: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
    // PKCS #8 is a header of 26 bytes before PKCS #1 for a key of this size
    let inner = STANDARD.encode(&STANDARD.decode(digits).unwrap()[26..]);
    let older = format!("-----BEGIN RSA PRIVATE KEY-----\n{inner}\n-----END RSA PRIVATE KEY-----\n");
    let older = Options { private_key: Secret::new(older), ..options };
    assert!(older.validate("firewatch.local").is_empty());
    assert!(Signer::new(&older).unwrap().is_some());
    assert!(Signer::new(&Options::default()).unwrap().is_none());
}
