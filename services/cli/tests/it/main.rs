//! The command line from the outside: what it prints, and how it ends.

mod binary;
mod fixtures;
mod incidents;
mod topics;
