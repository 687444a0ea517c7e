//! Details of refusals, which may repeat what was sent: on one line, and shortened.

use std::fmt::Display;

use shared::text::sanitize::{SENTENCE, one_line};

/// Returns the text of an error for a refusal.
pub(super) fn detail(error: &(impl Display + ?Sized)) -> String {
    one_line(&error.to_string(), SENTENCE)
}
