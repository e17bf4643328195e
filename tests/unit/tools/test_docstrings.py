"""Docstrings of the three styles give a description for the tool and one text per parameter."""

from __future__ import annotations

import pytest

from agent_core.tools.docstrings import Docstring, parse_docstring

GOOGLE = """Finds a thing.

    It looks everywhere: here and there.

    Args:
        what (str): The thing: whatever it is,
            over two lines.
        where (dict[str, (int)], optional): The place.
        **rest: More.
        bare:
            On the next line.

    Returns:
        str: The result.

    Raises:
        ValueError: Never.

    Example:
        >>> find("x")
    """

NUMPY = """Finds a thing.

    Parameters
    ----------
    what : str, optional
        The thing,
        over two lines.

        A second paragraph.
    x, y : int
        The place.
    untyped
        No type.

    Returns
    -------
    str
        The result.

    Notes
    -----
    Kept.
    """

SPHINX = """Finds a thing.

    :param str what: The thing,
        over two lines.
    :param where: The place: there.
    :type where: int
    :returns: The result.
    :raises ValueError: never
    """


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Docstring()),
        ("Just this.", Docstring("Just this.")),
        ("A note: nothing to parse.\n\nArgs: none.", Docstring("A note: nothing to parse.\n\nArgs: none.")),
        (
            GOOGLE,
            Docstring(
                'Finds a thing.\n\nIt looks everywhere: here and there.\n\nExample:\n    >>> find("x")',
                {
                    "what": "The thing: whatever it is, over two lines.",
                    "where": "The place.",
                    "rest": "More.",
                    "bare": "On the next line.",
                },
            ),
        ),
        (
            NUMPY,
            Docstring(
                "Finds a thing.\n\nNotes\n-----\nKept.",
                {
                    "what": "The thing, over two lines. A second paragraph.",
                    "x": "The place.",
                    "y": "The place.",
                    "untyped": "No type.",
                },
            ),
        ),
        (SPHINX, Docstring("Finds a thing.", {"what": "The thing, over two lines.", "where": "The place: there."})),
        (
            "Finds.\n\nArgs:\n    a: one\n\n:param b: two",
            Docstring("Finds.", {"a": "one", "b": "two"}),
        ),
        ("Args:\n\nNothing indented.", Docstring("Args:\n\nNothing indented.")),
    ],
    ids=["none", "plain", "no sections", "google", "numpy", "sphinx", "mixed", "empty section"],
)
def test_docstring(text: str | None, expected: Docstring) -> None:
    """Each style gives the same kind of result; what is no section stays in the description."""
    assert parse_docstring(text) == expected
