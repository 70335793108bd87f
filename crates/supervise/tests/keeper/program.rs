//! A short-lived program: says that it was started, sees that it is alone, writes numbered lines, ends.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, flock};

use super::world;

/// The name of its slot.
pub(crate) const NAME: &str = "WARD_TEST_KEEPER_NAME";

pub(crate) fn main() -> ExitCode {
    let name = std::env::var(NAME).expect("a name");
    let place = world::place();
    let append = |file: String| {
        let options = File::options()
            .append(true)
            .create(true)
            .open(place.join(file));
        options.expect("a file")
    };
    let alone = append(format!("alone.{name}"));
    let is_alone = flock(&alone, FlockOperation::NonBlockingLockExclusive).is_ok();
    let me = std::process::id();
    // As good as random, and the same for whoever reads this.
    let code = me.wrapping_mul(2_654_435_761) >> 7;
    let lines = code % 97;
    let status = u8::try_from(code % 200).expect("small");
    let mut truth = append(format!("truth.{name}"));
    let word = if is_alone { "alone" } else { "DOUBLE" };
    let line = format!("{me} {status} {lines} {word}\n");
    truth.write_all(line.as_bytes()).expect("written");
    let mut out = std::io::stdout().lock();
    for number in 0..lines {
        let line = format!("{me} {number} abcdefghijklmnopqrstuvwxyz\n");
        out.write_all(line.as_bytes()).expect("written");
        let _ = out.flush();
    }
    // A program's own life, not a wait for anything: 2 to 12 ms.
    let life = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(2 + code % 11) * 1_000_000,
    };
    let _ = poll(&mut [], Some(&life));
    ExitCode::from(status)
}
