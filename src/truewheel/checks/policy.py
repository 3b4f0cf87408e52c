"""Which codes refuse a wheel: a table, and a person's own table over it."""

from __future__ import annotations

import difflib
import fnmatch
import functools
from pathlib import Path
from typing import Any, Literal

import msgspec

from truewheel.checks.finding import Severity
from truewheel.config.schema import SCHEMA_DIALECT
from truewheel.decoding import UnreadableError, load_table, read_toml
from truewheel.errors import LoadError
from truewheel.text import clean


class Severities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code's severity in a wheel that we built, and in anybody else's."""

    own: Severity
    foreign: Severity


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which codes refuse a wheel.

    Attributes:
        schema: version of this format.
        severity: by code, or by pattern such as `SIZE-*`; a later line wins over an earlier one.
    """

    schema: Literal[1]
    severity: dict[str, Severity | Severities]

    def severity_of(self, code: str, *, own: bool) -> Severity:
        """Return how severe a code is.

        Raises:
            KeyError: no line is about it.
        """
        found = None
        for pattern, value in self.severity.items():
            if fnmatch.fnmatchcase(code, pattern):
                found = value
        if found is None:
            raise KeyError(code)
        if isinstance(found, Severities):
            return found.own if own else found.foreign
        return found


@functools.cache
def default_policy() -> Policy:
    """Return the policy that holds when nobody says otherwise."""
    return load_table("truewheel.checks", "policy.toml", Policy)


def load_policy(path: Path, codes: frozenset[str]) -> Policy:
    """Read a person's policy and lay it over the default one.

    Args:
        path: the TOML file.
        codes: every code that there is.

    Raises:
        LoadError: it cannot be read, or names a code that there is not.
    """
    try:
        own = read_toml(path, Policy)
    except UnreadableError as error:
        raise LoadError(
            f"cannot read {clean(str(path))}: {error.reason}",
            hint='a policy has `schema = 1` and a table [severity] with lines like HARD-PATH = "info"',
        ) from error
    for pattern in own.severity:
        if not fnmatch.filter(codes, pattern):
            near = difflib.get_close_matches(pattern, codes, n=1)
            hint = f"did you mean {near[0]}?" if near else "`truewheel explain` lists the codes"
            raise LoadError(f"{path}: there is no code {pattern!r}", hint=hint)
    # A line of the default with the same key must not keep its earlier place.
    kept = {code: value for code, value in default_policy().severity.items() if code not in own.severity}
    return Policy(schema=1, severity={**kept, **own.severity})


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy."""
    return {"$schema": SCHEMA_DIALECT, "title": "truewheel policy", **msgspec.json.schema(Policy)}
