//! Python's own client, over TCP and over the socket.

use std::process::{Command, Stdio};

use crate::world::World;

/// Prints a line for each thing that is not as it should be.
const SCRIPT: &str = r#"
import http.client, socket, sys, xmlrpc.client
port, path, directory = sys.argv[1:]

class OnSocket(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)

class Transport(xmlrpc.client.Transport):
    def make_connection(self, host):
        if not self._connection or host != self._connection[0]:
            self._connection = host, OnSocket('localhost')
        return self._connection[1]

def same(what, seen, expected):
    if seen != expected:
        print(what, 'is', repr(seen), 'not', repr(expected))

def fault(what, call, code, text):
    try:
        print(what, 'gave', repr(call()))
    except xmlrpc.client.Fault as refused:
        same(what, (refused.faultCode, refused.faultString), (code, text))

with open(directory + '/a.out', 'wb') as log:
    log.write(b'caf\xc3\xa9 \x1b[1m \x00 \xff <&>"\']]>\r\n')

servers = [
    xmlrpc.client.ServerProxy('http://user:p%40ss@127.0.0.1:' + port + '/RPC2'),
    xmlrpc.client.ServerProxy('http://localhost/RPC2', transport=Transport()),
]
for server in servers:
    s = server.supervisor
    same('state', s.getState(), {'statecode': 1, 'statename': 'RUNNING'})
    same('pid', s.getPID(), 4711)
    same('version', s.getSupervisorVersion(), '4.3.0')
    same('identification', s.getIdentification(), 'in <memory>')
    same('log', s.readProcessStdoutLog('a', 0, 0), 'caf\u00e9 \ufffd[1m \ufffd \ufffd <&>"\']]>\r\n')
    same('tail', s.tailProcessStdoutLog('a', 0, 0)[1:], [25, True])
    same('info', s.getProcessInfo('w:w_0')['group'], 'w')
    same('all', [p['name'] for p in s.getAllProcessInfo()], ['a', 'slow', 'w_0', 'w_1'])
    same('config', s.getAllConfigInfo()[0]['uid'], 'none')
    same('started', s.startProcess('a'), True)
    same('group', s.startProcess('w:*', False)[1]['status'], 80)
    same('reload', s.reloadConfig(), [[['new'], [], ['old']]])
    same('stdin', s.sendProcessStdin('a', 'caf\u00e9 \u2713 \U0001f600'), True)
    same('binary', s.sendProcessStdin('a', xmlrpc.client.Binary(bytes(range(256)))), True)
    same('event', s.sendRemoteCommEvent('t', 'd'), True)
    fault('name', lambda: s.getProcessInfo('n\u00f6'), 10, 'BAD_NAME: n\u00f6')
    fault('number', lambda: s.getPID(1), 2, 'INCORRECT_PARAMETERS')
    fault('method', lambda: s.nothing(), 1, 'UNKNOWN_METHOD')
    fault('kind', lambda: s.sendProcessStdin('a', 5), 2, 'INCORRECT_PARAMETERS: 5')
    same('several', server.system.multicall([
        {'methodName': 'supervisor.getPID', 'params': []},
        {'methodName': 'nope', 'params': []},
        {'methodName': 'supervisor.stopProcess', 'params': ['a', True]},
    ]), [4711, {'faultCode': 1, 'faultString': 'UNKNOWN_METHOD'}, True])
    same('signature', server.system.methodSignature('supervisor.startProcess'), ['boolean', 'string', 'boolean'])
    same('explain', server.ward.explain('a'), '{"name":"a"}')

wrong = xmlrpc.client.ServerProxy('http://user:wrong@127.0.0.1:' + port + '/RPC2')
try:
    print('entered with', wrong.supervisor.getPID())
except xmlrpc.client.ProtocolError as refused:
    same('refused', (refused.errcode, refused.errmsg), (401, 'Unauthorized'))
print('done')
"#;

#[test]
fn pythons_client_is_at_home() {
    let world = World::with(|_| {}, Some(("user", "p@ss")));
    let ran = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(world.port.to_string())
        .arg(world.socket())
        .arg(world.path(""))
        .stdin(Stdio::null())
        .output();
    let output = match ran {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: there is no python3 here ({error})");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "done\n", "{errors}");
}
