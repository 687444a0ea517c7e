//! The pipeline as a whole.

mod causes;
mod hostile;
mod load;
mod oracle;
mod otlp;
mod outages;
mod people;
mod quiet;
mod receivers;
mod scenarios;
mod scoreboard;
mod silence;
mod traces;
