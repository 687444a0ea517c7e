//! Mails as mail clients read them: headers, threads, and that text from telemetry stays text. Read by a parser that is not the
//! library which writes them.

use communication::channel::email::message::{Sender, compose};
use communication::content::{IncidentSummary, LifecycleEvent, NotificationContent};
use communication::render::render_without_picture;
use communication::templates::Templates;
use mail_parser::{Message, MessageParser};
use serde_json::Value;
use shared::events::Severity;
use shared::text::sanitize::steers;

use crate::mails::{LINK, mime_of, notification, rendered};
use crate::scenario;

/// Texts that try to break out of a header, of an element, an attribute, a style, a code span or a line, or to be decoded once more.
const CORPUS: [&str; 18] = [
    "x\r\nBcc: eve@example.com\r\n\r\nbody",
    "x\nBcc: eve@example.com",
    "x\rSubject: other",
    "x\u{2028}Bcc: eve@example.com\u{2029}\u{85}\u{b}\u{c}",
    "=?utf-8?q?=0D=0ABcc:_eve@example.com?=",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)' x='",
    "</td></table></body></html><h1>Your password has expired</h1>",
    "<!-- --><style>*{display:none}</style><![CDATA[",
    "color:red;background:url(https://evil.example/x.png)",
    "{{ 7*7 }}{% raw %}{# #}",
    "[click](javascript:alert(1)) ![x](https://evil.example/x.png) <https://evil.example>",
    "`</code><b>` **bold** ``` \n```\n# heading",
    "cid:metric@firewatch data:text/html;base64,PHNjcmlwdD4=",
    "\u{202e}gpj.exe\u{200b}\u{feff}\u{e0041}\u{0}\u{1b}[31m",
    "&lt;script&gt; &#60;script&#62; &amp;amp; %3Cscript%3E",
    "\u{fffd}\u{1f525}\u{5370}\u{c7a5}\u{301}\u{301}\u{301}",
];

/// Returns the mails of an incident and its news.
fn contents() -> Vec<NotificationContent> {
    let updates =
        scenario::updates().into_iter().map(|update| scenario::content(LifecycleEvent::from(update)));
    scenario::thread().into_iter().chain(updates).collect()
}

fn parse(mime: &str) -> Message<'_> {
    MessageParser::default().parse(mime.as_bytes()).unwrap()
}

fn names(mime: &str) -> Vec<String> {
    parse(mime).headers().iter().map(|header| header.name().to_owned()).collect()
}

/// Replaces every text of a document that may be any text.
fn replaced(content: &NotificationContent, text: &str) -> NotificationContent {
    fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::String(_) => found.push(path.to_owned()),
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    leaves(item, &format!("{path}/{place}"), found);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    leaves(field, &format!("{path}/{name}"), found);
                }
            }
            _ => {}
        }
    }
    let mut document = serde_json::to_value(content).unwrap();
    let mut found = Vec::new();
    leaves(&document, "", &mut found);
    let mut count = 0;
    for path in found {
        let kept = std::mem::replace(document.pointer_mut(&path).unwrap(), text.into());
        // times, ids and words of enums are no free text
        if serde_json::from_value::<NotificationContent>(document.clone()).is_err() {
            *document.pointer_mut(&path).unwrap() = kept;
        } else {
            count += 1;
        }
    }
    assert!(count > 5, "only {count} texts were replaced");
    serde_json::from_value(document).unwrap()
}

/// Returns the tags of an HTML text: their names and attributes. What is not closed is an error.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(begin) = rest.find('<') {
        rest = &rest[begin + 1..];
        if let Some(after) = rest.strip_prefix("style>") {
            rest = after.split_once("</style>").unwrap().1;
            continue;
        }
        let name: String = rest.chars().take_while(|c| !c.is_whitespace() && *c != '>').collect();
        rest = &rest[name.len()..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let (attribute, value) = match rest.split_once("=\"") {
                Some((attribute, after)) if !attribute.contains([' ', '>']) => {
                    let (value, after) = after.split_once('"').unwrap();
                    rest = after;
                    (attribute, value)
                }
                _ => {
                    let end = rest.find([' ', '>']).unwrap();
                    let attribute = &rest[..end];
                    rest = &rest[end..];
                    (attribute, "")
                }
            };
            attributes.push((attribute.to_owned(), value.to_owned()));
        }
        found.push((name, attributes));
    }
    found
}

#[test]
fn text_from_telemetry_adds_no_header_element_attribute_or_link() {
    let templates = Templates::load(None).unwrap();
    for content in contents() {
        let plain = names(&mime_of(&notification(&content), None, &rendered(&content)));
        for text in CORPUS {
            let content = replaced(&content, text);
            let mail = render_without_picture(&templates, &content, LINK, None).unwrap();
            let mut notification = notification(&content);
            notification.subject = format!("Re: {}", content.incident.subject());
            let mime = mime_of(&notification, None, &mail);
            let parsed = parse(&mime);
            let mut expected = plain.clone();
            expected.sort_unstable();
            let mut found = names(&mime);
            found.sort_unstable();
            assert_eq!(found, expected, "{text:?}");
            assert_eq!(parsed.attachment_count(), 0, "{text:?}");
            assert_eq!((parsed.text_body_count(), parsed.html_body_count()), (1, 1), "{text:?}");
            for part in [mail.html.as_str(), mail.text.as_str(), parsed.subject().unwrap()] {
                let odd = part.chars().find(|c| (c.is_control() && *c != '\n') || steers(*c));
                assert_eq!(odd, None, "{text:?}");
            }
            check_html(&mail.html, text);
        }
    }
}

fn check_html(html: &str, text: &str) {
    const KNOWN: [&str; 31] = [
        "!doctype",
        "a",
        "blockquote",
        "body",
        "br",
        "code",
        "div",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "head",
        "html",
        "img",
        "li",
        "meta",
        "ol",
        "p",
        "pre",
        "span",
        "strong",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
        "hr",
    ];
    const ATTRIBUTES: [&str; 19] = [
        "align",
        "alt",
        "cellpadding",
        "cellspacing",
        "charset",
        "class",
        "colspan",
        "content",
        "height",
        "href",
        "html",
        "lang",
        "name",
        "role",
        "src",
        "style",
        "title",
        "valign",
        "width",
    ];
    let tags = tags(html);
    for (name, attributes) in &tags {
        assert!(KNOWN.contains(&name.trim_start_matches('/')), "{text:?} made <{name}>");
        for (attribute, value) in attributes {
            assert!(ATTRIBUTES.contains(&attribute.as_str()), "{text:?} made {attribute} of <{name}>");
            let is_fine = match attribute.as_str() {
                "href" => ["http://", "https://", "mailto:"].iter().any(|begin| value.starts_with(begin)),
                "src" => value.starts_with("cid:"),
                "style" => !value.contains("url(") && !value.contains("red"),
                _ => true,
            };
            assert!(is_fine, "{text:?} made {attribute}={value:?}");
        }
    }
    let count = |wanted: &str| tags.iter().filter(|(name, _)| name == wanted).count();
    assert_eq!((count("body"), count("/body"), count("/html"), count("h1")), (1, 1, 1, 1), "{text:?}");
}

/// Gmail joins mails with equal subjects that refer to one another; Outlook those with equal subjects, or by `References`; mutt by
/// `References` and `In-Reply-To`. The severity rises and the domain of the settings changes meanwhile.
#[test]
fn all_mails_of_an_incident_are_one_thread_whatever_changes() {
    let opening = notification(&contents()[0]);
    let moved = "Firewatch <firewatch@moved.example>".parse().unwrap();
    let sender = Sender { from: &moved, domain: "moved.example" };
    let first = mime_of(&opening, None, &rendered(&contents()[0]));
    let first = parse(&first);
    let (id, subject) = (first.message_id().unwrap(), first.subject().unwrap());
    assert_eq!(subject, "#12 payment: database connections exhausted");
    assert!(first.in_reply_to().is_empty() && first.references().is_empty());
    let of_one = |content: &NotificationContent| !content.event.is_of_many();
    for mut content in contents().into_iter().skip(1).filter(of_one) {
        content.incident.severity = Severity::Sev1;
        content.incident.service = Some("order".into());
        let mut reply = notification(&content);
        reply.severity = Severity::Sev1;
        let bytes = compose(sender, &reply, Some(&opening), &rendered(&content)).unwrap();
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(parsed.in_reply_to().as_text(), Some(id));
        assert_eq!(parsed.references().as_text(), Some(id));
        assert_ne!(parsed.message_id(), Some(id));
        assert_eq!(parsed.subject().unwrap().strip_prefix("Re: "), Some(subject));
        let list = parsed.list_id().as_address().unwrap().first().unwrap();
        assert_eq!(list.address(), Some("payment.production.incidents.moved.example"));
    }
}

#[test]
fn a_mail_says_how_urgent_it_is_and_which_list_it_is_of() {
    for (severity, importance, priority) in [
        (Severity::Sev1, "high", "1 (Highest)"),
        (Severity::Sev2, "high", "2 (High)"),
        (Severity::Sev3, "normal", "3 (Normal)"),
    ] {
        let mut stored = notification(&contents()[0]);
        stored.severity = severity;
        let mime = mime_of(&stored, None, &rendered(&contents()[0]));
        for line in [
            format!("\r\nImportance: {importance}\r\n"),
            format!("\r\nX-Priority: {priority}\r\n"),
            "\r\nAuto-Submitted: auto-generated\r\n".to_owned(),
            "\r\nList-Id: Firewatch incidents <payment.production.incidents.firewatch.local>\r\n".to_owned(),
        ] {
            assert!(mime.replace("\r\n ", " ").contains(&line), "{line:?} is not in {mime}");
        }
    }
}

/// Names in any script, of any length: the subject is read back as it was written, and what happened is in it.
#[test]
fn names_of_any_length_and_script_keep_the_news_in_the_subject() {
    let news = "the connection pool is running out";
    for name in [
        "zahlungs-überwachung",
        "결제 서비스 운영",
        "платёжный-шлюз",
        "بوابة-الدفع",
        "支払い・決済ゲートウェイ",
        "🔥-💳-service",
        "a b  c",
        &"checkout-".repeat(40),
        &"결제서비스".repeat(2_000),
        &"é".repeat(300),
        "x\r\nBcc: eve@example.com\u{2028}y",
        "",
    ] {
        let mut incident = scenario::opened();
        incident.title = format!("{name}: {news}");
        incident.suspects[0].service = name.to_owned();
        let summary = IncidentSummary::of(&incident);
        let subject = summary.subject();
        assert!(subject.starts_with("#12 ") && subject.ends_with(news), "{subject}");
        assert!(subject.chars().count() <= 144, "{subject}");
        let mut stored = notification(&contents()[0]);
        stored.subject = format!("Re: {subject}");
        let mime = mime_of(&stored, None, &rendered(&contents()[0]));
        assert_eq!(parse(&mime).subject(), Some(stored.subject.as_str()));
        let head = mime.split("\r\n\r\n").next().unwrap();
        for line in head.split("\r\n") {
            assert!(line.len() <= 78, "{} bytes: {line}", line.len());
            let words = line.split(' ').filter(|word| word.starts_with("=?"));
            assert!(words.into_iter().all(|word| word.len() <= 75), "{line}");
        }
    }
}

/// Also where the sender has a name that is no ASCII.
#[test]
fn a_sender_in_any_script_is_read_back() {
    for name in ["Störungsdienst", "장애 알림", "Ops, \"night\""] {
        let from = lettre_mailbox(name);
        let sender = Sender { from: &from, domain: "firewatch.local" };
        let bytes = compose(sender, &notification(&contents()[0]), None, &rendered(&contents()[0])).unwrap();
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        let first = parsed.from().unwrap().first().unwrap();
        assert_eq!((first.name(), first.address()), (Some(name), Some("ops@firewatch.local")));
    }
}

fn lettre_mailbox(name: &str) -> lettre::message::Mailbox {
    lettre::message::Mailbox::new(Some(name.to_owned()), "ops@firewatch.local".parse().unwrap())
}

/// The text part is read alone: no markup, no internal word or id, and what to do comes first.
#[test]
fn the_text_part_is_readable_alone() {
    for content in contents() {
        let mime = mime_of(&notification(&content), None, &rendered(&content));
        let parsed = parse(&mime);
        let text = parsed.body_text(0).unwrap().replace("\r\n", "\n");
        let kind = content.event.kind().name();
        for unwanted in ["</", "<td", "<br", "&#", "&amp;", "&nbsp;", "{{", "nats", "posterior", "{line}"] {
            assert!(!text.contains(unwanted), "{kind}: {unwanted}");
        }
        let incident = content.incident.incident_id.to_string();
        let html = parsed.body_html(0).unwrap();
        assert!(!text.contains(&incident) && !html.contains(&incident), "{kind}: ids are in headers");
        let blocks: Vec<&str> = text.split("\n\n").map(str::trim).collect();
        if kind != "acknowledged" {
            assert!(blocks[1].starts_with("WHAT TO DO NOW"), "{kind}: {text}");
        }
    }
}

/// Returns the contrast of two colours, 1 to 21 (WCAG 2).
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let luminance = |colour: [u8; 3]| {
        let [red, green, blue] = colour.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Returns the colour that a style sets for a property.
fn colour(style: &str, property: &str) -> Option<[u8; 3]> {
    let value =
        style.split(';').find_map(|part| part.trim().strip_prefix(property)?.trim().strip_prefix(':'))?;
    let digits = value.trim().strip_prefix('#')?.get(..6)?;
    let part = |place: usize| u8::from_str_radix(&digits[place..place + 2], 16).unwrap();
    Some([part(0), part(2), part(4)])
}

/// In light, in dark, and where a client that knows no dark colours inverts the light ones.
#[test]
fn every_text_has_a_contrast_that_can_be_read() {
    const READABLE: f64 = 4.5;
    const WHITE: [u8; 3] = [0xff; 3];
    let mut pairs = 0;
    for content in contents() {
        let html = rendered(&content).html;
        for (name, attributes) in tags(&html) {
            let Some((_, style)) = attributes.iter().find(|(attribute, _)| attribute == "style") else {
                continue;
            };
            let Some(ink) = colour(style, "color") else { continue };
            let paper = colour(style, "background-color").unwrap_or(WHITE);
            let inverted = |colour: [u8; 3]| colour.map(|part| 255 - part);
            assert!(contrast(ink, paper) >= READABLE, "<{name} style={style:?}>");
            assert!(
                contrast(inverted(ink), inverted(paper)) >= READABLE,
                "inverted <{name} style={style:?}>"
            );
            pairs += 1;
        }
    }
    assert!(pairs > 100, "{pairs}");
    let html = rendered(&contents()[0]).html;
    let dark = html.split_once("prefers-color-scheme: dark").unwrap().1.split_once("@media").unwrap().0;
    let rule = |class: &str| dark.split_once(&format!(".{class} {{")).unwrap().1.split_once('}').unwrap().0;
    let card = colour(rule("card"), "background-color").unwrap();
    for class in ["ink", "text", "soft", "link", "mono", "note"] {
        let ink = colour(rule(class), "color").unwrap();
        for paper in [colour(rule(class), "background-color").unwrap_or(card), card] {
            assert!(contrast(ink, paper) >= READABLE, "{class}");
        }
    }
    let (soft, code) = (colour(rule("soft"), "color"), colour(rule("mono"), "background-color"));
    assert!(contrast(soft.unwrap(), code.unwrap()) >= READABLE);
}
