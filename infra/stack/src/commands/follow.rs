//! `stack follow`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use stack::observe::event_feed;
use stack::parts::mailbox::Mailbox;

use stack::demo::narration::Narration;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address of Kafka
    #[arg(long, env = "FIREWATCH_KAFKA__BROKERS")]
    brokers: String,
    /// URL of a Mailhog
    #[arg(long, required_unless_present = "maildev")]
    mailhog: Option<String>,
    /// URL of a maildev
    #[arg(long, conflicts_with = "mailhog")]
    maildev: Option<String>,
    #[command(flatten)]
    ending: Ending,
    /// File for the facts of the first fault
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
}

/// When the output ends.
#[derive(clap::Args, Clone)]
pub(super) struct Ending {
    /// Ends after the first fault; fails if anything is missing
    #[arg(long, env = "DEMO_ONCE", value_parser = clap::builder::FalseyValueParser::new())]
    pub(super) once: bool,
    /// Longest time from now until the postmortem of the first fault, in seconds
    #[arg(long, env = "DEMO_DEADLINE", default_value_t = 240, hide_env = true)]
    deadline: u64,
}

impl Ending {
    pub(super) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline)
    }
}

/// Prints what happens in a running pipeline.
pub(crate) async fn follow(arguments: &Arguments) -> Result<ExitCode> {
    let mailbox = match (&arguments.mailhog, &arguments.maildev) {
        (Some(url), _) => Mailbox::mailhog(url),
        (None, url) => Mailbox::maildev(url.as_deref().unwrap_or_default()),
    };
    let mut narration = Narration::new(event_feed::follow(&arguments.brokers, mailbox)?);
    tokio::select! {
        () = narration.one_fault(arguments.ending.deadline()) => {}
        interrupted = super::interrupted() => interrupted?,
    }
    println!("\n{}", narration.summary());
    if let Some(file) = &arguments.facts {
        narration.write(file)?;
    }
    if arguments.ending.once {
        return Ok(ExitCode::from(u8::from(!narration.observation.missing().is_empty())));
    }
    tokio::select! {
        () = narration.follow() => {}
        interrupted = super::interrupted() => interrupted?,
    }
    Ok(ExitCode::SUCCESS)
}
