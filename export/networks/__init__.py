"""Networks whose weights ship with the project: the segmenter and the faces."""
