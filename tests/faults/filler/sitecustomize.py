"""Fills a disk while a command works. Every Python process with this folder in PYTHONPATH imports it when it starts.

It is controlled by environment variables. FILLER_DISK: a folder. FILLER_LOG: a file that gets the name of every file
opened there for writing. FILLER_AT: the opening at which space runs out, counted from 1 over all processes; 0: never.
FILLER_ROOM: bytes left then. FILLER_KIND: "disk", the disk is filled with a file; "limit", no file may become longer
than FILLER_ROOM from then on (for a disk that other programs need).
"""

import contextlib
import errno
import os
import resource
import sys

DISK, LOG, KIND = (os.environ.get(f"FILLER_{name}", "") for name in ("DISK", "LOG", "KIND"))
AT, ROOM = (int(os.environ.get(f"FILLER_{name}", 0)) for name in ("AT", "ROOM"))


def fill():
    if KIND == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
        return
    try:
        file = os.open(os.path.join(DISK, ".filler"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    try:
        while os.write(file, bytes(1 << 20)):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    os.truncate(file, max(os.fstat(file).st_size - ROOM, 0))
    os.close(file)


def watch(event, arguments):
    if event != "open" or not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        return
    try:
        path = os.path.abspath(os.fspath(arguments[0]))
    except TypeError:  # a file descriptor
        return
    if not path.startswith(os.path.join(DISK, "")) or path.endswith(".filler"):
        return
    with contextlib.suppress(OSError):  # the limit holds for the log too
        os.write(log, f"{os.path.relpath(path, DISK)}\n".encode())
    if AT and os.pread(log, 1 << 20, 0).count(b"\n") >= AT:
        fill()


if DISK:
    DISK = os.path.abspath(DISK)
    log = os.open(LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    sys.addaudithook(watch)
