//! Room on the disk that a build has before it begins: for what must be written when there is none left.
//!
//! A build that cannot have it is not begun, and its request goes on waiting; one that has it can say how it
//! ended, and can be stopped by name, whoever has filled the disk meanwhile.

use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::home::put_private;
use crate::plan::file;

/// For `outcome.json`, bytes: a report of some steps, and what was kept.
const FOR_OUTCOME: u64 = 256 << 10;
/// For `state.json`, bytes.
const FOR_STATE: u64 = 4 << 10;
/// For requests to stop, bytes.
const FOR_STOPS: u64 = 4 << 10;

/// Keeps room in a build's directory.
///
/// # Errors
/// There is none, or the files cannot be made. Where the file system cannot keep any there is no error.
pub(super) fn keep(directory: &Path) -> io::Result<()> {
    for (name, bytes) in [
        (file::part(file::OUTCOME), FOR_OUTCOME),
        (file::part(file::STATE), FOR_STATE),
        (file::STOPS.to_owned(), FOR_STOPS),
    ] {
        let file = put_private(&directory.join(name), b"")?;
        // Without a length: nobody reads it before something is in it.
        let kept = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes);
        if let Err(error @ (Errno::NOSPC | Errno::DQUOT)) = kept {
            return Err(error.into());
        }
    }
    Ok(())
}
