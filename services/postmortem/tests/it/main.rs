//! Documents over records like those the other stages leave.

mod document;
mod hostile;
mod scenario;
mod timeline;
