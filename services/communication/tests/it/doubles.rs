//! Doubles of the services that channels call, written from their documentation: they keep its limits, answer with its errors, and can
//! be made to fail below it. They need nothing of this crate but HTTP: another crate's tests can include this module by `#[path]`.

pub(crate) mod jira;
pub(crate) mod opsgenie;
pub(crate) mod pagerduty;
pub(crate) mod slack;
pub(crate) mod teams;
pub(crate) mod webhook;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

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

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }
}

/// How the next request fails.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This is answered, and the request is not taken.
    Answer(Reply),
    /// Nothing is answered, ever, and the request is not taken.
    Hang,
    /// The connection ends without an answer, and the request is not taken.
    Close,
    /// The request is taken, and the connection ends without an answer.
    CloseAfter,
}

impl Fault {
    /// Too many requests; the next one is welcome after so many seconds.
    pub(crate) fn busy(seconds: u32) -> Self {
        let headers = vec![("retry-after", seconds.to_string())];
        Self::Answer(Reply { status: 429, headers, body: String::new() })
    }

    /// A failure of the service itself.
    pub(crate) fn broken() -> Self {
        Self::Answer(Reply::text(500, "internal error"))
    }
}

/// What a service does with a request.
pub(crate) trait Service: Send + 'static {
    fn answer(&mut self, request: &Request) -> Reply;
}

/// A service on a port of its own. It ends with the test's runtime.
pub(crate) struct Double<S> {
    pub(crate) url: String,
    service: Arc<Mutex<S>>,
    faults: Arc<Mutex<VecDeque<(String, Fault)>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl<S: Service> Double<S> {
    pub(crate) async fn start(service: S) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let double = Self {
            url,
            service: Arc::new(Mutex::new(service)),
            faults: Arc::default(),
            requests: Arc::default(),
        };
        let (service, faults, requests) =
            (Arc::clone(&double.service), Arc::clone(&double.faults), Arc::clone(&double.requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, faults, requests) =
                    (Arc::clone(&service), Arc::clone(&faults), Arc::clone(&requests));
                tokio::spawn(async move { serve(stream, &service, &faults, &requests).await });
            }
        });
        double
    }

    /// Lets the next request whose path holds `part` fail so.
    pub(crate) fn fail(&self, part: &str, fault: Fault) {
        self.faults.lock().unwrap().push_back((part.to_owned(), fault));
    }

    /// Requests that were received.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Reads the state of the service.
    pub(crate) fn state<T>(&self, read: impl FnOnce(&mut S) -> T) -> T {
        read(&mut self.service.lock().unwrap())
    }
}

async fn serve<S: Service>(
    mut stream: TcpStream,
    service: &Mutex<S>,
    faults: &Mutex<VecDeque<(String, Fault)>>,
    requests: &Mutex<Vec<Request>>,
) -> Option<()> {
    let request = read(&mut stream).await?;
    requests.lock().unwrap().push(request.clone());
    let fault = {
        let mut faults = faults.lock().unwrap();
        let place = faults.iter().position(|(part, _)| request.path.contains(part));
        place.and_then(|place| faults.remove(place)).map(|(_, fault)| fault)
    };
    let reply = match fault {
        None => service.lock().unwrap().answer(&request),
        Some(Fault::Answer(reply)) => reply,
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Close) => return None,
        Some(Fault::CloseAfter) => {
            service.lock().unwrap().answer(&request);
            return None;
        }
    };
    let headers: Vec<String> =
        reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {} X\r\ncontent-length: {}\r\nconnection: close\r\n{}\r\n",
        reply.status,
        reply.body.len(),
        headers.concat()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(reply.body.as_bytes()).await.ok()
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
    let url = url::Url::parse(&format!("http://double{target}")).unwrap();
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

/// Returns the characters of a text of a document.
pub(crate) fn length(text: &Value) -> usize {
    text.as_str().unwrap_or_default().chars().count()
}
