"""Connections that are held while something changes. Runs on a node, with the standard library alone.

    traffic.py serve PORT                   answers each line with itself; the first line is the client's address
    traffic.py hold FILE HOST PORT NUMBER   keeps connections busy, and tries a new one each time
    traffic.py ask HOST PORT                prints the first line: the address that the server sees

`hold` writes FILE each round, as JSON: `alive` and `broken` (why, by number of connections) of the held connections,
`rounds`, and how many new connections were `refused`.
"""

from __future__ import annotations

import collections
import json
import pathlib
import socket
import socketserver
import sys
import time

ROUND, ANSWER = 0.5, 5.0


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(f"{self.client_address[0]}\n".encode())
        for line in self.rfile:
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def connect(host: str, port: int) -> tuple[socket.socket, str]:
    """An open connection and what the server says first; raises OSError."""
    made = socket.create_connection((host, port), timeout=ANSWER)
    try:
        return made, made.recv(100).decode().strip()
    except OSError:
        made.close()
        raise


def patiently(host: str, port: int) -> socket.socket:
    """A connection to what may still be starting."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return connect(host, port)[0]
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(ROUND)


def fate(held: socket.socket) -> str:
    """Why a connection no longer works; empty: it does."""
    try:
        held.sendall(b"x\n")
        return "" if held.recv(10) else "closed"
    except OSError as error:
        return type(error).__name__


def hold(file: str, host: str, port: int, number: int) -> None:
    alive = [patiently(host, port) for _ in range(number)]
    broken: collections.Counter[str] = collections.Counter()
    rounds = refused = 0
    while True:
        for held in list(alive):
            if why := fate(held):
                broken[why] += 1
                alive.remove(held)
                held.close()
        try:
            connect(host, port)[0].close()
        except OSError:
            refused += 1
        rounds += 1
        found = {"alive": len(alive), "broken": dict(broken), "rounds": rounds, "refused": refused}
        new = pathlib.Path(f"{file}.new")
        new.write_text(json.dumps(found))
        new.replace(file)
        time.sleep(ROUND)


def main(command: str, *arguments: str) -> None:
    if command == "serve":
        Server(("0.0.0.0", int(arguments[0])), Echo).serve_forever()
    elif command == "hold":
        hold(arguments[0], arguments[1], int(arguments[2]), int(arguments[3]))
    else:
        made, said = connect(arguments[0], int(arguments[1]))
        made.close()
        print(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
