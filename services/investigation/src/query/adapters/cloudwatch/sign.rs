//! AWS Signature Version 4.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use shared::secret::Secret;

use crate::query::source::Failure;

/// Signs requests to one service of a region.
pub(super) struct Signer {
    credentials: Credentials,
    region: String,
    service: &'static str,
}

impl Signer {
    pub(super) fn new(
        (id, key, token): (&Secret, &Secret, &Secret),
        region: &str,
        service: &'static str,
    ) -> Self {
        let token = (!token.is_empty()).then(|| token.expose().to_owned());
        let credentials = Credentials::new(id.expose(), key.expose(), token, None, "settings");
        Self { credentials, region: region.to_owned(), service }
    }

    /// Adds to the headers of a request those that prove who sent it.
    pub(super) fn sign(
        &self,
        (method, url): (&str, &str),
        headers: &mut HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Failure> {
        // never seen, since all parts were checked with the settings
        let failed = || Failure::Unreachable("the request cannot be signed".to_owned());
        let identity = self.credentials.clone().into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(now.into())
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| failed())?;
        let named = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let request = SignableRequest::new(method, url, named, SignableBody::Bytes(body));
        let signed = sign(request.map_err(|_| failed())?, &parameters.into()).map_err(|_| failed())?;
        let (added, _) = signed.into_parts().0.into_parts();
        for header in added {
            let mut value = HeaderValue::from_str(header.value()).map_err(|_| failed())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signs with the key of AWS's documentation, and returns the signature and the headers that it covers.
    fn signature(
        (service, region): (&'static str, &str),
        method_and_url: (&str, &str),
        headers: &[(&'static str, &'static str)],
        (body, token): (&str, &str),
    ) -> (String, String) {
        let secrets = ["AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token].map(Secret::new);
        let signer = Signer::new((&secrets[0], &secrets[1], &secrets[2]), region, service);
        let named = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers: HeaderMap = named.collect();
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        signer.sign(method_and_url, &mut headers, body.as_bytes(), now).unwrap();
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert_eq!(headers.get("x-amz-security-token").map_or("", |value| value.to_str().unwrap()), token);
        let shown = format!("{headers:?} {:?}", signer.credentials);
        assert!(!shown.contains("EXAMPLEKEY") && !shown.contains("Signature="), "{shown}");
        let text = headers["authorization"].to_str().unwrap();
        let scope =
            format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/{region}/{service}/aws4_request, ");
        let rest = text.strip_prefix(&scope).and_then(|rest| rest.strip_prefix("SignedHeaders="));
        let (names, signature) = rest.unwrap().split_once(", Signature=").unwrap();
        (signature.to_owned(), names.to_owned())
    }

    /// The example of AWS's documentation, and `post-vanilla` of its test suite.
    #[test]
    fn documented_requests_have_the_documented_signatures() {
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
        let found = signature(("iam", "us-east-1"), ("GET", url), &form, ("", ""));
        assert_eq!(found.0, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
        assert_eq!(found.1, "content-type;host;x-amz-date");
        let found =
            signature(("service", "us-east-1"), ("POST", "https://example.amazonaws.com/"), &[], ("", ""));
        assert_eq!(found.0, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    }

    /// Signatures that botocore 1.44 makes of the same requests.
    #[test]
    fn requests_are_signed_as_other_clients_sign_them() {
        let metrics = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", "GraniteServiceVersion20100801.GetMetricData"),
        ];
        let url = "https://monitoring.eu-central-1.amazonaws.com/";
        let found = signature(("monitoring", "eu-central-1"), ("POST", url), &metrics, (r#"{"a":1}"#, ""));
        assert_eq!(found.0, "c00e545cc5c0b5b4dad23a077630d36269696c5e19078c445a768c3b4ce704a9");
        let logs = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "Logs_20140328.FilterLogEvents"),
        ];
        let url = "http://127.0.0.1:5000/";
        let found = signature(("logs", "eu-central-1"), ("POST", url), &logs, (r#"{"a":1}"#, "session"));
        assert_eq!(found.0, "020bdfbb37a584ee510149295c8dddc9f78cce41fa23cba5e79a17d58ffbe6c3");
        assert_eq!(found.1, "content-type;host;x-amz-date;x-amz-security-token;x-amz-target");
    }
}
