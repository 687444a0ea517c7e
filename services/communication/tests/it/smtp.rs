use communication::channel::{Channel as _, Delivery, Email, Failure, Receipt};
use communication::options::Options;
use shared::service::Secret;

use crate::mails::notification;
use crate::scenario;
use crate::server::{Script, Server};

fn options(server: &Server) -> Options {
    Options {
        smtp_url: server.url.clone(),
        command_timeout_ms: 300,
        send_timeout_ms: 2_000,
        ..Options::default()
    }
}

/// Sends the first mail of the thread to two people.
async fn send(options: &Options) -> Result<Receipt, Failure> {
    let content = scenario::thread().remove(0);
    let mut notification = notification(&content);
    notification.recipients = vec!["a@example.com".into(), "b@example.com".into()];
    let delivery = Delivery { notification: &notification, content: &content, opening: None };
    Email::new(options).unwrap().deliver(delivery).await
}

async fn with(answers: &[(&'static str, &'static str)]) -> (Result<Receipt, Failure>, Server) {
    let server = Server::start(Script { answers: answers.to_vec(), silent: false }).await;
    let outcome = send(&options(&server)).await;
    (outcome, server)
}

#[tokio::test]
async fn a_mail_is_handed_over_once_for_all_recipients() {
    let (outcome, server) = with(&[]).await;
    assert_eq!(outcome, Ok(Receipt { answer: "250 queued as 42".into(), ..Receipt::default() }));
    let messages = server.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].contains("\r\nMessage-ID: <opened."), "{}", &messages[0][..400]);
    let recipients = server.commands().iter().filter(|command| command.starts_with("RCPT")).count();
    assert_eq!(recipients, 2);
}

#[tokio::test]
async fn a_refused_address_does_not_silence_the_others() {
    let (outcome, server) = with(&[("TO:<a@", "550 no such user")]).await;
    let receipt = outcome.unwrap();
    assert_eq!(receipt.refused.len(), 1);
    assert!(receipt.refused[0].starts_with("a@example.com: "), "{receipt:?}");
    assert!(receipt.refused[0].contains("no such user"), "{receipt:?}");
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn only_what_concerns_the_mail_itself_is_final() {
    let cases = [
        (("RCPT", "550 no such user"), true),
        (("end of data", "554 looks like spam"), true),
        (("MAIL FROM", "550 sender unknown"), true),
        (("RCPT", "450 greylisted"), false),
        (("end of data", "451 disk full"), false),
        (("MAIL FROM", "421 shutting down"), false),
        (("EHLO", "554 no service for you"), false),
    ];
    for (answer, is_final) in cases {
        let (outcome, server) = with(&[answer]).await;
        let failure = outcome.unwrap_err();
        assert_eq!(matches!(failure, Failure::Permanent(_)), is_final, "{answer:?} gave {failure:?}");
        assert!(server.messages().is_empty());
    }
}

#[tokio::test]
async fn a_login_that_is_not_offered_can_pass() {
    let server = Server::start(Script::default()).await;
    let with_login =
        Options { smtp_user: "me".into(), smtp_password: Secret::new("hunter2"), ..options(&server) };
    let failure = send(&with_login).await.unwrap_err();
    assert!(matches!(&failure, Failure::Transient(reason) if reason.starts_with("login")), "{failure:?}");
    assert!(!failure.to_string().contains("hunter2"));
}

#[tokio::test]
async fn required_encryption_that_is_not_offered_sends_nothing() {
    let server = Server::start(Script::default()).await;
    let strict = Options { smtp_url: format!("{}?tls=required", server.url), ..options(&server) };
    let failure = send(&strict).await.unwrap_err();
    assert!(matches!(&failure, Failure::Transient(reason) if reason.starts_with("STARTTLS")), "{failure:?}");
    assert!(!server.commands().iter().any(|command| command.starts_with("MAIL")));
}

#[tokio::test]
async fn the_wait_for_an_unreachable_or_silent_server_is_bounded() {
    let silent = Server::start(Script { silent: true, ..Script::default() }).await;
    let failure = send(&options(&silent)).await.unwrap_err();
    assert!(matches!(&failure, Failure::Transient(_)), "{failure:?}");
    let unreachable = Options { smtp_url: "smtp://127.0.0.1:1".into(), ..options(&silent) };
    assert!(matches!(send(&unreachable).await, Err(Failure::Transient(_))));
}
