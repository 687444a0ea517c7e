//! What the refusal of a mail server means: by its code (RFC 5321), its enhanced status code (RFC 3463) where it gives one, and what
//! it was the answer to.

use shared::text::sanitize;

/// What a refusal was the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Greeting, EHLO, STARTTLS.
    Connection,
    /// AUTH.
    Login,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA and what follows it.
    Message,
}

/// What follows from a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may pass: busy, greylisted, mailbox locked, too many recipients.
    Later,
    /// It concerns what was asked for and stays so.
    Final,
    /// The server does not accept who we are. No mail can be sent until a person changes that.
    Login,
    /// The message is larger than the server accepts.
    TooLarge,
}

/// A negative answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Code, 400 to 599; none if there was no readable answer.
    pub code: Option<u16>,
    /// Enhanced status code: class, subject, detail.
    pub status: Option<[u16; 3]>,
    /// Code and text on one line, for people.
    pub text: String,
}

/// Most characters of a text that are kept.
const TEXT: usize = 300;

impl Reply {
    /// Returns the answer of a server.
    pub fn new(code: u16, text: &str) -> Self {
        let text = sanitize::one_line(text, TEXT);
        Self { code: Some(code), status: status(&text), text: format!("{code} {text}").trim_end().to_owned() }
    }

    /// Returns what stands for an answer where there is none: a timeout, a lost connection.
    pub fn none(reason: &str) -> Self {
        Self { code: None, status: None, text: sanitize::one_line(reason, TEXT) }
    }

    /// Returns what follows from it at that stage.
    pub fn class(&self, stage: Stage) -> Class {
        let Some(code) = self.code else { return Class::Later };
        let wants_login = match stage {
            Stage::Connection => false,
            // 454 is a login that fails for now
            Stage::Login => code >= 500,
            Stage::Sender | Stage::Recipient | Stage::Message => matches!(code, 530 | 534 | 535 | 538),
        };
        if wants_login {
            return Class::Login;
        }
        // a refusal that is final by its code alone may be temporary by its status
        let is_final = code >= 500 && self.status.is_none_or(|[class, ..]| class == 5);
        if !is_final || matches!(stage, Stage::Connection | Stage::Login) {
            return Class::Later;
        }
        let is_too_large = match self.status {
            Some([_, subject, detail]) => matches!((subject, detail), (3, 4) | (2, 3)),
            // RFC 1870; with another status it is the mailbox that is full
            None => code == 552,
        };
        if is_too_large && stage != Stage::Recipient { Class::TooLarge } else { Class::Final }
    }
}

/// Reads the enhanced status code that a text begins with.
fn status(text: &str) -> Option<[u16; 3]> {
    let mut parts = text.split_whitespace().next()?.splitn(3, '.').map(|part| {
        let is_number = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { part.parse().ok() } else { None }
    });
    let status = [parts.next()??, parts.next()??, parts.next()??];
    matches!(status[0], 2 | 4 | 5).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_depends_on_code_status_and_stage() {
        use Class::{Final, Later, Login, TooLarge};
        use Stage::{Connection, Message, Recipient, Sender};
        for (stage, code, text, expected) in [
            (Connection, 554, "no service for you", Later),
            (Connection, 421, "4.3.2 shutting down", Later),
            (Stage::Login, 535, "5.7.8 credentials invalid", Login),
            (Stage::Login, 534, "5.7.9 use an app password", Login),
            (Stage::Login, 454, "4.7.0 temporary authentication failure", Later),
            (Sender, 530, "5.7.0 authentication required", Login),
            (Sender, 421, "4.7.0 too many connections", Later),
            (Sender, 550, "5.7.1 not yours", Final),
            (Sender, 552, "5.3.4 message size exceeds fixed limit", TooLarge),
            (Recipient, 550, "5.1.1 no such user", Final),
            (Recipient, 553, "5.1.3 bad address", Final),
            (Recipient, 552, "5.2.2 mailbox full", Final),
            (Recipient, 552, "mailbox full", Final),
            (Recipient, 450, "4.2.0 greylisted", Later),
            (Recipient, 451, "4.7.1 greylisted, try again in 300 seconds", Later),
            (Recipient, 452, "4.5.3 too many recipients", Later),
            (Recipient, 550, "4.2.1 mailbox is locked", Later),
            (Message, 451, "4.3.0 disk full", Later),
            (Message, 452, "4.3.1 insufficient storage", Later),
            (Message, 552, "message too large", TooLarge),
            (Message, 552, "5.2.3 message too long", TooLarge),
            (Message, 554, "5.3.4 message too big", TooLarge),
            (Message, 552, "5.2.2 over quota", Final),
            (Message, 554, "5.7.1 looks like spam", Final),
            (Message, 550, "", Final),
        ] {
            assert_eq!(Reply::new(code, text).class(stage), expected, "{stage:?} {code} {text}");
        }
        assert_eq!(Reply::none("connection lost").class(Message), Later);
    }

    #[test]
    fn a_status_is_read_where_there_is_one() {
        for (text, expected) in [
            ("5.1.1 no such user", Some([5, 1, 1])),
            ("4.7.999 later", Some([4, 7, 999])),
            ("5.1.1", Some([5, 1, 1])),
            ("", None),
            ("no", None),
            ("10.0.0.1 is blocked", None),
            ("5.1 no", None),
            ("5.1.1.1 no", None),
            ("5.1.x no", None),
            ("3.1.1 no", None),
            ("5.1.1000 no", None),
        ] {
            assert_eq!(status(text), expected, "{text}");
        }
    }

    #[test]
    fn the_text_of_a_server_is_one_bounded_line() {
        let reply = Reply::new(550, &format!("5.1.1 no\r\n\u{1b}[31m{}", "x".repeat(10_000)));
        assert!(reply.text.chars().count() <= TEXT + 4 && !reply.text.contains('\u{1b}'), "{}", reply.text);
    }
}
