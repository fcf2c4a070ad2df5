"""Open pages in headless Chromium and look for what a reader would stumble over.

    check_page.py [--shots FOLDER] PAGE.html...

Each page is opened light and dark at 390, 768, 1280 and 1600 pixels. Exit 1 when a page is
wider than its window, writes to the console, loads anything, has text whose contrast is
below WCAG AA (4.5, large text 3) or that is smaller than 11 pixels in a drawing, colours of
a scale or a table's second column off the screen, or a table cut with room beside it. Needs nothing but Python and chromium: it speaks the
DevTools protocol over --remote-debugging-pipe.
"""
import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile

PROBE = r"""
(() => {
  const out = {width: document.documentElement.scrollWidth, window: innerWidth, poor: [], wide: []};
  const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return {rgb: m.slice(0, 3), a: m.length > 3 ? m[3] : 1}; };
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
                                        .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.a > 0) return c.rgb; }
                        return matchMedia('(prefers-color-scheme:dark)').matches ? [0, 0, 0] : [255, 255, 255]; };
  const seen = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || ['SCRIPT', 'STYLE', 'title'].includes(e.tagName)) continue;
    const s = getComputedStyle(e);
    if (e.closest('details:not([open]) > :not(summary)') || s.display === 'none') continue;
    const ink = parse(e.closest('svg') ? s.fill : s.color).rgb, paper = ground(e);
    const a = light(ink), b = light(paper), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const size = parseFloat(s.fontSize), large = size >= 24 || (size >= 18.66 && s.fontWeight >= 700);
    const key = ink + '/' + paper;
    if (ratio < (large ? 3 : 4.5) && !seen.has(key)) { seen.add(key); out.poor.push(key + ' ' + ratio.toFixed(2) + ' ' + e.textContent.slice(0, 30)); }
  }
  for (const e of document.querySelectorAll('main *'))
    if (!e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1) out.wide.push(e.tagName + '.' + e.className);
  out.wide = out.wide.slice(0, 3);
  // What is folded away has no size.
  const seen2 = e => e.getBoundingClientRect().width > 0;
  for (const g of [...document.querySelectorAll('svg')].filter(seen2)) {
    const pixels = g.getBoundingClientRect().width / g.viewBox.baseVal.width * 12;
    if (pixels < 10.9) out.wide.push('text of ' + pixels.toFixed(1) + ' px in ' + g.getAttribute('aria-label'));
    if (g.querySelector(':scope>rect.c0')) for (const r of g.querySelectorAll(':scope>rect[class^=c]'))
      if (r.getBoundingClientRect().right > innerWidth) { out.wide.push('colours of ' + g.getAttribute('aria-label') + ' begin off the screen'); break; }
  }
  for (const d of document.querySelectorAll('details')) d.open = true;
  for (const t of document.querySelectorAll('.scroll>table')) {
    const box = t.parentElement, r = box.getBoundingClientRect();
    if (box.scrollWidth > box.clientWidth + 1 && r.right < innerWidth - 60)
      out.wide.push('cut, with room beside it: ' + t.caption.textContent);
    const second = t.tBodies[0].rows[0]?.cells[1];
    if (second && second.getBoundingClientRect().left > innerWidth - 40)
      out.wide.push('second column off the screen: ' + t.caption.textContent);
  }
  return JSON.stringify(out);
})()"""


# Sorting by a column of numbers: the largest first, then the smallest, what is missing last.
SORT = r"""
(() => {
  for (const t of document.querySelectorAll('table')) {
    const heads = [...t.querySelectorAll('th')], i = heads.findIndex(h => h.classList.contains('n'));
    if (i < 0) continue;
    for (const sign of [-1, 1]) {
      heads[i].querySelector('button').click();
      const values = [...t.tBodies[0].rows].map(r => r.cells[i].dataset.v ?? r.cells[i].textContent)
        .map(v => v === '' ? NaN : parseFloat(v)), known = values.filter(v => !isNaN(v));
      if (known.some((v, k) => k && sign * (v - known[k - 1]) < 0) || values.slice(0, known.length).some(isNaN))
        return t.caption.textContent + ': ' + values.slice(0, 5);
    }
  }
  return '';
})()"""


class Browser:
    def __init__(self):
        program = next((p for p in ("chromium", "chromium-browser", "google-chrome") if shutil.which(p)), None)
        if program is None:
            sys.exit(77)
        self.home = tempfile.mkdtemp()
        there, self.write = os.pipe()
        self.read, back = os.pipe()

        def give():
            # 3 and 4 are where the browser expects them; copies first, as they may be taken.
            a, b = os.dup(there), os.dup(back)
            os.dup2(a, 3)
            os.dup2(b, 4)
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--no-first-run", "--disable-extensions", "--disable-background-networking", "--user-data-dir=" + self.home,
             "--remote-debugging-pipe", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=give)
        os.close(there)
        os.close(back)
        self.buffer, self.last, self.events = b"", 0, []

    def message(self):
        while b"\0" not in self.buffer:
            part = os.read(self.read, 1 << 20)
            if not part:
                raise RuntimeError("the browser went away")
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, session=None, **params):
        self.last += 1
        order = {"id": self.last, "method": method, "params": params}
        if session:
            order["sessionId"] = session
        os.write(self.write, json.dumps(order).encode() + b"\0")
        while True:
            m = self.message()
            if m.get("id") == self.last:
                if "error" in m:
                    raise RuntimeError("%s: %s" % (method, m["error"]))
                return m["result"]
            self.events.append(m)

    def close(self):
        try:
            self.call("Browser.close")
        except (RuntimeError, OSError):
            pass
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def check(browser, page, shots, whole):
    bad = []
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    s = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(domain + ".enable", s)
    url = "file://" + os.path.abspath(page)
    for scheme in ("light", "dark"):
        for width in (390, 768, 1280, 1600):
            browser.call("Emulation.setDeviceMetricsOverride", s, width=width, height=900, deviceScaleFactor=1, mobile=False)
            browser.call("Emulation.setEmulatedMedia", s, features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.events.clear()
            browser.call("Page.navigate", s, url=url)
            while not any(e.get("method") == "Page.loadEventFired" for e in browser.events):
                browser.events.append(browser.message())
            found = json.loads(browser.call("Runtime.evaluate", s, expression=PROBE)["result"]["value"])
            where = "%s, %s, %d px" % (page, scheme, width)
            if found["width"] > found["window"]:
                bad.append("%s: the page is %d px wide" % (where, found["width"]))
            bad += ["%s: reaches out of the window: %s" % (where, w) for w in found["wide"]]
            bad += ["%s: contrast: %s" % (where, p) for p in found["poor"]]
            for e in browser.events:
                m, p = e.get("method"), e.get("params", {})
                if m in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                    bad.append("%s: console: %s" % (where, json.dumps(p)[:300]))
                elif m == "Network.requestWillBeSent" and p["request"]["url"] not in (url, "data:,"):
                    bad.append("%s: loads %s" % (where, p["request"]["url"]))
            if shots:
                size = browser.call("Page.getLayoutMetrics", s)["cssContentSize"]
                clip = {"x": 0, "y": 0, "width": width, "height": min(size["height"], whole), "scale": 1}
                png = browser.call("Page.captureScreenshot", s, captureBeyondViewport=True, clip=clip)["data"]
                name = "%s-%s-%d.png" % (os.path.splitext(os.path.basename(page))[0], scheme, width)
                with open(os.path.join(shots, name), "wb") as f:
                    f.write(base64.b64decode(png))
            wrong = browser.call("Runtime.evaluate", s, expression=SORT)["result"].get("value")
            if wrong != "":
                bad.append("%s: not sorted: %s" % (where, wrong))
    browser.call("Target.closeTarget", targetId=target)
    return bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--shots", help="folder for screenshots")
    p.add_argument("--height", type=int, default=16000, help="of a screenshot, at most")
    p.add_argument("pages", nargs="+")
    a = p.parse_args()
    browser = Browser()
    bad = []
    try:
        for page in a.pages:
            bad += check(browser, page, a.shots, a.height)
    finally:
        browser.close()
    print("\n".join(bad) if bad else "%d pages, nothing found" % len(a.pages))
    sys.exit(1 if bad else 0)


main()
