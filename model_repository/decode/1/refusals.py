"""Why a file is no photo that can be used: one sentence for the person who sent it."""

from __future__ import annotations


class PhotoError(ValueError):
    """The bytes are no usable photo. The message is one sentence for the person who sent them."""


def unsupported(kind: str) -> PhotoError:
    """The file is sound as far as can be told, and of a kind that is not read. `kind` names it: "a JPEG XL"."""
    return PhotoError(f"This kind of file ({kind}) cannot be read: convert it to JPEG or PNG.")


def truncated(kind: str, data: bytes) -> PhotoError:
    """The file ends too early."""
    return PhotoError(
        f"The file is truncated: the {kind} ends after {len(data):,} bytes, before its last pixel; "
        f"transfer or save it again."
    )


def damaged(kind: str, reason: object) -> PhotoError:
    """The file contradicts its format; `reason` says where, without a full stop."""
    return PhotoError(f"The file is damaged: the {kind} cannot be decoded ({reason}); save it again.")
