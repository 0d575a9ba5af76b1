"""Makes the requests of a row: its lights, its background, and its photo's bytes."""

from __future__ import annotations

from dataclasses import dataclass

from client.errors import RowError
from client.input.backgrounds import Background, read_background
from client.input.row import Row
from client.light.columns import Overrides
from client.light.draw import draw_lights, light_seed
from client.light.light import Light, light_tensors
from client.run.run import Run
from client.triton.parts import PhotoParts, Store, Templates


@dataclass(frozen=True)
class Prepared:
    """A row's lights, its photo's file, and its requests."""

    lights: list[Light]
    image: bytes
    parts: PhotoParts


def prepare(
    run: Run, templates: Templates, row: Row, asked: Overrides, photos: str, image: bytes, store: Store | None = None
) -> Prepared:
    """Draw the lights of a row with the overrides `asked`, and make its requests. Blocks. Raises RowError.

    `photos` is where relative paths start, a folder or a URL; `image` the photo's file; `store` as of PhotoParts.
    """
    background = _background(run, row, asked, row.folder or photos)
    try:
        drawn = draw_lights(run.lighting, run.seed, row.image_path, run.plan.variants, asked, run.environments)
        lights = [light.over(background.kind, background.name) for light in drawn]
        tensors = light_tensors(lights, run.most_sources)
    except ValueError as error:
        raise RowError(str(error)) from error
    prompt = asked.get("prompt", run.prompt)
    return Prepared(lights, image, PhotoParts(templates, image, prompt, tensors, background.picture, store))


def _background(run: Run, row: Row, asked: Overrides, folder: str) -> Background:
    if "background" in asked:
        return read_background(asked["background"], folder, run.access.timeout)
    return run.backgrounds.choose(light_seed(asked.get("seed", run.seed), row.image_path, 0))
