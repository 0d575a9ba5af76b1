"""Promises of `face`: Google's answers, faces found and lit by their own shape, `inflate` where there are none."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from export.networks.inflate import Inflate
from export.networks.pattern_bank import PatternBank
from export.networks.people.face import Face
from export.networks.people.face_detector import FaceDetector
from export.networks.people.face_mesh import FaceMesh
from export.networks.people.faces import Faces
from export.networks.people.relief import SIDE, Relief
from export.networks.people.shipped import load_shipped
from tests.export.networks.people.litert import astronaut, halved, litert, tensor
from tests.export.networks.people.photos import aspect, open_photo, square
from tests.rig.lights import light
from tests.rig.lights import tensors as lights


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Face:
    folder = tmp_path_factory.mktemp("materials")
    Image.new("L", (8, 8), 255).save(folder / "plain.png")  # drawing the built-in patterns takes seconds
    return Face(PatternBank(folder, built_in=False)).eval()


def find(face: Face, name: str) -> tuple[Tensor, Tensor, Tensor]:
    photo = open_photo(name)
    with torch.no_grad():
        points, side, seen = face.faces(square(photo, 518) / 255.0, aspect(photo))
    return points, side, seen


def test_the_detector_is_the_original_file() -> None:
    with torch.no_grad():
        logits, boxes = load_shipped(FaceDetector(), "face_detector")(
            tensor(halved(astronaut()[:384, :384]) / 127.5 - 1.0)
        )
    assert np.abs(logits[0].numpy() - litert("detector_logits")).max() < 1e-3
    places = litert("detector_places").astype(int)
    assert np.abs(boxes[0].numpy()[places] - litert("detector_boxes")).max() < 1e-3


def test_the_mesh_is_the_original_file() -> None:
    crop = astronaut()[48:176, 160:288].repeat(2, 0).repeat(2, 1) / 255.0
    with torch.no_grad():
        points, presence = load_shipped(FaceMesh(), "face_mesh")(tensor(crop))
    assert np.abs(points[0].numpy() - litert("mesh_points")).max() < 1e-3
    assert abs(presence.item() - litert("mesh_presence").item()) < 1e-3


def test_a_face_is_found_where_it_is(face: Face) -> None:
    points, side, seen = find(face, "astronaut.png")
    assert seen[0, 0].item() > 0.8
    assert seen[0, 1].item() < 0.1, "there is one"
    nose = points[0, 0, 1]
    assert nose[:2].tolist() == pytest.approx([0.44, 0.25], abs=0.02)
    assert nose[2] > points[0, 0, 234, 2], "nearer than the ear"
    assert 0.2 < side[0, 0].item() < 0.5


def test_two_faces_are_found_in_a_wide_photo(face: Face) -> None:
    points, _, seen = find(face, "both")
    assert seen.min().item() > 0.8
    assert sorted(points[0, :, 1, 0].tolist()) == pytest.approx([0.44, 1.45], abs=0.05)


def test_without_a_face_it_is_inflate(face: Face) -> None:
    photo = open_photo("coffee.png")
    inflate = Inflate(face.patterns).eval()
    given = (
        square(photo, 518),
        torch.full((1, 1, 288, 288), 0.8),
        aspect(photo),
        *lights(light(90), light(-30, relief=2.0)),
    )
    with torch.no_grad():
        assert all(map(torch.equal, face(*given), inflate(*given)))


def test_light_from_a_side_lights_that_side_of_a_face(face: Face) -> None:
    photo = open_photo("astronaut.png")
    alpha = torch.zeros(1, 1, 288, 288)
    alpha[..., 10:, 40:200] = 1.0
    given = (square(photo, 518), alpha, aspect(photo))
    with torch.no_grad():
        shading = face(*given, *lights(light(0), light(180), light(90), light(-90)))[0][0, :, 0].float()
    # In pixels of 518: cheeks beside the nose, and below and above the tip of the nose.
    left, right = shading[:, 112:135, 200:212].mean((1, 2)), shading[:, 112:135, 245:257].mean((1, 2))
    assert right[0] > left[0] + 0.1
    assert left[1] > right[1] + 0.1
    under, bridge = shading[:, 135:140, 222:232].mean((1, 2)), shading[:, 105:112, 226:234].mean((1, 2))
    assert under[2] > bridge[2], "y points down: this light comes from below"
    assert bridge[3] > under[3]


def test_a_nose_casts_a_shadow_under_a_high_light_the_softer_the_larger_the_light(face: Face) -> None:
    photo = open_photo("grace_hopper.jpg")
    alpha = torch.zeros(1, 1, 288, 288)
    alpha[..., 10:, 60:230] = 1.0
    strength = {"cast_shadow": 1.0, "ambient": 0.0}
    small, large, none = (
        light(-90, 40, angular_size=3.0, **strength),
        light(-90, 40, angular_size=30.0, **strength),
        light(-90, 40, ambient=0.0),
    )
    with torch.no_grad():
        shading = face(square(photo, 518), alpha, aspect(photo), *lights(small, large, none))[0][0, :, 0].float()
        nose = face.faces(square(photo, 518) / 255.0, aspect(photo))[0][0, 0, 1]
    x, y = int(nose[0] / aspect(photo).item() * 518), int(nose[1] * 518)
    lip = slice(y + 10, y + 13), slice(x - 3, x + 4)
    hard, soft, lit = (one[lip].mean().item() for one in shading)
    assert lit > 0.4, "it faces the light"
    assert hard < 0.1 * lit
    assert 0.15 * lit < soft < 0.5 * lit
    bridge = slice(y - 40, y - 20), slice(x - 2, x + 3)
    assert (shading[0] / shading[2])[bridge].min() > 0.95


def test_a_ball_is_drawn_with_its_own_slopes() -> None:
    # A net over a half sphere of radius 0.3 in the middle of a photo twice as wide as it is high.
    steps = torch.linspace(-1.0, 1.0, 41)
    y, x = torch.meshgrid(0.21 * steps, 0.21 * steps, indexing="ij")
    points = torch.stack((x + 1.0, y + 0.5, torch.sqrt(0.09 - x * x - y * y)), 2).reshape(1, 1, -1, 3)
    corner = (torch.arange(40).unsqueeze(1) * 41 + torch.arange(40)).reshape(-1)
    turned = torch.stack((corner, corner + 41, corner + 1), 1), torch.stack((corner + 1, corner + 41, corner + 42), 1)
    slope, height, cover = Relief(torch.cat(turned))(
        points, points[..., 2:], torch.full((1, 1, 1), 0.03), torch.ones(1, 1, 1), torch.tensor([[2.0]])
    )
    assert cover[0, 0, SIDE // 2, SIDE // 2].item() == pytest.approx(1.0, abs=0.05)
    assert cover[0, 0, 5, 5].item() == 0.0
    # At 0.1 right of the middle the ball falls by 0.1 / √(0.09 − 0.01).
    column = int(1.1 / 2.0 * SIDE)
    assert slope[0, 0, SIDE // 2, column].item() == pytest.approx(-0.354, abs=0.03)
    assert height[0, 0, SIDE // 2, column].item() == pytest.approx(0.08**0.5, abs=0.01)
    assert slope[0, 1, SIDE // 2, column].item() == pytest.approx(0.0, abs=0.03)


def test_rows_do_not_depend_on_their_batch() -> None:
    faces = Faces()
    photos = [open_photo(name) for name in ("astronaut.png", "both", "coffee.png")]
    pixels = torch.cat([square(photo, 518) for photo in photos]) / 255.0
    wide = torch.cat([aspect(photo) for photo in photos])
    with torch.no_grad():
        together = faces(pixels, wide)
        for row in range(3):
            alone = faces(pixels[row : row + 1], wide[row : row + 1])
            for one, all_ in zip(alone, together, strict=True):
                assert torch.allclose(one[0], all_[row], atol=1e-4)
