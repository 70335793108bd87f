//! Files that are written by hand, one for each rule, and the place where they are read.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;
use ward_config::host::{Accounts, Files, Host};
use ward_config::load::{Loaded, load as load_configuration};

/// What both know of the environment.
pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/bin:/bin"),
    ("PORT", "8080"),
    ("GREETING", "hello world"),
    ("PERCENT", "100%"),
    ("EMPTY", ""),
];

/// The files of this host.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

/// A directory with what the files name: `logs`, and files to include.
pub(crate) fn place() -> Result<TempDir> {
    let place = tempfile::tempdir()?;
    let inside = |name: &str| place.path().join(name);
    std::fs::create_dir(inside("logs"))?;
    std::fs::create_dir_all(inside("inc/deep"))?;
    std::fs::write(
        inside("inc/b.conf"),
        "[program:b]\ncommand=%(here)s/b\nenvironment=WHERE=\"%(here)s\"\n",
    )?;
    std::fs::write(
        inside("inc/a.conf"),
        "[program:a]\ncommand=a-from-a\n[supervisord]\nidentifier=from-a\n",
    )?;
    std::fs::write(inside("inc/.hidden.conf"), "junk")?;
    std::fs::write(
        inside("inc/deep/c.ini"),
        "[program:c]\ncommand=%(here)s/c %%(here)s\n[include]\nfiles=nothing\n",
    )?;
    std::fs::write(inside("inc/deep/empty.ini"), "; nothing\n")?;
    std::fs::write(inside("inc/broken"), "[program:d]\njunk\n")?;
    std::fs::write(inside("inc/headless"), "x=1\n")?;
    Ok(place)
}

/// What we make of a file, read in `place`.
pub(crate) fn load(path: &Path, place: &Path, elsewhere: bool) -> Loaded {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let pairs = ENVIRONMENT
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let node = rustix::system::uname();
    let host = Host {
        environment: pairs.collect::<BTreeMap<_, _>>(),
        node_name: node.nodename().to_string_lossy().into_owned(),
        current_directory: place
            .canonicalize()
            .unwrap_or_else(|_| place.to_owned())
            .to_string_lossy()
            .into_owned(),
        temporary_directory: "/tmp".into(),
        accounts: Accounts::parse(&read("/etc/passwd"), &read("/etc/group")),
        uid: rustix::process::getuid().as_raw(),
        told: None,
        elsewhere,
    };
    load_configuration(&path.to_string_lossy(), &host, &Disk)
}

macro_rules! files {
    ($($text:expr),* $(,)?) => { &[$($text.as_bytes()),*] };
}

/// Where Pythons up to 3.12 and later ones differ.
pub(crate) const UP_TO_3_12: &[&[u8]] = files![
    "[supervisord]\n[program:x]\ncommand=a;b ;c #d\n",
    "[supervisord]\n[program:x]\ncommand=a#b #c ;d\n",
];

/// One for each rule. `[supervisord]` is in each, or else is what is tried.
pub(crate) const WRITTEN: &[&[u8]] = files![
    "",
    "[supervisord]",
    "[Supervisord]\n",
    "\u{feff}[supervisord]\n",
    "x=1\n[supervisord]\n",
    "[supervisord]\njunk\n",
    "[supervisord]\n=1\n",
    "[]\n[supervisord]\n",
    "[supervisord] ; comment\nidentifier = a ; b # c\n",
    "[supervisord]\r\nidentifier = a\r\n",
    "[supervisord]\ridentifier = a\r",
    "[supervisord]\nidentifier = a\n  b\n\n  c\n;d\n   e\n\n\nsilent=1\n",
    "[supervisord]\nidentifier=\n  [x]\n",
    "[supervisord]\nIDENTIFIER : a=b:c\n",
    "[supervisord]\n  identifier=1\n   silent=2\n",
    "[supervisord]\nidentifier=a\n[supervisord]\nidentifier=b\n",
    "[supervisord]\nidentifier=a\u{85}b\u{2028}c\u{c}d\u{1c}e\u{a0}\n",
    "[supervisord]\nidentifier=größe %(here)s %(ENV_GREETING)s\n",
    "[supervisord]\nidentifier=%(ENV_PERCENT)s\n",
    "[supervisord]\nidentifier=100%\n",
    "[supervisord]\nidentifier=100%%\n",
    "[supervisord]\nidentifier=%(host_node_name)s\n",
    "[supervisord]\nidentifier=%(ENV_PORT)5s|%(ENV_PORT)-6s|%(ENV_PORT).2s|%(ENV_GREETING)r\n",
    "[supervisord]\nidentifier=%(ENV_PORT)d\n",
    "[supervisord]\nidentifier=%(ENV_EMPTY)s\n",
    "[supervisord]\nidentifier=%(here\n",
    "[supervisord]\nidentifier=%(here)z\n",
    "[supervisord]\nidentifier=%%(here)s\n",
    "[DEFAULT]\nsilent=true\n[supervisord]\n",
    "[DEFAULT]\ncommand=x\n[supervisord]\n[program:a]\n[program:b]\ncommand=y\n",
    "[DEFAULT]\nz=1\n[supervisord]\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
    "[supervisord]\nlogfile=logs/a.log\npidfile=~/x.pid\nchildlogdir=logs\ndirectory=logs\n",
    "[supervisord]\nlogfile=nowhere/a.log\n",
    "[supervisord]\nlogfile=/nowhere/a.log\n",
    "[supervisord]\nlogfile=syslog\n",
    "[supervisord]\nlogfile=NONE\n",
    "[supervisord]\nlogfile=\n",
    "[supervisord]\nlogfile=~root/a.log\n",
    "[supervisord]\nlogfile=~nobody-of-this-name/a.log\n",
    "[supervisord]\ndirectory=nowhere\n",
    "[supervisord]\nloglevel=Trace\nlogfile_maxbytes=1GB\nlogfile_backups=0\numask=077\nminfds=10\nminprocs=5\n",
    "[supervisord]\nloglevel=warning\n",
    "[supervisord]\nlogfile_maxbytes=50M\n",
    "[supervisord]\numask=9\n",
    "[supervisord]\nuser=root\n",
    "[supervisord]\nuser=0\n",
    "[supervisord]\nuser=nobody-of-this-name\n",
    "[supervisord]\nuser=\n",
    "[supervisord]\nnodaemon=maybe\n",
    "[supervisord]\nenvironment=A=\"1\",B='two words',C=%(ENV_PORT)s,D=\"%(here)s\"\n[program:x]\ncommand=%(ENV_A)s %(ENV_B)s\nenvironment=A=\"other\"\n[unix_http_server]\nfile=%(ENV_A)s.sock\n",
    "[supervisord]\nenvironment=A=\"%(host_node_name)s\"\n",
    "[supervisord]\nenvironment=A=\"%%(host_node_name)s\"\n",
    "[supervisord]\nenvironment=A=\"%%%%\"\n",
    "[supervisord]\nenvironment=A=\"%%\"\n",
    "[supervisord]\nenvironment=A=1,\n  B=2,\n  C=\"3;4\"\n",
    "[supervisord]\nenvironment=A=1;B=2\n",
    "[supervisord]\nenvironment=A=u@h\n",
    "[supervisord]\nenvironment=A=\"x ;y\"\n",
    "[supervisord]\nenvironment=A=\"'q'\",\"K\"=1,é=2\n",
    "[supervisord]\nenvironment=A=$HOME\n",
    "[supervisord]\nenvironment=A=1,B\n",
    "[supervisord]\nenvironment=A=1#b\n",
    "[supervisord]\nenvironment=A=1#b\n  C,D=2\n",
    "[program:x]\ncommand=x\n",
    "[supervisord]\n[program:x]\n",
    "[supervisord]\n[program:x]\ncommand=\n",
    "[supervisord]\n[program:]\ncommand=x\n",
    "[supervisord]\n[program: x ]\ncommand=x %(program_name)s|\n",
    "[supervisord]\n[program:x y]\ncommand=x\n",
    "[supervisord]\n[program:x/y]\ncommand=x\n",
    "[supervisord]\n[program:x:y]\ncommand=x\n",
    "[supervisord]\n[program]\ncommand=x\n",
    "[supervisord]\n[program:x]\ncommand=x ; y\n",
    "[supervisord]\n[program:x]\ncommand=sh -c \"a ; b\"\n",
    "[supervisord]\n[program:x]\ncommand=sh -c \"a; b # c\"\n",
    "[supervisord]\n[program:x]\ncommand=x\n  autostart=false\n",
    "[supervisord]\n[program:x]\ncommand=x\nnumprocs=3\n",
    "[supervisord]\n[program:x]\ncommand=x\nnumprocs=0\ndirectory=%(nope)s\n",
    "[supervisord]\n[program:x]\nnumprocs=-1\n",
    "[supervisord]\n[program:x]\ncommand=x %(process_num)d %(numprocs)d\nnumprocs=12\nnumprocs_start=-2\nprocess_name=%(program_name)s_%(process_num)d\n",
    "[supervisord]\n[program:x]\ncommand=x\nnumprocs=2\nprocess_name=%(process_num)02d\nenvironment=E%(process_num)d=\"%(process_num)d\"\ndirectory=/%(ENV_E0)s\n",
    "[supervisord]\n[program:x]\ncommand=x\nnumprocs=2\nprocess_name=a%(process_num)s\nenvironment=PORT=\"%(process_num)d\"\nstdout_logfile=logs/%(ENV_PORT)s.log\nstdout_logfile_maxbytes=%(process_num)dMB\nstderr_logfile_backups=%(numprocs)d\n",
    "[supervisord]\n[program:x]\ncommand=x\nprocess_name=a b\n",
    "[supervisord]\n[program:x]\ncommand=x\nprocess_name= %(ENV_GREETING)s\n",
    "[supervisord]\n[program:x]\ncommand=x\nprocess_name=%(nope)s\n",
    "[supervisord]\n[program:x]\ncommand=x\npriority=%(process_num)d\n",
    "[supervisord]\n[program:5]\ncommand=x\npriority=%(program_name)s\n",
    "[supervisord]\n[program:5]\ncommand=x\npriority=%(program_name)s\n[group:6]\nprograms=5\npriority=3\n",
    "[supervisord]\n[program:x]\ncommand=x\nstartsecs=%(ENV_PORT)s\nautorestart=UNEXPECTED\nexitcodes=0, 2,255\nstopsignal=sigusr1\n",
    "[supervisord]\n[program:x]\ncommand=x\nexitcodes=\nautorestart=1\nautostart=off\nstopsignal=0\n",
    "[supervisord]\n[program:x]\ncommand=x\nstopsignal=35\n",
    "[supervisord]\n[program:x]\ncommand=x\nexitcodes=0,\n",
    "[supervisord]\n[program:x]\ncommand=x\nautorestart=never\n",
    "[supervisord]\n[program:x]\ncommand=x\nautostart=\n",
    "[supervisord]\n[program:x]\ncommand=x\nstopasgroup=true\n",
    "[supervisord]\n[program:x]\ncommand=x\nstopasgroup=true\nkillasgroup=false\n",
    "[supervisord]\n[program:x]\ncommand=x\nkillasgroup=true\nuser=root\numask=002\nserverurl= auto\n",
    "[supervisord]\n[program:x]\ncommand=x\nserverurl=http://x:1\nstartretries=1_000\n",
    "[supervisord]\n[program:x]\ncommand=x\nstdout_logfile=syslog\nstderr_logfile=off\nstdout_syslog=no\n",
    "[supervisord]\n[program:x]\ncommand=x\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\nredirect_stderr=true\nstderr_logfile=logs/e\n",
    "[supervisord]\n[program:x]\ncommand=x\nstdout_logfile=logs/%%%%.log\n",
    "[supervisord]\n[program:x]\ncommand=x\nstdout_logfile=logs/%%.log\n",
    "[supervisord]\n[program:x]\ncommand=x\nstdout_logfile=nowhere/x.log\n",
    "[supervisord]\n[program:x]\ncommand=x\nstdout_logfile=\n",
    "[supervisord]\n[program:x]\ncommand=x\nstdout_logfile=\"logs/x\"\n",
    "[supervisord]\n[program:x]\ncommand=x\nstdout_capture_maxbytes=1mb\nstdout_events_enabled=true\nstderr_events_enabled=yes\nstderr_capture_maxbytes=3\n",
    "[supervisord]\n[program:a]\ncommand=a\n[program:b]\ncommand=b %(group_name)s\nnumprocs=2\nprocess_name=p%(process_num)d\n[group:g]\nprograms= b , a\npriority=1\n",
    "[supervisord]\n[program:a]\ncommand=a\n[group:g]\nprograms=a,\n",
    "[supervisord]\n[program:a]\ncommand=a\n[group:g]\nprograms=b\n",
    "[supervisord]\n[group:g]\n",
    "[supervisord]\n[group:g]\nprograms=\n",
    "[supervisord]\n[program:a]\ncommand=a\n[group:g]\nprograms=a\n[group:h]\nprograms=a\n",
    "[supervisord]\n[program:a]\ncommand=a\n[fcgi-program:a]\ncommand=a\nsocket=tcp://h:1\n[group:g]\nprograms=a\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\n[group:g]\nprograms=a\n",
    "[supervisord]\n[group:g h]\n",
    "[supervisord]\n[program:g]\ncommand=a\n[program:b]\ncommand=b\n[group:g]\nprograms=b\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=TCP://h:1\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=tcp://LocalHost:9000\nsocket_backlog=100\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=tcp://h:70000\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=tcp://h:1\nsocket_mode=0700\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=tcp://h:1\nsocket_backlog=0\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=unix://relative\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=unix:///run/../x/%(program_name)s.sock\nuser=nobody\nnumprocs=2\nprocess_name=%(process_num)d\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=unix:///x\nsocket_owner=root:root\nsocket_mode=0666\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\nsocket=unix:///x/%(group_name)s\n",
    "[supervisord]\n[fcgi-program:a]\ncommand=a\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=tick_5, Process_State\nbuffer_size=100\npriority=5\n",
    "[supervisord]\n[eventlistener: l]\ncommand=l\nevents=EVENT,TICK\nnumprocs=2\nprocess_name=%(program_name)s_%(group_name)s_%(process_num)s\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=EVENT,\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=NOPE\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=EVENT\nbuffer_size=0\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=EVENT\nredirect_stderr=true\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=EVENT\nresult_handler=no.such:thing\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=EVENT\nresult_handler=supervisor.dispatchers : default_handler\nstdout_capture_maxbytes=1MB\n",
    "[supervisord]\n[eventlistener:l]\ncommand=l\nevents=EVENT\n[group:g]\nprograms=l\n",
    "[supervisord]\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    "[supervisord]\n[rpcinterface:x]\nsupervisor.rpcinterface_factory=nope:nope\n",
    "[supervisord]\n[rpcinterface:x]\n",
    "[supervisord]\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\nretries=1\n",
    "[supervisord]\n[inet_http_server]\nport=*:9001\n[inet_http_server:b]\nport=HOST:%(ENV_PORT)s\nusername=u\npassword={SHA}aa\n[unix_http_server:z]\nfile= ~/x//y.sock\nchmod=0777\nchown=root:root\n",
    "[supervisord]\n[inet_http_server]\nport=9001\n[inet_http_server2]\nport=9002\n",
    "[supervisord]\n[inet_http_server]\nport=%(here)s:1\n",
    "[supervisord]\n[inet_http_server]\nport=x\n",
    "[supervisord]\n[inet_http_server]\n",
    "[supervisord]\n[inet_http_server]\nport=1\nusername=u\n",
    "[supervisord]\n[inet_http_server]\nport=1\nusername=\npassword=\n",
    "[supervisord]\n[unix_http_server]\n",
    "[supervisord]\n[unix_http_server]\nfile=x.sock\nchown=nobody\n",
    "[supervisord]\n[unix_http_server]\nfile=x.sock\nchown=nobody-of-this-name:x\n",
    "[supervisord]\n[unix_http_server]\nfile=%(here)s/x.sock\nchmod=999\n",
    "[supervisord]\n[unix_http_server]\nfile=%(here)s/x.sock\nusername=%(here)s\npassword=1\n",
    "[supervisord]\n[supervisorctl]\nserverurl=%(nope)s\n[ctlplugin:x]\nsupervisor.ctl_factory=x:y\n",
    "[supervisord]\n[include]\n",
    "[supervisord]\n[include]\nfiles=inc/*.conf inc/deep/*.ini\n[program:a]\ncommand=main\nautostart=false\n",
    "[supervisord]\n[include]\nfiles=%(here)s/inc/[!b].conf\n  inc/nope*\n[program:z]\ncommand=%(here)s\n",
    "[supervisord]\n[include]\nfiles=inc/*/*.ini\n",
    "[supervisord]\n[include]\nfiles=inc/broken\n",
    "[supervisord]\n[include]\nfiles=inc/headless\n",
    "[supervisord]\n[include]\nfiles=inc\n",
    "[supervisord]\n[include]\nfiles=inc/b.conf inc/.hid*\n",
    "[supervisord]\n[include]\nfiles=%(program_name)s\n",
    "[supervisord]\n[include]\nfiles=%(host_node_name)s-%(ENV_PORT)s\n",
    "[include]\nfiles=inc/a.conf\n",
    "[supervisord]\n[include]\nfiles=inc/b.conf\n[inet_http_server]\nport=1\nusername=%(here)s\npassword=1\n[DEFAULT]\nz=%(here)s\n",
    "[supervisord]\nidentifier=%%(here)s\n[include]\nfiles=inc/b.conf\n",
];

/// Whether directories and users of real files need not be on this host.
pub(crate) fn elsewhere() -> bool {
    std::env::var_os("WARD_ELSEWHERE").is_some()
}
