"""`git http-backend` for git that comes over HTTP. Arguments: the directory of the repositories, a file that gets a
line for each request, who may come in (`user:password`), and, for HTTPS, a certificate with its key. Says its port.

What stands first in a path says how it is answered: `open` to everybody, `closed` to whom it knows, `forbidden` to
nobody, `broken` as a site that is out of order, `cut` by half an answer, `silent` by none, `away` by sending there
where its port says.
"""

import base64
import http.server
import os
import socket
import ssl
import subprocess
import sys

ROOT, LOG, LOGIN = sys.argv[1:4]
WANTED = "Basic " + base64.b64encode(LOGIN.encode()).decode()


class Visit(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, headers=(), body=b""):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        given = self.headers.get("Authorization")
        who = "nobody" if given is None else "known" if given == WANTED else "stranger"
        with open(LOG, "a") as log:
            print(who, self.command, self.path, file=log)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        _, way, rest = path.split("/", 2)
        if way == "away":
            port, rest = rest.split("/", 1)
            target = f"http://127.0.0.1:{port}/{rest}" + (f"?{query}" if query else "")
            self.answer(302, [("Location", target)])
        elif way == "forbidden":
            self.answer(403)
        elif way == "broken":
            self.answer(503, body=b"out of order")
        elif way == "silent":
            self.connection.recv(1)
            self.close_connection = True
        elif way == "closed" and who != "known":
            self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')])
        else:
            self.ask_git(way, "/" + rest, query, body)

    do_POST = do_GET

    def ask_git(self, way, path, query, body):
        surroundings = {
            "PATH": os.environ["PATH"],
            "HOME": "/nowhere",
            "GIT_PROJECT_ROOT": ROOT,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        output = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).stdout
        head, _, content = output.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        if way == "cut" and self.command == "POST":
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.answer(status, headers, content)

    def log_message(self, *_):
        pass


site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Visit)
if len(sys.argv) > 4:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4])
    site.socket = context.wrap_socket(site.socket, server_side=True)
print(site.server_address[1], flush=True)
site.serve_forever()
