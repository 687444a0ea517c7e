//! `firewatch token`: who may send telemetry to the gateway, and read and change incidents.

pub mod arguments;

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use shared::ids::TokenId;
use shared::store::tokens::{Created, MAX_TOKENS, New, Scope, Token, draw};
use shared::text::sanitize::{NAME, one_line};

use crate::failure::CliError;
use crate::figures::moment;
use crate::incidents::{failed, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, Tone, cell, clean, finished};
use arguments::{Create, Tokens};

/// Most tokens that are listed.
const MAX_LISTED: i64 = 1_000;

/// A token as it is printed once.
#[derive(Serialize)]
struct Drawn<'d> {
    id: TokenId,
    name: &'d str,
    scopes: &'d [Scope],
    expires_at: Option<Timestamp>,
    token: &'d str,
}

/// A token with where it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// `valid`, `expired` or `revoked`.
    pub state: &'static str,
}

impl Listed {
    /// Returns a token with where it stands at a time.
    pub fn of(token: Token, now: Timestamp) -> Self {
        let state = match token.revoked_at {
            Some(_) => "revoked",
            None if token.is_valid(now) => "valid",
            None => "expired",
        };
        Self { token, state }
    }
}

/// Runs `firewatch token ...`.
pub async fn run(command: Tokens, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    match command {
        Tokens::Create(request) => create(request, settings, screen).await,
        Tokens::List { json } => {
            let store = open_store(settings)?;
            let tokens =
                store.reads().all_tokens(MAX_LISTED).await.map_err(|error| failed(settings, &error))?;
            let listed: Vec<Listed> = tokens.into_iter().map(|one| Listed::of(one, screen.now)).collect();
            terminal::print(&if json { terminal::json(&listed, true)? } else { table(&listed, screen) })
        }
        Tokens::Revoke { token, json } => {
            let store = open_store(settings)?;
            let revoked =
                store.revoke_token(&token, screen.now).await.map_err(|error| failed(settings, &error))?;
            let Some(revoked) = revoked else {
                return Err(CliError::NotFound(format!("no token {token:?} that is not revoked")));
            };
            let listed = Listed::of(revoked, screen.now);
            terminal::print(&if json {
                terminal::json(&listed, true)?
            } else {
                let name = clean(&listed.token.name, NAME);
                format!("revoked {name}; the gateway refuses it within 10 seconds\n")
            })
        }
    }
}

async fn create(request: Create, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let name = one_line(&request.name, NAME);
    if name.trim().is_empty() {
        return Err(CliError::Usage("--name is empty: name the client that gets the token".to_owned()));
    }
    let mut scopes = request.scope;
    scopes.sort_unstable();
    scopes.dedup();
    let expires_at = request
        .expires
        .map(|lasts| screen.now.checked_add(lasts))
        .transpose()
        .map_err(|_| CliError::Usage("--expires is too long".to_owned()))?;
    let token = draw().ok_or_else(|| CliError::Failed("the system has no random numbers".to_owned()))?;
    let new = New { token: token.expose(), name: &name, scopes: &scopes, at: screen.now, expires_at };
    let store = open_store(settings)?;
    match store.create_token(&new).await.map_err(|error| failed(settings, &error))? {
        Created::NameTaken => Err(CliError::Failed(format!(
            "a token {name:?} exists; revoke it first (firewatch token revoke {name:?}), or take another name"
        ))),
        Created::TooMany => {
            Err(CliError::Failed(format!("there are {MAX_TOKENS} tokens; revoke some first")))
        }
        Created::Valid(id) if request.json => {
            let drawn = Drawn { id, name: &name, scopes: &scopes, expires_at, token: token.expose() };
            terminal::print(&terminal::json(&drawn, true)?)
        }
        Created::Valid(_) => {
            terminal::print(&format!("{}\n", token.expose()))?;
            eprintln!("firewatch: this token is shown once; only its hash is stored");
            Ok(())
        }
    }
}

/// Renders tokens as a table, in the order they are given.
pub fn table(listed: &[Listed], screen: &Screen) -> String {
    if listed.is_empty() {
        return "no tokens\n".to_owned();
    }
    let mut table = screen.table(&["NAME", "STATE", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "ID"]);
    let when = |at: Option<Timestamp>, none: &str| at.map_or_else(|| none.to_owned(), moment);
    for Listed { token, state } in listed {
        let tone = if *state == "valid" { Tone::Plain } else { Tone::Faint };
        let mut scopes = String::new();
        for (place, scope) in token.scopes.iter().enumerate() {
            let _ = write!(scopes, "{}{scope}", if place > 0 { ", " } else { "" });
        }
        table.add_row([
            cell(Tone::Strong, clean(&token.name, NAME)),
            cell(tone, state),
            cell(tone, scopes),
            cell(tone, moment(token.created_at)),
            cell(tone, when(token.expires_at, "never")),
            cell(tone, when(token.last_used_at, "never")),
            cell(Tone::Faint, token.id),
        ]);
    }
    finished(&table)
}
