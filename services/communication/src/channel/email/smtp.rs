//! One SMTP transaction, recipient by recipient: a refused address does not stop the mail to the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use shared::text::sanitize;
use tokio::time::{Instant, timeout, timeout_at};

use super::login::{self, Login};
use super::reply::{Class, Reply, Stage};
use crate::channel::Failure;
use crate::options::{Options, Security, Server};

/// A client of one mail server. Clones share what is known of the login.
#[derive(Debug, Clone)]
pub struct Smtp {
    server: Server,
    hello: ClientId,
    credentials: Option<Credentials>,
    command_timeout: Duration,
    send_timeout: Duration,
    login: Arc<Mutex<Login>>,
}

/// What became of each recipient of a message that the server accepted, or may accept later, for one of them at least.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The server's answer.
    pub answer: String,
    /// Recipients it accepted.
    pub reached: Vec<Address>,
    /// Recipients it refused for good, each with the reason.
    pub refused: Vec<(Address, String)>,
    /// Recipients it refused for now, each with the reason.
    pub later: Vec<(Address, String)>,
}

/// Why the server accepted a message for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The message is too large.
    TooLarge(String),
    /// Anything else.
    Failure(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Smtp {
    /// Builds the client from valid options; connects with each mail.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let credentials = (!options.smtp_user.is_empty())
            .then(|| Credentials::new(options.smtp_user.clone(), options.smtp_password.expose().to_owned()));
        Ok(Self {
            server: options.server().map_err(anyhow::Error::msg)?,
            hello: ClientId::Domain(options.domain.clone()),
            credentials,
            command_timeout: options.command_timeout(),
            send_timeout: options.send_timeout(),
            login: Arc::default(),
        })
    }

    /// Returns when a delivery that begins now has to be over.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.send_timeout
    }

    /// Sends one message to all recipients that the server accepts. `bounces` is where it reports what it cannot deliver.
    ///
    /// Fails for good if the server accepts none of them or refuses the message. Fails for now if the server is away or busy,
    /// or refuses the login: a wrong password is no property of the mail.
    pub async fn send(
        &self,
        bounces: &Address,
        to: &[Address],
        message: &[u8],
        deadline: Instant,
    ) -> Result<Accepted, Refused> {
        self.admit()?;
        timeout_at(deadline, self.transact(bounces, to, message)).await.unwrap_or_else(|_| {
            Err(Failure::Transient(format!("send timed out after {:?}", self.send_timeout)).into())
        })
    }

    /// Fails where the last login was refused and the next one is not due.
    fn admit(&self) -> Result<(), Failure> {
        self.login().admit(Instant::now()).map_err(|(reason, pause)| Failure::Throttled {
            reason: format!("not attempted: {reason}"),
            pause,
        })
    }

    /// Remembers that the server wants another login. The first refusal in a row is an error in the log.
    fn login_refused(&self, reply: &Reply) -> Failure {
        let reason = format!("login: {}", reply.text);
        if self.login().refuse(reason.clone(), Instant::now()) {
            tracing::error!(
                host = self.server.host,
                answer = reply.text,
                pause_s = login::PAUSE.as_secs(),
                "mail server refused the login; mails wait until smtp_user and smtp_password are corrected"
            );
        }
        Failure::Throttled { reason, pause: login::PAUSE }
    }

    fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn transact(&self, bounces: &Address, to: &[Address], message: &[u8]) -> Result<Accepted, Refused> {
        let mut connection = self.connect().await?;
        let outcome = self.submit(&mut connection, bounces, to, message).await;
        // a failed QUIT does not change the outcome
        let _ = timeout(self.command_timeout, connection.quit()).await;
        outcome
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Refused> {
        let Server { host, port, security } = &self.server;
        let tls =
            || TlsParameters::new(host.clone()).map_err(|error| Failure::Transient(format!("TLS: {error}")));
        let wrapper = if *security == Security::Tls { Some(tls()?) } else { None };
        let place = (host.trim_matches(['[', ']']), *port);
        let connecting = AsyncSmtpConnection::connect_tokio1(
            place,
            Some(self.command_timeout),
            &self.hello,
            wrapper,
            None,
        );
        let mut connection = self
            .answer(connecting)
            .await
            .map_err(|reply| self.refused(&reply, Stage::Connection, "connection"))?;
        let upgrade = match security {
            Security::StartTls => true,
            Security::StartTlsIfOffered => connection.can_starttls(),
            Security::None | Security::Tls => false,
        };
        if upgrade {
            let upgrading = connection.starttls(tls()?, &self.hello);
            self.answer(upgrading)
                .await
                .map_err(|reply| self.refused(&reply, Stage::Connection, "STARTTLS"))?;
        }
        if let Some(credentials) = &self.credentials {
            let login = connection.auth(DEFAULT_MECHANISMS, credentials);
            self.answer(login).await.map_err(|reply| self.refused(&reply, Stage::Login, "login"))?;
        }
        Ok(connection)
    }

    async fn submit(
        &self,
        connection: &mut AsyncSmtpConnection,
        bounces: &Address,
        to: &[Address],
        message: &[u8],
    ) -> Result<Accepted, Refused> {
        self.answer(connection.command(Mail::new(Some(bounces.clone()), Vec::new())))
            .await
            .map_err(|reply| self.refused(&reply, Stage::Sender, "sender"))?;
        if self.login().accept() {
            tracing::info!(host = self.server.host, "mail server accepted the login again");
        }
        let mut accepted = Accepted::default();
        for recipient in to {
            let Err(reply) = self.answer(connection.command(Rcpt::new(recipient.clone(), Vec::new()))).await
            else {
                accepted.reached.push(recipient.clone());
                continue;
            };
            // the server never answered, or closes the connection
            if matches!(reply.code, None | Some(421)) {
                return Err(Failure::Transient(reply.text).into());
            }
            match reply.class(Stage::Recipient) {
                Class::Final | Class::TooLarge => accepted.refused.push((recipient.clone(), reply.text)),
                Class::Later => accepted.later.push((recipient.clone(), reply.text)),
                Class::Login => return Err(self.login_refused(&reply).into()),
            }
        }
        if accepted.reached.is_empty() {
            return accepted.by_none().map_err(Refused::Failure);
        }
        self.answer(connection.command(Data))
            .await
            .map_err(|reply| self.refused(&reply, Stage::Message, "message"))?;
        let response = self
            .answer(connection.message(message))
            .await
            .map_err(|reply| self.refused(&reply, Stage::Message, "message"))?;
        Ok(Accepted { answer: answer_text(&response), ..accepted })
    }

    /// Waits for one answer.
    async fn answer<T>(&self, exchange: impl Future<Output = Result<T, Error>>) -> Result<T, Reply> {
        match timeout(self.command_timeout, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(reply_of(&error)),
            Err(_) => Err(Reply::none(&format!("no answer within {:?}", self.command_timeout))),
        }
    }

    /// Returns what follows from a refusal of anything but a recipient.
    fn refused(&self, reply: &Reply, stage: Stage, what: &str) -> Refused {
        let reason = format!("{what}: {}", reply.text);
        match reply.class(stage) {
            Class::Later => Failure::Transient(reason).into(),
            Class::Final => Failure::Permanent(reason).into(),
            Class::Login => self.login_refused(reply).into(),
            Class::TooLarge => Refused::TooLarge(reason),
        }
    }
}

impl Accepted {
    /// Returns it with the reason why the mail had no picture.
    #[must_use]
    pub fn without_picture(self, reason: &str) -> Self {
        Self { answer: format!("{}; sent without its picture: {reason}", self.answer), ..self }
    }

    /// Returns what follows where no recipient may get the message now. Where some may never get it and others later, these alone are
    /// tried again.
    fn by_none(self) -> Result<Self, Failure> {
        let reasons = |refused: &[(Address, String)]| {
            let reasons: Vec<String> =
                refused.iter().map(|(address, reason)| format!("{address}: {reason}")).collect();
            reasons.join("; ")
        };
        match (self.refused.as_slice(), self.later.as_slice()) {
            (refused, []) => Err(Failure::Permanent(reasons(refused))),
            ([], later) => Err(Failure::Transient(reasons(later))),
            _ => Ok(Self { answer: "no recipient accepted".to_owned(), ..self }),
        }
    }
}

/// Returns the answer that an error stands for.
fn reply_of(error: &Error) -> Reply {
    let source = std::error::Error::source(error).map(ToString::to_string);
    match (error.status(), source) {
        (Some(code), text) => Reply::new(code.into(), &text.unwrap_or_default()),
        (None, Some(source)) if !error.to_string().contains(&source) => {
            Reply::none(&format!("{error}: {source}"))
        }
        (None, _) => Reply::none(&error.to_string()),
    }
}

fn answer_text(response: &Response) -> String {
    let lines: Vec<&str> = response.message().collect();
    sanitize::one_line(&format!("{} {}", response.code(), lines.join(" ")), 300)
}
