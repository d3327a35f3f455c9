"""Python and the packages, held against what this package requires."""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lingualift_ds.train.doctor.line import FAILED, NOTE, OK, Line

_PACKAGE = "lingualift_ds"
_UNKNOWN = "this package is not installed, so what it requires is not known"


def python() -> Iterator[Line]:
    """The interpreter."""
    number = ".".join(map(str, sys.version_info[:3]))
    try:
        wanted = SpecifierSet(metadata(_PACKAGE)["Requires-Python"] or "")
    except PackageNotFoundError:
        yield Line("python", number, NOTE, _UNKNOWN)
        return
    fits = wanted.contains(number)
    yield Line("python", number, OK if fits else FAILED, "as required" if fits else f"required is {wanted}")


def packages() -> Iterator[Line]:
    """One line for all that are as required, and one for each that is not."""
    try:
        wanted = [Requirement(text) for text in requires(_PACKAGE) or ()]
    except PackageNotFoundError:
        yield Line("packages", "ranges not known", NOTE, _UNKNOWN)
        return
    fine = 0
    for one in wanted:
        try:
            found = version(one.name)
        except PackageNotFoundError:
            if "extra" not in str(one.marker):
                yield Line(one.name, "not installed", FAILED, f"required is {one.specifier}")
            continue
        if one.specifier.contains(found, prereleases=True):
            fine += 1
        else:
            yield Line(one.name, found, NOTE, f"outside of the range {one.specifier}: not tested")
    yield Line("packages", f"{fine} in their ranges", OK, "as required")
