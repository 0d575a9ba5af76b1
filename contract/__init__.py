"""What client, server, export and Triton's own Python models must agree on, each thing once. Standard library only.

`config.pbtxt` stays the truth of the tensors' shapes and types. Triton's Python models find this folder beside them.
"""
