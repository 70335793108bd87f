"""TLS in front of a server: what comes is passed on, and back. Says its port, and each request's first line."""

import os
import socket
import ssl
import sys
import threading

chain, key, port, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)


def whole(stream):
    heard = b""
    while b"\r\n\r\n" not in heard:
        piece = stream.recv(65536)
        if not piece:
            return heard
        heard += piece
    head, body = heard.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += stream.recv(65536)
    return head + b"\r\n\r\n" + body


def serve(client):
    try:
        stream = context.wrap_socket(client, server_side=True)
    except (ssl.SSLError, OSError):
        return
    asked = whole(stream)
    if not asked:
        return
    print(asked.split(b"\r\n")[0].decode(), flush=True)
    if mode == "cut":
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nthe first half")
        # As somebody who cuts a wire: TLS says nothing of an end.
        os.close(stream.detach())
        return
    behind = socket.create_connection(("127.0.0.1", port))
    behind.sendall(asked)
    while piece := behind.recv(65536):
        stream.sendall(piece)
    try:
        stream.unwrap()
    except (ssl.SSLError, OSError):
        pass
    stream.close()


while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
