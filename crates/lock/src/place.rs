//! Where locks are.
//!
//! One user has one place: two who look in two places would both be let in. So nothing decides it
//! that differs between a login, a cron job and a service of one user (`XDG_RUNTIME_DIR`,
//! `XDG_STATE_HOME`, a runtime directory that comes and goes with a session). And what must outlive
//! the host's run follows from the place alone, by whichever name somebody came to it: two who
//! kept the numbers of one lock in two places would give them twice.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use ward_sys::account;

use crate::error::LockError;
use crate::surroundings;

/// Root's locks, and what must outlive the host's run: hosts empty the former when they start.
const OF_ROOT: &str = "/run/ward/locks";
const OF_ROOT_DURABLE: &str = "/var/lib/ward/locks";

/// Those of anybody else, in his home. That of an earlier run of the host is told by its boot.
const IN_HOME: &str = ".local/state/ward";

/// Where they are if his home cannot be relied upon: `UID/ward/locks` in here.
const OF_SESSIONS: &str = "/run/user";
const IN_SESSION: &str = "ward/locks";

/// What must outlive the host's run, elsewhere: no lock's file is called so.
const DURABLE: &str = "%durable";

/// File systems whose locks reach other hosts, which start at other times, or forget them
/// (statfs(2); `linux/magic.h`, and for those that are not in it what coreutils knows as remote).
const UNRELIABLE: [u64; 22] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x0102_1997, // 9p
    0x6573_5546, // FUSE
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x6b41_4653, // AFS, the kernel's own
    0x7375_7245, // Coda
    0x564c,      // NCP
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x1983_0326, // BeeGFS
    0xaad7_aaea, // PanFS
    0x6163_6673, // ACFS
    0xbeef_dead, // SNFS
    0x0131_11a8, // Ibrix
    0xbacb_acbc, // vmhgfs
    0x786f_4256, // vboxsf
];

/// The directory in which locks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The usual one, made if need be: `WARD_LOCK_DIR`; else, for root, `/run/ward/locks`; else
    /// `.local/state/ward/locks` in the home of the user. The home is `HOME` if that is a directory
    /// of his, else what the password database says.
    ///
    /// If it is on a file system whose locks cannot be relied upon, or there is none, locks are in
    /// `/run/user/UID/ward/locks`, as long as there is a session.
    ///
    /// # Errors
    /// When there is none, or it cannot be made, or everybody may write to it.
    pub fn usual() -> Result<Self, LockError> {
        Self::open(None)
    }

    /// This one, else the usual one. A path that is relative is so to the current directory.
    ///
    /// What must outlive the host's run (numbers that were given, what people did) is below it in
    /// `%durable`; of what is below `/run/ward/locks`, at the same place below `/var/lib/ward/locks`;
    /// of what is in the runtime directory of a user, in his home under the name of this host.
    ///
    /// # Errors
    /// As [`Directory::usual`].
    pub fn open(given: Option<&Path>) -> Result<Self, LockError> {
        let variable = || std::env::var_os("WARD_LOCK_DIR").filter(|it| !it.is_empty());
        let named = given
            .map(Path::to_owned)
            .or_else(|| variable().map(PathBuf::from));
        if let Some(named) = named {
            let path = std::path::absolute(&named).map_err(LockError::io("find", &named))?;
            return Self::at(path);
        }
        match surroundings::own_uid() {
            0 => Self::at(OF_ROOT.into()),
            uid => {
                let session = Path::new(OF_SESSIONS).join(uid.to_string());
                Self::of_user(surroundings::home().as_deref(), &session, &is_reliable)
            }
        }
    }

    /// The usual one of somebody with this home, and this runtime directory while he is logged in.
    fn of_user(
        home: Option<&Path>,
        session: &Path,
        is_reliable: &dyn Fn(&Path) -> bool,
    ) -> Result<Self, LockError> {
        let refused = match home {
            Some(home) if is_reliable(home) => match Self::at(home.join(IN_HOME).join("locks")) {
                Err(refused @ LockError::FileSystem(_)) => refused,
                opened => return opened,
            },
            Some(home) => LockError::FileSystem(home.to_owned()),
            None => LockError::NoPlace,
        };
        // It is the same for all his sessions, unlike what `XDG_RUNTIME_DIR` may say.
        if session.is_dir() {
            return Self::at(session.join(IN_SESSION));
        }
        Err(refused)
    }

    fn at(path: PathBuf) -> Result<Self, LockError> {
        let meta = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&path)
                    .map_err(LockError::io("make the directory", &path))?;
                fs::metadata(&path)
            }
            looked => looked,
        };
        let meta = meta.map_err(LockError::io("use", &path))?;
        if !meta.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(LockError::io("make the directory", &path)(error));
        }
        if meta.mode() & 0o002 != 0 {
            return Err(LockError::Open(path));
        }
        if !is_reliable(&path) {
            return Err(LockError::FileSystem(path));
        }
        Ok(Self { path })
    }

    /// Where it is: an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn durable(&self) -> PathBuf {
        // One place by all the names that links give it.
        let path = fs::canonicalize(&self.path);
        let path = path.as_ref().unwrap_or(&self.path);
        durable_of(path, &|uid| {
            account::user(&uid.to_string()).map(|user| user.home.into())
        })
    }
}

/// Where it is kept what must outlive the host's run, of the locks in this directory.
fn durable_of(path: &Path, home_of: &dyn Fn(u32) -> Option<PathBuf>) -> PathBuf {
    if let Ok(below) = path.strip_prefix(OF_ROOT) {
        return Path::new(OF_ROOT_DURABLE)
            .components()
            .chain(below.components())
            .collect();
    }
    let of_session = || {
        let mut levels = path.strip_prefix(OF_SESSIONS).ok()?.components();
        let uid: u32 = levels.next()?.as_os_str().to_str()?.parse().ok()?;
        let below = levels.as_path().strip_prefix(IN_SESSION).ok()?;
        // Other hosts may have the same home.
        let ours = format!("locks-of-{}", surroundings::machine());
        let home = home_of(uid)?;
        let base = [home.as_path(), Path::new(IN_HOME), Path::new(&ours)];
        Some(
            base.into_iter()
                .flat_map(Path::components)
                .chain(below.components())
                .collect(),
        )
    };
    of_session().unwrap_or_else(|| path.join(DURABLE))
}

fn is_reliable(path: &Path) -> bool {
    let kind = rustix::fs::statfs(path).map(|stat| stat.f_type.cast_unsigned() & 0xffff_ffff);
    !kind.is_ok_and(|kind| UNRELIABLE.contains(&kind))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Base(PathBuf);

    impl Base {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("ward-place-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("made");
            Self(path)
        }
    }

    impl Drop for Base {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_must_outlive_the_host_follows_from_the_place_alone() {
        let home = |uid| (uid == 1000).then(|| PathBuf::from("/home/one"));
        let of = |path: &str| durable_of(Path::new(path), &home);
        assert_eq!(of("/run/ward/locks"), Path::new("/var/lib/ward/locks"));
        assert_eq!(
            of("/run/ward/locks/.flom/%2Ftmp%2Fx"),
            Path::new("/var/lib/ward/locks/.flom/%2Ftmp%2Fx")
        );
        assert_eq!(
            of("/run/ward/locks2"),
            Path::new("/run/ward/locks2/%durable")
        );
        assert_eq!(of("/srv/locks"), Path::new("/srv/locks/%durable"));
        let of_session = of("/run/user/1000/ward/locks");
        assert!(
            of_session.starts_with("/home/one/.local/state/ward"),
            "{}",
            of_session.display()
        );
        assert_eq!(
            of("/run/user/1000/ward/locks/.flom/x"),
            of_session.join(".flom/x")
        );
        // Of whom there is no home, and what is no usual place.
        for other in ["/run/user/7/ward/locks", "/run/user/1000/mine", "/run/user"] {
            assert_eq!(of(other), Path::new(other).join(DURABLE));
        }
    }

    #[test]
    fn a_link_to_a_place_is_that_place() {
        let base = Base::new("link");
        let (one, link) = (base.0.join("one"), base.0.join("link"));
        let opened = Directory::open(Some(&one)).expect("made");
        symlink(&one, &link).expect("linked");
        let linked = Directory::open(Some(&link)).expect("there");
        assert_eq!(linked.durable(), opened.durable());
    }

    #[test]
    fn a_user_has_one_place_whatever_sessions_there_are() {
        let base = Base::new("user");
        let (home, session) = (base.0.join("home"), base.0.join("session"));
        fs::create_dir(&home).expect("made");
        let of = || Directory::of_user(Some(&home), &session, &|_| true).expect("a place");
        let logged_out = of();
        assert_eq!(logged_out.path(), home.join(".local/state/ward/locks"));
        fs::create_dir(&session).expect("made");
        assert_eq!(of(), logged_out);
    }

    #[test]
    fn who_has_no_home_to_rely_upon_has_his_session() {
        let base = Base::new("session");
        let (home, session) = (base.0.join("home"), base.0.join("session"));
        fs::create_dir(&home).expect("made");
        let of = |home: Option<&Path>| Directory::of_user(home, &session, &|_| false);
        assert!(matches!(of(None), Err(LockError::NoPlace)));
        let refused = of(Some(&home)).expect_err("nowhere");
        assert!(matches!(&refused, LockError::FileSystem(path) if *path == home));
        assert!(refused.hint().is_some());
        fs::create_dir(&session).expect("made");
        for home in [None, Some(home.as_path())] {
            assert_eq!(
                of(home).expect("a session").path(),
                session.join(IN_SESSION)
            );
        }
        assert_eq!(fs::read_dir(&home).expect("there").count(), 0);
    }

    #[test]
    fn a_relative_path_is_made_absolute() {
        let base = Base::new("relative");
        let here = std::env::current_dir().expect("a directory");
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let relative = up.join(base.0.strip_prefix("/").expect("absolute"));
        let opened = Directory::open(Some(&relative)).expect("there");
        assert!(opened.path().is_absolute(), "{}", opened.path().display());
        assert_eq!(
            fs::canonicalize(opened.path()).expect("there"),
            fs::canonicalize(&base.0).expect("there")
        );
    }
}
