//! Where a job's `H` begins.

use md5::{Digest, Md5};

/// The seed that Jenkins gives all of a job's triggers: the MD5 of its full name in UTF-8, the second half
/// folded into the first by exclusive or, read as a big-endian number.
#[must_use]
pub fn jenkins_seed(full_name: &str) -> i64 {
    let digest: [u8; 16] = Md5::digest(full_name.as_bytes()).into();
    let folded = u128::from_be_bytes(digest);
    ((folded >> 64) as u64 ^ folded as u64).cast_signed()
}
