//! Signatures and tokens of webhooks, compared in constant time.

use ring::hmac;
use shared::secret::Secret;

/// Returns whether one of the secrets signs a body: `sha256=` and the HMAC in hexadecimal digits.
pub(super) fn hmac(secrets: [&Secret; 2], body: &[u8], signature: &str) -> bool {
    let Some(Ok(signature)) = signature.strip_prefix("sha256=").map(hex::decode) else { return false };
    configured(secrets).any(|secret| {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body, &signature).is_ok()
    })
}

/// Returns whether a token is one of the secrets.
///
/// HMACs of both are compared: in constant time, and whatever their lengths.
pub(super) fn token(secrets: [&Secret; 2], token: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"firewatch webhook token");
    configured(secrets).any(|secret| {
        let expected = hmac::sign(&key, secret.as_bytes());
        hmac::verify(&key, token.as_bytes(), expected.as_ref()).is_ok()
    })
}

/// Returns the secrets. An empty one accepts nothing.
fn configured(secrets: [&Secret; 2]) -> impl Iterator<Item = &str> {
    secrets.into_iter().filter(|secret| !secret.is_empty()).map(Secret::expose)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub, "Validating webhook deliveries".
    #[test]
    fn a_signature_is_that_of_the_body_and_the_secret() {
        let (secret, none) = (Secret::new("It's a Secret to Everybody"), Secret::default());
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(hmac([&none, &secret], b"Hello, World!", signature));
        assert!(!hmac([&none, &secret], b"Hello, World?", signature));
        assert!(!hmac([&none, &none], b"Hello, World!", signature));
    }
}
