use std::path::Path;

use shared::rooms::Rooms;

#[test]
fn a_room_imports_only_from_its_left() {
    let rooms = Rooms::new(
        "breaker, clock, error, failpoint, metrics, rooms, secret, tls < domain+events+text < trace < bus < effects+store < knowledge \
         < service < stage < replay, testing",
    );
    let wrong = rooms.wrong(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_from_the_right_is_found_however_it_is_written() {
    let rooms = Rooms::new("stats < alert < series, sessions < service+clock < tools");
    let root = "\npub use tools::{Replay, tune::Tune};\npub use alert::Alert;\n";
    let found = |file: &str, text: &str| rooms.wrong_imports(root, Path::new(file), text).len();
    let (file, deeper) = ("series.rs", "series/buffer.rs");
    assert_eq!(found(file, "use crate::alert::Alert;"), 0);
    assert_eq!(found(deeper, "use crate::series::buffer::Buffer;\nuse crate::stats;"), 0);
    assert_eq!(found(deeper, "use crate::service::state;"), 1);
    assert_eq!(found(deeper, "use crate::sessions::state;"), 1);
    assert_eq!(found(deeper, "use crate::{alert::Alert, service::{state, clock}, tools};"), 2);
    assert_eq!(found("series/rules/trend.rs", "fn f() { crate::service::metrics::count() }"), 1);
    assert_eq!(found(file, "use super::service;"), 1);
    assert_eq!(found(deeper, "use super::service;"), 0);
    assert_eq!(found(deeper, "use super::super::service;"), 1);
    assert_eq!(found(file, "\nmod tests {\n    use super::service;\n}"), 0);
    assert_eq!(found(file, "use crate::{Alert, Replay, Tune};"), 2);
    assert_eq!(found(file, "/// See [`crate::tools`]."), 0);
    assert_eq!(found("clock.rs", "use crate::service::state;"), 0);
    assert_eq!(found("clock.rs", "use crate::tools::Tune;"), 1);
}
