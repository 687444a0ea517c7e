use communication::channel::email::login::PAUSE;
use communication::channel::{Channel as _, Delivery, Email, Failure, Receipt};
use communication::options::Options;
use shared::service::Secret;
use shared::store::Notification;

use crate::mails::notification;
use crate::scenario;
use crate::server::{Script, Server};

fn options(server: &Server) -> Options {
    Options {
        smtp_url: server.url.clone(),
        command_timeout_ms: 300,
        send_timeout_ms: 20_000,
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

fn script(answers: &[(&'static str, &'static str)]) -> Script {
    Script { answers: answers.to_vec(), ..Script::default() }
}

async fn with(answers: &[(&'static str, &'static str)]) -> (Result<Receipt, Failure>, Server) {
    let server = Server::start(script(answers)).await;
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
        (("end of data", "550 5.7.1 looks like spam"), true),
        (("RCPT", "450 greylisted"), false),
        (("RCPT", "451 4.7.1 greylisted, try again in 300 seconds"), false),
        (("RCPT", "452 4.5.3 too many recipients"), false),
        (("RCPT", "421 4.3.2 shutting down"), false),
        (("RCPT", "550 4.2.1 mailbox is locked"), false),
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

/// Returns what a server was sent to: the addresses of RCPT.
fn asked(server: &Server) -> Vec<String> {
    let commands = server.commands();
    let recipients = commands.iter().filter_map(|command| command.strip_prefix("RCPT TO:<"));
    recipients.map(|rest| rest.split('>').next().unwrap().to_owned()).collect()
}

/// One of three is unknown, one is greylisted: the third gets the mail once, and the greylisted one is asked alone until it takes it.
#[tokio::test]
async fn a_greylisted_recipient_is_tried_again_without_the_others() {
    let greylisting = [("TO:<a@", "550 5.1.1 no such user"), ("TO:<b@", "451 4.7.1 greylisted")];
    let server = Server::start(script(&greylisting)).await;
    let content = scenario::thread().remove(0);
    let mut stored = notification(&content);
    stored.recipients = ["a@example.com", "b@example.com", "c@example.com"].map(str::to_owned).into();
    let email = Email::new(&options(&server)).unwrap();
    let mut receipts = Vec::new();
    for attempt in 0..4 {
        match attempt {
            // by then the server is away: no failure of a mail that somebody has
            2 => server.becomes(script(&[("MAIL FROM", "421 4.3.2 shutting down")])),
            3 => server.give_in(),
            _ => {}
        }
        let delivery = Delivery { notification: &stored, content: &content, opening: None };
        let receipt = email.deliver(delivery).await.unwrap();
        // as the row has it after the attempt
        if !receipt.envelope.is_empty() {
            stored.envelope.insert(Notification::RECEIPT.to_owned(), receipt.envelope.clone().into());
        }
        receipts.push(receipt);
    }
    let later: Vec<usize> = receipts.iter().map(|receipt| receipt.later.len()).collect();
    assert_eq!(later, [1, 1, 1, 0]);
    assert!(receipts.iter().all(|receipt| receipt.refused.len() == 1), "{receipts:?}");
    let expected = ["a", "b", "c", "b", "b"].map(|name| format!("{name}@example.com"));
    assert_eq!(asked(&server), expected);
    let messages = server.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0], messages[1], "with the same Message-ID");
}

/// Nobody has it yet: the one that is unknown is not asked again.
#[tokio::test]
async fn an_unknown_recipient_is_not_tried_again_while_the_other_one_is_greylisted() {
    let server =
        Server::start(script(&[("TO:<a@", "550 5.1.1 no such user"), ("TO:<b@", "451 later")])).await;
    let content = scenario::thread().remove(0);
    let mut stored = notification(&content);
    stored.recipients = vec!["a@example.com".into(), "b@example.com".into()];
    let email = Email::new(&options(&server)).unwrap();
    let deliver = async |stored: &Notification| {
        email.deliver(Delivery { notification: stored, content: &content, opening: None }).await
    };
    let first = deliver(&stored).await.unwrap();
    assert_eq!((first.refused.len(), first.later.len(), server.messages().len()), (1, 1, 0));
    stored.envelope.insert(Notification::RECEIPT.to_owned(), first.envelope.into());
    assert!(matches!(deliver(&stored).await, Err(Failure::Transient(_))));
    server.give_in();
    let last = deliver(&stored).await.unwrap();
    assert_eq!((last.refused.len(), last.later.len(), server.messages().len()), (1, 0, 1));
    assert_eq!(asked(&server), ["a", "b", "b", "b"].map(|name| format!("{name}@example.com")));
}

/// Servers lock accounts that try often: after a refusal no other mail tries either.
#[tokio::test]
async fn a_refused_login_is_not_tried_again_by_the_next_mail() {
    let offer = ("EHLO", "250-test\r\n250 AUTH PLAIN LOGIN");
    let server = Server::start(script(&[offer, ("AUTH", "535 5.7.8 credentials invalid")])).await;
    let with_login =
        Options { smtp_user: "me".into(), smtp_password: Secret::new("hunter2"), ..options(&server) };
    let email = Email::new(&with_login).unwrap();
    let content = scenario::thread().remove(0);
    let stored = notification(&content);
    let delivery = Delivery { notification: &stored, content: &content, opening: None };
    let logins = || server.commands().iter().filter(|command| command.starts_with("AUTH")).count();
    let failure = email.deliver(delivery).await.unwrap_err();
    assert!(matches!(&failure, Failure::Throttled { pause, .. } if *pause == PAUSE), "{failure:?}");
    assert!(failure.to_string().starts_with("login: 535 5.7.8"), "{failure}");
    for _ in 0..3 {
        assert!(matches!(email.deliver(delivery).await, Err(Failure::Throttled { .. })));
    }
    assert_eq!(logins(), 1);
    assert!(!format!("{failure:?} {email:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_login_that_is_asked_for_later_is_no_property_of_the_mail() {
    let (outcome, _) = with(&[("MAIL FROM", "530 5.7.0 authentication required")]).await;
    assert!(matches!(outcome, Err(Failure::Throttled { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_sent_without_its_picture() {
    let server = Server::start(Script { limit: Some(30_000), ..Script::default() }).await;
    let receipt = send(&options(&server)).await.unwrap();
    assert!(receipt.answer.contains("sent without its picture: message: 552 5.3.4"), "{receipt:?}");
    let messages = server.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].contains("\r\nMessage-ID: <opened."));
    assert!(!messages[0].contains("image/png") && !messages[0].contains("cid:"), "{}", messages[0]);
    // smaller than the mail without its picture
    server.becomes(Script { limit: Some(1_000), ..Script::default() });
    let failure = send(&options(&server)).await.unwrap_err();
    assert!(matches!(&failure, Failure::Permanent(reason) if reason.contains("552 5.3.4")), "{failure:?}");
    // a mailbox that is full has the same code
    let (outcome, full) = with(&[("end of data", "552 5.2.2 over quota")]).await;
    assert!(matches!(outcome, Err(Failure::Permanent(_))), "{outcome:?}");
    assert_eq!(full.commands().iter().filter(|command| *command == "DATA").count(), 1);
}

#[tokio::test]
async fn bounces_go_to_their_own_address() {
    let server = Server::start(Script::default()).await;
    let own = Options { bounce_address: "bounces@example.com".into(), ..options(&server) };
    send(&own).await.unwrap();
    send(&options(&server)).await.unwrap();
    let commands = server.commands();
    let senders: Vec<&String> = commands.iter().filter(|command| command.starts_with("MAIL")).collect();
    assert_eq!(senders, ["MAIL FROM:<bounces@example.com>", "MAIL FROM:<firewatch@firewatch.local>"]);
    assert!(
        server.messages().iter().all(|mail| mail.contains("\r\nFrom: Firewatch <firewatch@firewatch.local>")
            || mail.starts_with("From: Firewatch <firewatch@firewatch.local>"))
    );
    let refused = Options { bounce_address: "nobody\r\nDATA".into(), ..Options::default() };
    assert!(refused.validate()[0].starts_with("bounce_address: "), "{:?}", refused.validate());
}
