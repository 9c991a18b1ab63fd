"""An HDR source's light levels, for an encoder that writes them into its stream."""

from cgvideo.clip import Light

PARAMETERS = {"libx265": "x265-params", "libsvtav1": "svtav1-params"}
"""The option, a list with colons, of the encoders that can."""


def with_light(
    options: tuple[tuple[str, str], ...], encoder: str, light: Light
) -> tuple[tuple[str, str], ...]:
    """An encoder's options (one of PARAMETERS) with mastering display and light levels added.

    x265 counts places in 1/50000 and cd/m2 in 1/10000; SVT-AV1 takes them as they are.
    """
    name = PARAMETERS[encoder]
    whole = encoder == "libx265"
    said = ["hdr10=1"] if whole else []
    if light.mastering:
        rx, ry, gx, gy, bx, by, wx, wy, least, most = light.mastering
        places = {"G": (gx, gy), "B": (bx, by), "R": (rx, ry), "WP": (wx, wy)}
        written = [
            f"{place}({round(x * 50000)},{round(y * 50000)})"
            if whole
            else f"{place}({float(x):.5f},{float(y):.5f})"
            for place, (x, y) in places.items()
        ]
        written.append(
            f"L({round(most * 10000)},{round(least * 10000)})"
            if whole
            else f"L({float(most):.4f},{float(least):.4f})"
        )
        said.append(f"{'master-display' if whole else 'mastering-display'}={''.join(written)}")
    if light.brightest or light.brightest_frame:
        levels = f"{light.brightest},{light.brightest_frame}"
        said.append(f"{'max-cll' if whole else 'content-light'}={levels}")
    known = dict(options)
    known[name] = ":".join([*filter(None, [known.get(name, "")]), *said])
    return tuple(sorted(known.items()))
