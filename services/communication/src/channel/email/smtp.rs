//! One SMTP transaction, recipient by recipient: a refused address does not stop the mail to the others.

use std::fmt::Display;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use shared::text::sanitize;
use tokio::time::timeout;

use crate::channel::{Failure, Receipt};
use crate::options::{Options, Security, Server};

/// A client of one mail server.
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
    /// The server refused it for good.
    Permanent(String),
    /// The server refused it for now, or did not answer.
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

    /// Sends one message to all recipients that the server accepts.
    ///
    /// Fails for good if the server accepts none of them or refuses the message. Fails for now if the server is away or busy,
    /// or refuses the login: a wrong password is no property of the mail.
    pub async fn send(&self, from: &Address, to: &[Address], message: &[u8]) -> Result<Receipt, Failure> {
        timeout(self.send_timeout, self.transact(from, to, message)).await.unwrap_or_else(|_| {
            Err(Failure::Transient(format!("send timed out after {:?}", self.send_timeout)))
        })
    }

    async fn transact(&self, from: &Address, to: &[Address], message: &[u8]) -> Result<Receipt, Failure> {
        let mut connection = self.connect().await?;
        let outcome = self.submit(&mut connection, from, to, message).await;
        // a failed QUIT does not change the outcome
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
            self.answer(connecting).await.map_err(|refusal| refusal.temporary("connection"))?;
        let upgrade = match security {
            Security::StartTls => true,
            Security::StartTlsIfOffered => connection.can_starttls(),
            Security::None | Security::Tls => false,
        };
        if upgrade {
            let upgrading = connection.starttls(tls()?, &self.hello);
            self.answer(upgrading).await.map_err(|refusal| refusal.temporary("STARTTLS"))?;
        }
        if let Some(credentials) = &self.credentials {
            let login = connection.auth(DEFAULT_MECHANISMS, credentials);
            self.answer(login).await.map_err(|refusal| refusal.temporary("login"))?;
        }
        Ok(connection)
    }

    async fn submit(
        &self,
        connection: &mut AsyncSmtpConnection,
        from: &Address,
        to: &[Address],
        message: &[u8],
    ) -> Result<Receipt, Failure> {
        self.answer(connection.command(Mail::new(Some(from.clone()), Vec::new())))
            .await
            .map_err(|refusal| refusal.at_stage("sender"))?;
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
        self.answer(connection.command(Data)).await.map_err(|refusal| refusal.at_stage("message"))?;
        let response =
            self.answer(connection.message(message)).await.map_err(|refusal| refusal.at_stage("message"))?;
        Ok(Receipt { answer: answer_text(&response), refused, ..Receipt::default() })
    }

    /// Waits for one answer.
    async fn answer<T>(
        &self,
        exchange: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, Refusal> {
        match timeout(self.command_timeout, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_permanent() => Err(Refusal::Permanent(error_text(&error))),
            Ok(Err(error)) => Err(Refusal::Transient(error_text(&error))),
            Err(_) => Err(Refusal::Transient(format!("no answer within {:?}", self.command_timeout))),
        }
    }
}

impl Refusal {
    /// A refusal that concerns the connection and not the mail is temporary, whatever its code.
    fn temporary(self, what: &str) -> Failure {
        let (Self::Permanent(reason) | Self::Transient(reason)) = self;
        unavailable(what, reason)
    }

    fn at_stage(self, what: &str) -> Failure {
        match self {
            Self::Permanent(reason) => Failure::Permanent(format!("{what}: {reason}")),
            Self::Transient(reason) => Failure::Transient(format!("{what}: {reason}")),
        }
    }
}

fn unavailable(what: &str, reason: impl Display) -> Failure {
    Failure::Transient(format!("{what}: {reason}"))
}

/// Returns an error and its cause on one line.
fn error_text(error: &lettre::transport::smtp::Error) -> String {
    let text = match std::error::Error::source(error) {
        Some(source) if !error.to_string().contains(&source.to_string()) => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    sanitize::one_line(&text, 300)
}

fn answer_text(response: &Response) -> String {
    let lines: Vec<&str> = response.message().collect();
    sanitize::one_line(&format!("{} {}", response.code(), lines.join(" ")), 300)
}
