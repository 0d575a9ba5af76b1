"""Becomes tritonserver, and asks the kernel to end it when its parent ends, in whatever way.

Run as `python child.py PARENT_PID COMMAND …`. A parent killed with SIGKILL cannot clean up; the kernel then sends this
process SIGTERM, and tritonserver stops its stubs and removes its shared memory as in any orderly shutdown. By hand,
because no library does it, and `preexec_fn` of subprocess is not safe in a process with threads, such as gRPC's.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for SIGTERM at the parent's end, and replace this process by the command."""
    parent = int(sys.argv[1])
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() == parent:  # else it ended before the kernel was asked
        os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
