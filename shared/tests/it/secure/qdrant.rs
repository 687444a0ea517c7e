//! Qdrant: the double, with TLS and a key.

use std::path::Path;
use std::time::Duration;

use shared::knowledge::Index as _;
use shared::knowledge::qdrant::{QdrantIndex, Server};
use shared::secret::Secret;

use super::authority::{Authority, Identity};
use super::log::Log;
use crate::knowledge::double;

const KEY: &str = "s3cr3t-key-of-qdrant";
const WRONG: &str = "wr0ng-s3cr3t-key-of-qdrant";

async fn ask(url: &str, key: &str, ca_file: &Path) -> Result<(), String> {
    let server = Server { url, timeout: Duration::from_secs(5), api_key: &Secret::new(key), ca_file };
    QdrantIndex::new(&server).unwrap().prepare(3).await.map_err(|error| error.to_string())
}

async fn double(host: &str, expired: bool) -> String {
    let Identity { certificate, key } = Authority::ours().identity(host, expired);
    double::start_with(Some((certificate, key)), KEY).await
}

#[tokio::test]
async fn certificate_and_key_are_checked() {
    let log = Log::capture();
    let ca = Authority::ours().ca();
    let url = double("localhost", false).await;
    assert_eq!(ask(&url, KEY, &ca).await, Ok(()));
    let (expired, elsewhere) = (double("localhost", true).await, double("elsewhere.example", false).await);
    for (outcome, words) in [
        (ask(&url, WRONG, &ca).await, "Invalid API key"),
        (ask(&url, "", &ca).await, "Invalid API key"),
        (ask(&url, KEY, &Authority::strange().ca()).await, "signed by a CA that is not trusted"),
        (ask(&expired, KEY, &ca).await, "has expired"),
        (ask(&elsewhere, KEY, &ca).await, "not valid for host name localhost"),
    ] {
        let error = outcome.unwrap_err();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains(KEY) && !error.contains(WRONG), "{error}");
    }
    log.keeps(KEY);
    log.keeps(WRONG);
}
