//! Certificates: which are trusted, which one is ours, and why a peer's is refused. By rustls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
};

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or is no PEM file of that kind.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No CA file was named and the system has no certificates.
    #[error("the system has no CA certificates (Debian: ca-certificates), and no CA file is set")]
    NoRoots,
    /// Certificate and key do not belong together, or cannot be used.
    #[error("client certificate: {0}")]
    Identity(#[source] rustls::Error),
    /// The same of a server's, or the CA of its clients cannot be used.
    #[error("server certificate: {0}")]
    Server(String),
}

/// What is checked of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing: only who listens is kept out, not who interferes.
    Nothing,
    /// That an authority that we trust has signed it, and its time.
    Authority,
    /// The above, and that it is for the host that we address.
    Full,
}

/// Files of one side of a connection. An empty path is none.
#[derive(Debug, Clone, Copy)]
pub struct Files<'f> {
    /// CA certificates to trust instead of the system's, PEM.
    pub ca: &'f Path,
    /// Our certificate and what leads to its CA, PEM.
    pub certificate: &'f Path,
    /// Its key, PEM, not encrypted.
    pub key: &'f Path,
}

impl Files<'_> {
    /// Returns everything that is wrong with the files; `section` is where they are set.
    pub fn validate(&self, section: &str) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, path) in [("ca_file", self.ca), ("cert_file", self.certificate)] {
            if !path.as_os_str().is_empty()
                && let Err(error) = certificates(path)
            {
                problems.push(format!("{section}.{name}: {error}"));
            }
        }
        if !self.key.as_os_str().is_empty()
            && let Err(error) = std::fs::File::open(self.key)
        {
            problems.push(format!("{section}.key_file: {}: {error}", self.key.display()));
        }
        if self.certificate.as_os_str().is_empty() != self.key.as_os_str().is_empty() {
            problems
                .push(format!("{section}.cert_file and {section}.key_file are set together or not at all"));
        }
        problems
    }
}

/// Returns the certificates of a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(failed("holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(failed(pem(&error))),
    }
}

fn pem(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "holds nothing of that kind".to_owned(),
        error => format!("is no PEM file: {error}"),
    }
}

fn roots(ca: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if ca.as_os_str().is_empty() {
        // single certificates of the system that cannot be read are no reason to trust none
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    } else {
        for certificate in certificates(ca)? {
            roots
                .add(certificate)
                .map_err(|error| Error::File { path: ca.to_owned(), reason: error.to_string() })?;
        }
    }
    if roots.is_empty() { Err(Error::NoRoots) } else { Ok(roots) }
}

/// Returns the client's side of TLS.
pub fn client(files: Files<'_>, check: Check) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let inner = match check {
        Check::Nothing => None,
        Check::Authority | Check::Full => {
            let verifier = WebPkiServerVerifier::builder_with_provider(
                Arc::new(roots(files.ca)?),
                Arc::clone(&provider),
            );
            Some(verifier.build().map_err(|_| Error::NoRoots)?)
        }
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::Identity)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { inner, check, provider }));
    if files.certificate.as_os_str().is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let key = PrivateKeyDer::from_pem_file(files.key)
        .map_err(|error| Error::File { path: files.key.to_owned(), reason: pem(&error) })?;
    builder.with_client_auth_cert(certificates(files.certificate)?, key).map_err(Error::Identity)
}

/// Returns the server's side of TLS for HTTP. With a CA, clients need a certificate that it has signed.
pub fn server(files: Files<'_>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let failed = |error: &dyn std::fmt::Display| Error::Server(error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let builder = if files.ca.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let roots = Arc::new(roots(files.ca)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        builder.with_client_cert_verifier(verifier.map_err(|error| failed(&error))?)
    };
    let key = PrivateKeyDer::from_pem_file(files.key)
        .map_err(|error| Error::File { path: files.key.to_owned(), reason: pem(&error) })?;
    let mut config =
        builder.with_single_cert(certificates(files.certificate)?, key).map_err(|error| failed(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Returns the client's side of TLS for gRPC: the server's certificate and name are checked.
#[cfg(any(feature = "otlp", feature = "qdrant"))]
pub(crate) fn grpc(ca: &Path) -> Result<tonic::transport::ClientTlsConfig, Error> {
    let config = tonic::transport::ClientTlsConfig::new();
    if ca.as_os_str().is_empty() {
        return Ok(config.with_native_roots());
    }
    let pem =
        std::fs::read(ca).map_err(|error| Error::File { path: ca.to_owned(), reason: error.to_string() })?;
    Ok(config.ca_certificate(tonic::transport::Certificate::from_pem(pem)))
}

/// Checks what [`Check`] says, by rustls' own verifier.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    check: Check,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // the name is what is looked at last
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == Check::Authority => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Returns why a server's certificate is refused, for people; none where the error is about something else.
pub fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
            return Some(explained(reason));
        }
        // an error of the system hides what it wraps from `source`
        if let Some(wrapped) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(found) = refusal(wrapped)
        {
            return Some(found);
        }
        at = error.source();
    }
    None
}

fn explained(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => {
            "the certificate of the server is signed by a CA that is not trusted (see ca_file)".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate of the server has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate of the server is not valid yet".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            // written `DnsName("db.example.com")`
            let names: Vec<_> =
                presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name).to_owned()).collect();
            format!(
                "the certificate of the server is not valid for host name {expected}, only for {}",
                names.join(", ")
            )
        }
        CertificateError::NotValidForName => {
            "the certificate of the server is not valid for its host name".to_owned()
        }
        CertificateError::Revoked => "the certificate of the server is revoked".to_owned(),
        reason => format!("the certificate of the server is refused: {reason}"),
    }
}
