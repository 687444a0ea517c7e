//! One SMTP transaction, recipient by recipient: an address that is refused does not silence the others.

use std::fmt::Display;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use shared::plain;
use tokio::time::timeout;

use crate::channel::{Failure, Receipt};
use crate::options::{Options, Security, Server};

/// A mail server and how to talk to it.
#[derive(Debug, Clone)]
pub struct Smtp {
    server: Server,
    hello: ClientId,
    credentials: Option<Credentials>,
    command_timeout: Duration,
    send_timeout: Duration,
}

/// Why one command failed.
enum Refusal {
    /// The server said no, for good.
    Permanent(String),
    /// It said "not now", or nothing.
    Transient(String),
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
        })
    }

    /// Sends one message to all recipients that the server takes.
    ///
    /// Fails for good if it takes none of them or refuses the message, and for now if it is not there, is busy or does
    /// not know us: a wrong password is no fault of the mail.
    pub async fn send(&self, from: &Address, to: &[Address], message: &[u8]) -> Result<Receipt, Failure> {
        timeout(self.send_timeout, self.transact(from, to, message))
            .await
            .unwrap_or_else(|_| Err(Failure::Transient(format!("not done within {:?}", self.send_timeout))))
    }

    async fn transact(&self, from: &Address, to: &[Address], message: &[u8]) -> Result<Receipt, Failure> {
        let mut connection = self.connect().await?;
        let outcome = self.hand_over(&mut connection, from, to, message).await;
        // politeness only: what was accepted stays accepted
        let _ = timeout(self.command_timeout, connection.quit()).await;
        outcome
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let Server { host, port, security } = &self.server;
        let tls = || TlsParameters::new(host.clone()).map_err(|error| unavailable("TLS", error));
        let wrapper = if *security == Security::Tls { Some(tls()?) } else { None };
        let place = (host.trim_matches(['[', ']']), *port);
        let connecting = AsyncSmtpConnection::connect_tokio1(
            place,
            Some(self.command_timeout),
            &self.hello,
            wrapper,
            None,
        );
        let mut connection =
            self.answer(connecting).await.map_err(|refusal| refusal.for_now("connection"))?;
        let upgrade = match security {
            Security::StartTls => true,
            Security::StartTlsIfOffered => connection.can_starttls(),
            Security::None | Security::Tls => false,
        };
        if upgrade {
            let upgrading = connection.starttls(tls()?, &self.hello);
            self.answer(upgrading).await.map_err(|refusal| refusal.for_now("STARTTLS"))?;
        }
        if let Some(credentials) = &self.credentials {
            let login = connection.auth(DEFAULT_MECHANISMS, credentials);
            self.answer(login).await.map_err(|refusal| refusal.for_now("login"))?;
        }
        Ok(connection)
    }

    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        from: &Address,
        to: &[Address],
        message: &[u8],
    ) -> Result<Receipt, Failure> {
        self.answer(connection.command(Mail::new(Some(from.clone()), Vec::new())))
            .await
            .map_err(|refusal| refusal.about("sender"))?;
        let mut refused = Vec::new();
        let mut later = None;
        for recipient in to {
            match self.answer(connection.command(Rcpt::new(recipient.clone(), Vec::new()))).await {
                Ok(_) => {}
                Err(Refusal::Permanent(reason)) => refused.push(format!("{recipient}: {reason}")),
                Err(Refusal::Transient(reason)) if connection.has_broken() => {
                    return Err(Failure::Transient(reason));
                }
                Err(Refusal::Transient(reason)) => {
                    refused.push(format!("{recipient}: {reason}"));
                    later = Some(reason);
                }
            }
        }
        if refused.len() == to.len() {
            let reasons = refused.join("; ");
            return Err(if later.is_some() {
                Failure::Transient(reasons)
            } else {
                Failure::Permanent(reasons)
            });
        }
        self.answer(connection.command(Data)).await.map_err(|refusal| refusal.about("message"))?;
        let response =
            self.answer(connection.message(message)).await.map_err(|refusal| refusal.about("message"))?;
        Ok(Receipt { answer: said(&response), refused })
    }

    /// Waits for one answer.
    async fn answer<T>(
        &self,
        exchange: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, Refusal> {
        match timeout(self.command_timeout, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_permanent() => Err(Refusal::Permanent(told(&error))),
            Ok(Err(error)) => Err(Refusal::Transient(told(&error))),
            Err(_) => Err(Refusal::Transient(format!("no answer within {:?}", self.command_timeout))),
        }
    }
}

impl Refusal {
    /// What concerns the connection and not the mail passes, whatever its code.
    fn for_now(self, what: &str) -> Failure {
        let (Self::Permanent(reason) | Self::Transient(reason)) = self;
        unavailable(what, reason)
    }

    fn about(self, what: &str) -> Failure {
        match self {
            Self::Permanent(reason) => Failure::Permanent(format!("{what}: {reason}")),
            Self::Transient(reason) => Failure::Transient(format!("{what}: {reason}")),
        }
    }
}

fn unavailable(what: &str, reason: impl Display) -> Failure {
    Failure::Transient(format!("{what}: {reason}"))
}

/// Returns what went wrong with its cause, fit for a record.
fn told(error: &lettre::transport::smtp::Error) -> String {
    let text = match std::error::Error::source(error) {
        Some(source) if !error.to_string().contains(&source.to_string()) => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    plain::one_line(&text, 300)
}

fn said(response: &Response) -> String {
    let words: Vec<&str> = response.message().collect();
    plain::one_line(&format!("{} {}", response.code(), words.join(" ")), 300)
}
