"""The loopback interface: a new network namespace (`unshare -n`) has it off, and then a machine cannot reach itself."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys

_GET_FLAGS, _SET_FLAGS = 0x8913, 0x8914  # SIOCGIFFLAGS, SIOCSIFFLAGS of linux/sockios.h
_UP = 0x1  # IFF_UP of net/if.h
_REQUEST = struct.Struct("16sh14x")  # struct ifreq: the name, then the flags

NAME = "lo"
REMEDY = f"run `ip link set {NAME} up` as root"


def is_up() -> bool:
    """Whether this machine reaches itself. Where we cannot ask (not Linux), it is taken for granted."""
    if sys.platform != "linux":
        return True
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return bool(_flags(probe) & _UP)


def switch_on() -> bool:
    """Makes it so if it is not; False where that is not ours to do."""
    if is_up():
        return True
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            fcntl.ioctl(probe, _SET_FLAGS, _REQUEST.pack(NAME.encode(), _flags(probe) | _UP))
        except PermissionError:
            return False
    return is_up()


def _flags(probe: socket.socket) -> int:
    answer = fcntl.ioctl(probe, _GET_FLAGS, _REQUEST.pack(NAME.encode(), 0))
    return int(_REQUEST.unpack(answer)[1])
