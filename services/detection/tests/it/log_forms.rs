//! A new complaint beside a known one is found in every form in which services write, as soon as in plain text; and lines
//! that only have critical words in them mean nothing.

use std::fmt::Write as _;

use shared::events::anomaly::Status;

use crate::corpus::{self, Label};
use crate::logs::Log;

const SECOND_MS: i64 = 1000;
const KNOWN_S: i64 = 2400;

/// Writes a known complaint six times a minute for 40 minutes, then another one as often beside it for ten. Returns when
/// that fires, seconds after its first line. It has to be named, and shown by an example with `telling` in it.
fn fires_after(known: &[String], new: &[String], telling: &str) -> Option<i64> {
    let mut log = Log::new();
    for second in (0..KNOWN_S + 600).step_by(2) {
        let ms = second * SECOND_MS;
        let number = 1000 + second * 7919 % 9000;
        log.write("user", "INFO", &format!("request {} served in {} ms", number * 31, 9 + number % 70), ms);
        let mut complain = |lines: &[String], ms: i64| {
            for line in lines {
                log.write("user", "ERROR", &line.replace("{}", &number.to_string()), ms);
            }
        };
        if second % 10 == 0 {
            complain(known, ms + 3);
        }
        if second >= KNOWN_S && second % 10 == 4 {
            complain(new, ms + 5);
        }
    }
    let fired = log.told.iter().find(|one| one.status == Status::Firing)?;
    assert_eq!((log.turns()[0].0, fired.metric.as_str()), ("logs:new_template", "logs:new_template"));
    let examples: Vec<&str> = fired.context.logs.iter().map(|line| line.example.as_str()).collect();
    assert!(examples.iter().any(|example| example.contains(telling)), "{telling:?} is not in {examples:?}");
    assert!(!fired.explanation.contains(['\u{1b}', '\u{200b}']), "{:?}", fired.explanation);
    let (_, _, at) = log.turns().into_iter().find(|(_, status, _)| *status == Status::Firing)?;
    Some(at / SECOND_MS - KNOWN_S)
}

fn frames(count: usize, frame: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = write!(text, "\n{}", frame(number));
        text
    })
}

fn java(exception: &str) -> String {
    let at =
        |number| format!("\tat com.shop.billing.Service{number}.call(Service{number}.java:{})", 40 + number);
    format!("request failed{}{}", "\ncom.shop.RequestException: not served", frames(9, at))
        + &format!("\nCaused by: {exception}{}\n\t... 12 more", frames(4, at))
}

fn python(exception: &str) -> String {
    let at = |number| {
        format!("  File \"/srv/app/view{number}.py\", line 7, in view{number}\n    return self.next(request)")
    };
    format!(
        "Unhandled error while serving request\nTraceback (most recent call last):{}\n{exception}",
        frames(9, at)
    )
}

fn go(panic: &str) -> String {
    let at = |number| {
        format!("main.(*Billing).call{number}(0xc000102000, 0x7)\n\t/srv/billing/call{number}.go:77 +0x1d")
    };
    format!("http: request aborted\nerror: {panic}\n\ngoroutine 77 [running]:{}", frames(9, at))
}

fn dotnet(exception: &str) -> String {
    let at = |number| format!("   at Shop.Billing.Call{number}(Order order) in /src/Call{number}.cs:line 7");
    format!("Request failed. Shop.RequestException: not served\n ---> {exception}{}", frames(4, at))
        + &format!("\n   --- End of inner exception stack trace ---{}", frames(9, at))
}

fn node(error: &str) -> String {
    let at = |number| format!("    at Billing.call{number} (/srv/app/billing{number}.js:7:9)");
    format!("{error}{}", frames(9, at))
}

/// A known complaint, a new one, and what of the new one has to be shown.
#[expect(clippy::too_many_lines, reason = "a table")]
fn forms() -> Vec<(&'static str, String, String, &'static str)> {
    let said = ("user {} has no balance left", "order {} was not paid: provider rejected the signature");
    let wrap = |form: &str| (form.replace('%', said.0), form.replace('%', said.1));
    let signature = "rejected the signature";
    let mut forms = Vec::new();
    for (name, form) in [
        ("plain", "%"),
        ("json", r#"{"level":"error","logger":"billing","msg":"%","id":{}}"#),
        (
            "json with its message last",
            r#"{"ts":"2026-01-05T10:00:00Z","caller":"a.go:7","trace_id":"{}","level":"error","message":"%"}"#,
        ),
        (
            "json of a container",
            r#"{"log":"{\"level\":\"error\",\"msg\":\"%\"}\n","stream":"stdout","time":"2026-01-05T10:00:00.{}Z"}"#,
        ),
        (
            "json with a nested error",
            r#"{"level":"error","msg":"request failed","error":{"message":"%","stack":"Error\n    at f (/srv/a.js:7:9)"}}"#,
        ),
        ("json behind text", r#"request {} failed {"code":"refused","detail":"%"}"#),
        ("logfmt", "ts=2026-01-05T10:00:00Z level=error caller=a.go:7 msg=\"%\" id={}"),
        ("logfmt with an error", "level=error msg=\"request failed\" id={} err=\"%\""),
        ("quotes", "request of a customer was answered with \"%\""),
        ("syslog, RFC 3164", "<11>Jan  5 10:00:00 web-7 billing[{}]: %"),
        ("syslog, RFC 5424", "<11>1 2026-01-05T10:00:00.{}Z web-7 billing 77 ID7 [a@1 b=\"c\"] %"),
        ("container runtime", "2026-01-05T10:00:00.{}Z stderr F %"),
        ("kubernetes", "E0105 10:00:00.{}       7 billing.go:77] %"),
        ("spring", "2026-01-05 10:00:00.123 ERROR {} --- [nio-7] com.shop.Billing : %"),
        ("colours", "\u{1b}[1;31mERROR\u{1b}[0m \u{1b}[2m10:00:00\u{1b}[0m %"),
    ] {
        let (known, new) = wrap(form);
        forms.push((name, known, new, signature));
    }
    let long =
        "the request of a customer who waits for an answer was not served as it should have been ".repeat(8);
    forms.push(("long", format!("{long}{}", said.0), format!("{long}{}", said.1), signature));
    let around = |said: &str| format!("{long}{said} {long}");
    forms.push((
        "long on both sides",
        around("the balance of the customer is far too low"),
        around("the signature of the provider was not right"),
        "",
    ));
    let trace = |of: fn(&str) -> String| {
        (
            of("ValueError: balance of user {} is negative"),
            of("OperationalError: could not connect to the payment database, attempt {}"),
        )
    };
    for (name, (known, new)) in [
        ("java", trace(java)),
        ("python", trace(python)),
        ("go", trace(go)),
        ("dotnet", trace(dotnet)),
        ("node", trace(node)),
    ] {
        forms.push((name, known, new, "could not connect to the payment database"));
    }
    for (name, known, new, telling) in [
        ("status", "GET /items/{} answered 404", "GET /items/{} answered 503", "503"),
        (
            "status in json",
            r#"{"level":"error","msg":"upstream answered","status":404,"id":{}}"#,
            r#"{"level":"error","msg":"upstream answered","status":503,"id":{}}"#,
            "503",
        ),
        (
            "status of an access line",
            "10.0.0.7 - - [05/Jan/2026:10:00:00 +0000] \"GET /items/{} HTTP/1.1\" 404 512 \"-\" \"probe/1.0\"",
            "10.0.0.7 - - [05/Jan/2026:10:00:00 +0000] \"GET /items/{} HTTP/1.1\" 503 512 \"-\" \"probe/1.0\"",
            "503",
        ),
        (
            "status in logfmt",
            "level=error msg=\"request failed\" status=404 id={}",
            "level=error msg=\"request failed\" status=503 id={}",
            "503",
        ),
        ("exit code", "worker {} exited with code 1", "worker {} exited with code 137", "137"),
        ("signal", "worker {} was killed by signal 15", "worker {} was killed by signal 9", "signal 9"),
        (
            "number of an error",
            "statement {} failed: ORA-00001: refused",
            "statement {} failed: ORA-00600: refused",
            "ORA-00600",
        ),
        ("errno", "write of segment {} failed: errno 5", "write of segment {} failed: errno 28", "errno 28"),
        (
            "sqlstate",
            "statement {} failed with SQLSTATE 23505",
            "statement {} failed with SQLSTATE 40001",
            "40001",
        ),
        (
            "exception alone",
            "request {} failed: java.io.IOException: closed",
            "request {} failed: java.net.TimeoutException: closed",
            "TimeoutException",
        ),
        (
            "name of an error",
            "request {} failed: ECONNRESET",
            "request {} failed: ECONNREFUSED",
            "ECONNREFUSED",
        ),
        ("chinese", "用户{}余额不足，无法完成支付", "订单{}签名校验失败，渠道拒绝请求", "签名"),
        (
            "chinese in escapes",
            r#"{"level":"error","msg":"\u7528\u6237{}\u4f59\u989d\u4e0d\u8db3"}"#,
            r#"{"level":"error","msg":"\u8ba2\u5355{}\u7b7e\u540d\u9519\u8bef"}"#,
            "签名",
        ),
        ("japanese", "顧客{}の残高が不足しています", "注文{}の署名が拒否されました", "署名"),
        ("korean", "사용자 {} 잔액이 부족합니다", "주문 {} 결제 실패: 서명이 거부되었습니다", "서명이"),
        ("thai", "ผู้ใช้{}ไม่มียอดเงินคงเหลือ", "คำสั่งซื้อ{}ถูกปฏิเสธลายเซ็น", "ลายเซ็น"),
    ] {
        forms.push((name, known.to_owned(), new.to_owned(), telling));
    }
    forms
}

#[test]
fn a_new_complaint_is_found_in_every_form_as_soon_as_in_plain_text() {
    let mut late = Vec::new();
    let mut plain = None;
    for (name, known, new, telling) in forms() {
        let after = fires_after(&[known], &[new], telling);
        let plain = plain.get_or_insert(after);
        assert!(plain.is_some_and(|after| after <= 60), "{plain:?}");
        if after != *plain {
            late.push((name, after));
        }
    }
    assert!(late.is_empty(), "plain text after {plain:?}, but {late:?}");
}

#[test]
fn a_trace_of_which_each_line_is_a_record_is_found_as_soon_as_one_in_one_record() {
    let mut late = Vec::new();
    for (name, known, new, telling) in forms() {
        if !["java", "python", "go", "dotnet", "node"].contains(&name) {
            continue;
        }
        let lines = |trace: &str| -> Vec<String> { trace.lines().map(str::to_owned).collect() };
        let after = fires_after(&lines(&known), &lines(&new), telling);
        if after.is_none_or(|after| after > 60) {
            late.push((name, after));
        }
    }
    assert!(late.is_empty(), "{late:?}");
}

#[test]
fn a_new_complaint_is_found_beside_three_times_as_many_known_ones() {
    let known: Vec<String> =
        ["user {} has no balance left", "card of user {} has expired", "user {} is blocked"]
            .map(str::to_owned)
            .to_vec();
    let new = ["order {} was not paid: provider rejected the signature".to_owned()];
    let after = fires_after(&known, &new, "rejected the signature");
    assert!(after.is_some_and(|after| after <= 60), "{after:?}");
}

#[test]
fn a_known_complaint_with_other_numbers_names_and_places_is_no_new_one() {
    for (known, again) in [
        (
            r#"{"level":"error","msg":"user has no balance left","id":{}}"#,
            r#"{"id":"{}","extra":7,"level":"error","msg":"user has no balance left"}"#,
        ),
        (
            "<11>Jan  5 10:00:00 web-7 billing[{}]: no balance left",
            "<11>Feb 17 10:00:00 db-1 billing[7]: no balance left",
        ),
        ("user 'jane' has no balance left after {} ms", "user 'Carl Miller' has no balance left after 2 ms"),
        ("用户{}余额不足，无法完成支付", "用户77余额不足，无法完成支付"),
        ("\u{1b}[31muser {} has no balance left\u{1b}[0m", "user {} has no balance left"),
        ("took 404 ms for user {}", "took 503 ms for user {}"),
    ] {
        assert_eq!(fires_after(&[known.to_owned()], &[again.to_owned()], ""), None, "{again}");
    }
}

/// Lets a service write as usual for half an hour, then one line, then as usual again. Returns the turns of its alerts.
fn told_of(level: &str, line: &str) -> Vec<(String, Status)> {
    let mut log = Log::new();
    for second in (0..2400).step_by(10) {
        log.write(
            "user",
            "INFO",
            &format!("request {second} served in {} ms", second % 70),
            second * SECOND_MS,
        );
        if second == 1800 {
            log.write("user", level, line, second * SECOND_MS + 2);
        }
    }
    log.turns().into_iter().map(|(metric, status, _)| (metric.to_owned(), status)).collect()
}

#[test]
fn one_line_of_the_corpus_fires_at_once_if_it_is_critical_and_is_nothing_otherwise() {
    let mut wrong = Vec::new();
    for row in corpus::rows() {
        let level = format!("{:?}", row.level).to_uppercase();
        let told = told_of(&level, &row.lines[0]);
        let is_right = match row.label {
            Label::Critical => told.first() == Some(&("logs:critical".to_owned(), Status::Firing)),
            Label::Decoy | Label::Plain => told.is_empty(),
        };
        if !is_right {
            wrong.push((row.label, row.lines[0].clone(), told));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
