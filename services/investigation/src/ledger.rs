//! Evidence as it is cited: pieces with ids.

use std::collections::BTreeSet;

use shared::events::rca::{Claim, Evidence, Source};

use crate::records::Records;

/// Collects evidence and gives it ids: the same source and quote is one piece.
#[derive(Debug)]
pub struct Ledger<'r> {
    pieces: Vec<Evidence>,
    records: &'r Records,
}

impl<'r> Ledger<'r> {
    /// Cites those records.
    pub fn new(records: &'r Records) -> Self {
        Self { pieces: Vec::new(), records }
    }

    /// Files a piece and returns its id.
    pub fn file(&mut self, source: Source, quote: impl Into<String>) -> String {
        let quote = quote.into();
        if let Some(known) = self.pieces.iter().find(|piece| piece.source == source && piece.quote == quote) {
            return known.id.clone();
        }
        let id = format!("E{}", self.pieces.len() + 1);
        let record = self.records.id_of(&source);
        self.pieces.push(Evidence { id: id.clone(), source, quote, record });
        id
    }

    /// Returns all pieces.
    pub fn pieces(&self) -> &[Evidence] {
        &self.pieces
    }

    /// Returns all pieces, to be kept.
    pub fn into_pieces(self) -> Vec<Evidence> {
        self.pieces
    }
}

/// Returns the pieces that those claims cite, in order.
pub fn cited<'a>(pieces: Vec<Evidence>, claims: impl Iterator<Item = &'a Claim>) -> Vec<Evidence> {
    let cited: BTreeSet<&String> = claims.flat_map(|claim| &claim.evidence).collect();
    pieces.into_iter().filter(|piece| cited.contains(&piece.id)).collect()
}
