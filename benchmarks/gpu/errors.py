"""The one way in which this benchmark ends without having measured."""


class CannotMeasureError(Exception):
    """Nothing can be measured; the message says why and what to do. What prevents one point alone is its finding."""
