//! What stands in front of a line: the frames of transports, time, and level.

use shared::events::raw::Level;

/// Prefixes that are taken off one after the other.
const MAX_PREFIXES: usize = 6;
/// Longest name of a thread in brackets, bytes.
const MAX_THREAD_BYTES: usize = 80;
pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Returns a line without what stands in front of it, and raises the level to the one that is written there.
pub(super) fn strip<'a>(text: &'a str, level: &mut Level) -> &'a str {
    let mut rest = text.trim_start();
    for _ in 0..MAX_PREFIXES {
        let before = rest.len();
        rest = container(rest).unwrap_or(rest);
        if !rest
            .starts_with(|letter: char| letter.is_ascii() && !letter.is_ascii_lowercase() && letter != '{')
        {
            break;
        }
        rest = syslog(rest).unwrap_or(rest);
        rest = klog(rest, level).unwrap_or(rest);
        rest = time(rest).unwrap_or(rest);
        rest = thread(rest).unwrap_or(rest);
        rest = own_level(rest, level).unwrap_or(rest);
        if rest.len() == before {
            break;
        }
    }
    rest
}

/// Returns the level that a word names. Only words that name nothing else.
pub(super) fn level_of(word: &str) -> Option<Level> {
    let named = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    if named(&["error", "err", "severe"]) {
        Some(Level::Error)
    } else if named(&["warn", "warning"]) {
        Some(Level::Warn)
    } else if named(&["info", "information", "informational", "notice"]) {
        Some(Level::Info)
    } else if named(&["debug", "trace", "verbose", "fine", "finer", "finest"]) {
        Some(Level::Debug)
    } else if named(&["fatal", "critical", "crit", "alert", "emerg", "emergency", "dpanic"]) {
        Some(Level::Fatal)
    } else {
        None
    }
}

/// Splits off the first word: up to a space, or to where one bracket closes and another opens.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(' ').unwrap_or(text.len());
    let end = text[..end].find("][").map_or(end, |at| at + 1);
    (&text[..end], text[end..].trim_start_matches(' '))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Takes off `<34>`, and the frames of RFC 3164 and RFC 5424: time, host, program and process.
fn syslog(text: &str) -> Option<&str> {
    let framed = text.strip_prefix('<').and_then(|rest| {
        let length = digits(rest);
        rest[length..].strip_prefix('>').filter(|_| (1..=3).contains(&length))
    });
    if let Some(rest) = framed.and_then(|rest| rest.strip_prefix("1 ")) {
        // time, host, program, process and message id, then structured data
        let mut rest = rest;
        for _ in 0..5 {
            rest = word(rest).1;
        }
        while rest.starts_with('[') {
            rest = &rest[rest.find(']')? + 1..];
        }
        return Some(rest.strip_prefix("- ").unwrap_or(rest).trim_start().trim_start_matches('\u{feff}'));
    }
    let inner = framed.unwrap_or(text);
    let (rest, is_month) = match month_and_time(inner) {
        Some(rest) => (rest, true),
        None => (time(inner).unwrap_or(inner), false),
    };
    // host, then `program[process]:`
    let (_, after_host) = word(rest);
    let (program, after) = word(after_host);
    let name = program.strip_suffix(':').filter(|name| !name.is_empty() && rest.len() != inner.len());
    let with_process = |name: &str| {
        name.strip_suffix(']')
            .and_then(|name| name.split_once('['))
            .is_some_and(|(_, pid)| digits(pid) == pid.len())
    };
    match name {
        Some(name) if is_month || with_process(name) => Some(after),
        _ if is_month => Some(rest),
        _ => framed,
    }
}

/// Takes off `Oct  1 22:14:15`.
fn month_and_time(text: &str) -> Option<&str> {
    let (month, rest) = word(text);
    let (day, rest) = word(rest);
    let (clock, rest) = word(rest);
    let is_time = MONTHS.contains(&month)
        && (1..=2).contains(&day.len())
        && digits(day) == day.len()
        && clock.len() >= 8
        && is_clock(clock);
    is_time.then_some(rest)
}

/// Takes off `E0412 12:34:56.789012    1234 file.go:123] ` as Kubernetes writes it.
fn klog<'a>(text: &'a str, level: &mut Level) -> Option<&'a str> {
    let own = match text.bytes().next()? {
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    };
    let (date, rest) = word(&text[1..]);
    let (clock, rest) = word(rest);
    let end = rest.get(..rest.len().min(120)).unwrap_or(rest).find("] ")?;
    if date.len() == 4 && digits(date) == 4 && is_clock(clock) && rest[..end].contains(':') {
        *level = own.max(*level);
        return Some(&rest[end + 2..]);
    }
    None
}

/// Returns whether a word is a time of day, with a fraction and a zone or without.
fn is_clock(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 8 && bytes[2] == b':' && bytes[5] == b':' && digits(word) == 2 && digits(&word[3..]) == 2
}

/// Takes off a date and a time of day, in brackets or not, or one of them.
fn time(text: &str) -> Option<&str> {
    let opened = text.starts_with(['[', '(']);
    let inner = if opened { &text[1..] } else { text };
    let mut rest = inner;
    for _ in 0..7 {
        rest = month_and_time(rest).unwrap_or(rest);
        let (one, after) = word(rest);
        let bare = one.trim_end_matches([']', ')', ',', ':', '|']);
        // of `7 Oct 2026`
        let is_day = bare.len() <= 2 && digits(bare) == bare.len() && MONTHS.contains(&word(after).0);
        if !is_day && !is_time_word(bare, rest.len() < inner.len()) {
            break;
        }
        rest = after;
        if opened && one.len() != bare.len() && one.contains([']', ')']) {
            break;
        }
    }
    (rest.len() < inner.len()).then(|| rest.trim_start_matches(['-', '|', ' ']))
}

/// Returns whether a word is a date, a time of day, both, seconds since the epoch, or, after one, a zone.
fn is_time_word(word: &str, goes_on: bool) -> bool {
    let bytes = word.as_bytes();
    let first = digits(word);
    let is_date = |rest: &str| {
        let second = digits(rest.get(1..).unwrap_or_default());
        let is_address = word.bytes().filter(|byte| *byte == b'.').count() > 2;
        rest.starts_with(['-', '/', '.'])
            && !is_address
            && (second > 0 || MONTHS.iter().any(|month| rest[1..].starts_with(month)))
    };
    match bytes {
        [b'0'..=b'9', ..] if first == 4 || first == 2 || first == 1 => {
            word.is_ascii() && (is_date(&word[first..]) && word.len() >= 8 || is_clock(word))
                || goes_on && first == 4 && word.len() == 4
        }
        [b'0'..=b'9', ..] => {
            // seconds or milliseconds since the epoch
            (first == 10 || first == 13)
                && word[first..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        }
        [b'+' | b'-', rest @ ..] => goes_on && rest.len() >= 4 && rest[0].is_ascii_digit(),
        _ => {
            matches!(word, "UTC" | "GMT" | "CET" | "CEST" | "EST" | "EDT" | "PST" | "PDT" | "Z" | "AM" | "PM")
                && goes_on
                || DAYS.contains(&word)
                || goes_on && MONTHS.contains(&word)
        }
    }
}

/// Takes off `stdout F ` of a container runtime, `name-1  | ` of compose, `7:M ` of a process and its role, and
/// `[   12.345678] ` of a kernel.
fn container(text: &str) -> Option<&str> {
    if let Some((uptime, rest)) = text.strip_prefix('[').and_then(|inner| inner.split_once("] "))
        && let Some((whole, fraction)) = uptime.trim_start().split_once('.')
        && [whole, fraction].iter().all(|part| !part.is_empty() && digits(part) == part.len())
    {
        return Some(rest);
    }
    for stream in ["stdout ", "stderr "] {
        if let Some(rest) = text.strip_prefix(stream) {
            return rest.strip_prefix("F ").or_else(|| rest.strip_prefix("P "));
        }
    }
    let (name, rest) = word(text);
    let process = digits(name);
    if process > 0 && matches!(name.as_bytes()[process..], [b':', b'A'..=b'Z']) {
        return Some(rest);
    }
    let rest = rest.strip_prefix("| ")?;
    let is_name = name.ends_with(|letter: char| letter.is_ascii_digit()) && name.contains(['-', '_']);
    is_name.then_some(rest)
}

/// Takes off a process, a thread or both where a level follows: `12 [ERROR]`, `[77] ERROR:`, `[main] - ERROR`.
fn thread(text: &str) -> Option<&str> {
    let number = digits(text);
    let end = match text.strip_prefix('[') {
        Some(_) => text.find(']').filter(|end| *end < MAX_THREAD_BYTES)? + 1,
        None if number > 0 => number,
        None => return None,
    };
    let rest = &text[end..];
    if !rest.starts_with([' ', '[']) {
        return None;
    }
    let rest = rest.trim_start_matches(['-', ' ']);
    own_level(rest, &mut Level::Trace).map(|_| rest)
}

/// Takes off the level with which a line begins: `[ERROR]`, `ERROR:`, `ERROR `, `ERROR:root:`.
fn own_level<'a>(text: &'a str, level: &mut Level) -> Option<&'a str> {
    let (mut first, mut rest) = word(text);
    if let Some((own, after)) = text.split_once(':')
        && own.len() < first.len()
    {
        (first, rest) = (own, after);
    }
    let bare = first.trim_matches(['[', ']', '(', ')', '<', '>', ':', ',', '|', '*']);
    // a plain word is a level only in capitals: "Error" may begin a sentence
    let is_marked = bare.len() < first.len() && first.starts_with(['[', '(', '<', '|']);
    let is_capital = bare.len() >= 3 && bare.bytes().all(|byte| byte.is_ascii_uppercase());
    if first.len() > 16 || rest.is_empty() || !(is_marked || is_capital) {
        return None;
    }
    let own = level_of(bare)?;
    *level = own.max(*level);
    Some(rest.trim_start_matches(['-', '|', ':', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_transports_write_in_front_is_taken_off() {
        for line in [
            "<11>Oct  1 22:14:15 web-7 app[123]: pool is empty",
            "<11>1 2026-10-11T22:14:15.003Z host app 77 ID47 [a@1 b=\"c\"][d@2] pool is empty",
            "<11>1 2026-10-11T22:14:15.003Z host app - - - pool is empty",
            "Jan 12 06:09:01 web app: pool is empty",
            "2026-01-12T06:09:01.123456+01:00 web app[7]: pool is empty",
            "2026-10-06T00:17:09.669794202Z stderr F pool is empty",
            "web-1  | 2026-10-06 00:17:09,669 ERROR pool is empty",
            "2026/10/06 00:17:09 [error] pool is empty",
            "[2026-10-06 00:17:09 +0000] [ERROR] pool is empty",
            "[06/Oct/2026:00:17:09 +0000] pool is empty",
            "[Tue Oct 06 00:17:09.123 2026] [error] pool is empty",
            "E1006 00:17:09.669794       7 pool.go:33] pool is empty",
            "1767225600.123 ERROR: pool is empty",
            "ERROR 2026-10-06 00:17:09 - pool is empty",
            "2026-10-06 00:17:09.669 UTC [77] ERROR:  pool is empty",
            "2026-10-06T00:17:09.669Z 12 [ERROR] pool is empty",
            "2026-10-06 00:17:09,669 [myid:1] - ERROR pool is empty",
            "7:M 06 Oct 2026 00:17:09.669 pool is empty",
        ] {
            let mut level = Level::Error;
            assert_eq!(strip(line, &mut level), "pool is empty", "{line}");
            assert_eq!(level, Level::Error, "{line}");
        }
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for line in [
            "Error while reading",
            "May we go on",
            "ERROR",
            "12 of 30 shards failed",
            "404 Not Found",
            "host unreachable: db",
            "<unknown> is no user",
            "10.0.17.240 is no time",
        ] {
            let mut level = Level::Debug;
            assert_eq!((strip(line, &mut level), level), (line, Level::Debug));
        }
    }

    #[test]
    fn a_level_is_raised_and_never_lowered() {
        for (line, level) in [("[WARN] x", Level::Warn), ("FATAL: x", Level::Fatal), ("INFO x", Level::Info)]
        {
            let mut own = Level::Info;
            strip(line, &mut own);
            assert_eq!(own, level);
            let mut own = Level::Fatal;
            strip(line, &mut own);
            assert_eq!(own, Level::Fatal);
        }
    }
}
