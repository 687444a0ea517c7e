//! TLS: a client needs a certificate where a CA of clients is set.

use std::sync::Arc;

use anyhow::Result;
use gateway::Settings;
use gateway::config::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use shared::tls::Check;
use stack::testing::bench::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::place::{Gateway, JSON, PATIENCE, bench};

/// Files of a CA and of certificates that it signed.
struct Files {
    dir: std::path::PathBuf,
}

impl Files {
    fn create() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("firewatch-gateway-tls-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let files = Self { dir };
        files.write()?;
        Ok(files)
    }

    /// Writes a new CA, and new certificates of it.
    fn write(&self) -> Result<()> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "CA of a test");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        std::fs::write(self.path("ca.pem"), ca.pem())?;
        for name in ["localhost", "client"] {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(vec![name.to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.signed_by(&key, &ca)?;
            std::fs::write(self.path(&format!("{name}.pem")), certificate.pem())?;
            std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.join(name)
    }

    fn settings(&self, is_mutual: bool) -> Settings {
        let client_ca_file = if is_mutual { self.path("ca.pem") } else { std::path::PathBuf::new() };
        let tls = Tls {
            cert_file: self.path("localhost.pem"),
            key_file: self.path("localhost.key"),
            client_ca_file,
        };
        Settings { tls, ..Settings::default() }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Posts an empty export; returns the first line of the answer, if there is one.
async fn post(gateway: &Gateway, files: &Files, with_certificate: bool) -> Result<String> {
    let none = std::path::PathBuf::new();
    let (certificate, key) = (files.path("client.pem"), files.path("client.key"));
    let (certificate, key) = if with_certificate { (&certificate, &key) } else { (&none, &none) };
    let ca = files.path("ca.pem");
    let config = shared::tls::client(shared::tls::Files { ca: &ca, certificate, key }, Check::Full)?;
    let stream = TcpStream::connect(gateway.addresses.http).await?;
    let name = rustls::pki_types::ServerName::try_from("localhost")?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let request = "POST /v1/metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if answer.is_empty() {
        read?;
    }
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_need_a_certificate_where_a_ca_is_set_and_renewed_files_are_read() -> Result<()> {
    let bench = bench().await?;
    let files = Files::create()?;
    let gateway = Gateway::start(&bench.common, files.settings(false)).await?;
    assert_eq!(post(&gateway, &files, false).await?, "HTTP/1.1 200 OK");
    let plain = gateway.post("/v1/metrics", JSON, b"{}".to_vec()).send().await;
    assert!(plain.is_err(), "{plain:?}");
    gateway.stop().await?;
    let gateway = Gateway::start(&bench.common, files.settings(true)).await?;
    assert_eq!(post(&gateway, &files, true).await?, "HTTP/1.1 200 OK");
    let refused = post(&gateway, &files, false).await;
    assert!(refused.is_err(), "{refused:?}");

    // renewed files are read without a restart
    files.write()?;
    assert!(post(&gateway, &files, true).await.is_err(), "the old certificates are still there");
    until(PATIENCE, async || match post(&gateway, &files, true).await {
        Ok(answer) if answer == "HTTP/1.1 200 OK" => Ok(()),
        other => Err(other.map_err(|error| error.to_string())),
    })
    .await?;
    gateway.stop().await
}
