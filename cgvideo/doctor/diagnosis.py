"""What was seen, as a friendly expert would put it."""

from dataclasses import dataclass

from cgvideo.doctor.examination import Examination
from cgvideo.doctor.finding import Finding
from cgvideo.doctor.machine import memory_findings, nvidia_findings, processor_findings
from cgvideo.doctor.software import folder_findings, runtime_findings, video_findings
from cgvideo.estimate import OVERHEAD


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the findings come to, in one sentence; `able`: a conversion runs."""

    findings: tuple[Finding, ...]
    summary: str
    able: bool


def diagnose(seen: Examination) -> Diagnosis:
    """Say what everything that was seen means."""
    findings = [
        *processor_findings(seen.processor, seen.survey.runtimes["openvino"]),
        *memory_findings(seen.memory),
        *nvidia_findings(seen.survey, seen.speed),
        *runtime_findings(seen),
        *video_findings(seen),
        *folder_findings(seen),
    ]
    if seen.speed.problem and not any(finding.vital for finding in findings):
        findings.append(
            Finding(
                "Conversion",
                f"the engine that convert chooses fails: {seen.speed.problem}",
                "no conversion runs as it is",
                "try convert … --device cpu, or --backend openvino",
                "broken",
                vital=True,
            )
        )
    able = not any(finding.vital for finding in findings)
    return Diagnosis(tuple(findings), _summary(seen, findings, able), able)


def _summary(seen: Examination, findings: list[Finding], able: bool) -> str:
    broken = [finding for finding in findings if finding.mark == "broken"]
    if not able:
        first = next(finding for finding in findings if finding.vital)
        return f"As it is, convert does not run on this machine: {first.found}. To mend it: {first.mend}."
    identity = seen.speed.facts["identity"]
    names = {"openvino": "OpenVINO", "torch": "PyTorch", "tensorrt": "TensorRT"}
    engine = names[identity["backend"]]
    speed = 1 / (seen.speed.facts["seconds"] * OVERHEAD)
    better = sum(finding.mark == "better" for finding in findings)
    state = "nothing is broken"
    if broken:
        state = f"{len(broken)} thing{'s are' if len(broken) > 1 else ' is'} broken that it can do without"
    if better:
        state += f", {better} thing{'s' if better > 1 else ''} could be better"
    return (
        f"On this machine convert uses {engine} in {identity['precision']}; a 640x360 clip runs at"
        f" about {speed:.{0 if speed >= 10 else 1}f} frames/s with the built-in models; {state}."
        " `cgvideo bench` measures it properly."
    )
