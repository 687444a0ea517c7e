//! Tokens of clients, by their hashes: who may send, read, operate and administer.

use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::{Error, Reads, Store, row};
use crate::ids::{TokenId, derive};
use crate::secret::Secret;

const TABLE: &str = "tokens";
const COLUMNS: &str =
    "select id, name, sha256, scopes, created_at, expires_at, revoked_at, last_used_at from tokens";
/// Most tokens that are read, and that can be valid at once.
pub const MAX_TOKENS: i64 = 10_000;
/// Random bytes of a token.
const BYTES: usize = 32;
/// What a token begins with, so that people and scanners recognise one.
const PREFIX: &str = "fw_";

/// SHA-256 of a token.
pub type Hash = [u8; 32];

/// What a token is for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Scope {
    /// Sending telemetry and alerts.
    Ingest,
    /// Reading incidents.
    Read,
    /// Changing incidents.
    Operate,
    /// Everything.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Returns its name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A token on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What it is called, e.g. after the client that has it.
    pub name: String,
    /// Its hash.
    #[serde(skip)]
    pub hash: Hash,
    /// What it is for.
    pub scopes: Vec<Scope>,
    /// When it was created.
    pub created_at: Timestamp,
    /// From when on it is not valid any more.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to about ten seconds.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Returns whether it can be used.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// Returns whether it is for something.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|one| *one == scope || *one == Scope::Admin)
    }
}

/// Returns the hash of a token.
pub fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// Returns a new token; none if the system has no random numbers.
pub fn draw() -> Option<Secret> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(Secret::new(format!("{PREFIX}{}", hex::encode(bytes))))
}

/// A token that is to be recorded.
#[derive(Debug, Clone)]
pub struct New<'n> {
    /// The token itself.
    pub token: &'n str,
    /// What it is called.
    pub name: &'n str,
    /// What it is for; at least one.
    pub scopes: &'n [Scope],
    /// When it is created.
    pub at: Timestamp,
    /// From when on it is not valid any more.
    pub expires_at: Option<Timestamp>,
}

/// What became of a token that was to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is valid.
    Valid(TokenId),
    /// One of that name is valid already.
    NameTaken,
    /// There are [`MAX_TOKENS`] already.
    TooMany,
}

impl Reads {
    /// Returns the tokens that are not revoked, expired ones too, by name; at most [`MAX_TOKENS`].
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        let statement = format!("{COLUMNS} where revoked_at is null order by name limit {MAX_TOKENS}");
        let rows = self.client().await?.query(&statement, &[]).await?;
        Ok(row::readable(&rows, token))
    }

    /// Returns all tokens, revoked ones too, the newest first; at most `limit`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn all_tokens(&self, limit: i64) -> Result<Vec<Token>, Error> {
        let statement = format!("{COLUMNS} order by created_at desc, id limit $1");
        let rows = self.client().await?.query(&statement, &[&limit]).await?;
        Ok(row::readable(&rows, token))
    }
}

impl Store {
    /// Records a token.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn create_token(&self, new: &New<'_>) -> Result<Created, Error> {
        let hash = hash(new.token);
        let id = TokenId(derive(&["token", &hex::encode(hash)]));
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.name()).collect();
        let statement = "insert into tokens (id, name, sha256, scopes, created_at, expires_at) \
             select $1, $2, $3, $4, $5, $6 where (select count(*) from tokens where revoked_at is null) < $7";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&id.0, &new.name, &hash.as_slice(), &scopes, &new.at, &new.expires_at, &MAX_TOKENS];
        match self.client().await?.execute(statement, &values).await {
            Ok(0) => Ok(Created::TooMany),
            Ok(_) => Ok(Created::Valid(id)),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(Created::NameTaken),
            Err(error) => Err(error.into()),
        }
    }

    /// Revokes the token of a name or an id. Returns it; none where none is valid by that name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn revoke_token(&self, named: &str, at: Timestamp) -> Result<Option<Token>, Error> {
        let statement = "update tokens set revoked_at = $2 where (name = $1 or id::text = $1) and revoked_at is null \
             returning id, name, sha256, scopes, created_at, expires_at, revoked_at, last_used_at";
        let found = self.client().await?.query_opt(statement, &[&named, &at]).await?;
        found.map(|found| token(&found)).transpose()
    }

    /// Notes that tokens were used.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn note_used(&self, ids: &[TokenId], at: Timestamp) -> Result<(), Error> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let statement = "update tokens set last_used_at = $2 where id = any($1) \
             and (last_used_at is null or last_used_at < $2)";
        self.client().await?.execute(statement, &[&ids, &at]).await?;
        Ok(())
    }
}

fn token(found: &Row) -> Result<Token, Error> {
    let hash: &[u8] = row::value(found, TABLE, 2)?;
    let scopes: Vec<String> = row::value(found, TABLE, 3)?;
    let unreadable = |reason: &str| row::unreadable(found, TABLE, reason.to_owned());
    Ok(Token {
        id: TokenId(row::value(found, TABLE, 0)?),
        name: row::value(found, TABLE, 1)?,
        hash: hash.try_into().map_err(|_| unreadable("its hash has not 32 bytes"))?,
        // a scope that a later version knows allows nothing here
        scopes: scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
        created_at: row::value(found, TABLE, 4)?,
        expires_at: row::value(found, TABLE, 5)?,
        revoked_at: row::value(found, TABLE, 6)?,
        last_used_at: row::value(found, TABLE, 7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_random_bits_and_a_prefix() {
        let (one, other) = (draw().unwrap(), draw().unwrap());
        assert!(one.expose().starts_with(PREFIX) && one.expose().len() == PREFIX.len() + 64);
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn an_expired_or_revoked_token_is_not_valid_and_admin_allows_everything() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let token = Token {
            id: TokenId(Uuid::nil()),
            name: "x".into(),
            hash: hash("x"),
            scopes: vec![Scope::Read],
            created_at: at(0),
            expires_at: Some(at(10)),
            revoked_at: None,
            last_used_at: None,
        };
        assert!(token.is_valid(at(9)) && !token.is_valid(at(10)));
        assert!(token.allows(Scope::Read) && !token.allows(Scope::Ingest));
        assert!(!Token { revoked_at: Some(at(1)), ..token.clone() }.is_valid(at(9)));
        assert!(Token { scopes: vec![Scope::Admin], ..token }.allows(Scope::Ingest));
    }
}
