"""The sample photos through the real server with the real client, and a contact sheet of what came back."""

import csv
import json
import math
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from server.derive import this_machine
from server.embedded import Options, embedded_server
from server.installation import ServerError

ROOT = Path(__file__).resolve().parent
SAMPLES = ROOT / "samples"
OUTPUT = ROOT / "out" / "demo"
PICTURES = OUTPUT / "samples"
SHEET = OUTPUT / "contact_sheet.jpg"
VARIANTS = 3

CELL = 320  # pixels: the longer side of every picture
GAP = 12
HEADER, CAPTION = 48, 64  # heights of the text above the columns and below the pictures
PAPER, INK, FAINT = "#f7f7f5", "#222222", "#8a8a86"
HEADINGS = ("photo", "mask", "albedo", *(f"relit {k + 1}" for k in range(VARIANTS)))


def main() -> int:
    """Run the demo; return 0, the client's exit code when it failed, or 1 when there is no server."""
    options = Options(ROOT / "model_repository", this_machine(gpus=0), grpc_port=0, http_port=0, metrics_port=0)
    try:
        print("Starting Triton …", flush=True)
        with embedded_server(options) as server:
            code = run_client(server.grpc_url)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if code != 0:
        print(f"The client failed (exit code {code}). Triton's log: {server.log}", file=sys.stderr)
        return code
    draw_sheet().save(SHEET, quality=92)
    print(f"\nContact sheet: {SHEET}\nPictures:      {PICTURES}\n")
    print("Now your own photos. Make a CSV with a column image_path, start a server and leave it running:")
    print(f"  {python()} -m server\nand in another terminal:")
    print(f"  {python()} client/run_csv.py --csv val_images.csv --output out/")
    return 0


def run_client(url: str) -> int:
    """Run the client as anyone would, showing the command; return its exit code."""
    arguments = ["--csv", "samples/samples.csv", "--output", "out/demo", "--url", url]
    pictures = ["--variants", str(VARIANTS), "--files", "output,albedo,mask"]
    command = [python(), "client/run_csv.py", *arguments, *pictures]
    print(f"$ {shlex.join(command)}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def python() -> str:
    """This Python as one types it in the project's folder."""
    interpreter = Path(sys.executable)
    return os.path.relpath(interpreter, ROOT) if interpreter.is_relative_to(ROOT) else str(interpreter)


def draw_sheet() -> Image.Image:
    """Lay out one row per sample: photo, mask, albedo and the relit variants with their lights."""
    with (SAMPLES / "samples.csv").open(newline="", encoding="utf-8") as stream:
        rows = [draw_row(index, row) for index, row in enumerate(csv.DictReader(stream))]
    sheet = Image.new("RGB", (rows[0].width, HEADER + sum(row.height for row in rows)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(26)
    for column, heading in enumerate(HEADINGS):
        draw.text((left(column) + CELL // 2, HEADER // 2 + 4), heading, INK, font, anchor="mm")
    top = HEADER
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def draw_row(index: int, row: dict[str, str]) -> Image.Image:
    """Draw a sample's pictures side by side, its name and its lights below them."""
    metadata: dict[str, Any] = json.loads((PICTURES / f"{index:05d}_metadata.json").read_text())
    names = [name for picture in ("mask", "albedo", "output") for name in metadata["files"][picture]]
    cells = [fit(file) for file in (SAMPLES / row["image_path"], *(PICTURES / name for name in names))]
    height = cells[0].height
    strip = Image.new("RGB", (left(len(cells)), height + CAPTION), PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(20)
    for column, cell in enumerate(cells):
        strip.paste(cell, (left(column) + (CELL - cell.width) // 2, 0))
    draw.text((left(0) + CELL // 2, height + 8), row["name"], INK, font, anchor="mt")
    for column, light in enumerate(metadata["lights"], start=len(cells) - VARIANTS):
        draw_light(draw, left(column), height, light)
    return strip


def draw_light(draw: ImageDraw.ImageDraw, x: int, y: int, light: dict[str, Any]) -> None:
    """Say where a light stands, in numbers and as a dot on a disc seen from the camera: the rim is elevation 0."""
    radius, centre = 20, (x + 46, y + 30)
    draw.circle(centre, radius, outline=FAINT, width=2)
    azimuth, reach = math.radians(light["azimuth"]), radius * math.cos(math.radians(light["elevation"]))
    draw.circle((centre[0] + reach * math.cos(azimuth), centre[1] + reach * math.sin(azimuth)), 5, fill="#e08a00")
    numbers = f"azimuth {light['azimuth']:.0f}°, elevation {light['elevation']:.0f}°\nambient {light['ambient']:.2f}"
    draw.multiline_text((x + 78, y + 8), numbers, INK, ImageFont.load_default(18), spacing=6)


def fit(file: Path) -> Image.Image:
    """Read a picture and scale it into a cell."""
    with Image.open(file) as image:
        scale = CELL / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def left(column: int) -> int:
    """Return where a column begins, in pixels."""
    return GAP + column * (CELL + GAP)


if __name__ == "__main__":
    sys.exit(main())
