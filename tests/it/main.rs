//! The pipeline as a whole.

mod hostile;
mod load;
mod oracle;
mod outages;
mod quiet;
mod scenarios;
mod silence;
