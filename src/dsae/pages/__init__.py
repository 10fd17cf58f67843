"""Pages that open from a file: one template, one style sheet and one set of scripts for reports and explorers.

A page is one HTML file. Style, scripts and data stand inside it; further data may lie beside it as shards. Nothing is
asked of the network, and the page's content security policy would not let it.

A package that shows something makes a template of its own on top of ``base.html.j2`` and gives its data as plain
numbers, strings, lists and dicts:

>>> from dsae.pages import render
>>> page = render("base.html.j2", title="Two rows", scripts=("charts",), data={"rows": [1.5, 2]})
>>> "default-src &#39;none&#39;" in page
True

What a template may use
    ``title``, whatever is given as keywords, the filters ``number``, ``percent``, ``size`` and ``factor``, and the
    blocks ``head``, ``body`` and ``foot`` of ``base.html.j2``. All values are escaped.

What a script may use
    ``dsae.data`` (what was given as ``data``), ``dsae.html`` (preact's elements by htm), ``dsae.mount(view, element)``,
    the formats of ``text.js`` (``dsae.number``, ``percent``, ``size``, ``factor``) and the components of
    ``charts.js`` and ``canvas.js``, each called from a template as ``<${dsae.Bars} items=${...} />``:

    ========== ======================================================================================================
    Bars       ``items`` of ``{name, value, note, href}``; ``signed``, ``top``, ``form``
    Histogram  ``counts``, ``edges`` or ``low`` and ``high``; ``log`` (counts), ``logx``, ``zero``, ``size``, ``plain``
    Lines      ``series`` of ``{name, x, y, style}``; ``xLabel``, ``log``, ``fromZero``, ``marks``, ``form``, ``title``
    Hourglass  ``widths``, ``densities``, ``code``
    Scatter    ``x``, ``y``, ``color``, ``name(i)``, ``shown(i)``, ``onPick(i)``, ``logx``, ``logy``
    Table      ``columns`` of ``{key, title, form, left}``, ``rows``; ``sort``, ``onSort``, ``onPick``, ``tight``
    Long       a list of any length, of which what is in sight exists: ``columns``, ``n``, ``line(i)``, ``onSort``
    Picture    ``values`` (flat), ``shape``, ``palette`` (gray, heat, diverging, rgb), ``low``, ``high``, ``title``
    Sound      ``wav`` (base64)
    ========== ======================================================================================================

    A script is named without its ``.js``. The vendored library and ``text`` come first in every page that has one.
"""

from dsae.pages._render import explorer_page as explorer_page
from dsae.pages._render import explorer_views as explorer_views
from dsae.pages._render import render as render
from dsae.pages._text import factor as factor
from dsae.pages._text import number as number
from dsae.pages._text import percent as percent
from dsae.pages._text import size as size
