"""Connections of all ranks to rank 0, beside the collectives: lines of JSON, from processes of this run alone."""

import contextlib
import errno
import json
import os
import resource
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch.distributed import Store

from lingualift_ds.dist.place import Place
from lingualift_ds.dist.rollcall import LOST
from lingualift_ds.errors import Interrupted, LaunchError

_CALL_SECONDS = 60
_SEND_SECONDS = 5.0
_LONGEST_STRANGE = 4096
"""Bytes that one who has not said who they are may send."""


class Connections:
    """Of one process: rank 0's to all others, or another's to rank 0. Read by whoever runs the selector.

    take: called with the rank and the message; what it raises as ValueError, KeyError or TypeError ends the connection.
    came, lost: called with a rank that has said who it is, and with one whose connection was closed.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        take: Callable[[int, dict[str, Any]], None],
        came: Callable[[int], None],
        lost: Callable[[int], None],
    ):
        self._selector, self._take, self._came, self._lost = selector, take, came, lost
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, int | None] = {}
        self._lines: dict[socket.socket, bytes] = {}
        self.listener: socket.socket | None = None
        self._token, self._key = "", ""
        self._store: Store | None = None

    def ranks(self) -> set[int]:
        """Who is connected."""
        return {rank for rank in list(self._peers.values()) if rank is not None}

    def listen(self, store: Store, key: str) -> None:
        """On rank 0: be there for the others, on any free port, which they find in the store."""
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self.listener = socket.create_server(("", 0), family=family, dualstack_ipv6=both, backlog=1024)
        self._token, self._store, self._key = secrets.token_hex(16), store, key
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file, and so is the store's
        store.set(key, json.dumps([self.listener.getsockname()[1], self._token]))
        self._selector.register(self.listener, selectors.EVENT_READ, self._accept)

    def call(self, store: Store, key: str, place: Place) -> None:
        """On another rank: connect to rank 0. Raises LaunchError where it cannot be reached, which rank 0 is told, and
        Interrupted where it is gone before it was there."""
        pause = 0.01
        try:
            while not store.check([key]):  # `get` would wait in C++, where no signal is seen
                time.sleep(pause)
                pause = min(1.5 * pause, 1.0)
            port, token = json.loads(store.get(key))
        except RuntimeError as error:
            raise Interrupted("rank 0, or the launcher, was lost while the ranks met", LOST) from error
        host = os.environ["MASTER_ADDR"]
        try:
            main = socket.create_connection((host, port), timeout=_CALL_SECONDS)
        except OSError as error:
            cannot = LaunchError(
                f"launch: rank {place.rank} does not reach rank 0 at {host}:{port} ({error.strerror or error}); "
                "ranks talk over any free port, as NCCL does"
            )
            store.set(f"{key}/cannot", str(cannot))
            raise cannot from None
        self._add(main, 0)
        self._send(main, {"rank": place.rank, "token": token})

    def send(self, message: Mapping[str, Any]) -> None:
        """To all who are connected: of another rank than 0 that is rank 0."""
        for peer, rank in list(self._peers.items()):
            if rank is not None:
                self._send(peer, message)

    def close(self) -> None:
        """Close them all, in this process; one that was forked from it has them still."""
        for end in (*self._peers, self.listener):
            if end is not None:
                end.close()

    def _add(self, peer: socket.socket, rank: int | None) -> None:
        peer.settimeout(_SEND_SECONDS)
        self._peers[peer], self._lines[peer] = rank, b""
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._read(peer))

    def _accept(self) -> None:
        try:
            self._add(self.listener.accept()[0], None)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # else who called is gone again
                self._full()

    def _full(self) -> None:
        """No more files may be opened, and so no more ranks heard: all are told, instead of being waited for."""
        self._selector.unregister(self.listener)
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._store.set(
            f"{self._key}/cannot",
            f"launch: rank 0 may open {most} files, which {len(self.ranks())} ranks use up; raise it: ulimit -n 65536",
        )

    def _read(self, peer: socket.socket) -> None:
        try:
            data = peer.recv(65_536)
        except OSError:
            data = b""
        if not data:
            rank = self._peers[peer]
            self._drop(peer)
            if rank is not None:
                self._lost(rank)
            return
        *lines, self._lines[peer] = (self._lines[peer] + data).split(b"\n")
        try:
            for line in lines:
                self._hear(peer, json.loads(line))
            if self._peers[peer] is None and len(self._lines[peer]) > _LONGEST_STRANGE:
                raise ValueError("never says who it is")
        except (ValueError, KeyError, TypeError, RecursionError):
            self._drop(peer)  # no rank of ours speaks so

    def _hear(self, peer: socket.socket, said: dict[str, Any]) -> None:
        if (rank := self._peers[peer]) is not None:
            self._take(rank, said)
            return
        if not secrets.compare_digest(said["token"], self._token):
            raise ValueError("not of this run")
        self._peers[peer] = int(said["rank"])
        self._came(self._peers[peer])

    def _drop(self, peer: socket.socket) -> None:
        self._selector.unregister(peer)
        del self._peers[peer], self._lines[peer]
        peer.close()

    def _send(self, peer: socket.socket, message: Mapping[str, Any]) -> None:
        with self._lock, contextlib.suppress(OSError):  # who does not hear it is lost, which shows by itself
            peer.sendall(json.dumps(message).encode() + b"\n")
