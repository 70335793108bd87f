"""What Supervisor makes of configuration files: a JSON object a line, for each path on stdin."""

import json
import os
import sys

from supervisor import datatypes
from supervisor.options import (
    EventListenerPoolConfig,
    FastCGIGroupConfig,
    ServerOptions,
)
from supervisor.events import getEventNameByType


class Refused(Exception):
    pass


class Options(ServerOptions):
    def usage(self, msg):
        raise Refused(str(msg))


def log(value):
    if value is datatypes.Automatic:
        return "AUTO"
    return "NONE" if value is None else value


def restart(value):
    if value is datatypes.RestartUnconditionally:
        return "always"
    return "unexpected" if value is datatypes.RestartWhenExitUnexpected else "never"


def process(config):
    plain = (
        "name command directory umask priority autostart startsecs startretries uid stopsignal "
        "stopwaitsecs stopasgroup killasgroup exitcodes redirect_stderr environment serverurl"
    )
    told = {key: getattr(config, key) for key in plain.split()}
    told["stopsignal"] = int(told["stopsignal"])
    told["autorestart"] = restart(config.autorestart)
    for output in ("stdout", "stderr"):
        told[output] = {
            key: getattr(config, "%s_%s" % (output, key))
            for key in "logfile_maxbytes logfile_backups capture_maxbytes events_enabled syslog".split()
        }
        told[output]["logfile"] = log(getattr(config, output + "_logfile"))
    return told


def group(config):
    told = {
        "name": config.name,
        "priority": config.priority,
        "processes": [process(one) for one in config.process_configs],
    }
    if isinstance(config, EventListenerPoolConfig):
        told["buffer_size"] = config.buffer_size
        told["events"] = sorted(getEventNameByType(one) for one in config.pool_events)
    if isinstance(config, FastCGIGroupConfig):
        socket = config.socket_config
        told["socket"] = {
            "url": socket.url,
            "backlog": socket.backlog,
            "owner": list(socket.owner) if getattr(socket, "owner", None) else None,
            "mode": getattr(socket, "mode", None),
        }
    return told


def server(config):
    told = {key: config[key] for key in ("section", "username", "password")}
    for key in ("host", "port", "file", "chmod"):
        told[key] = config.get(key)
    told["chown"] = list(config["chown"]) if "chown" in config else None
    return told


def read(path):
    options = Options()
    options.realize(["-c", path], doc="", progname="supervisord")
    section = options.configroot.supervisord
    # What the start would do with the arguments of an interface.
    for name, factory, arguments in options.rpcinterface_factories:
        factory(None, **arguments)
    return {
        "supervisord": {
            "logfile": options.logfile,
            "loglevel": options.loglevel,
            "pidfile": options.pidfile,
            "uid": options.uid,
            **{
                key: getattr(section, key)
                for key in (
                    "logfile_maxbytes logfile_backups umask nodaemon silent minfds minprocs "
                    "nocleanup childlogdir directory strip_ansi environment identifier"
                ).split()
            },
        },
        "serverurl": options.serverurl,
        "servers": [server(one) for one in options.server_configs],
        "interfaces": [name for name, _, _ in options.rpcinterface_factories],
        "groups": [group(one) for one in options.process_group_configs],
    }


def relax():
    """Every directory and account is there, as it may be on the file's own host."""
    from supervisor import options

    look_up = options.name_to_uid

    def user(name):
        try:
            return look_up(name)
        except ValueError:
            return None

    def owner(text):
        name, _, group = text.partition(":")
        try:
            gid = datatypes.name_to_gid(group) if group else -1
        except ValueError:
            gid = -1
        uid = user(name)
        return (-1 if uid is None else uid, gid)

    options.name_to_uid = user
    options.gid_for_uid = lambda uid: None
    options.colon_separated_user_group = owner
    for module in (options, datatypes):
        module.existing_dirpath = module.existing_directory = os.path.expanduser


if "relaxed" in sys.argv:
    relax()

for line in sys.stdin:
    try:
        answer = {"read": read(line.rstrip("\n"))}
    except Exception as error:
        answer = {"refused": "%s: %s" % (type(error).__name__, error)}
    print(json.dumps(answer), flush=True)
