"""What this machine offers a conversion, what it means for the speed, and what would mend it.

`examine` looks; `diagnose` says what it means, and is a pure function of what was seen.
"""

from cgvideo.doctor.diagnosis import Diagnosis, diagnose
from cgvideo.doctor.examination import Examination, examine
from cgvideo.doctor.finding import Finding

__all__ = ["Diagnosis", "Examination", "Finding", "diagnose", "examine"]
