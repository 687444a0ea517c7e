//! Writes the messages of a sample incident and of the news about it to a folder, to be looked at: mails as HTML, text and picture, what
//! the other channels would send as JSON. `cargo run -p communication --example messages -- target/messages`; with a folder of
//! templates as a second argument, in these. `make pictures` renders them.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
#[path = "../tests/it/scenario.rs"]
mod scenario;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use anyhow::{Context as _, anyhow};
use communication::channel::{Channels, Delivery, Http, over_http};
use communication::content::{LifecycleEvent, NotificationContent};
use communication::mail::PICTURE_ID;
use communication::notifications::{Thread, announce};
use communication::options::Options;
use communication::render::render;
use communication::templates::Templates;
use serde_json::{Value, json};
use shared::clock::SystemClock;
use shared::store::{Notification, Write};

const LINK: &str = "https://firewatch.example.com";

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(env::args().nth(1).context("usage: messages FOLDER [TEMPLATES]")?);
    let templates = env::args().nth(2).map(PathBuf::from);
    let templates = Templates::load(templates.as_deref()).map_err(|problems| anyhow!(problems.join("\n")))?;
    fs::create_dir_all(&folder)?;
    let unknown = scenario::content(LifecycleEvent::RootCause(Box::new(scenario::unknown_cause())));
    let updates =
        scenario::updates().into_iter().map(|update| scenario::content(LifecycleEvent::from(update)));
    let contents: Vec<NotificationContent> = scenario::thread().into_iter().chain(updates).collect();
    for content in &contents {
        mail(&folder, content.event.kind().name(), content, &templates)?;
    }
    mail(&folder, "unknown_cause", &unknown, &templates)?;
    for (name, messages) in others(&contents)? {
        fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(&messages)?)?;
    }
    println!("written to {}", folder.display());
    Ok(())
}

fn mail(
    folder: &Path,
    name: &str,
    content: &NotificationContent,
    templates: &Templates,
) -> anyhow::Result<()> {
    let mail = render(templates, content, LINK, None)?;
    let picture = format!("{name}-picture.png");
    let html = mail.html.replace(&format!("cid:{PICTURE_ID}"), &picture);
    fs::write(folder.join(format!("{name}.html")), html)?;
    fs::write(folder.join(format!("{name}.txt")), mail.text)?;
    if let Some(drawn) = mail.picture {
        fs::write(folder.join(picture), drawn.png)?;
    }
    Ok(())
}

/// Returns what the channels beside mail would send: for each of them, the messages by the name of their kind.
fn others(contents: &[NotificationContent]) -> anyhow::Result<BTreeMap<&'static str, Value>> {
    let options: Options = serde_json::from_value(json!({
        "link_base_url": LINK,
        "slack": { "token": "xoxb-sample" },
        "receivers": {
            "teams": { "type": "teams", "url": "https://teams.example.com/workflow" },
            "pages": { "type": "pagerduty", "routing_key": "sample" },
            "genie": { "type": "opsgenie", "api_key": "sample" },
            "program": { "type": "webhook", "url": "https://hooks.example.com", "secret": "sample-secret" },
            "issues": { "type": "jira", "url": "https://jira.example.com", "user": "me", "token": "sample", "project": "OPS" },
        },
    }))?;
    let http = Http::new(options.command_timeout(), options.send_timeout())?;
    let channels = Channels::new(over_http(&options, &http, Arc::new(SystemClock))?);
    let mut all = BTreeMap::new();
    let entries = [
        "slack:#ops",
        "receiver:teams",
        "receiver:pages",
        "receiver:genie",
        "receiver:program",
        "receiver:issues",
    ];
    for entry in entries {
        let destination = channels.destination(entry).context("an address of a channel")?;
        let channel = channels.get(destination.channel).context("a channel")?;
        let thread = Thread::of_one(destination.channel, &destination.address);
        let (mut opening, mut messages): (Option<Notification>, Vec<Value>) = (None, Vec::new());
        for content in contents {
            let threads = std::slice::from_ref(&thread);
            let effects = announce(&channels, content, threads, vec![], content.event.at())?;
            let Some(Write::Notification(notification)) = effects.writes.into_iter().next() else {
                continue;
            };
            let delivery = Delivery { notification: &notification, content, opening: opening.as_ref() };
            let message = channel.preview(delivery);
            messages.push(json!({ "kind": content.event.kind().name(), "message": message }));
            opening.get_or_insert(*notification);
        }
        all.insert(destination.channel, messages.into());
    }
    Ok(all)
}
