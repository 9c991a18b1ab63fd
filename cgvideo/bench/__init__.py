"""How fast a model runs here: every engine alone, every stage of a conversion, and the whole.

In the same rounds runs what anyone could have had instead: PyTorch as one would write it first, and
onnxruntime. So the ratios hold on a machine whose speed drifts. What fails is a row with its reason.
"""

from cgvideo.bench.measure import SECONDS, bench
from cgvideo.bench.report import Report, Row

__all__ = ["SECONDS", "Report", "Row", "bench"]
