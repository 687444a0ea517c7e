//! Why a broker's certificate is refused, or ours. OpenSSL says only `certificate verify failed`, whether it has expired, is for
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

/// Alerts about a certificate (RFC 8446, section 6): bad, unsupported, revoked, expired, unknown, unknown CA, required.
const ALERTS: [&str; 7] = ["42", "43", "44", "45", "46", "48", "116"];

/// Returns whether the broker has ended a connection for the sake of our certificate:
/// `ssl://host:port/1: Receive failed: ... alert bad certificate: SSL alert number 42 (after ...)`.
pub(super) fn is_alert(reason: &str) -> bool {
    let number = reason.split("SSL alert number ").nth(1).and_then(|rest| rest.split(' ').next());
    number.is_some_and(|number| ALERTS.contains(&number))
}

/// Returns what is wrong with a certificate, if `reason` is librdkafka's refusal of one:
/// `ssl://host:port/bootstrap: SSL handshake failed: ... certificate verify failed: ...`. Blocks for a moment.
pub(super) fn of(settings: &Tls, reason: &str) -> Option<String> {
    let (_, broker) = reason.split_once("://")?;
    let (address, _) = broker.split_once('/')?;
    if is_alert(reason) {
        let alert = reason.rsplit("alert ").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or("alert");
        let what = "the broker asks for a client certificate, or does not accept ours (see cert_file)";
        return Some(format!("{address}: {what}: {alert}"));
    }
    if !reason.contains("certificate verify failed") {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_about_our_certificate_is_explained() {
        let alert = |name: &str, number: u32| {
            format!(
                "ssl://k:9093/1: Receive failed: error:0A000412:SSL routines::sslv3 alert {name}: SSL alert number {number}"
            )
        };
        let reason = alert("bad certificate", 42);
        let explained = of(&Tls::default(), &reason).unwrap();
        assert!(explained.starts_with("k:9093: the broker asks for a client certificate"), "{explained}");
        assert!(explained.ends_with(": bad certificate"), "{explained}");
        assert!(!is_alert(&alert("handshake failure", 40)));
        assert_eq!(of(&Tls::default(), "k:9092/1: Connect failed: Connection refused"), None);
    }
}
