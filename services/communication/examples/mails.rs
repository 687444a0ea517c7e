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
    let templates =
        Templates::load(templates.as_deref()).map_err(|problems| anyhow!(problems.join("\n")))?;
    fs::create_dir_all(&folder)?;
    let unknown =
        scenario::occasion(communication::occasion::News::RootCause(Box::new(scenario::unknown_cause())));
    let occasions = scenario::thread().into_iter().map(|occasion| (occasion.news.kind().name(), occasion));
    for (name, occasion) in occasions.chain([("unknown_cause", unknown)]) {
        let letter = render(&templates, &occasion, "https://firewatch.example.com")?;
        let picture = format!("{name}-picture.png");
        fs::write(
            folder.join(format!("{name}.html")),
            letter.html.replace(&format!("cid:{PICTURE_ID}"), &picture),
        )?;
        fs::write(folder.join(format!("{name}.txt")), letter.text)?;
        if let Some(drawn) = letter.picture {
            fs::write(folder.join(picture), drawn.png)?;
        }
    }
    println!("written to {}", folder.display());
    Ok(())
}
