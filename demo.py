"""The sample photos through the real server with the real client; a contact sheet and a gallery of what came back."""

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

from contract.command import run
from server.derive import this_machine
from server.embedded import Options, embedded_server
from server.installation import ServerError

ROOT = Path(__file__).resolve().parent
SAMPLES = ROOT / "samples"
OUTPUT = ROOT / "out" / "demo"
SHEET, GALLERY = OUTPUT / "contact_sheet.jpg", OUTPUT / "gallery.html"
VARIANTS = 3
ROWS_FAILED = 1  # the client's exit code when it has finished and some rows failed

CELL = 320  # pixels: the longer side of a sample's pictures
# What is shown of the pictures of lights: left, top, right, bottom as shares.
HEADS = {"astronaut.png": (0.2, 0.0, 0.65, 0.42), "grace_hopper.jpg": (0.19, 0.02, 0.83, 0.55)}
SMALL, PER_ROW = 188, 10  # the same for the pictures of lights, and how many make a row
GAP = 12
HEADER, CAPTION = 48, 64  # heights of the text above the pictures and below
PAPER, INK, FAINT = "#f7f7f5", "#222222", "#8a8a86"
ONE_SOURCE = (
    "light from eight directions, without and with shine",
    "the ten shadow patterns, light from the upper left",
)
SEVERAL = ("key, fill and rim lights", "the built-in environments; a bright spot is a source")
LIGHTS = (*ONE_SOURCE, *ONE_SOURCE, *SEVERAL)
DOTS = {"key": "#e08a00", "sun": "#e08a00", "fill": "#4a90d9", "rim": "#9b59b6"}  # on a dial, by the kind of a source
COLUMNS = 3 + VARIANTS


def main() -> int:
    """Run the demo; return 0, the client's exit code when it failed, or 1 when there is no server."""
    options = Options(ROOT / "model_repository", this_machine(gpus=0), grpc_port=0, http_port=0, metrics_port=0)
    try:
        print("Starting Triton …", flush=True)
        with embedded_server(options) as server:
            code = run_clients(server.grpc_url)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    if code != 0:
        print(f"The client failed (exit code {code}). Triton's log: {server.log}", file=sys.stderr)
        return code
    draw_sheet().save(SHEET, quality=92)
    command = [python(), "-m", "client.gallery", "out/demo"]
    print(f"$ {shlex.join(command)}", flush=True)
    if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
        return code
    print(f"\nContact sheet: {SHEET}\nGallery:       {GALLERY}\nPictures:      {OUTPUT}\n")
    print("Now your own photos. Make a CSV with a column image_path, start a server and leave it running:")
    print(f"  {python()} -m server\nand in another terminal:")
    print(f"  {python()} client/run_csv.py --csv val_images.csv --output out/")
    return 0


def run_clients(url: str) -> int:
    """Run the client over each table of samples; return its exit code where that is not as it should be, else 0."""
    code = run_client(url, "samples/samples.csv", "--variants", str(VARIANTS))
    code = code or run_client(url, "samples/lights.csv", "--files", "output,input")
    if code != 0:
        return code
    print("Now a photo without a person. Its row should fail and say why:", flush=True)
    code = run_client(url, "samples/nobody.csv", "--variants", str(VARIANTS))
    return 0 if code == ROWS_FAILED else code


def run_client(url: str, table: str, *options: str) -> int:
    """Run the client as anyone would, showing the command; return its exit code."""
    command = [python(), "client/run_csv.py", "--csv", table, "--output", "out/demo", "--url", url]
    command += ["--restart", *options]  # networks may have been exported anew since the last time
    print(f"$ {shlex.join(command)}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def python() -> str:
    """Return this Python as one types it in the project's folder."""
    interpreter = Path(sys.executable)
    return os.path.relpath(interpreter, ROOT) if interpreter.is_relative_to(ROOT) else str(interpreter)


def draw_sheet() -> Image.Image:
    """Lay out the samples, one row each, then the lights: around the head, without and with shine, each pattern."""
    strips = [draw_headings("photo", "mask", "albedo", *(f"relit {k + 1}" for k in range(VARIANTS)))]
    strips += [draw_sample(table, index, row) for table in ("samples", "nobody") for index, row in read_rows(table)]
    names = {row["image_path"]: row["name"] for _, row in read_rows("samples")}
    lights = read_rows("lights")
    for number, first in enumerate(range(0, len(lights), PER_ROW)):
        rows = lights[first : first + PER_ROW]
        strips.append(draw_headings(f"{names[rows[0][1]['image_path']]}: {LIGHTS[number]}"))
        strips.append(side_by_side([draw_light_cell(index, row) for index, row in rows]))
    sheet = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def read_rows(table: str) -> list[tuple[int, dict[str, str]]]:
    """Read the rows of a sample CSV with their numbers."""
    with (SAMPLES / f"{table}.csv").open(newline="", encoding="utf-8") as stream:
        return list(enumerate(csv.DictReader(stream)))


def read_metadata(table: str, index: int) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a table's pictures and the metadata of one row."""
    folder = OUTPUT / table
    return folder, json.loads((folder / f"{index:05d}_metadata.json").read_text("utf-8"))


def draw_headings(*headings: str) -> Image.Image:
    """Draw headings across the sheet, each in an equal share of it."""
    strip = Image.new("RGB", (left(COLUMNS), HEADER), PAPER)
    for number, heading in enumerate(headings):
        middle = ((number + 0.5) * strip.width / len(headings), HEADER / 2 + 4)
        ImageDraw.Draw(strip).text(middle, heading, INK, ImageFont.load_default(26), anchor="mm")
    return strip


def draw_sample(table: str, index: int, row: dict[str, str]) -> Image.Image:
    """Draw a sample's pictures side by side, its name and its lights below them; or why it was refused."""
    with (OUTPUT / f"{table}.csv").open(newline="", encoding="utf-8") as stream:
        error = next(line["error"] for line in csv.DictReader(stream) if line["image_path"] == row["image_path"])
    folder, metadata = (OUTPUT, {"files": {}, "lights": []}) if error else read_metadata(table, index)
    names = [name for picture in ("mask", "albedo", "output") for name in metadata["files"].get(picture, ())]
    cells = [fit(file, CELL) for file in (SAMPLES / row["image_path"], *(folder / name for name in names))]
    height = cells[0].height
    strip = Image.new("RGB", (left(COLUMNS), height + CAPTION), PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(20)
    for column, cell in enumerate(cells):
        x = left(column) + (CELL - cell.width) // 2
        strip.paste(cell, (x, 0))
        draw.rectangle((x, 0, x + cell.width - 1, height - 1), outline=FAINT)  # where a mask ends and the paper begins
    draw.text((left(0) + CELL // 2, height + 8), row["name"], INK, font, anchor="ma")
    for column, light in enumerate(metadata["lights"], start=len(cells) - VARIANTS):
        draw_light(draw, left(column), height, light)
    if error:
        draw.text((left(1), height // 2), f"refused: {error}", INK, ImageFont.load_default(26), anchor="lm")
    return strip


def draw_light_cell(index: int, row: dict[str, str]) -> Image.Image:
    """Draw one picture of samples/lights.csv with the name of its light below."""
    folder, metadata = read_metadata("lights", index)
    picture = fit(folder / metadata["files"]["output"][0], SMALL, HEADS[row["image_path"]])
    cell = Image.new("RGB", (SMALL, picture.height + 36), PAPER)
    cell.paste(picture, ((SMALL - picture.width) // 2, 0))
    draw = ImageDraw.Draw(cell)
    draw.text((SMALL // 2, picture.height + 6), row["name"], INK, ImageFont.load_default(17), anchor="ma")
    if row["pattern"] == "none":
        draw_dial(draw, (16, picture.height + 16), 10, metadata["lights"][0])
    return cell


def side_by_side(cells: list[Image.Image]) -> Image.Image:
    """Lay small cells out across the sheet's width."""
    width = left(COLUMNS)
    strip = Image.new("RGB", (width, max(cell.height for cell in cells)), PAPER)
    for column, cell in enumerate(cells):
        strip.paste(cell, (GAP + column * (width - GAP) // PER_ROW, 0))
    return strip


def draw_light(draw: ImageDraw.ImageDraw, x: int, y: int, light: dict[str, Any]) -> None:
    """Say where the main source of a light stands, in numbers and on a dial, and what else there is."""
    draw_dial(draw, (x + 46, y + 30), 20, light)
    text = light["environment"]["name"] if light["environment"] else "ambient light"
    if light["sources"]:
        main, *others = light["sources"]
        pattern = main["pattern"].replace("_", " ")
        text = f"azimuth {main['azimuth']:.0f}°, elevation {main['elevation']:.0f}°\n"
        text += ", ".join((pattern, *(other["kind"] for other in others)))
    draw.multiline_text((x + 78, y + 8), text, INK, ImageFont.load_default(18), spacing=6)


def draw_dial(draw: ImageDraw.ImageDraw, centre: tuple[int, int], radius: int, light: dict[str, Any]) -> None:
    """Draw a light's sources as dots on a disc seen from the camera: the edge is elevation 0, rings are behind it."""
    draw.circle(centre, radius, outline=FAINT, width=2)
    for source in reversed(light["sources"]):  # the main source on top
        azimuth, elevation = math.radians(source["azimuth"]), math.radians(source["elevation"])
        reach, color = radius * math.cos(elevation), DOTS[source["kind"]]
        dot = (centre[0] + reach * math.cos(azimuth), centre[1] + reach * math.sin(azimuth))
        draw.circle(dot, 2 + radius // 7, fill=color if elevation >= 0 else PAPER, outline=color, width=2)


def fit(file: Path, side: int, part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)) -> Image.Image:
    """Read a picture, cut out a part (left, top, right, bottom in 0–1) and scale its longer side to `side`."""
    with Image.open(file) as whole:
        box = [round(share * size) for share, size in zip(part, whole.size * 2, strict=True)]
        image = whole.crop((box[0], box[1], box[2], box[3]))
        scale = side / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def left(column: int) -> int:
    """Return where a column begins, in pixels."""
    return GAP + column * (CELL + GAP)


if __name__ == "__main__":
    run(main)
