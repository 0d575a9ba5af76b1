"""The client: streams a CSV of photos through the `relight` ensemble, or relights photos from Python."""

from client.api import Relighter, relight
from client.errors import RelightError
from client.light.light import Light
from client.many import Summary, relight_folder
from client.relit import Relit

__all__ = ["Light", "RelightError", "Relighter", "Relit", "Summary", "relight", "relight_folder"]
