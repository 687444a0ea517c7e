//! TLS: a client needs a certificate where a CA of clients is set.

use anyhow::Result;
use gateway::Settings;
use gateway::config::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::place::{Gateway, JSON, bench};

/// Files of a CA and of certificates that it signed.
struct Files {
    dir: std::path::PathBuf,
}

impl Files {
    fn create() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("firewatch-gateway-tls-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        std::fs::write(dir.join("ca.pem"), ca.pem())?;
        for name in ["localhost", "client"] {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &ca)?;
            std::fs::write(dir.join(format!("{name}.pem")), certificate.pem())?;
            std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(Self { dir })
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

/// Posts an empty export; returns the status, if there is an answer.
async fn post(gateway: &Gateway, files: &Files, with_certificate: bool) -> Result<u16> {
    let port = gateway.addresses.http.port();
    let mut command = tokio::process::Command::new("curl");
    command
        .args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-m",
            "20",
            "-H",
            "content-type: application/json",
        ])
        .args(["-d", "{}", "--cacert"])
        .arg(files.path("ca.pem"))
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .arg(format!("https://localhost:{port}/v1/metrics"));
    if with_certificate {
        command.arg("--cert").arg(files.path("client.pem")).arg("--key").arg(files.path("client.key"));
    }
    Ok(String::from_utf8(command.output().await?.stdout)?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_needs_a_certificate_where_a_ca_of_clients_is_set() -> Result<()> {
    let bench = bench().await?;
    let files = Files::create()?;
    let gateway = Gateway::start(&bench.common, files.settings(false)).await?;
    assert_eq!(post(&gateway, &files, false).await?, 200);
    let plain = gateway.post("/v1/metrics", JSON, b"{}".to_vec()).send().await;
    assert!(plain.is_err(), "{plain:?}");
    gateway.stop().await?;
    let gateway = Gateway::start(&bench.common, files.settings(true)).await?;
    assert_eq!(post(&gateway, &files, true).await?, 200);
    assert_eq!(post(&gateway, &files, false).await?, 0);
    gateway.stop().await
}
