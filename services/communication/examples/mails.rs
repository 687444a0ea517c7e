//! Writes the five mails of a sample incident to a folder, as HTML, text and pictures, to be looked at in a browser:
//! `cargo run -p communication --example mails -- target/mails`; with a folder of templates as a second argument, in these.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
#[path = "../tests/it/scenario.rs"]
mod scenario;

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, anyhow};
use communication::mail::PICTURE_ID;
use communication::render::render;
use communication::templates::Templates;

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(env::args().nth(1).context("usage: mails FOLDER [TEMPLATES]")?);
    let templates = env::args().nth(2).map(PathBuf::from);
    let templates = Templates::load(templates.as_deref()).map_err(|problems| anyhow!(problems.join("\n")))?;
    fs::create_dir_all(&folder)?;
    let unknown = scenario::content(communication::content::LifecycleEvent::RootCause(Box::new(
        scenario::unknown_cause(),
    )));
    let contents = scenario::thread().into_iter().map(|content| (content.event.kind().name(), content));
    for (name, content) in contents.chain([("unknown_cause", unknown)]) {
        let mail = render(&templates, &content, "https://firewatch.example.com", None)?;
        let picture = format!("{name}-picture.png");
        fs::write(
            folder.join(format!("{name}.html")),
            mail.html.replace(&format!("cid:{PICTURE_ID}"), &picture),
        )?;
        fs::write(folder.join(format!("{name}.txt")), mail.text)?;
        if let Some(drawn) = mail.picture {
            fs::write(folder.join(picture), drawn.png)?;
        }
    }
    println!("written to {}", folder.display());
    Ok(())
}
