//! A bundle as one compressed archive, in the form of POSIX (`ustar`) that every `tar` reads.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{MANIFEST, Manifest};

/// Length of a block, bytes.
const BLOCK: usize = 512;
/// Longest file that the form can hold, bytes: eleven octal digits.
const MAX_FILE: u64 = 0o77_777_777_777;

/// Writes the archive: the manifest first, then each part, in a folder `incident-NUMBER`.
pub(super) fn write(out: &mut impl Write, folder: &Path, manifest: &Manifest, text: &str) -> io::Result<()> {
    let mut out = GzEncoder::new(out, Compression::default());
    let seconds = u64::try_from(manifest.exported_at.as_second()).unwrap_or_default();
    let mut put = |name: &str, length: u64, content: &mut dyn Read| {
        let path = format!("incident-{}/{name}", manifest.number);
        out.write_all(&header(&path, length, seconds)?)?;
        let copied = io::copy(content, &mut out)?;
        if copied != length {
            return Err(io::Error::other(format!("{name} has {copied} bytes and not {length}")));
        }
        let rest = (BLOCK - (copied % BLOCK as u64) as usize) % BLOCK;
        out.write_all(&[0; BLOCK][..rest])
    };
    put(MANIFEST, text.len() as u64, &mut text.as_bytes())?;
    for part in &manifest.parts {
        put(&part.file, part.bytes, &mut File::open(folder.join(&part.file))?)?;
    }
    out.write_all(&[0; 2 * BLOCK])?;
    out.finish()?;
    Ok(())
}

/// Returns the header of a file that its owner alone may read.
fn header(path: &str, length: u64, seconds: u64) -> io::Result<[u8; BLOCK]> {
    if length > MAX_FILE || path.len() > 100 {
        return Err(io::Error::other(format!("{path} of {length} bytes does not fit into a tar archive")));
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", seconds.min(MAX_FILE)).as_bytes());
    // the checksum counts as blanks in its own sum
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}
