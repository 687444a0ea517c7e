//! YAML, with the place of what is wrong.

use serde::de::DeserializeOwned;

use crate::problem::Report;

/// Why a text cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Error {
    /// Line and column, from 1.
    place: Option<(usize, usize)>,
    reason: String,
}

impl Error {
    /// Reports the error; the text begins below line `above` of its file.
    pub(crate) fn report(self, above: usize, field: &str, report: &mut Report<'_>) {
        match self.place {
            Some((line, column)) => {
                report.at(above + line).add(field, format!("{} (column {column})", self.reason));
            }
            None => report.add(field, self.reason),
        }
    }
}

/// Reads one document.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|place| (place.line() as usize, place.column() as usize));
        let said = error.without_snippet().to_string();
        // the parser ends its sentence with the place
        let reason = match place
            .and_then(|(line, column)| said.strip_suffix(&format!(" at line {line}, column {column}")))
        {
            Some(reason) => reason.to_owned(),
            None => said,
        };
        Error { place, reason }
    })
}
