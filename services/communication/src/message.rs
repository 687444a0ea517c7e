//! From a letter to MIME. The same notification yields the same bytes, whenever it is sent.
//!
//! ```text
//! multipart/alternative
//!   text/plain
//!   multipart/related        (text/html alone, where there is no picture)
//!     text/html
//!     image/png, inline
//! ```

use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MessageBuilder, MultiPart, SinglePart};
use shared::plain;
use shared::store::Notification;

use crate::mail::PICTURE_ID;
use crate::occasion::{Kind, message_id};
use crate::render::Letter;

/// Most characters of a subject.
const SUBJECT: usize = 180;

/// Composes the mail of a notification.
pub fn compose(
    from: &Mailbox,
    domain: &str,
    notification: &Notification,
    letter: &Letter,
) -> anyhow::Result<Vec<u8>> {
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(plain::one_line(&notification.subject, SUBJECT))
        .date(SystemTime::from(notification.created_at))
        .message_id(Some(bracketed(&notification.message_id)));
    for recipient in &notification.recipients {
        builder = builder.to(recipient.parse()?);
    }
    if notification.kind != Kind::Opened.name() {
        let opened = bracketed(&message_id(notification.incident_id, Kind::Opened, domain));
        builder = builder.in_reply_to(opened.clone()).references(opened);
    }
    let mut message = parts(builder, notification, letter)?;
    for (name, value) in [
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("List-Id", format!("Firewatch incidents <incidents.{domain}>")),
        ("X-Firewatch-Incident", notification.incident_id.to_string()),
        ("X-Firewatch-Kind", plain::one_line(&notification.kind, 32)),
    ] {
        message
            .headers_mut()
            .insert_raw(HeaderValue::new(HeaderName::new_from_ascii(name.to_owned())?, value));
    }
    Ok(message.formatted())
}

fn parts(builder: MessageBuilder, notification: &Notification, letter: &Letter) -> anyhow::Result<Message> {
    let boundary = |part: &str| format!("firewatch-{part}-{}", notification.id.0.simple());
    let both = MultiPart::alternative()
        .boundary(boundary("alternative"))
        .singlepart(SinglePart::plain(letter.text.clone()));
    let html = SinglePart::html(letter.html.clone());
    let body = match &letter.picture {
        None => both.singlepart(html),
        Some(picture) => both.multipart(
            MultiPart::related().boundary(boundary("related")).singlepart(html).singlepart(
                Attachment::new_inline_with_name(PICTURE_ID.to_owned(), "metric.png".to_owned())
                    .body(picture.png.clone(), ContentType::parse("image/png")?),
            ),
        ),
    };
    Ok(builder.multipart(body)?)
}

fn bracketed(id: &str) -> String {
    format!("<{id}>")
}
