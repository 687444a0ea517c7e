//! Plans over the runbooks and the catalogue that are shipped.

mod case;
mod finding;
mod planning;
