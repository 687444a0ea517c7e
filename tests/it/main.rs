//! The pipeline as a whole.

mod causes;
mod gateway_oracle;
mod hostile;
mod load;
mod oracle;
mod otlp;
mod outages;
mod people;
mod prometheus;
mod quiet;
mod receivers;
mod scenarios;
mod scoreboard;
mod silence;
mod traces;
