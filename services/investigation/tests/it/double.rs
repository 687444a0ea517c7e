//! A double of an HTTP API: it speaks enough of HTTP/1.1 for one request a connection, and may misbehave below that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use investigation::query::options::{Options, Prometheus};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What is answered.
pub(crate) enum Reply {
    /// A document.
    Json(Value),
    /// A status and a body.
    Status(u16, String),
    /// A body as it is, with status 200.
    Body(Vec<u8>),
    /// Bytes instead of HTTP.
    Bytes(Vec<u8>),
    /// Half of a body, then nothing more.
    Stalled,
    /// Nothing, ever.
    Silence,
    /// Another place.
    Redirect(String),
}

type Answer = Arc<Mutex<dyn FnMut(&Request) -> Reply + Send>>;

/// A server on a port of its own. It ends with the test's runtime.
pub(crate) struct Double {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Double {
    pub(crate) async fn serve(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer): (_, Answer) = (Arc::clone(&requests), Arc::new(Mutex::new(answer)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(handle(stream, Arc::clone(&seen), Arc::clone(&answer)));
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn handle(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, answer: Answer) -> Option<()> {
    let request = read(&mut stream).await?;
    let reply = (answer.lock().unwrap())(&request);
    seen.lock().unwrap().push(request);
    let (status, headers, body) = match reply {
        Reply::Json(document) => (200, String::new(), document.to_string().into_bytes()),
        Reply::Status(status, body) => (status, String::new(), body.into_bytes()),
        Reply::Body(body) => (200, String::new(), body),
        Reply::Redirect(place) => (307, format!("location: {place}\r\n"), Vec::new()),
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            return Some(());
        }
        Reply::Stalled => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"status\":").await.ok()?;
            std::future::pending().await
        }
        Reply::Silence => std::future::pending().await,
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&body).await.ok()
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&part[..length]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let url = reqwest::Url::parse(&format!("http://double{target}")).unwrap();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.ok().filter(|length| *length > 0)?;
        body.extend_from_slice(&part[..length]);
    }
    let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    Some(Request { method, path: url.path().to_owned(), query, headers, body })
}

/// Settings with Prometheus at that address.
pub(crate) fn prometheus_at(url: &str) -> Options {
    Options { prometheus: Prometheus { url: url.to_owned(), ..Prometheus::default() }, ..Options::default() }
}

/// A matrix of one series as Prometheus sends it: `before` and, from `onset` on, `since`.
pub(crate) fn matrix(request: &Request, onset: i64, before: f64, since: f64) -> Reply {
    let time = |name: &str| request.query[name].parse::<i64>().unwrap();
    let values: Vec<Value> = (time("start")..=time("end"))
        .step_by(usize::try_from(time("step")).unwrap())
        .map(|at| serde_json::json!([at, (if at < onset { before } else { since }).to_string()]))
        .collect();
    Reply::Json(serde_json::json!({
        "status": "success",
        "data": { "resultType": "matrix", "result": [{ "metric": {}, "values": values }] },
    }))
}
