"""The client: streams a CSV of photos through the `relight` ensemble, or relights one photo at a time from Python."""

from client.api import Relighter, RelightError, Relit, relight
from client.light.light import Light

__all__ = ["Light", "RelightError", "Relighter", "Relit", "relight"]
