//! A mail server that answers by a script and records what it receives.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How the server answers.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// (part of a command, answer): the first that matches is given instead of agreement.
    pub(crate) answers: Vec<(&'static str, &'static str)>,
    /// Never answers, not even with a greeting.
    pub(crate) silent: bool,
    /// Bytes of the largest message that is accepted; none: any.
    pub(crate) limit: Option<usize>,
}

/// The server.
pub(crate) struct Server {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
    commands: Arc<Mutex<Vec<String>>>,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let (script, commands, messages) = (Arc::new(Mutex::new(script)), Arc::default(), Arc::default());
        let server = Self {
            url,
            script: Arc::clone(&script),
            commands: Arc::clone(&commands),
            messages: Arc::clone(&messages),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = script.lock().unwrap().clone();
                let (commands, messages) = (Arc::clone(&commands), Arc::clone(&messages));
                tokio::spawn(async move {
                    // a client that disconnects ends the session
                    let _ = session(stream, script, &commands, &messages).await;
                });
            }
        });
        server
    }

    /// Agrees to everything from the next connection on.
    pub(crate) fn give_in(&self) {
        self.becomes(Script::default());
    }

    /// Answers by another script from the next connection on.
    pub(crate) fn becomes(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// Messages that were accepted.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }

    /// Commands that were received.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }
}

async fn session(
    stream: TcpStream,
    script: Script,
    commands: &Mutex<Vec<String>>,
    messages: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    if script.silent {
        return std::future::pending().await;
    }
    stream.write_all(b"220 test\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let command = line.trim_end().to_owned();
        line.clear();
        commands.lock().unwrap().push(command.clone());
        let scripted =
            script.answers.iter().find(|(part, _)| command.contains(part)).map(|(_, answer)| *answer);
        if let Some(answer) = scripted {
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
            continue;
        }
        if command == "DATA" {
            stream.write_all(b"354 go on\r\n").await?;
            let mut message = String::new();
            while stream.read_line(&mut line).await? > 0 && line != ".\r\n" {
                message.push_str(&line);
                line.clear();
            }
            line.clear();
            let is_large = script.limit.is_some_and(|limit| message.len() > limit);
            let end = script
                .answers
                .iter()
                .find(|(part, _)| *part == "end of data")
                .map(|(_, answer)| *answer)
                .or(is_large.then_some("552 5.3.4 message size exceeds fixed maximum message size"));
            if end.is_none() {
                messages.lock().unwrap().push(message);
            }
            stream.write_all(format!("{}\r\n", end.unwrap_or("250 queued as 42")).as_bytes()).await?;
            continue;
        }
        stream.write_all(b"250 ok\r\n").await?;
        if command == "QUIT" {
            break;
        }
    }
    Ok(())
}
