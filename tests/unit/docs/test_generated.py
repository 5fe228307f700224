"""The generated pages say what the code says."""

import pytest

from docs import generate


@pytest.mark.parametrize("page", sorted(generate.PAGES))
def test_the_page_is_what_the_tables_say(page: str) -> None:
    assert (generate.HERE / page).read_text() == generate.PAGES[page](), "run `make docs`"
