"""docs/compatibility.md says what the tests saw. Runs last: it looks back on the whole run."""

import os
import pathlib

import compatibility


def test_the_page_is_current(request):
    here = pathlib.Path(__file__).parent
    files = {item.path for item in request.session.items}
    is_whole = files >= set(here.glob("test_*.py")) and not request.session.testsfailed
    if is_whole and os.environ.get("OTTLA_UPDATE_COMPATIBILITY"):
        compatibility.record(compatibility.SEEN)
        compatibility.PAGE.write_text(compatibility.page())
    assert compatibility.PAGE.read_text() == compatibility.page(), "run compatibility.py"
    # Only a whole run has seen everything.
    if is_whole:
        gone = compatibility.recorded() - compatibility.SEEN
        assert not gone, f"the page says more than was seen: {sorted(gone)}"
