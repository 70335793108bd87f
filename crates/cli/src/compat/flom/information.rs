//! What is printed for its own sake: help, version, signals, the host's identity.

use std::fmt::Write as _;
use std::fs;

use ward_model::signal::Signal;

use super::command_line::Information;
use super::refusal::Refusal;

/// The version that is taken the place of.
const VERSION: &str = "1.7.2";

const HELP: &str = "\
Usage: flom [OPTION]... [--] COMMAND [ARG]...
Run COMMAND while holding a lock; for sets, sequences and timestamps with what was got as its
last argument.

The lock
  -r, --resource-name NAME          what to lock: NAME, NAME[N], NAME.NAME, /LEVEL/LEVEL,
                                    _s_NAME[N], _S_NAME[N], _t_FORMAT[N]
  -l, --lock-mode MODE              NL, CR, CW, PR, PW or EX (the default)
  -q, --resource-quantity N         so many of NAME[N]
  -o, --resource-timeout MS         wait no longer than this in all; 0 does not wait, -1 for ever
  -e, --resource-create yes|no      whether we may be the first who uses it (yes)
  -i, --resource-idle-lifespan MS   count it as used for so long after the last one has gone
  -s, --socket-name PATH            locks of their own, for those who name the same path
      --ignore-signal SIGNAL        do not heed this signal while the command runs; may be repeated
  -c, --config-file FILE            read this after /etc/flom.conf (or $WARD_FLOM_CONF) and ~/.flom
  -V, --verbose                     tell on standard output what holds and what was got
      --strict                      refuse unknown signals and negative quantities

Told and not run
  -h, --help   -v, --version   --signal-list   --unique-id

Without effect, as there is no daemon
  -d, --daemon-lifespan MS   -x, --quiesce-exit   -X, --immediate-exit   -m, --mount-point-vfs DIR
  -D, --discovery-attempts N   -I, --discovery-timeout MS   --discovery-ttl N
  -p, --unicast-port N   -P, --multicast-port N   -n, --network-interface NAME
  --tcp-keepalive-time N   --tcp-keepalive-intvl N   --tcp-keepalive-probes N
  -t, --daemon-trace-file FILE   -T, --command-trace-file FILE   --append-trace-file yes|no
  --tls-certificate FILE   --tls-private-key FILE   --tls-ca-certificate FILE
  --tls-check-peer-id yes|no

Refused: several hosts (use `ward lock --etcd`)
  -a, --unicast-address ADDRESS   -A, --multicast-address ADDRESS

Long options of `ward lock` about the command are understood too: --hold, --why, --grace, --report,
--lock-dir and more; see `ward lock --help`.

Exit status: the command's own; 128+n when signal n ended it; 96 when it cannot wait for a
resource that nobody uses; 97 when there is no command, or it cannot be executed; 98 when the lock
was not got in time; 99 for anything else.
";

impl Information {
    /// The text to be printed.
    pub(super) fn text(self) -> Result<String, Refusal> {
        Ok(match self {
            Self::Help => HELP.to_owned(),
            Self::Version => format!(
                "ward {} in the place of FLoM\nPackage name: flom; package version: {VERSION}\n",
                env!("CARGO_PKG_VERSION")
            ),
            Self::Signals => signals(),
            Self::UniqueId => unique_id()?,
        })
    }
}

/// Every signal with a name, as `--ignore-signal` takes it, and its number.
fn signals() -> String {
    let mut text = String::new();
    for signal in (1..).map_while(Signal::from_number) {
        let name = signal.to_string();
        if name.starts_with("SIG") {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{:>2}  {name}", signal.number());
        }
    }
    text
}

/// The identity of this installation (machine-id(5)): the same for all its users and containers.
fn unique_id() -> Result<String, Refusal> {
    for path in ["/etc/machine-id", "/var/lib/dbus/machine-id"] {
        if let Ok(text) = fs::read_to_string(path)
            && !text.trim().is_empty()
        {
            return Ok(format!("{}\n", text.trim()));
        }
    }
    Err(Refusal::ours("this host has no identity")
        .hint("`systemd-machine-id-setup` or `dbus-uuidgen --ensure` makes one"))
}

#[cfg(test)]
mod tests {
    use super::super::settings::SETTINGS;
    use super::*;

    #[test]
    fn help_knows_every_option() {
        for setting in SETTINGS {
            assert!(HELP.contains(&format!("--{}", setting.long)), "{setting:?}");
            if let Some(letter) = setting.short {
                let short = format!("-{}, --{}", char::from(letter), setting.long);
                assert!(HELP.contains(&short), "{short}");
            }
        }
        assert!(HELP.lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn signals_are_told_as_they_are_taken() {
        let text = signals();
        assert!(text.lines().any(|line| line == " 1  SIGHUP"), "{text}");
        for line in text.lines() {
            let (number, name) = line.trim().split_once("  ").expect("two words");
            assert_eq!(number.parse::<Signal>(), name.parse(), "{line}");
        }
    }
}
