"""Write docs/errors.md anew, from the calls of UserError in the source: python tests/errors_page.py

Nothing is imported: messages are read from the syntax. What a message says of the case at hand is a
word in capitals, constants stand as what they are.
"""

import ast
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
INNER = ("rehearsal.py", "hardware.py", "cluster.py")  # some of theirs only become part of others

AREAS = {  # a message belongs to the first area that names a part of its path
    "Training": ("trainer", "train.py", "distill.py", "stills.py"),
    "Folders": ("folder.py", "folder_run.py", "picture_run.py", "manifest.py", "batches.py"),
    "Pictures": ("images", "pictures.py"),
    "Several workers and devices": (
        "workers", "sharing.py", "picture_worker.py", "prepare.py",
    ),
    "Engines for NVIDIA GPUs": ("tensorrt",),
    "Models and checkpoints": (
        "models.py", "library.py", "model_file.py", "checkpoint.py", "reference_layout.py", "spec.py",
    ),
    "Exported engines": ("export.py", "profile.py"),
    "Engines": ("engines", "translate.py", "tiling.py", "tiled_engine.py"),
    "Evaluation, bench and doctor": ("evaluation", "eval.py", "bench", "bench.py", "doctor", "doctor.py"),
    "The result and its encoding": (
        "encode.py", "join.py", "check.py", "rehearsal.py", "hardware.py", "y4m.py", "fidelity.py",
    ),
    "Videos": ("probe.py", "decode.py", "errors.py"),
    "Options of convert": ("settings.py", "convert.py", "inputs.py", "pipes.py", "plan.py", "places.py"),
    "A run and its work": ("journal.py", "leftovers.py", "clean.py", "pipeline.py", "interface.py"),
    "The program": ("cli", "demo.py"),
}  # fmt: skip

ORDER = (
    "Videos", "The result and its encoding", "Options of convert", "A run and its work", "Pictures",
    "Folders", "Models and checkpoints", "Engines", "Engines for NVIDIA GPUs", "Exported engines",
    "Several workers and devices", "Training", "Evaluation, bench and doctor", "The program",
)  # fmt: skip

PLAINER = {
    "FLAVOUR": "TENSORRT",
    "THERE": "TENSORRT",
    "PARITY": "DIFFERENCE",
    "MODELS_FOLDER": "FOLDER",
}
SAME = ("replace", "strip", "partition", "lower", "upper")  # of a text: it reads as before
REASONS = {
    "error",
    "failure",
    "reason",
    "first_line",
    "last_line",
    "_reason",
    "refused",
    "cause",
}

HEAD = """\
# Errors, and what to do

What goes wrong and can be mended is one line, `cgvideo: WHAT IS WRONG. WHAT TO DO`, and
[exit code](exit-codes.md) 1. Here is every such line; words in capitals stand for what your case has there, and
REASON for what another program or library says. Search the page for the words of yours.

- `Usage: … Error: No such option`, `Missing argument`, `Invalid value` (exit code 2): the command was not understood.
  `cgvideo COMMAND --help` lists what it takes.
- `cgvideo: this is a bug (…)`: not your fault. The same command with `--debug` shows where; please report it.
- `note: …` is no error: the conversion goes on, and this is what you should know of it.
- Ended by Ctrl-C or a power cut: nothing is lost, give the same command again.

This page is made from the source: `python tests/errors_page.py` writes it.
"""


@dataclass(frozen=True)
class Message:
    """What one call of UserError says, in all its variants, and where."""

    path: Path
    problem: str
    mend: str


@dataclass
class Module:
    """A file's syntax, and its constants by name."""

    path: Path
    tree: ast.Module
    constants: dict[str, ast.expr] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)


@functools.cache
def module(path: Path) -> Module:
    found = Module(path, ast.parse(path.read_text(encoding="utf-8")))
    for node in found.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.constants[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.constants[name] = value
    for each in ast.walk(found.tree):
        if isinstance(each, ast.ImportFrom) and each.module:
            found.imported |= {alias.asname or alias.name: each.module for alias in each.names}
    return found


def constant(name: str, where: Module) -> tuple[ast.expr, Module] | None:
    """The value of a module's constant, its own or an imported one."""
    if name in where.constants:
        return where.constants[name], where
    origin = where.imported.get(name)
    if origin is None:
        return None
    path = ROOT.joinpath(*origin.split(".")).with_suffix(".py")
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    return constant(name, module(path)) if path.exists() else None


def items(expression: ast.expr, where: Module) -> list[str] | None:
    """The words of a constant tuple, list or mapping (its keys)."""
    match expression:
        case ast.Name(id=name):
            found = constant(name, where)
            return items(*found) if found else None
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Dict(keys=[*parts]):
            words: list[str] = []
            for part in parts:
                match part:
                    case ast.Constant(value=value):
                        words.append(str(value))
                    case ast.Starred(value=inner) if (more := items(inner, where)) is not None:
                        words += more
                    case _:
                        return None
            return words
        case ast.Call(func=ast.Name(id="get_args"), args=[ast.Name(id=kind)]):
            match constant(kind, where):
                case ast.Subscript(slice=ast.Tuple() as words_of), there:
                    return items(words_of, there)
    return None


class Wording:
    """How the expressions of one message read."""

    def __init__(self, where: Module, function: ast.FunctionDef | None, owner: str = "") -> None:
        self.where = where
        self.owner = owner
        self.local: defaultdict[str, list[ast.expr]] = defaultdict(list)
        if function is None:
            return
        defaults = function.args.defaults
        for argument, default in zip(
            reversed(function.args.args), reversed(defaults), strict=False
        ):
            if isinstance(default, ast.Constant) and default.value:
                self.local[argument.arg].append(default)
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.local[name].append(value)
                case ast.For(target=ast.Tuple(elts=targets), iter=ast.Name(id=table)):
                    found = constant(table, where)
                    if found and isinstance(found[0], ast.Tuple):
                        self._take_rows(targets, found[0].elts)

    def _take_rows(self, targets: list[ast.expr], rows: list[ast.expr]) -> None:
        """What a loop over a table of constants gives its names."""
        for row in rows:
            if isinstance(row, ast.Tuple):
                for target, value in zip(targets, row.elts, strict=False):
                    if isinstance(target, ast.Name):
                        self.local[target.id].append(value)

    def variants(self, expression: ast.expr) -> list[str]:
        """All that an expression can read as: conditions, and local names with several values."""
        match expression:
            case ast.Constant(value=value):
                return [str(value)]
            case ast.IfExp(body=body, orelse=orelse):
                return [*self.variants(body), *self.variants(orelse)]
            case ast.BoolOp(op=ast.Or(), values=values):
                return self.variants(values[0])
            case ast.BinOp(op=ast.Div(), left=left, right=right) if is_text(right):
                return [f"{self.variants(left)[0]}/{self.variants(right)[0]}"]
            case ast.BinOp(op=ast.Add(), left=left, right=right) if is_text(left) or is_text(right):
                pairs = itertools.product(self.variants(left), self.variants(right))
                return ["".join(pair) for pair in pairs]
            case ast.JoinedStr(values=values):
                parts = [self.variants(value) for value in values]
                return ["".join(chosen) for chosen in itertools.product(*parts)]
            case ast.FormattedValue(value=value, conversion=conversion):
                told = self.variants(value)
                return [f"'{each}'" for each in told] if conversion == ord("r") else told
            case ast.Name(id=name) if found := constant(name, self.where):
                return Wording(found[1], None).variants(found[0])
            case ast.Name(id=name) if self.local[name] and name not in REASONS:
                values, self.local[name] = self.local[name], []  # names may stand for themselves
                told = [each for value in values for each in self.variants(value)]
                self.local[name] = values
                texts = [each for each in told if re.search("[a-z]", each)]
                return list(dict.fromkeys(texts)) or [word(name)]
            case ast.Call(
                func=ast.Attribute(value=ast.Constant(value=str() as between)), args=[all_]
            ):
                known = items(all_, self.where)
                return [between.join(known)] if known else [plural(self.name_of(all_))]
            case ast.Call(func=ast.Attribute(value=owner, attr=attribute)) if attribute in SAME:
                return self.variants(owner)
            case ast.Call(func=ast.Name(id="list" | "dict" | "str"), args=[inner, *_]):
                return self.variants(inner)
            case ast.Call(func=ast.Name(id="getattr")):
                return ["VALUE"]
            case ast.Call(func=ast.Name(id="_flag"), args=[named]):
                return [f"--{self.variants(named)[0]}"]
            case (
                ast.Call(func=ast.Name(id="len" | "sum" | "float" | "max" | "round")) | ast.BinOp()
            ):
                return ["N"]
            case ast.Call(func=ast.Name(id=name)):
                return ["REASON" if name in REASONS else word(name)]
            case ast.Call(func=ast.Attribute(attr=attribute)):
                return [word(attribute)]
            case ast.Name(id="self"):
                return [word(self.owner)]
            case ast.Name(id=name):
                return ["REASON" if name in REASONS else word(name)]
            case ast.Attribute(value=ast.Name(id=owner)) if owner in REASONS:
                return ["REASON"]
            case ast.Attribute(value=owner, attr="name" | "parent" as attribute):
                told = self.variants(owner)[0]
                mine = isinstance(owner, ast.Name) and owner.id == "self"
                return ["FOLDER" if attribute == "parent" else "NAME" if mine else told]
            case ast.Attribute(attr=attribute):
                return ["REASON" if attribute in {*REASONS, "problem"} else word(attribute)]
            case ast.Subscript(value=inner, slice=ast.Constant(value=0 | 1 as index)):
                told = self.variants(inner)[0]
                sides = told in ("SIZE", "FIRST", "OTHER", "ONE", "SHAPE")
                return [("HEIGHT", "WIDTH")[index] if sides else told]
            case ast.Subscript(value=ast.Name(id=table), slice=key) if constant(table, self.where):
                return self.variants(key)
            case ast.Subscript(value=inner):
                return [each.removesuffix("S") for each in self.variants(inner)]
        return ["…"]

    def name_of(self, expression: ast.expr) -> str:
        """What is joined, by its name."""
        match expression:
            case ast.GeneratorExp(elt=element):
                return self.variants(element)[0]
            case ast.Name(id=name):
                return word(name)
        return self.variants(expression)[0]


def word(name: str) -> str:
    told = name.strip("_").upper()
    return PLAINER.get(told, told)


def plural(name: str) -> str:
    return f"{name}, …"


def is_text(expression: ast.expr) -> bool:
    match expression:
        case ast.Constant(value=str()) | ast.JoinedStr() | ast.IfExp() | ast.Name(id="mend"):
            return True
        case ast.BinOp(left=left, right=right):
            return is_text(left) or is_text(right)
    return False


@functools.cache
def messages() -> tuple[Message, ...]:
    """Every message of the three packages."""
    return tuple(_messages())


def _messages() -> Iterator[Message]:
    for package in ("cgvideo", "engines", "trainer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "UserError" not in path.read_text(encoding="utf-8"):
                continue
            where = module(path)
            functions = [node for node in ast.walk(where.tree) if isinstance(node, ast.FunctionDef)]
            classes = [node for node in where.tree.body if isinstance(node, ast.ClassDef)]
            for node in ast.walk(where.tree):
                match node:
                    case ast.Call(func=ast.Name(id="UserError"), args=[problem, *mends]):
                        inmost = max(
                            (each for each in functions if holds(each, node)),
                            key=lambda each: each.lineno,
                            default=None,
                        )
                        owner = next((each.name for each in classes if holds(each, node)), "")
                        wording = Wording(where, inmost, owner)
                        told = [wording.variants(mend) for mend in mends] or [[""]]
                        for one, mend in itertools.product(wording.variants(problem), told[0]):
                            yield Message(path, tidy(one), tidy(mend))


def holds(block: ast.FunctionDef | ast.ClassDef, node: ast.Call) -> bool:
    return block.lineno <= node.lineno <= (block.end_lineno or 0)


def tidy(text: str) -> str:
    """In one line, without what follows in some cases only."""
    text = re.sub(r" \((it says|it looks like): DESCRIPTION\)$", "", " ".join(text.split()))
    text = re.sub(r"^pip install .*", r"`\g<0>`", text)
    return text.removesuffix(".")


def area(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return next(name for name, words in AREAS.items() if {*words} & {*parts})


def without_mend() -> list[Message]:
    """Messages that would leave a user alone."""
    return [each for each in messages() if not each.mend and each.path.name not in INNER]


def page() -> str:
    """The whole page."""
    rows: dict[str, defaultdict[str, list[str]]] = {name: defaultdict(list) for name in ORDER}
    for each in messages():
        mends = rows[area(each.path)][each.problem]
        if each.mend and re.search("[a-z]", each.problem) and each.mend not in mends:
            mends.append(each.mend)
    parts = [HEAD]
    for name, told in rows.items():
        lines = [
            f"| `{problem}` | {'<br>or: '.join(told[problem])} |"
            for problem in sorted(told, key=by_words)
            if told[problem]
        ]
        parts.append(
            f"\n## {name}\n\n| message | what to do |\n|---|---|\n" + "\n".join(lines) + "\n"
        )
    return "".join(parts)


def by_words(problem: str) -> str:
    """Sorts by the first words that are the same in every case."""
    return re.sub(r"[A-Z0-9_'.,…-]{2,}", "", problem).strip().lower()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
