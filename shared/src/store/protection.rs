//! TLS towards PostgreSQL, by rustls.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::Error;
use crate::tls::{self, Check, Files};

/// Settings under `[postgres.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// CA certificates to trust instead of the system's, PEM.
    pub ca_file: PathBuf,
    /// Client certificate and what leads to its CA, PEM.
    pub cert_file: PathBuf,
    /// Key of the client certificate, PEM, not encrypted.
    pub key_file: PathBuf,
}

impl Tls {
    pub(super) fn files(&self) -> Files<'_> {
        Files { ca: &self.ca_file, certificate: &self.cert_file, key: &self.key_file }
    }

    pub(super) fn is_set(&self) -> bool {
        *self != Self::default()
    }
}

/// How the connection is protected: `sslmode` of the URL. Stricter than PostgreSQL's own clients in one point: `require`
/// does not skip the check of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Plain text.
    Disable,
    /// TLS if the server offers it, certificate not checked; else plain text. What there is without `sslmode`, unless
    /// certificates are configured.
    Prefer,
    /// TLS with a certificate of a trusted CA, for whatever host.
    VerifyCa,
    /// TLS with a certificate of a trusted CA, for this host. `require` is another name for it.
    VerifyFull,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

/// Takes `sslmode` out of a URL, or of the `key=value` form: the client library does not know all of its values.
pub(super) fn split(url: &str) -> (String, Option<Result<Mode, String>>) {
    let is_url = url.contains("://");
    let (head, options) = match (is_url, url.rsplit_once('?')) {
        (true, Some((head, query))) => (head, query),
        (true, None) => return (url.to_owned(), None),
        (false, _) => ("", url),
    };
    let between = if is_url { '&' } else { ' ' };
    let mut mode = None;
    let rest: Vec<&str> = options
        .split(between)
        .filter(|option| match option.trim().split_once('=') {
            Some(("sslmode", value)) => {
                mode = Some(parse(value.trim_matches('\'')));
                false
            }
            _ => true,
        })
        .collect();
    if mode.is_none() {
        return (url.to_owned(), None);
    }
    let rest = rest.join(&between.to_string());
    let url = match (is_url, rest.is_empty()) {
        (true, true) => head.to_owned(),
        (true, false) => format!("{head}?{rest}"),
        (false, _) => rest,
    };
    (url, mode)
}

fn parse(text: &str) -> Result<Mode, String> {
    match text {
        "disable" => Ok(Mode::Disable),
        "prefer" => Ok(Mode::Prefer),
        "verify-ca" => Ok(Mode::VerifyCa),
        "require" | "verify-full" => Ok(Mode::VerifyFull),
        _ => Err("sslmode is none of disable, prefer, require, verify-ca, verify-full".to_owned()),
    }
}

/// Makes connections that are protected as it was asked for.
#[derive(Clone)]
pub(super) struct Protection(TlsConnector);

impl Protection {
    pub(super) fn new(tls: &Tls, mode: Mode) -> Result<Self, Error> {
        let check = match mode {
            Mode::Disable | Mode::Prefer => Check::Nothing,
            Mode::VerifyCa => Check::Authority,
            Mode::VerifyFull => Check::Full,
        };
        let mut config =
            tls::client(tls.files(), check).map_err(|error| Error::Connection(error.to_string()))?;
        // what servers from version 17 ask for
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Protection {
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Self::Error> {
        Ok(Handshake { connector: self.0.clone(), host: ServerName::try_from(host.to_owned())? })
    }
}

/// One handshake.
pub(super) struct Handshake {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let connected = self.connector.connect(self.host, stream).await;
            let stream = connected.map_err(|error| match tls::refusal(&error) {
                Some(refusal) => io::Error::other(refusal),
                None => error,
            })?;
            Ok(Stream(Box::new(stream)))
        })
    }
}

/// A connection with TLS.
pub(super) struct Stream<S>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    // the server's certificate is checked; a login is not bound to it in addition
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, split};

    #[test]
    fn the_mode_is_read_from_either_form_and_the_rest_is_left() {
        for (url, rest, mode) in [
            ("postgres://u@db/x?sslmode=verify-full", "postgres://u@db/x", Some(Mode::VerifyFull)),
            (
                "postgres://u@db/x?a=b&sslmode=require&c=d",
                "postgres://u@db/x?a=b&c=d",
                Some(Mode::VerifyFull),
            ),
            ("postgres://u@db/x?sslmode=verify-ca", "postgres://u@db/x", Some(Mode::VerifyCa)),
            ("host=db sslmode=disable user=u", "host=db user=u", Some(Mode::Disable)),
            ("host=db sslmode='prefer'", "host=db", Some(Mode::Prefer)),
            ("postgres://u:p?sslmode@db/x", "postgres://u:p?sslmode@db/x", None),
            ("postgres://u@db/x", "postgres://u@db/x", None),
        ] {
            let (left, found) = split(url);
            assert_eq!((left.as_str(), found.map(Result::unwrap)), (rest, mode), "{url}");
        }
        assert!(split("postgres://db/x?sslmode=allow").1.unwrap().is_err());
    }
}
