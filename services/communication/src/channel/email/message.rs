//! From a rendered mail to MIME. The same notification yields the same bytes whenever it is sent.
//!
//! ```text
//! multipart/related          (multipart/alternative alone, where there is no picture)
//!   multipart/alternative
//!     text/plain
//!     text/html
//!   image/png, inline
//! ```
//!
//! Not `alternative{text, related{html, png}}`, which is as valid: Mailhog finds the picture only beside the alternatives. This
//! is also the form that Outlook and Gmail write for a picture in the text.

use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MessageBuilder, MultiPart, SinglePart};
use shared::store::Notification;
use shared::text::sanitize;

use super::{Envelope, message_id};
use crate::content::Kind;
use crate::mail::PICTURE_ID;
use crate::render::RenderedMail;

/// Most characters of a subject.
const SUBJECT: usize = 180;

/// Composes the mail of a notification.
pub fn compose(
    from: &Mailbox,
    domain: &str,
    notification: &Notification,
    mail: &RenderedMail,
) -> anyhow::Result<Vec<u8>> {
    let envelope = Envelope::of(notification)?;
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(sanitize::one_line(&notification.subject, SUBJECT))
        .date(SystemTime::from(notification.written_at().unwrap_or(notification.created_at)))
        .message_id(Some(bracketed(&envelope.message_id)));
    for recipient in &notification.recipients {
        builder = builder.to(recipient.parse()?);
    }
    let opened = message_id(notification.incident_id, Kind::Opened, 0, domain);
    if envelope.message_id != opened && notification.kind != Kind::Digest {
        let opened = bracketed(&opened);
        builder = builder.in_reply_to(opened.clone()).references(opened);
    }
    let mut message = parts(builder, notification, mail)?;
    for (name, value) in [
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("List-Id", format!("Firewatch incidents <incidents.{domain}>")),
        ("X-Firewatch-Incident", notification.incident_id.to_string()),
        ("X-Firewatch-Kind", notification.kind.to_string()),
    ] {
        message
            .headers_mut()
            .insert_raw(HeaderValue::new(HeaderName::new_from_ascii(name.to_owned())?, value));
    }
    Ok(message.formatted())
}

fn parts(
    builder: MessageBuilder,
    notification: &Notification,
    mail: &RenderedMail,
) -> anyhow::Result<Message> {
    let boundary = |part: &str| format!("firewatch-{part}-{}", notification.id.0.simple());
    let both = MultiPart::alternative()
        .boundary(boundary("alternative"))
        .singlepart(SinglePart::plain(mail.text.clone()))
        .singlepart(SinglePart::html(mail.html.clone()));
    let body = match &mail.picture {
        None => both,
        Some(picture) => {
            // RFC 2387 asks for the type of the part that refers to the others
            let related = format!(
                "multipart/related; type=\"multipart/alternative\"; boundary=\"{}\"",
                boundary("related")
            );
            MultiPart::related().header(ContentType::parse(&related)?).multipart(both).singlepart(
                Attachment::new_inline_with_name(PICTURE_ID.to_owned(), "metric.png".to_owned())
                    .body(picture.png.clone(), ContentType::parse("image/png")?),
            )
        }
    };
    Ok(builder.multipart(body)?)
}

fn bracketed(id: &str) -> String {
    format!("<{id}>")
}
