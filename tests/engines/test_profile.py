import pytest

from engines.errors import UserError
from engines.profile import Profile, parse_profile
from engines.spec import GeneratorSpec

SPEC = GeneratorSpec(base_channels=8, blocks=1)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1080p", (1080, 1920)), ("720p", (720, 1280)), ("640x360", (360, 640)),
     ("639x357", (360, 640)), ("1x1", (8, 8))],
)  # fmt: skip
def test_one_size_is_rounded_up_to_what_the_generator_takes(text, size):
    profile = parse_profile(text, SPEC, batch=2)
    assert profile == Profile(size, size, size, 2)
    assert profile.fixed == size
    assert str(profile) == f"{size[1]}x{size[0]}"


def test_three_sizes():
    profile = parse_profile("64x64:720p:1080p", SPEC)
    assert (profile.least, profile.usual, profile.most) == ((64, 64), (720, 1280), (1080, 1920))
    assert profile.fixed is None
    assert str(profile) == "64x64:1280x720:1920x1080"


@pytest.mark.parametrize(
    "text", ["", "big", "640", "640x", "x360", "0x4", "640x360:720p", "1x1:2x2:3x3:4x4", "-4x4",
             "720p:640x360:1080p", "1080P"],
)  # fmt: skip
def test_nonsense_is_the_users_error(text):
    with pytest.raises(UserError):
        parse_profile(text, SPEC)


def test_a_batch_of_nothing():
    with pytest.raises(UserError, match="holds no frame"):
        parse_profile("720p", SPEC, batch=0)
