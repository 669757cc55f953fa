"""A program of the kernel's packet filter on a port, which decides about new connections before a process sees them."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from typing import Final

POSSIBLE: Final = sys.platform == "linux"
_ATTACH: Final = 26  # SO_ATTACH_FILTER, for which Python has no name
_LOAD_BYTE: Final = 0x30  # BPF_LD | BPF_B | BPF_ABS
_IF_ANY: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_FLAGS: Final = 13  # of the TCP header
_SYN: Final = 0x02
_WHOLE: Final = 0xFFFF
_PROGRAM: Final = (  # what to do, steps to pass over if it is true and if it is false, with what
    (_LOAD_BYTE, 0, 0, _FLAGS),
    (_IF_ANY, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _WHOLE),
)


def shut(one: socket.socket) -> None:
    """Let no new connection begin on a listening socket, and finish those that have.

    Whoever asks from now on hears nothing, tries again within a second, and is refused once the socket is closed.
    Closed at once, it would break connections that were made and not yet taken, with what was sent on them.
    """
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _PROGRAM))
    one.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("@HP", len(_PROGRAM), ctypes.addressof(code)))
