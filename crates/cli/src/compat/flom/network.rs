//! Several hosts. FLoM's daemons find one another by multicast and grant whatever they are asked:
//! where the network is cut in two, there are two of them, and two who hold one lock. That is not
//! imitated: an address is taken for that of an etcd cluster.

use std::ffi::OsString;

use super::Prints;
use super::configuration::Configuration;
use super::refusal::Refusal;
use super::settings::Key;

/// Where etcd listens, unless a port is given: FLoM's own is another.
const PORT: i32 = 2379;

/// The files of the TLS options, and what they are called of a cluster.
const FILES: [(Key, &str); 3] = [
    (Key::TlsCertificate, "--etcd-cert"),
    (Key::TlsPrivate, "--etcd-key"),
    (Key::TlsCaCertificate, "--etcd-cacert"),
];

/// How to reach other hosts, as options of `ward lock` beside those that were `given`; none if it is not for
/// us to say.
pub(super) fn cluster(
    configuration: &Configuration,
    given: &[OsString],
    prints: &mut Prints,
) -> Result<Vec<OsString>, Refusal> {
    let asked = |key| {
        let address = configuration.text(key)?;
        Some((address, configuration.by(key)?.to_string()))
    };
    let unicast = asked(Key::UnicastAddress);
    let socket = configuration.text(Key::SocketName);
    let Some((address, by)) = unicast.clone().or_else(|| asked(Key::MulticastAddress)) else {
        return match socket {
            Some(socket) if cfg!(feature = "etcd") => apart(&socket, given),
            Some(_) | None => Ok(Vec::new()),
        };
    };
    if socket.is_some() {
        return Err(Refusal::ours(format!(
            "{by}: `{address}` is an address, and there is a socket too: name one of them"
        )));
    }
    if unicast.is_none() || !cfg!(feature = "etcd") {
        return Err(Refusal::ours(format!(
            "{by}: `{address}`: FLoM's network is not imitated: cut in two, it grants one lock twice. \
             Nothing was started"
        ))
        .hint(
            "for several hosts name a member of an etcd cluster with -a, or use `ward lock NAME --etcd \
             HOST:2379 -- COMMAND`; without -a and -A the lock is for this host, unless a cluster is named otherwise",
        ));
    }
    let files = FILES.map(|(key, option)| (configuration.text(key), option));
    let scheme = if files.iter().any(|(file, _)| file.is_some()) {
        "https"
    } else {
        "http"
    };
    let port = match configuration.by(Key::UnicastPort) {
        Some(_) => configuration.number(Key::UnicastPort),
        None => PORT,
    };
    // An address of IPv6 is known by its colons.
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address
    };
    let endpoint = format!("{scheme}://{host}:{port}");
    prints.err.push(format!(
        "flom: {by}: {endpoint} is taken for an etcd cluster; FLoM's own daemons are not asked"
    ));
    let mut words = vec![format!("--etcd={endpoint}").into()];
    for (file, option) in files {
        words.extend(file.map(|file| OsString::from(format!("{option}={file}"))));
    }
    Ok(words)
}

/// Who names a socket shares with nobody else, whatever cluster the environment and files name.
fn apart(socket: &str, given: &[OsString]) -> Result<Vec<OsString>, Refusal> {
    let given = |option: &str| {
        let begins = |word: &&OsString| word.as_encoded_bytes().starts_with(option.as_bytes());
        given.iter().find(begins)
    };
    if let Some(word) = given("--etcd").or_else(|| given("--cluster-config")) {
        return Err(Refusal::ours(format!(
            "{}: a cluster, and there is the socket `{socket}` too: name one of them",
            word.display()
        )));
    }
    Ok(match given("--local") {
        Some(_) => Vec::new(),
        None => vec!["--local".into()],
    })
}
