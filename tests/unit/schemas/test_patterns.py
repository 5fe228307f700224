"""Patterns that users write: which are taken, what they match, and that none of them takes long."""

from __future__ import annotations

import time

import pytest

from schemas import patterns


@pytest.mark.parametrize(
    ("pattern", "text", "result"),
    [
        (r"v\d+\.\d+", "v1.20", True),
        (r"v\d+\.\d+", "xv1.20", False),
        (r"v\d+", "v1\n", False),
        (r"\d+", "١٢", False),
        (r"\D", "١", True),
        (r"[\w.-]{1,5}", "a.b_c", True),
        (r"[^\d]", "5", False),
        (r"[]a]+", "a]a", True),
        ("a|b", "ab", False),
        ("(?i)abc", "ABC", True),
        ("(?:ab){2}", "abab", True),
        ("", "", True),
        ("^a$", "a", True),
        (".*", "a" * patterns.MAX_TEXT, True),
        (".*", "a" * (patterns.MAX_TEXT + 1), False),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, text: str, result: bool) -> None:
    assert patterns.matches(pattern, text) is result


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is not a valid pattern: unclosed group"),
        ("a)|(b", "is not a valid pattern: unopened group"),
        ("[a", "unclosed character class"),
        ("\\", "incomplete escape sequence"),
        ("*", "repetition operator missing expression"),
        ("(?=a)b", "look-around and flags other than i are not supported"),
        ("(?x)a#", "look-around and flags other than i are not supported"),
        (r"(a)\1", "backreferences are not supported"),
        (r"\p{L}", "classes of Unicode are not supported"),
        ("a" * 201, "has 201 characters; a pattern has at most 200"),
        ("((a{30}){30}){30}", "is too large: it asks for 27,000 characters with all repetitions, at most 1,000"),
        (r".{0,300}", "is too large: it asks for 1,500 characters"),
        (r"\d{99999999999}", "is too large"),
    ],
)
def test_other_patterns_are_refused_with_the_reason(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        patterns.check(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a*)*(a*)*b", "([ab]*a[ab]{120}){8}", "(.*a){60}x"])
def test_no_pattern_takes_long(pattern: str) -> None:
    """The first four take a backtracking engine years."""
    text = ("ab" if "[ab]" in pattern else "a") * 2 * patterns.MAX_TEXT
    started = time.thread_time()
    assert not patterns.matches(pattern, text[: patterns.MAX_TEXT - 1] + "!")
    assert time.thread_time() - started < 1
