"""A model repository whose networks cost next to nothing and let a photo through as it is.

Everybody is there, the albedo is the photo, and the only light is the ambient one: what comes out shows what went in.
"""

import hashlib
import json
import shutil
from pathlib import Path

import onnx
from onnx import parser

from contract.light import PATTERNS
from contract.versions import REPORT
from export.files.repository import lay_out

HEADER = '<ir_version: 10, opset_import: ["" : 18]>'
GRAPHS = {
    "segment": """segment (uint8[N,3,1008,1008] SEGMENT_PIXELS, int64[N,32] TOKENS, int64[N,32] TOKEN_MASK,
                           float[N,2] THRESHOLDS, float[N,1] ASPECT)
        => (float[N,1,288,288] ALPHA, float[N,1] SCORE, float[N,4] BOX, int32[N,1] COUNT) {
        zero = Sub (ASPECT, ASPECT)
        SCORE = Exp (zero)
        COUNT = Cast <to = 6> (SCORE)
        BOX = Concat <axis = 1> (zero, zero, SCORE, SCORE)
        plane = Constant <value_ints = [-1, 1, 1, 1]> ()
        size = Constant <value_ints = [1, 1, 288, 288]> ()
        one = Reshape (SCORE, plane)
        ALPHA = Expand (one, size)
    }""",
    "albedo": """albedo (uint8[N,3,768,768] ALBEDO_PIXELS) => (float16[N,3,768,768] ALBEDO, float[N,1] RESIDUAL) {
        levels = Cast <to = 1> (ALBEDO_PIXELS)
        brightest = Constant <value_float = 255.0> ()
        gamma = Constant <value_float = 2.2> ()
        share = Div (levels, brightest)
        linear = Pow (share, gamma)
        ALBEDO = Cast <to = 10> (linear)
        axes = Constant <value_ints = [1, 2, 3]> ()
        mean = ReduceMean <keepdims = 0> (linear, axes)
        plane = Constant <value_ints = [-1, 1]> ()
        RESIDUAL = Reshape (mean, plane)
    }""",
    "shadow": """shadow (uint8[N,3,518,518] SHADOW_PIXELS, float[N,1,288,288] ALPHA, float[N,1] ASPECT,
                         float[N,K,L,16] LIGHT, float[N,K,32] SCENE)
        => (float16[N,K,6,518,518] SHADING, float16[N,3,518,518] NORMAL, float16[N,1,518,518] HEIGHT) {
        axis = Constant <value_ints = [2]> ()
        start = Constant <value_ints = [0]> ()
        stop = Constant <value_ints = [3]> ()
        ambient = Slice (SCENE, start, stop, axis)
        nothing = Sub (ambient, ambient)
        both = Concat <axis = 2> (ambient, nothing)
        last = Constant <value_ints = [3, 4]> ()
        even = Unsqueeze (both, last)
        half = Cast <to = 10> (even)
        size = Constant <value_ints = [1, 1, 1, 518, 518]> ()
        SHADING = Expand (half, size)
        plane = Constant <value_ints = [-1, 1, 1, 1]> ()
        aspect = Reshape (ASPECT, plane)
        zero = Sub (aspect, aspect)
        one = Exp (zero)
        toward = Concat <axis = 1> (zero, zero, one)
        flat = Constant <value_ints = [1, 1, 518, 518]> ()
        wide = Expand (toward, flat)
        NORMAL = Cast <to = 10> (wide)
        level = Expand (zero, flat)
        HEIGHT = Cast <to = 10> (level)
    }""",
}


def write_plain_models(folder: Path, repository: Path) -> Path:
    """Write the repository to `folder`, with `recombine` from the exported one; return `folder`."""
    lay_out(folder)
    shutil.copytree(repository / "recombine" / "1", folder / "recombine" / "1", dirs_exist_ok=True)
    for name, graph in GRAPHS.items():
        model = parser.parse_model(f"{HEADER} {graph}")
        onnx.checker.check_model(model)
        content = model.SerializeToString()
        version = folder / name / "1"
        (version / "model.onnx").write_bytes(content)
        report = {"network": "plain", "weights": "none", "format": "onnx", "patterns": list(PATTERNS)}
        report["sha256"] = hashlib.sha256(content).hexdigest()
        (version / REPORT).write_text(json.dumps(report))
    return folder
