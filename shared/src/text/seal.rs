//! Values behind placeholders, sealed so that a person with the key can read them again within an incident.
//!
//! The nonce is derived from the value (synthetic, as in RFC 8452), so that the same line is sealed to the same text in every run.
//! It shows that two values are equal, as their placeholders do.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Length of a key, bytes.
const KEY: usize = 32;
/// Longest value that is sealed, bytes.
const MAX_VALUE: usize = 200;

/// A value that a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Sealed {
    /// The placeholder, e.g. `[email 3f2a]`.
    pub placeholder: String,
    /// Nonce and ciphertext (ChaCha20-Poly1305, RFC 8439, with the placeholder as associated data), hexadecimal.
    pub value: String,
}

/// Seals and opens values with one key.
pub struct Sealer {
    key: LessSafeKey,
    nonces: hmac::Key,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Takes a key of 64 hexadecimal digits; nothing where it is of another form.
    pub fn new(key: &Secret) -> Option<Self> {
        let bytes = hex::decode(key.expose().trim()).ok().filter(|bytes| bytes.len() == KEY)?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let derived = |purpose: &str| hmac::sign(&root, purpose.as_bytes());
        let key = UnboundKey::new(&CHACHA20_POLY1305, derived("firewatch seal").as_ref()).ok()?;
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, derived("firewatch nonce").as_ref());
        Some(Self { key: LessSafeKey::new(key), nonces })
    }

    /// Seals the value that a placeholder stands for; nothing where it is too long.
    pub fn seal(&self, placeholder: &str, value: &str) -> Option<Sealed> {
        if value.len() > MAX_VALUE {
            return None;
        }
        let mut context = hmac::Context::with_key(&self.nonces);
        context.update(placeholder.as_bytes());
        context.update(&[0]);
        context.update(value.as_bytes());
        let nonce: [u8; NONCE_LEN] = *context.sign().as_ref().first_chunk()?;
        let mut sealed = value.as_bytes().to_vec();
        let with = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(with, Aad::from(placeholder), &mut sealed).ok()?;
        let value = hex::encode(nonce) + &hex::encode(sealed);
        Some(Sealed { placeholder: placeholder.to_owned(), value })
    }

    /// Opens a value; nothing where it was sealed with another key or has been changed.
    pub fn open(&self, sealed: &Sealed) -> Option<String> {
        let mut bytes = hex::decode(&sealed.value).ok()?;
        let nonce: [u8; NONCE_LEN] = *bytes.first_chunk()?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let value =
            self.key.open_in_place(nonce, Aad::from(&sealed.placeholder), &mut bytes[NONCE_LEN..]).ok()?;
        String::from_utf8(value.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(digit: &str) -> Sealer {
        Sealer::new(&Secret::new(digit.repeat(64))).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_with_the_same_key_only(value in ".{0,60}") {
            let sealed = sealer("a").seal("[email 3f2a]", &value).unwrap();
            prop_assert_eq!(&sealed, &sealer("a").seal("[email 3f2a]", &value).unwrap());
            prop_assert_eq!(sealer("a").open(&sealed), Some(value));
            prop_assert_eq!(sealer("b").open(&sealed), None);
            let other = Sealed { placeholder: "[email 3f2b]".into(), ..sealed };
            prop_assert_eq!(sealer("a").open(&other), None);
        }

        #[test]
        fn anything_may_stand_where_a_sealed_value_should(value in ".{0,80}") {
            let sealed = Sealed { placeholder: "[email 3f2a]".into(), value };
            prop_assert_eq!(sealer("a").open(&sealed), None);
        }
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits_and_a_value_is_bounded() {
        for wrong in ["", "abc", &"g".repeat(64), &"a".repeat(62)] {
            assert!(Sealer::new(&Secret::new(wrong)).is_none(), "{wrong}");
        }
        assert!(sealer("a").seal("[email 3f2a]", &"x".repeat(MAX_VALUE + 1)).is_none());
    }
}
