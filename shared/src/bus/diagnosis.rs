//! Why a broker's certificate is refused. OpenSSL says only `certificate verify failed`, whether it has expired, is for
//! another host or comes from an unknown CA; so we ask the broker for it once more, by rustls.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::security::Tls;
use crate::tls::{self, Check};

/// Longest wait for the connection, and for each step of the handshake.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns what is wrong with the certificate, if `reason` is librdkafka's refusal of one:
/// `ssl://host:port/bootstrap: SSL handshake failed: ... certificate verify failed: ...`. Blocks for a moment.
pub(super) fn certificate(settings: &Tls, reason: &str) -> Option<String> {
    if !reason.contains("certificate verify failed") {
        return None;
    }
    let (_, broker) = reason.split_once("://")?;
    let (address, _) = broker.split_once('/')?;
    let (host, _) = address.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    // our own certificate plays no part: the broker's is looked at before
    let none = std::path::Path::new("");
    let files = tls::Files { ca: &settings.ca_file, certificate: none, key: none };
    let config = tls::client(files, Check::Full).ok()?;
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let place = address.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&place, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let error = handshake(&mut connection, &mut stream).err()?;
    Some(format!("{address}: {}", tls::refusal(&error)?))
}

fn handshake(connection: &mut ClientConnection, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    while connection.is_handshaking() {
        connection.complete_io(stream)?;
    }
    Ok(())
}
