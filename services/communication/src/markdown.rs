//! Markdown as HTML that mail clients show: inline styles, no raw HTML, no remote content, links to the web and to
//! mail addresses only. And the little Markdown that a sentence may hold: code spans and list markers.

use pulldown_cmark::{Alignment, Event, HeadingLevel, Parser, Tag, TagEnd};
use shared::text::markdown::{OPTIONS, Span, spans};

/// Elements nested deeper than this are flattened.
const MAX_DEPTH: usize = 24;

/// How a paragraph looks.
const PARAGRAPH: &str = "margin:0 0 12px;";

/// How a code span begins in HTML.
const CODE: &str = r#"<code class="mono" style="font-family:Consolas,Menlo,monospace;font-size:13px;background-color:#eef1f5;border-radius:3px;padding:1px 4px;">"#;

/// Returns a sentence as HTML, with its code spans as `<code>`. `escape` writes text.
pub fn sentence_html(sentence: &str, escape: impl Fn(&mut String, &str)) -> String {
    let mut html = String::with_capacity(sentence.len());
    for span in spans(sentence) {
        match span {
            Span::Text(text) => escape(&mut html, text),
            Span::Code(code) => {
                html.push_str(CODE);
                escape(&mut html, code);
                html.push_str("</code>");
            }
        }
    }
    html
}

/// Returns a sentence as a paragraph of HTML, with its code spans as `<code>`.
pub fn paragraph(sentence: &str) -> String {
    let (open, close) = plain("p", PARAGRAPH);
    open + &sentence_html(sentence, escape) + &close
}

/// Joins the items of a list, and lines of running text, into one line without list markers: `a; b`.
pub fn without_list_markers(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let item = item(line);
        if !joined.is_empty() {
            let ends = joined.ends_with(['.', ',', ';', ':', '!', '?']);
            joined.push_str(if item.is_some() && !ends { "; " } else { " " });
        }
        joined.push_str(item.unwrap_or(line));
    }
    joined
}

/// Returns what follows the list marker of a line, if it has one.
fn item(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = match digits {
        0 => line.strip_prefix(['-', '*', '+']),
        1..=3 => line[digits..].strip_prefix(['.', ')']),
        _ => None,
    };
    rest?.strip_prefix(' ').map(str::trim_start)
}

/// Renders a document. Raw HTML in it is shown, not interpreted.
pub fn to_html(markdown: &str) -> String {
    let parser = Parser::new_ext(markdown, OPTIONS);
    let mut html = Html { out: String::with_capacity(markdown.len() * 2), ..Html::default() };
    for event in parser {
        html.event(event);
    }
    html.out
}

#[derive(Default)]
struct Html {
    out: String,
    open: Vec<String>,
    skipped: usize,
    alignments: Vec<Alignment>,
    column: usize,
    head: bool,
}

impl Html {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(end),
            Event::Code(code) => {
                self.out.push_str(CODE);
                escape(&mut self.out, &code);
                self.out.push_str("</code>");
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => escape(&mut self.out, &text),
            Event::SoftBreak => self.out.push('\n'),
            Event::HardBreak => self.out.push_str("<br>\n"),
            Event::Rule => self.out.push_str(
                r#"<hr class="line" style="border:0;border-top:1px solid #e1e5ea;margin:20px 0;">"#,
            ),
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                escape(&mut self.out, &text);
            }
            Event::TaskListMarker(done) => self.out.push_str(if done { "☑ " } else { "☐ " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        if self.open.len() >= MAX_DEPTH {
            self.skipped += 1;
            return;
        }
        let (open, close) = match tag {
            Tag::Paragraph => plain("p", PARAGRAPH),
            Tag::Heading { level, .. } => heading(level),
            Tag::BlockQuote(_) => (
                r#"<blockquote class="line soft" style="margin:0 0 12px;padding:2px 0 2px 12px;border-left:3px solid #d5dae1;color:#5b6675;">"#.to_owned(),
                "</blockquote>\n".to_owned(),
            ),
            Tag::CodeBlock(_) => (
                r#"<pre class="mono" style="margin:0 0 12px;padding:10px 12px;font-family:Consolas,Menlo,monospace;font-size:13px;line-height:18px;background-color:#eef1f5;border-radius:4px;white-space:pre-wrap;word-break:break-word;">"#.to_owned(),
                "</pre>\n".to_owned(),
            ),
            Tag::List(None) => plain("ul", "margin:0 0 12px;padding-left:22px;"),
            Tag::List(Some(first)) => (
                format!(r#"<ol start="{first}" style="margin:0 0 12px;padding-left:24px;">"#),
                "</ol>\n".to_owned(),
            ),
            Tag::Item => plain("li", "margin:0 0 4px;"),
            Tag::Table(alignments) => {
                self.alignments = alignments;
                (
                    r#"<table width="100%" cellpadding="0" cellspacing="0" style="width:100%;border-collapse:collapse;margin:0 0 16px;font-size:14px;line-height:20px;">"#.to_owned(),
                    "</table>\n".to_owned(),
                )
            }
            Tag::TableHead => {
                self.head = true;
                self.column = 0;
                ("<tr>".to_owned(), "</tr>\n".to_owned())
            }
            Tag::TableRow => {
                self.column = 0;
                ("<tr>".to_owned(), "</tr>\n".to_owned())
            }
            Tag::TableCell => self.cell(),
            Tag::Emphasis => ("<em>".to_owned(), "</em>".to_owned()),
            Tag::Strong => ("<strong>".to_owned(), "</strong>".to_owned()),
            Tag::Strikethrough => ("<s>".to_owned(), "</s>".to_owned()),
            Tag::Link { dest_url, .. } if leads_somewhere_safe(&dest_url) => {
                let mut open = r#"<a class="link" style="color:#2b5f96;" href=""#.to_owned();
                escape(&mut open, &dest_url);
                open.push_str(r#"">"#);
                (open, "</a>".to_owned())
            }
            // pictures would be fetched from elsewhere: their description stays
            _ => (String::new(), String::new()),
        };
        self.out.push_str(&open);
        self.open.push(close);
    }

    fn end(&mut self, end: TagEnd) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        if end == TagEnd::TableHead {
            self.head = false;
        }
        if let Some(close) = self.open.pop() {
            self.out.push_str(&close);
        }
    }

    fn cell(&mut self) -> (String, String) {
        let align = match self.alignments.get(self.column) {
            Some(Alignment::Right) => "right",
            Some(Alignment::Center) => "center",
            _ => "left",
        };
        self.column += 1;
        let (element, look) = if self.head {
            ("th", "color:#5b6675;font-weight:600;font-size:13px;border-bottom:2px solid #d5dae1;")
        } else {
            ("td", "border-bottom:1px solid #e1e5ea;")
        };
        let class = if self.head { "line soft" } else { "line" };
        (
            format!(
                r#"<{element} class="{class}" align="{align}" valign="top" style="padding:6px 10px 6px 0;{look}">"#
            ),
            format!("</{element}>"),
        )
    }
}

fn plain(element: &str, style: &str) -> (String, String) {
    (format!(r#"<{element} style="{style}">"#), format!("</{element}>\n"))
}

fn heading(level: HeadingLevel) -> (String, String) {
    let (element, style) = match level {
        HeadingLevel::H1 => ("h2", "margin:4px 0 12px;font-size:20px;line-height:26px;"),
        HeadingLevel::H2 => ("h3", "margin:24px 0 8px;font-size:17px;line-height:24px;"),
        _ => ("h4", "margin:18px 0 6px;font-size:15px;line-height:22px;"),
    };
    (
        format!(r#"<{element} class="ink" style="{style}font-weight:600;color:#1d2430;">"#),
        format!("</{element}>\n"),
    )
}

fn leads_somewhere_safe(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https" | "mailto"))
}

/// Writes text into HTML, also into the value of an attribute.
pub fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::text::markdown::sentence_text;

    use super::*;

    #[test]
    fn raw_html_is_shown_and_not_interpreted() {
        let html = to_html("a <script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n`<b>`");
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b>"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
    }

    #[test]
    fn links_lead_to_the_web_only_and_pictures_are_not_fetched() {
        let html = to_html(
            "[a](javascript:alert(1)) [b](https://example.com/?q=\"x\") ![c](https://evil.example/c.png)",
        );
        assert!(!html.contains("javascript") && !html.contains("evil.example"), "{html}");
        assert!(html.contains(r#"href="https://example.com/"#), "{html}");
        assert!(html.contains('c'));
    }

    #[test]
    fn code_spans_lose_their_backticks_and_nothing_else() {
        let cases = [
            ("run `kubectl get pods` now", "run kubectl get pods now", 1),
            ("`` a`b `` and `c`", "a`b and c", 2),
            ("```sh kubectl```", "sh kubectl", 1),
            ("cut off in `kubectl -n sh…", "cut off in kubectl -n sh…", 1),
            ("one ` alone", "one ` alone", 0),
            ("`` never closed `", "`` never closed `", 0),
            ("db_connections * 2 ** 3", "db_connections * 2 ** 3", 0),
            ("", "", 0),
        ];
        for (sentence, text, code) in cases {
            assert_eq!(sentence_text(sentence), text);
            let html = sentence_html(sentence, escape);
            assert_eq!(html.matches("<code ").count(), code, "{html}");
            assert_eq!(html.matches("</code>").count(), code, "{html}");
        }
        let html = sentence_html("`<script>` <b>", escape);
        assert!(!html.contains("<script>") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn a_list_on_one_line_has_no_markers() {
        let list = "First:\n- drain the node\n- restart it.\n2. check\n\n-1 is left";
        assert_eq!(without_list_markers(list), "First: drain the node; restart it. check -1 is left");
        assert_eq!(without_list_markers("*not* a list"), "*not* a list");
        assert_eq!(without_list_markers("2026. was"), "2026. was");
    }

    #[test]
    fn a_bottomless_list_ends() {
        let html = to_html(&"> ".repeat(2000));
        assert!(html.matches("<blockquote").count() <= MAX_DEPTH);
        assert_eq!(html.matches("<blockquote").count(), html.matches("</blockquote").count());
    }
}
