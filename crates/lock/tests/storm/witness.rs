//! Somebody who sees who is inside, and knows nothing of ward: each holder locks bytes of another
//! file while he holds, and looks whether anybody has those that do not go with his.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use ward_sys::lockfile;
use ward_testkit::patience::wait_for;

use super::Result;

/// How many may be told apart who share.
pub(crate) const SLOTS: u64 = 16;

/// What somebody claims who is inside.
#[derive(Debug, Clone)]
pub(crate) enum Claim {
    /// This, alone.
    Alone(u64),
    /// So many out of those from the first to before the last.
    Some { take: u32, first: u64, last: u64 },
    /// This, beside others who claim it too, as the one of this number, while nobody has any of
    /// those.
    Beside {
        what: u64,
        number: u64,
        against: Vec<u64>,
    },
}

/// The file.
pub(crate) struct Witness(PathBuf);

/// Claims that hold until this is dropped.
pub(crate) struct Inside(#[expect(dead_code, reason = "it is open")] File);

impl Witness {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        File::options().create(true).append(true).open(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Fails if somebody else is inside who must not be.
    pub(crate) fn enter(&self, claims: &[Claim]) -> Result<Inside> {
        // Opened now: of somebody who is killed the kernel closes last what he has opened first,
        // and his lock must not be free before this is.
        let file = File::options().read(true).write(true).open(&self.0)?;
        for claim in claims {
            self.claim(&file, claim)
                .with_context(|| format!("{claim:?}"))?;
        }
        Ok(Inside(file))
    }

    fn claim(&self, file: &File, claim: &Claim) -> Result {
        match claim {
            Claim::Alone(byte) => {
                // Whoever is being killed may be closed in any order after all.
                let ours = || lockfile::try_lock(file, *byte);
                wait_for("a dead one's byte", || match ours() {
                    Ok(true) => Some(Ok(())),
                    Ok(false) => nobody_has(file, *byte).err().map(Err),
                    Err(error) => Some(Err(error.into())),
                })?
            }
            Claim::Some { take, first, last } => {
                let mut left = *take;
                wait_for("dead ones' bytes", || {
                    for byte in *first..*last {
                        if left > 0 && lockfile::try_lock(file, byte).ok()? {
                            left -= 1;
                        }
                    }
                    if left == 0 {
                        return Some(Ok(()));
                    }
                    let alive: Vec<i32> = (*first..*last)
                        .flat_map(|byte| lockfile::holders(file, byte))
                        .collect();
                    // Our own do not count there.
                    let room = last - first - u64::from(*take) + u64::from(left);
                    let enough = alive.len() as u64 <= room;
                    (!enough).then(|| Err(anyhow::anyhow!("{alive:?} are inside")))
                })?
            }
            Claim::Beside {
                what,
                number,
                against,
            } => {
                let mine = what * SLOTS + number;
                ensure!(*number < SLOTS && lockfile::try_lock(file, mine)?);
                for byte in against.iter().flat_map(|it| it * SLOTS..(it + 1) * SLOTS) {
                    wait_for("a dead one's byte", || {
                        match lockfile::is_locked(file, byte) {
                            Ok(false) => Some(Ok(())),
                            Ok(true) => nobody_has(file, byte).err().map(Err),
                            Err(error) => Some(Err(error.into())),
                        }
                    })??;
                }
                Ok(())
            }
        }
    }
}

/// Fails if somebody has it who is not just being closed by the kernel.
fn nobody_has(file: &File, byte: u64) -> Result {
    let alive = lockfile::holders(file, byte);
    if alive.is_empty() {
        return Ok(());
    }
    bail!("{alive:?} is inside");
}
