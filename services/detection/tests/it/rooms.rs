use std::path::Path;

use shared::rooms::Rooms;

#[test]
fn a_room_imports_only_from_its_left() {
    let rooms = Rooms::new(
        "sections, stats < sample, metric_profile < config < alert < series < fold < service < partition < tools",
    );
    let wrong = rooms.wrong(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
