"""A page in the browser as tests look at it."""

from __future__ import annotations

import json

ESSENTIAL = (
    "h1, h2, h3, .lead, .facts dd, table tr, figure svg, figcaption, .finding, .failure, pre"
)
"""What has to be seen on every medium; not what lies in closed details."""


class Page:
    """Commands and questions to a browser that shows one report."""

    def __init__(self, browser):
        self.browser = browser

    def show(self, path):
        self.media()
        self.resize(1200)
        if self.browser.current_url != path.as_uri():
            self.browser.get(path.as_uri())
        # Focus on the body itself puts the first stop of Tab to the top again.
        self.run(
            "const b = document.body; b.tabIndex = -1; b.focus(); b.removeAttribute('tabindex');"
            "scrollTo(0, 0)"
        )
        self.open_details(False)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def cdp(self, command, **arguments):
        return self.browser.execute_cdp_cmd(command, arguments)

    def media(self, scheme="light", medium=""):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.cdp("Emulation.setEmulatedMedia", media=medium, features=features)

    def resize(self, width):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics)

    def open_details(self, is_open=True):
        self.run(
            "for (const d of document.querySelectorAll('details')) d.open = arguments[0]", is_open
        )

    def too_wide(self):
        """What reaches beyond the page to the right, unless it is in something that scrolls."""
        return self.run(
            "const width = document.documentElement.clientWidth;"
            "return [...document.body.querySelectorAll('*')].filter(e =>"
            "  !e.parentElement.closest('.scroll') && e.getBoundingClientRect().right > width + 0.5"
            ").map(e => e.outerHTML.slice(0, 80))"
        )

    def unseen(self):
        """Essential elements that are not there to be seen."""
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].filter(e =>"
            "  !e.closest('details') && (!e.checkVisibility() || e.getBoundingClientRect().height < 4)"
            ").map(e => e.outerHTML.slice(0, 80))",
            ESSENTIAL,
        )

    def low_contrast(self):
        """Texts with less contrast to the colour behind them than WCAG AA asks of small text.

        Every text of the page, those of the figures with their fill; what lies behind is the
        nearest ancestor's background colour. The shade at the edge of what scrolls is left out.
        """
        return self.run(CONTRAST)

    def requests(self):
        """Addresses that were asked for since the page was loaded, itself included."""
        events = [json.loads(e["message"])["message"] for e in self.browser.get_log("performance")]
        sent = [
            e["params"]["request"]["url"]
            for e in events
            if e["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith(("data:", "chrome:", "about:"))]

    def axe(self):
        """Rules of axe-core that the page breaks, with the elements that break them."""
        from axe_core_python.base import AXE_SCRIPT

        if not self.run("return typeof axe !== 'undefined'"):
            # Put in from outside: the page itself has no script and asks for nothing.
            self.run(AXE_SCRIPT)
        found = self.browser.execute_async_script(
            "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then(r => done({"
            "  checked: r.passes.length,"
            "  broken: r.violations.map(v => [v.id, v.help, ...v.nodes.slice(0, 3).map(n => n.html.slice(0, 160))])"
            "}), e => done({checked: 0, broken: [[String(e)]]}))"
        )
        assert found["checked"] > 20, "axe did not look"
        return found["broken"]


CONTRAST = """
const parsed = new Map(), canvas = document.createElement('canvas').getContext('2d',
  {willReadFrequently: true});
function rgba(color) {
  if (!parsed.has(color)) {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    parsed.set(color, [...canvas.getImageData(0, 0, 1, 1).data]);
  }
  return parsed.get(color);
}
function luminance(c) {
  const [r, g, b] = c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility()) continue;
  const style = getComputedStyle(element), isSvg = element.closest('svg') !== null;
  let behind = element;
  while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] < 255)
    behind = behind.parentElement;
  const one = luminance(rgba(isSvg ? style.fill : style.color));
  const other = luminance(rgba(behind ? getComputedStyle(behind).backgroundColor : 'white'));
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < 4.5) found.push([contrast, node.data.slice(0, 40)]);
  seen += 1;
}
return seen < 100 ? [[0, `only ${seen} texts were looked at`]] : found;
"""
