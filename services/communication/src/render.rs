//! From an occasion to a letter: subject, HTML, text and picture.

use askama::Template;

use crate::chart::{self, Picture};
use crate::mail::{Frame, opened, plan, postmortem, resolved, root_cause};
use crate::occasion::{Kind, News, Occasion};

/// A mail as people see it, before it becomes MIME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// HTML part.
    pub html: String,
    /// Text part: the same facts, at most 72 columns where words allow.
    pub text: String,
    /// Inline picture.
    pub picture: Option<Picture>,
}

macro_rules! pages {
    ($($html:ident, $text:ident: $mail:ty => $html_path:literal, $text_path:literal;)*) => {$(
        #[derive(Template)]
        #[template(path = $html_path)]
        struct $html<'a> {
            frame: &'a Frame,
            mail: &'a $mail,
        }

        #[derive(Template)]
        #[template(path = $text_path)]
        struct $text<'a> {
            frame: &'a Frame,
            mail: &'a $mail,
        }
    )*};
}

pages! {
    OpenedHtml, OpenedText: opened::Opened => "opened.html", "opened.txt";
    RootCauseHtml, RootCauseText: root_cause::RootCause => "root_cause.html", "root_cause.txt";
    PlanHtml, PlanText: plan::Plan => "plan.html", "plan.txt";
    ResolvedHtml, ResolvedText: resolved::Resolved => "resolved.html", "resolved.txt";
    PostmortemHtml, PostmortemText: postmortem::Postmortem => "postmortem.html", "postmortem.txt";
}

/// Renders an occasion. `link_base` is where incidents can be seen, or empty.
pub fn render(occasion: &Occasion, link_base: &str) -> anyhow::Result<Letter> {
    let picture = match (&occasion.about.signal, occasion.news.kind()) {
        // a plan names the series to watch in words
        (None, _) | (_, Kind::Plan) => None,
        (Some(signal), _) => chart::draw(signal)?,
    };
    let frame = |lede: String| Frame::new(occasion, lede, link_base, picture.as_ref());
    let (html, text) = match &occasion.news {
        News::Opened(incident) => {
            let (frame, mail) = (frame(opened::Opened::lede(incident)), opened::Opened::new(incident));
            (
                OpenedHtml { frame: &frame, mail: &mail }.render()?,
                OpenedText { frame: &frame, mail: &mail }.render()?,
            )
        }
        News::RootCause(event) => {
            let (frame, mail) =
                (frame(root_cause::RootCause::lede(event)), root_cause::RootCause::new(event));
            (
                RootCauseHtml { frame: &frame, mail: &mail }.render()?,
                RootCauseText { frame: &frame, mail: &mail }.render()?,
            )
        }
        News::Plan(event) => {
            let mail = plan::Plan::new(event, occasion.about.signal.as_ref());
            let frame = frame(plan::Plan::lede(event));
            (
                PlanHtml { frame: &frame, mail: &mail }.render()?,
                PlanText { frame: &frame, mail: &mail }.render()?,
            )
        }
        News::Resolved(incident) => {
            let (frame, mail) =
                (frame(resolved::Resolved::lede(incident)), resolved::Resolved::new(incident));
            (
                ResolvedHtml { frame: &frame, mail: &mail }.render()?,
                ResolvedText { frame: &frame, mail: &mail }.render()?,
            )
        }
        News::Postmortem(event) => {
            let (frame, mail) =
                (frame(postmortem::Postmortem::lede(event)), postmortem::Postmortem::new(event));
            (
                PostmortemHtml { frame: &frame, mail: &mail }.render()?,
                PostmortemText { frame: &frame, mail: &mail }.render()?,
            )
        }
    };
    Ok(Letter { html, text: tidy(&text), picture })
}

/// Figures are kept together in HTML, but a text part is read in places that show such blanks as odd characters; and
/// sections that are left out leave no gap.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.lines() {
        blank = if line.is_empty() { blank + 1 } else { 0 };
        if blank < 2 {
            tidied.push_str(&line.replace('\u{a0}', " "));
            tidied.push('\n');
        }
    }
    tidied
}

/// Filters of the text templates.
#[allow(
    unreachable_pub,
    clippy::inline_always,
    clippy::unnecessary_wraps,
    reason = "what the attribute asks for and generates"
)]
mod filters {
    use std::fmt::Display;

    use crate::text;

    /// Width of the label column.
    const LABEL: usize = 15;

    /// Breaks text into lines that hang under `lead`.
    #[askama::filter_fn]
    pub(super) fn wrap(text: impl Display, _: &dyn askama::Values, lead: &str) -> askama::Result<String> {
        Ok(text::wrap(lead, &text.to_string()))
    }

    /// Breaks text into lines beside a label.
    #[askama::filter_fn]
    pub(super) fn labelled(
        text: impl Display,
        _: &dyn askama::Values,
        label: &str,
    ) -> askama::Result<String> {
        Ok(text::wrap(&format!("{label:<LABEL$}"), &text.to_string()))
    }

    /// Aligns to the right.
    #[askama::filter_fn]
    pub(super) fn right(text: impl Display, _: &dyn askama::Values, width: usize) -> askama::Result<String> {
        Ok(format!("{:>width$}", text.to_string()))
    }
}
