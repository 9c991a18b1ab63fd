"""How long N workers take for a clip, played through segment by segment from measured stage times.

    python benchmarks/cluster.py --render 0.100 --decode 0.004 --scout 0.001 --join 0.0002 --frames 90000

Times are seconds a frame. What is played: a scout that decodes in order, makes RGB of one picture in 96,
and is at most four segments ahead, workers that decode a lead-in and translate their neighbours' frames, one join at the end.
"""

import argparse
import heapq

SEGMENT = 96
AROUND, NEIGHBOURS, AHEAD = 116, 6, 4


def simulate(
    workers: int, frames: int, render: float, decode: float, scout: float, join: float
) -> float:
    """Seconds from the first frame to the finished file."""
    segments = -(-frames // SEGMENT)
    free = [0.0] * workers  # when each worker has nothing to do
    heapq.heapify(free)
    scouted = 0.0
    begun: list[float] = []
    ended = 0.0
    for number in range(segments):
        # The scout rests while it is as far ahead as it may be.
        waited = begun[number - AHEAD] if number >= AHEAD else 0.0
        begins = max(scouted, heapq.heappop(free))
        scouted = max(scouted, waited) + SEGMENT * scout
        begun.append(begins)
        size = min(SEGMENT, frames - number * SEGMENT)
        takes = (size + NEIGHBOURS) * render + (size + NEIGHBOURS + AROUND) * decode
        heapq.heappush(free, begins + takes)
        ended = max(ended, begins + takes)
    return ended + frames * join


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    usually = {"render": 0.100, "decode": 0.004, "scout": 0.001, "join": 0.0002}
    for name, usual in usually.items():
        parser.add_argument(f"--{name}", type=float, default=usual, help="seconds a frame")
    parser.add_argument("--frames", type=int, default=90_000)
    chosen = parser.parse_args()
    one = chosen.frames * (
        chosen.render + chosen.decode + chosen.join
    )  # in one process, no lead-ins
    print("| workers | hours | times as fast as one process | of the ideal |")
    print("|---|---|---|---|")
    for workers in (1, 2, 4, 10, 30, 100, 300):
        took = simulate(
            workers, chosen.frames, chosen.render, chosen.decode, chosen.scout, chosen.join
        )
        share = 100 * one / took / workers
        print(f"| {workers} | {took / 3600:.2f} | {one / took:.1f} | {share:.0f} % |")


if __name__ == "__main__":
    main()
