//! Stack traces: many lines of which few say what happened.
//!
//! Kept are the first line, the exception and its innermost cause. In traces of Java, .NET, Node, Go, Rust and PHP the
//! exception stands before the frames, in those of Python after them.

use std::borrow::Cow;

use super::PART;

/// Lines of a trace that say what went wrong further in.
const CAUSES: [&str; 4] = ["Caused by:", "--->", "[cause]:", "caused by:"];
/// Lines that only announce a trace, or end it.
const HEADINGS: [&str; 14] = [
    "Traceback (most recent call last)",
    "stack backtrace:",
    "Stack trace:",
    "stacktrace:",
    "Call Trace:",
    "During handling of the above exception",
    "The above exception was the direct cause",
    "note: run with `RUST_BACKTRACE",
    "note: Some details are omitted",
    "--- End of",
    "Suppressed:",
    "thrown in ",
    "[signal SIG",
    "exit status 2",
];

/// What a line is to a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A place in code, or what belongs to it.
    Frame,
    Heading,
    Cause,
    /// Anything else.
    Said,
}

/// Returns what a record of several lines states: all of it, or what a trace in it says.
pub(super) fn condense(text: &str) -> Cow<'_, str> {
    let mut roles: Vec<(Role, &str)> = Vec::new();
    let mut in_trace = false;
    for line in text.lines().filter(|line| line.contains(char::is_alphanumeric) || line.contains('^')) {
        let role = role(line, in_trace);
        in_trace = in_trace && line.starts_with([' ', '\t']) || matches!(role, Role::Frame | Role::Heading);
        roles.push((role, line.trim()));
    }
    let Some(last_frame) = roles.iter().rposition(|(role, _)| *role == Role::Frame) else {
        return Cow::Owned(joined(text));
    };
    let is = |wanted: Role| move |(role, _): &&(Role, &str)| *role == wanted;
    let said = |(_, line): &(Role, &'_ str)| (*line).to_owned();
    let mut parts: Vec<String> = Vec::new();
    let mut add = |part: Option<String>| {
        if let Some(part) = part
            && !parts.contains(&part)
        {
            parts.push(part);
        }
    };
    let first_frame = roles.iter().position(|(role, _)| *role == Role::Frame).unwrap_or(last_frame);
    add(roles[..first_frame].iter().find(is(Role::Said)).map(said));
    let before = roles[..last_frame].iter().rfind(is(Role::Said)).map(said);
    match roles[last_frame..].iter().find(is(Role::Said)).map(said) {
        Some(exception) => add(Some(exception)),
        None => add(before),
    }
    add(roles.iter().rfind(is(Role::Cause)).map(said));
    Cow::Owned(parts.join(PART))
}

/// Returns lines on one line, those that are not indented as parts of their own.
fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if !joined.is_empty() {
            joined.push_str(if line.starts_with([' ', '\t']) { " " } else { PART });
        }
        joined.push_str(line.trim());
    }
    joined
}

/// Returns whether a record is a frame or a heading of a trace that is written in several records. Within one, so are
/// lines that are indented.
pub(super) fn is_frame(message: &str, in_trace: bool) -> bool {
    !message.trim_end().contains('\n') && matches!(role(message, in_trace), Role::Frame | Role::Heading)
}

fn role(line: &str, in_trace: bool) -> Role {
    let text = line.trim_start();
    let is_indented = text.len() < line.len();
    if CAUSES.iter().any(|cause| text.starts_with(cause)) {
        return Role::Cause;
    }
    if HEADINGS.iter().any(|heading| text.starts_with(heading)) || is_goroutine(text) {
        return Role::Heading;
    }
    let is_frame = match text.as_bytes() {
        [b'a', b't', b' ', ..] => is_indented || text.contains(['(', ':']) && text.split(' ').count() <= 4,
        [b'F', b'i', b'l', b'e', b' ', b'"', ..] => text.contains(", line "),
        [b'f', b'r', b'o', b'm', b' ', ..] => is_indented && text.contains(':'),
        [b'.', b'.', b'.', b' ', rest @ ..] => rest.ends_with(b"more"),
        [b'#', rest @ ..] => rest.first().is_some_and(u8::is_ascii_digit) && text.contains(' '),
        [b'^' | b'~', rest @ ..] => rest.iter().all(|byte| matches!(byte, b'^' | b'~' | b' ')),
        _ => is_numbered(text) || is_call(text) || is_place(text),
    };
    if is_frame || is_indented && in_trace { Role::Frame } else { Role::Said }
}

/// `goroutine 7 [running]:`
fn is_goroutine(text: &str) -> bool {
    text.strip_prefix("goroutine ")
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

/// `  12: core::panicking::panic`
fn is_numbered(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_digit())
        && text.split_once(": ").is_some_and(|(number, place)| {
            number.bytes().all(|byte| byte.is_ascii_digit())
                && (place.contains("::") || place.starts_with("0x"))
                && !place.contains(' ')
        })
}

/// `main.(*Server).handle(0xc000102000, {0x1, 0x2})`, `created by main.main`
fn is_call(text: &str) -> bool {
    if !text.ends_with(')') {
        return text.starts_with("created by ") && text.contains('.');
    }
    let Some(open) = text.rfind('(') else { return false };
    let name = &text[..open];
    name.contains('.')
        && !name.contains(' ')
        && text[open..].trim_matches(['(', ')']).split([',', ' ']).all(|one| {
            let one = one.trim_matches(['{', '}', '?']);
            one.is_empty() || one == "..." || one.starts_with("0x")
        })
}

/// `/srv/app/main.go:77 +0x1d`, `/srv/app/view.js:12`, `src/main.rs:7:5`
fn is_place(text: &str) -> bool {
    let (path, rest) = text.split_once(' ').unwrap_or((text, ""));
    let is_offset = rest.is_empty() || rest.starts_with("+0x");
    let number = path.rsplit(':').next().unwrap_or_default();
    is_offset
        && path.contains('/')
        && path.contains(':')
        && !path.contains("://")
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_trace_the_exception_and_its_cause_are_kept() {
        for (trace, said) in [
            (
                "request failed\ncom.shop.PayException: not paid\n\tat com.shop.Pay.go(Pay.java:7)\n\tat b.C.d(C.java:8)\nCaused by: java.io.IOException: reset\n\tat x.Y.z(Y.java:1)\n\t... 12 more\nCaused by: java.net.SocketException: closed\n\t... 3 more",
                "request failed | com.shop.PayException: not paid | Caused by: java.net.SocketException: closed",
            ),
            (
                "Unhandled error\nTraceback (most recent call last):\n  File \"/srv/a.py\", line 7, in f\n    return g(x)\n           ^^^^\n  File \"/srv/b.py\", line 8, in g\n    raise E()\nshop.errors.NotPaid: order 7 is not paid\n(Background on this error at: https://x)",
                "Unhandled error | shop.errors.NotPaid: order 7 is not paid",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\nKeyError: 'id'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 2, in f\n    y\nValueError: bad id",
                "ValueError: bad id",
            ),
            (
                "panic: runtime error: index out of range [7] with length 3\n\ngoroutine 7 [running]:\nmain.(*Cart).at(0xc00, 0x7)\n\t/srv/cart.go:77 +0x1d\nmain.main()\n\t/srv/main.go:12 +0x20\nexit status 2",
                "panic: runtime error: index out of range [7] with length 3",
            ),
            (
                "Unhandled exception. System.InvalidOperationException: not paid\n ---> System.TimeoutException: no answer\n   at Shop.Pay() in /src/Pay.cs:line 7\n   --- End of inner exception stack trace ---\n   at Shop.Main() in /src/Main.cs:line 9",
                "Unhandled exception. System.InvalidOperationException: not paid | ---> System.TimeoutException: no answer",
            ),
            (
                "/srv/app/view.js:12\n    throw new Error('x')\n    ^\n\nError: not paid\n    at pay (/srv/app/view.js:12:9)\n    at Object.<anonymous> (/srv/app/main.js:3:1) {\n  [cause]: Error: reset\n      at g (/srv/app/net.js:1:1)\n}",
                "Error: not paid | [cause]: Error: reset",
            ),
            (
                "thread 'main' panicked at src/main.rs:7:5:\nindex out of bounds\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/1/library/std/src/panicking.rs:5:5\n   1: core::panicking::panic_fmt",
                "thread 'main' panicked at src/main.rs:7:5: | index out of bounds",
            ),
        ] {
            assert_eq!(condense(trace), said);
        }
        assert_eq!(condense("two lines\n  of text\n\nand another"), "two lines of text | and another");
    }

    #[test]
    fn frames_that_come_as_records_of_their_own_are_known() {
        for (record, in_trace) in [
            ("\tat com.shop.Pay.go(Pay.java:7)", false),
            ("  File \"/srv/a.py\", line 7, in f", false),
            ("    return g(x)", true),
            ("Traceback (most recent call last):", false),
            ("goroutine 7 [running]:", false),
            ("main.(*Cart).at(0xc00, 0x7)", false),
            ("\t/srv/cart.go:77 +0x1d", false),
            ("\t... 12 more", false),
        ] {
            assert!(is_frame(record, in_trace), "{record}");
        }
        for record in [
            "    return g(x)",
            "at last it works",
            "Caused by: java.io.IOException: reset",
            "shop.errors.NotPaid: not paid",
            "12: no such order",
            "https://x/y:7",
            "called main.pay(order)",
        ] {
            assert!(!is_frame(record, false), "{record}");
        }
    }
}
