//! Detection as a whole: quiet on noise, early on faults, unmoved by hostile input, the same after a restart.

mod explore;
mod fire;
mod found;
mod quiet;
mod shop;
