//! `firewatch silence` and `firewatch maintenance`: what is not sent for a time, what that has hidden, and what it would hide.

pub mod arguments;
pub mod page;
pub mod preview;

use serde::Serialize;
use shared::events::command::{Action, SilenceSpec};
use shared::ids::CommandId;
use shared::silence::{Ending, Silence, Standing};
use shared::store::Reads;
use shared::store::silences::{AllHidden, Hidden};

use crate::command::{asked, send};
use crate::failure::CliError;
use crate::incidents::{failed, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, clean, cleaned};
use arguments::{List, Show, Silences};

/// A silence with where it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The silence.
    #[serde(flatten)]
    pub silence: Silence,
    /// Where it stands now.
    #[serde(flatten)]
    pub standing: Standing,
}

/// A silence with what it hid.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The silence.
    #[serde(flatten)]
    pub listed: Listed,
    /// What it hid.
    pub hidden: AllHidden,
}

impl Listed {
    /// Returns a silence with where it stands now.
    pub fn of(silence: Silence, screen: &Screen) -> Self {
        Self { standing: silence.standing(screen.now), silence }
    }

    /// Returns it with every text in it fit for a terminal.
    pub fn cleaned(&self) -> Result<Self, CliError> {
        let Silence { environment, spec, by, ended, .. } = &self.silence;
        let ended = ended.as_ref().map(|Ending { at, by, reason }| Ending {
            at: *at,
            by: clean(by, 100),
            reason: clean(reason, 1_000),
        });
        let spec: SilenceSpec = cleaned(spec)?;
        let silence = Silence {
            environment: clean(environment, 100),
            spec,
            by: clean(by, 100),
            ended,
            ..self.silence.clone()
        };
        Ok(Self { silence, standing: self.standing })
    }
}

impl Shown {
    /// Returns it with every text in it fit for a terminal.
    pub fn cleaned(&self) -> Result<Self, CliError> {
        let fit = |hidden: &Hidden| {
            let notification = cleaned(&hidden.notification)?;
            Ok::<Hidden, CliError>(Hidden {
                number: hidden.number,
                title: clean(&hidden.title, 1_000),
                notification,
            })
        };
        let notifications = self.hidden.notifications.iter().map(fit).collect::<Result<_, _>>()?;
        Ok(Self {
            listed: self.listed.cleaned()?,
            hidden: AllHidden { notifications, ..self.hidden.clone() },
        })
    }
}

/// Runs `firewatch silence ...`, or `firewatch maintenance ...`.
pub async fn run(
    command: Silences,
    is_maintenance: bool,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let store = open_store(settings)?;
    match command {
        Silences::Add(add) => {
            let action = Action::Silence { silence: add.spec(is_maintenance, screen.now) };
            let command = asked(action, None, add.environment.clone(), &add.sender, screen);
            send(&command, &add.sender, &store, settings).await
        }
        Silences::End(end) => {
            let environment = find(end.id, store.reads(), settings).await?.environment;
            let action = Action::EndSilence { silence_id: end.id, reason: end.reason };
            let command = asked(action, None, environment, &end.sender, screen);
            send(&command, &end.sender, &store, settings).await
        }
        Silences::List(arguments) => list(&arguments, is_maintenance, store.reads(), settings, screen).await,
        Silences::Show(arguments) => show(&arguments, store.reads(), settings, screen).await,
        Silences::Preview(arguments) => preview::run(&arguments, store.reads(), settings, screen).await,
    }
}

async fn find(id: CommandId, reads: &Reads, settings: &Settings) -> Result<Silence, CliError> {
    let found = reads.silence(id).await.map_err(|error| failed(settings, &error))?;
    found.ok_or_else(|| CliError::NotFound(format!("there is no silence {id}")))
}

async fn list(
    arguments: &List,
    is_maintenance: bool,
    reads: &Reads,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let from = (!arguments.all).then_some(screen.now);
    let silences = reads
        .silences(from, is_maintenance, arguments.before, arguments.limit)
        .await
        .map_err(|error| failed(settings, &error))?;
    let listed: Vec<Listed> = silences.into_iter().map(|one| Listed::of(one, screen)).collect();
    if arguments.json {
        return terminal::print(&terminal::json(&listed, true)?);
    }
    let listed: Vec<Listed> = listed.iter().map(Listed::cleaned).collect::<Result<_, _>>()?;
    terminal::print(&page::table(&listed, screen))
}

async fn show(arguments: &Show, reads: &Reads, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let silence = find(arguments.id, reads, settings).await?;
    let hidden =
        reads.hidden_by(arguments.id, arguments.limit).await.map_err(|error| failed(settings, &error))?;
    let shown = Shown { listed: Listed::of(silence, screen), hidden };
    terminal::print(&if arguments.json {
        terminal::json(&shown, true)?
    } else {
        page::render(&shown.cleaned()?, screen)
    })
}
