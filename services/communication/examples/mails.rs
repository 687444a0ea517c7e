//! Writes the five mails of a sample incident to a folder, as HTML, text and pictures, to be looked at in a browser:
//! `cargo run -p communication --example mails -- target/mails`

#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
#[path = "../tests/it/scenario.rs"]
mod scenario;

use std::path::PathBuf;
use std::{env, fs};

use anyhow::Context as _;
use communication::mail::PICTURE_ID;
use communication::render::render;

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(env::args().nth(1).context("usage: mails FOLDER")?);
    fs::create_dir_all(&folder)?;
    let unknown =
        scenario::occasion(communication::occasion::News::RootCause(Box::new(scenario::unknown_cause())));
    let occasions = scenario::thread().into_iter().map(|occasion| (occasion.news.kind().name(), occasion));
    for (name, occasion) in occasions.chain([("unknown_cause", unknown)]) {
        let letter = render(&occasion, "https://firewatch.example.com")?;
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
