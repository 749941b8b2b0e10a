"""Mutants: copies of a module in which one small thing is something else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import chain, count
from typing import NamedTuple

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

# Of each operator of cosmic-ray one other or two, the near ones: the other hundred and fifty are
# killed by anything, and so would only raise the percentage.
BINARY = "Add_Sub Sub_Add Mul_FloorDiv Div_Mul FloorDiv_Mul Mod_Add BitOr_BitAnd BitAnd_BitOr"
COMPARISON = (
    "Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt"
)
OPERATORS = [
    *(f"ReplaceBinaryOperator_{pair}" for pair in BINARY.split()),
    *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARISON.split()),
    *(f"ReplaceUnaryOperator_{pair}" for pair in ("Delete_Not", "Delete_Invert", "USub_UAdd")),
    *("AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *("ExceptionReplacer", "RemoveDecorator"),
]


_NO_ARGUMENTS = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])

KEY = ("module", "function", "before", "after")
Key = tuple[str, ...]


class Mutant(NamedTuple):
    """A change, told in words that hold when lines above it come and go; and the whole module."""

    module: str
    function: str
    """`Class.method`; empty for what is in none."""
    before: str
    after: str
    lines: range
    code: str

    @property
    def key(self) -> Key:
        """What it is known by in the list of those that survive."""
        return self[:4]


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """All of a module, each once: those that mean the same to Python are one, or none."""
    seen = {None, _meaning(source)}
    for code in chain(_without_a_statement(source), *(_by(name, source) for name in OPERATORS)):
        meaning = _meaning(code)
        if meaning not in seen:
            seen.add(meaning)
            lines, changed = source.splitlines(), code.splitlines()
            for tag, a, b, c, d in SequenceMatcher(None, lines, changed, False).get_opcodes():
                if tag != "equal":
                    where = range(a + 1, b + 1)
                    function = function_at(source, a + 1)
                    texts = _text(lines[a:b]), _text(changed[c:d])
                    yield Mutant(module, function, *texts, where, code)
                    break


def function_at(source: str, line: int) -> str:
    """The qualified name of the function whose body has that line; empty if none has."""
    return next((name for name, lines in functions(source).items() if line in lines), "")


def functions(source: str) -> dict[str, range]:
    """The lines of the body of each function, those within functions first."""
    found: dict[str, range] = {}

    def visit(node: ast.AST, within: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = (*within, child.name)
                visit(child, name)
                if not isinstance(child, ast.ClassDef):
                    found[".".join(name)] = range(child.body[0].lineno, (child.end_lineno or 0) + 1)
            else:
                visit(child, within)

    visit(ast.parse(source), ())
    return found


def _by(name: str, source: str) -> Iterator[str]:
    operator = get_operator(f"core/{name}")()
    for occurrence in count():
        code = mutate_code(source, operator, occurrence)
        if code is None:
            return
        yield code


def _without_a_statement(source: str) -> Iterator[str]:
    """What cosmic-ray has not: a call, an assignment to an attribute, a return, is left out."""
    lines, tree = source.encode().splitlines(keepends=True), ast.parse(source)
    last_of_all = [node.body[-1] for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant()):  # a docstring
                continue
            case ast.Return(value=None | ast.Constant(None)) if node in last_of_all:
                continue
            case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Return():
                pass
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript() | ast.Tuple(), *_]):
                pass
            case ast.AnnAssign(target=ast.Attribute(), value=ast.expr()):
                pass
            case _:
                continue
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        head, tail = lines[first][: node.col_offset], lines[last - 1][node.end_col_offset :]
        yield b"".join([*lines[:first], head + b"pass" + tail, *lines[last:]]).decode()


def _meaning(code: str) -> str | None:
    """What is run of it: without what only type checkers read. None if it is no Python."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        match node:
            case ast.If() if "TYPE_CHECKING" in ast.unparse(node.test):
                node.test, node.body = ast.Constant(None), []
            case ast.FunctionDef(body=[ast.Expr(ast.Constant(value))]) if value is ...:
                node.args, node.decorator_list, node.returns = _NO_ARGUMENTS, [], None  # @overload
            case ast.Call(func=ast.Name(id="cast")):
                node.args[0] = ast.Constant(None)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                node.returns = None
            case ast.arg():
                node.annotation = None
            case ast.AnnAssign():
                node.annotation = ast.Constant(None)
    return ast.dump(tree)


def _text(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
