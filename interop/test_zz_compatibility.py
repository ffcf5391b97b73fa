"""docs/compatibility.md says what the tests saw. Runs last: it looks back on the whole run."""

import os
import pathlib

import compatibility


def test_the_page_is_current(request):
    if os.environ.get("OTTLA_UPDATE_COMPATIBILITY"):
        compatibility.record(compatibility.SEEN)
        compatibility.PAGE.write_text(compatibility.page())
    assert compatibility.PAGE.read_text() == compatibility.page(), "run compatibility.py"
    here = pathlib.Path(__file__).parent
    files = {item.path for item in request.session.items}
    # Only a whole run has seen everything.
    if files >= set(here.glob("test_*.py")) and not request.session.testsfailed:
        gone = compatibility.recorded() - compatibility.SEEN
        assert not gone, f"the page says more than was seen: {sorted(gone)}"
