//! Parts of a whole that labels name: which of them say something, and which only what the others leave.

use shared::events::Kind;

/// Last words of labels that name a part of a whole.
const LABELS: [&str; 4] = ["state", "mode", "type", "status"];
/// Parts that are in use.
const USED: [&str; 4] = ["used", "active", "in_use", "inuse"];
/// Parts of no interest: what is left of the others, limits, and the cache of files, which takes all that is free on a
/// healthy Linux.
const LEFT: [&str; 21] = [
    "idle",
    "free",
    "available",
    "avail",
    "cached",
    "cache",
    "buffered",
    "buffers",
    "inactive",
    "reserved",
    "reclaimable",
    "slab_reclaimable",
    "slab_unreclaimable",
    "slab",
    "shared",
    "vms",
    "virtual",
    "guest",
    "guest_nice",
    "committed",
    "hard",
];
/// Labels of the type of a file system.
const FILE_SYSTEMS: [&str; 4] = ["fstype", "type", "system_filesystem_type", "filesystem_type"];
/// File systems that are images, full from the day on which they were made, or no disk.
const IMAGES: [&str; 12] = [
    "squashfs", "iso9660", "erofs", "cramfs", "udf", "romfs", "rootfs", "proc", "sysfs", "devtmpfs",
    "autofs", "nsfs",
];
/// Parts of the memory of a Java process that are filled and emptied all the time.
const YOUNG: [&str; 3] = ["eden", "survivor", "nursery"];

/// Returns whether a label names a part of a whole.
pub(crate) fn is_state(label: &str) -> bool {
    let last = label.rsplit(['.', '_']).next().unwrap_or(label);
    LABELS.contains(&last)
}

/// Returns whether it is the part that is in use.
pub(crate) fn is_used(value: &str) -> bool {
    USED.contains(&value)
}

/// Returns why a part of something that can be used up is not judged, if it is not.
pub(crate) fn left_out(kind: Kind, label: &str, value: &str) -> Option<&'static str> {
    if !matches!(kind, Kind::Cpu | Kind::Memory | Kind::Disk | Kind::Pool) {
        return None;
    }
    // labels of most samples are none of these: their values are not copied
    let lower = || value.to_ascii_lowercase();
    if is_state(label) && LEFT.contains(&lower().replace(' ', "_").as_str()) {
        return Some("only what the other states leave");
    }
    let is_file_system = FILE_SYSTEMS.iter().any(|one| super::catalogue::is_same(one, label));
    if kind == Kind::Disk && is_file_system && IMAGES.contains(&lower().as_str()) {
        return Some("a file system that is always full, or no disk");
    }
    let is_young = || {
        let lower = lower();
        YOUNG.iter().any(|young| lower.contains(young))
    };
    (kind == Kind::Memory && is_young()).then_some("memory that is filled and emptied between collections")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_say_nothing_are_left_out_of_what_can_be_used_up_only() {
        for (kind, label, value, is_left_out) in [
            (Kind::Cpu, "mode", "idle", true),
            (Kind::Cpu, "cpu.mode", "user", false),
            (Kind::Memory, "system.memory.state", "cached", true),
            (Kind::Memory, "state", "used", false),
            (Kind::Disk, "fstype", "squashfs", true),
            (Kind::Disk, "fstype", "ext4", false),
            (Kind::Memory, "id", "G1 Eden Space", true),
            (Kind::Memory, "jvm.memory.pool.name", "G1 Old Gen", false),
            (Kind::Pool, "db.client.connection.state", "idle", true),
            (Kind::Traffic, "state", "idle", false),
            (Kind::Errors, "type", "free", false),
        ] {
            assert_eq!(left_out(kind, label, value).is_some(), is_left_out, "{label}={value}");
        }
    }
}
