"""Becomes tritonserver, asking the kernel to end it when its parent ends, however that happens.

Run as `python child.py PARENT_PID COMMAND …`. A parent killed with SIGKILL cannot tidy up; the kernel then sends this
process SIGTERM, and tritonserver stops its stubs and removes its shared memory as in any orderly shutdown.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process's life to its parent's and replace it by the command."""
    parent = int(sys.argv[1])
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() == parent:  # else it has ended before we asked
        os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
