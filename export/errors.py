"""What an export refuses with."""


class ExportError(Exception):
    """A network cannot be built or exported, or its file is not faithful; the message says why and what to do."""
