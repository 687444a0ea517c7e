//! The real parts.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use shared::events::Topic;
use stack::parts::probe;
use stack::{Options, Stack, testing};

#[tokio::test]
async fn restarted_parts_keep_their_data() -> Result<()> {
    let stack = Stack::start(Options::throw_away()?).await?;
    let admin = stack.kafka().admin();
    let topics = admin.topics(Duration::from_secs(5)).await?;
    for topic in Topic::all() {
        ensure!(topics[topic.name()].led == topic.partitions() as usize, "{topic} is not as it should be");
    }
    send_mail(&stack.mail().smtp_url(), "<first@firewatch.test>", "")?;

    stack.kafka().process().kill9();
    stack.postgres().process().kill9();
    ensure!(stack.store()?.ping().await.is_err(), "PostgreSQL answers although it was killed");
    stack.mail().process().stop().await?;
    ensure!(
        send_mail(&stack.mail().smtp_url(), "<lost@firewatch.test>", "").is_err(),
        "a mail was accepted although the mail sink is down"
    );
    tokio::try_join!(stack.kafka().restart(), stack.postgres().restart(), stack.mail().restart())?;

    let provisioned = admin.provision(&Topic::all()).await?;
    ensure!(
        provisioned.created.is_empty() && provisioned.mismatched.is_empty(),
        "topics were lost: {provisioned:?}"
    );
    shared::testing::migrate(&stack.store()?).await?;
    let mails = stack.mail().mailbox().mails().await?;
    ensure!(mails.len() == 1, "one mail had been sent: {mails:?}");

    let dir = stack.layout().dir().to_owned();
    stack.stop().await?;
    ensure!(!dir.exists(), "{} is left", dir.display());
    Ok(())
}

#[tokio::test]
async fn mails_are_read_with_their_thread() -> Result<()> {
    let (smtp, mailbox) = testing::mail().await?;
    send_mail(&smtp, "<one@thread.test>", "")?;
    send_mail(
        &smtp,
        "<three@thread.test>",
        "In-Reply-To: <two@thread.test>\r\nReferences: <one@thread.test>\r\n <two@thread.test>\r\n",
    )?;
    let mails = probe::until("two mails", Duration::from_secs(10), async || {
        let mails: Vec<_> =
            mailbox.mails().await?.into_iter().filter(|mail| mail.id.ends_with("@thread.test")).collect();
        ensure!(mails.len() == 2, "{mails:?}");
        Ok(mails)
    })
    .await?;
    assert_eq!(mails[0].id, "one@thread.test");
    assert_eq!((mails[0].in_reply_to.as_deref(), mails[0].references.len()), (None, 0));
    assert_eq!(mails[1].in_reply_to.as_deref(), Some("two@thread.test"));
    assert_eq!(mails[1].references, ["one@thread.test", "two@thread.test"]);
    assert_eq!(mails[1].to, ["oncall@firewatch.test"]);
    assert_eq!(mails[1].subject, "p99 über 380 ms");
    assert_eq!(mails[1].text.trim(), "payment is slow");
    Ok(())
}

#[tokio::test]
async fn each_test_has_its_own_database() -> Result<()> {
    let (one, other) = tokio::try_join!(testing::postgres(), testing::postgres())?;
    assert_ne!(one.url(), other.url());
    // the schema is there already: nothing to do
    shared::testing::migrate(&one.store()?).await?;
    let url = one.url();
    drop(one);
    let gone = shared::store::Options { url, connect_timeout_ms: 2_000, ..shared::store::Options::default() };
    ensure!(
        shared::store::Store::new(&gone, "test")?.ping().await.is_err(),
        "the database outlived its test"
    );
    Ok(())
}

/// Sends a mail over a plain connection, so that its bytes are known.
fn send_mail(smtp: &str, id: &str, headers: &str) -> Result<()> {
    let address = smtp.trim_start_matches("smtp://");
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut lines, mut out) = (BufReader::new(stream.try_clone()?).lines(), stream);
    let mut expect = |code: &str| -> Result<()> {
        loop {
            let line = lines.next().ok_or_else(|| anyhow::anyhow!("the connection was closed"))??;
            ensure!(line.starts_with(code), "expected {code}, got {line}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    };
    expect("220")?;
    for (command, code) in [
        ("EHLO test\r\n", "250"),
        ("MAIL FROM:<firewatch@firewatch.test>\r\n", "250"),
        ("RCPT TO:<oncall@firewatch.test>\r\n", "250"),
        ("DATA\r\n", "354"),
    ] {
        out.write_all(command.as_bytes())?;
        expect(code)?;
    }
    let mail = format!(
        "Message-ID: {id}\r\n{headers}From: firewatch@firewatch.test\r\nTo: On call <oncall@firewatch.test>\r\n\
         Subject: =?utf-8?q?p99_=C3=BCber_380_ms?=\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\npayment is slow\r\n.\r\n"
    );
    out.write_all(mail.as_bytes())?;
    expect("250")
}
