//! Several hosts. FLoM's daemons find one another by multicast and grant whatever they are asked:
//! where the network is cut in two, there are two of them, and two who hold one lock. That is not
//! imitated.

use super::configuration::Configuration;
use super::refusal::Refusal;
use super::settings::Key;

/// What means that other hosts are to be asked. Everything else about the network is only about how.
const ADDRESSES: [Key; 2] = [Key::UnicastAddress, Key::MulticastAddress];

/// How to reach other hosts.
///
/// None are known so far: who asks for some is refused, as a lock on this host alone would not be
/// what he relies on. This is the place where `-a HOST[:PORT]`, with `-p` and the files of the TLS
/// options, is to become the endpoints of an etcd cluster.
pub(super) fn refuse_other_hosts(configuration: &Configuration) -> Result<(), Refusal> {
    let asked = ADDRESSES.into_iter().find_map(|key| {
        let address = configuration.text(key)?;
        Some((address, configuration.by(key)?.to_string()))
    });
    let Some((address, by)) = asked else {
        return Ok(());
    };
    if configuration.text(Key::SocketName).is_some() {
        return Err(Refusal::ours(format!(
            "{by}: `{address}` is an address, and there is a socket too: name one of them"
        )));
    }
    Err(Refusal::ours(format!(
        "{by}: `{address}`: FLoM's network is not imitated: cut in two, it grants one lock twice. \
         Nothing was started"
    ))
    .hint(
        "for several hosts use `ward lock NAME --etcd HOST:2379 -- COMMAND`; without -a and -A the \
         lock is for this host",
    ))
}
