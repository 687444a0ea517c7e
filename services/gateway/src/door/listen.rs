//! Listens: in plain text or by TLS, with bounds for connections and for heads of requests.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use axum::Router;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Requests, Tls};

/// Largest head of a request, bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 128;
/// How long a connection of HTTP/1 may be idle between two requests, and how long the head of a later request may take: clients that
/// send once a minute keep theirs.
const IDLE: Duration = Duration::from_secs(90);
/// Time between two signs of life on an HTTP/2 connection, and how long one may be missing.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Time between two looks at the files of certificates.
const LOOK: Duration = Duration::from_secs(5);

/// A door that listens.
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    handle: Handle<SocketAddr>,
    server: Pin<Box<dyn Future<Output = io::Result<()>> + Send>>,
    _renewal: Option<AbortOnDropHandle<()>>,
}

impl Listening {
    /// Listens on `address:port`; port 0 takes a free one.
    pub async fn bind(listen: &str, router: Router, tls: &Tls, requests: &Requests) -> Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        let handle = Handle::new();
        let bounded = Bounded { handle: handle.clone(), connections: requests.connections };
        let mut server = Server::from_listener(listener).handle(handle.clone()).first_request_timeout(
            Duration::from_millis(requests.head_timeout_ms + requests.body_timeout_ms),
        );
        let head_timeout = Duration::from_millis(requests.head_timeout_ms);
        server.http_builder().http1().header_read_timeout(IDLE).max_buf_size(MAX_HEAD);
        server
            .http_builder()
            .http2()
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let service = router.into_make_service();
        let mut renewal = None;
        let server: Pin<Box<dyn Future<Output = _> + Send>> = if tls.is_enabled() {
            let config = RustlsConfig::from_config(Arc::new(shared::tls::server(tls.files())?));
            renewal = Some(AbortOnDropHandle::new(tokio::spawn(renew(config.clone(), tls.clone()))));
            let acceptor = RustlsAcceptor::new(config).handshake_timeout(head_timeout).acceptor(bounded);
            Box::pin(server.acceptor(acceptor).serve(service))
        } else {
            Box::pin(server.acceptor(bounded).serve(service))
        };
        Ok(Self { address, handle, server, _renewal: renewal })
    }

    /// Returns what stops it: no connection is accepted any more, and requests in flight have until the deadline.
    pub fn stopper(&self, deadline: Duration) -> impl FnOnce() + Send + 'static {
        let handle = self.handle.clone();
        move || handle.graceful_shutdown(Some(deadline))
    }

    /// Serves until it is stopped.
    pub async fn serve(self) -> io::Result<()> {
        self.server.await
    }
}

/// Looks again and again whether files of certificates have changed; new connections then use them. Files that cannot be used
/// change nothing.
async fn renew(config: RustlsConfig, tls: Tls) {
    let mut known = versions(&tls);
    loop {
        tokio::time::sleep(LOOK).await;
        let found = versions(&tls);
        if found == known {
            continue;
        }
        known = found;
        match shared::tls::server(tls.files()) {
            Ok(renewed) => {
                config.reload_from_config(Arc::new(renewed));
                tracing::info!("certificates were read again");
            }
            Err(error) => {
                tracing::warn!(%error, "certificates have changed and cannot be used; the old ones stay");
            }
        }
    }
}

/// Returns when each file was written.
fn versions(tls: &Tls) -> [Option<SystemTime>; 3] {
    let of = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    [&tls.cert_file, &tls.key_file, &tls.client_ca_file].map(|path| of(path))
}

/// Accepts connections as long as there are not too many.
#[derive(Clone)]
struct Bounded {
    handle: Handle<SocketAddr>,
    connections: usize,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Bounded {
    type Stream = TcpStream;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(TcpStream, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        if self.handle.connection_count() > self.connections {
            return Box::pin(std::future::ready(Err(io::Error::other("too many connections"))));
        }
        Box::pin(NoDelayAcceptor::new().accept(stream, service))
    }
}
