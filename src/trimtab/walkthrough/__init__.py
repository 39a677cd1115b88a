"""The walkthrough: seven chapters, each measured as it is told; and what their cells draw with.

One source (chapter_N.md) becomes the notebook, the page and what `trimtab walkthrough` shows. Trains nothing itself.
"""

from trimtab.text.chart import Heat, Line, Mark, Points
from trimtab.walkthrough.picture import Picture, SideBySide

__all__ = ["Heat", "Line", "Mark", "Picture", "Points", "SideBySide"]
