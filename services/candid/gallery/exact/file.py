"""One SQLite file shared by processes and threads: opening it, whole-or-nothing calls, what a failure means, erasure.

Not here: what the tables hold (``store``) or how they are searched (``exact``).

The file must lie on a local disk: the write-ahead log's shared memory does not reach from machine to machine.
One connection a process, used under a lock and closed before a fork: a child that inherited it would share its parent's
locks without holding them (https://www.sqlite.org/howtocorrupt.html, 2.6), and could read a log that is being reset.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from candid.errors import CandidError, Conflict, DependencyUnavailable, IndexDamaged

T = TypeVar("T")

APPLICATION_ID: Final = 0x43414E44
"""``CAND``: SQLite's header field that says whose file it is."""
FORMAT: Final = 2
PAGE_SIZE: Final = 4096
"""Bytes. ``slab.PADDING`` is right for this size only."""

_OTHER_VERSION: Final = (
    "The index file is of another version of Candid, or damaged. Run `candid index verify --repair`: every template can be made "
    "again from the photos."
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED: Final = frozenset(
    # SQLITE_ERROR and SQLITE_CONSTRAINT: the statements are fixed, so a table that does not take them is not what was made.
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
    }
)
_DAMAGED_IN_FULL: Final = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
_BUSY_MILLISECONDS: Final = 200
_PAUSE: Final = 0.005
"""Seconds between two tries, with the lock free for this process's other threads."""

# The header of a file without a table is blank, and page_size counts only before the first table.
_BEFORE_FIRST_TABLE: Final = (f"PRAGMA page_size={PAGE_SIZE}", "PRAGMA auto_vacuum=NONE")
_EVERY_TIME: Final = (
    "PRAGMA synchronous=FULL",
    # Freed pages and cells are overwritten with zeros, and nothing spills into temporary files.
    "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cell_size_check=ON",
    "PRAGMA trusted_schema=OFF",
)


def damaged() -> IndexDamaged:
    """The error for anything that a sound file can't hold."""
    return IndexDamaged(
        "The index file is damaged or is not an index. Run `candid index verify --repair`: every template can "
        "be made again from the photos."
    )


class ExactFile:
    """A SQLite file with ``schema`` in it. ``facts`` are recorded when it is made and compared whenever it is opened.

    ``patience``: seconds for which a call waits for other processes.
    """

    def __init__(self, path: Path, schema: tuple[str, ...], facts: dict[str, str | int], patience: float) -> None:
        """Raises what ``read`` raises, and ``Conflict`` where the file was made with other facts (another model)."""
        self._path = path
        self._schema = schema
        self._facts = facts
        self._patience = patience
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._closed = False
        self.opened = 0
        """How many different files have lain at the path since this was made: memory of an earlier one is worth nothing."""
        _files.add(self)
        self._patiently(lambda _: None)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work`` on one unchanging state of the file. It may run again from its start when the file was busy.

        Raises ``IndexDamaged`` for a file that can't be read, ``DependencyUnavailable`` for one that does not answer."""
        return self._patiently(lambda connection: _transaction(connection, "BEGIN", work))

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work`` as all or nothing, on disk when this returns. Runs again and raises as ``read`` does."""
        return self._patiently(lambda connection: _transaction(connection, "BEGIN IMMEDIATE", work))

    def check(self) -> None:
        """Read the whole file and compare what its parts say of each other. Raises ``IndexDamaged``."""

        def whole(connection: sqlite3.Connection) -> bool:
            told = connection.execute("PRAGMA integrity_check(1)").fetchall()
            return bool(told == [("ok",)])

        if not self.read(whole):
            raise damaged()

    def erase_journal(self) -> None:
        """Bring the write-ahead log into the file and cut it to nothing, so that no overwritten byte outlives in it.

        Raises ``DependencyUnavailable`` when readers have held it for longer than ``patience``."""
        deadline = time.monotonic() + self._patience
        while True:
            busy, left, _ = self._patiently(
                lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            )
            if not busy and left == 0:
                return
            if time.monotonic() >= deadline:
                raise DependencyUnavailable(
                    "The templates are erased from the index, but other processes have read it for so long that its journal "
                    "may still hold their bytes. Call again to finish."
                )
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Release the file; every later call raises ``DependencyUnavailable``."""
        with self.lock:
            self._closed = True
            self.disconnect()

    def disconnect(self) -> None:
        """Let go of the connection; the next call makes another. The caller holds ``lock``."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _patiently(self, step: Callable[[sqlite3.Connection], T]) -> T:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with self.lock:
                    return step(self._connected())
            except sqlite3.Error as error:
                if _primary(error) not in _BUSY or time.monotonic() >= deadline:
                    raise _failure(error) from error
            except OSError as error:
                raise DependencyUnavailable(
                    f"The index file can't be opened: {os.strerror(error.errno or 0)}. Check its folder and who may write there."
                ) from error
            time.sleep(_PAUSE)

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise DependencyUnavailable("This index has been closed. Open it again.")
        if self._connection is not None and self._inode != _inode(self._path):
            # Somebody put another file there (``replace_file``): what this connection writes nobody will read.
            self.disconnect()
        if self._connection is None:
            with _opening(self._path, fcntl.LOCK_SH):
                connection = self._connect()
                inode = _inode(self._path)
            self._connection = connection
            if inode != self._inode:
                self.opened += 1
            self._inode = inode
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        with suppress(FileExistsError):
            # Only ever a new file: closing a descriptor of one that is open here would drop this process's locks on it.
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if _is_blank(connection):
            for statement in _BEFORE_FIRST_TABLE:
                connection.execute(statement)
        elif _number(connection, "application_id") != APPLICATION_ID:
            raise damaged()
        elif _number(connection, "user_version") != FORMAT:
            raise IndexDamaged(_OTHER_VERSION)
        if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
            raise DependencyUnavailable("The index file's disk does not allow a write-ahead log. Use a local disk.")
        for statement in _EVERY_TIME:
            connection.execute(statement)
        if _is_blank(connection):
            _transaction(connection, "BEGIN IMMEDIATE", self._create)
        stored = dict(connection.execute("SELECT name, value FROM fact").fetchall())
        if not self._facts.keys() <= stored.keys():
            raise damaged()
        if any(stored[name] != value for name, value in self._facts.items()):
            made = ", ".join(f"{name} {stored[name]}" for name in self._facts)
            asked = ", ".join(f"{name} {value}" for name, value in self._facts.items())
            raise Conflict(f"This index file was made for {made}, not for {asked}. Give each model its own.")

    def _create(self, connection: sqlite3.Connection) -> None:
        if not _is_blank(connection):
            return
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("CREATE TABLE fact (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID")
        for statement in self._schema:
            connection.execute(statement)
        connection.executemany("INSERT INTO fact VALUES (?, ?)", self._facts.items())


def replace_file(path: Path) -> None:
    """Delete an index file, so that the next call of any process begins a new one. Raises ``DependencyUnavailable``.

    A process that is in the middle of a call ends it on the old file; what it wrote there is lost, and its photo's lease shows
    that somebody was at work."""
    try:
        with _opening(path, fcntl.LOCK_EX):
            # The file first: who holds it open then sees that it has moved, and leaves the new one's journal alone.
            for name in ("", "-wal", "-shm"):
                path.with_name(path.name + name).unlink(missing_ok=True)
    except OSError as error:
        raise DependencyUnavailable(
            f"The index file can't be replaced: {os.strerror(error.errno or 0)}. Check its folder and who may write there."
        ) from error


@contextmanager
def _opening(path: Path, way: int) -> Iterator[None]:
    """Keep processes that open a file and one that deletes it and its journal apart."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, way)
        yield
    finally:
        os.close(lock)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        told = path.stat()
    except FileNotFoundError:
        return None
    return told.st_dev, told.st_ino


def _is_blank(connection: sqlite3.Connection) -> bool:
    blank: bool = connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0]
    return blank and _number(connection, "application_id") == 0


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    value: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return value


def _transaction(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return result


def _primary(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)) & 0xFF


def _is_no_text(error: sqlite3.Error) -> bool:
    """A text that is no UTF-8 is Python's own finding, which has no number."""
    return isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")


def _failure(error: sqlite3.Error) -> CandidError:
    code = int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE))
    if code in _DAMAGED_IN_FULL or _primary(error) in _DAMAGED or _is_no_text(error):
        return damaged()
    if _primary(error) in _BUSY:
        return DependencyUnavailable("The index file is held by other processes. Try again in a minute.")
    if _primary(error) == sqlite3.SQLITE_FULL:
        return DependencyUnavailable(
            "The disk that holds the index file is full, and nothing of this call was written. Make room, then try again."
        )
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return DependencyUnavailable(f"The index file can't be used now ({name}). Try again in a minute.")


_files: weakref.WeakSet[ExactFile] = weakref.WeakSet()
_held: list[ExactFile] = []
_forking = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()
    for file in list(_files):
        file.lock.acquire()
        _held.append(file)
        file.disconnect()


def _after_fork() -> None:
    while _held:
        _held.pop().lock.release()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
