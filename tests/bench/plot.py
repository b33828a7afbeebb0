"""A plot of bars, as SVG."""

from xml.sax.saxutils import escape

BAR, GAP, LEFT, WIDTH, RIGHT = 14, 12, 250, 560, 120
# Longer bars end here, and say how long they would be.
LONGEST = 8.0
COLOURS = {
    "sidegate": "#2b6cb0",
    "before": "#90cdf4",
    "pingora": "#718096",
    "nginx": "#a0aec0",
    "haproxy": "#b7791f",
    "envoy": "#9f7aea",
}


def draw(results, summarize, caption):
    """CPU time per request of each proxy in each case, with bare pingora's as 1."""
    groups = [(case["name"], _ratios(summarize(case))) for case in results["cases"]]
    groups = [(name, ratios) for name, ratios in groups if ratios]
    longest = min(max((value for _, ratios in groups for _, value in ratios), default=1), LONGEST)
    scale = WIDTH / longest
    parts, y = [], 46
    for name, ratios in groups:
        parts.append(_text(8, y + BAR - 3, name, "bold"))
        for proxy, value in ratios:
            parts.append(_bar(y, proxy, value, scale))
            y += BAR + 2
        y += GAP
    one = LEFT + scale
    line = f'<line x1="{one:.1f}" x2="{one:.1f}" y1="38" y2="{y - GAP}" stroke="#1a202c" stroke-dasharray="3 3"/>'
    head = [
        _text(8, 18, "CPU time per request, bare pingora with the same request = 1", "bold"),
        _text(8, 33, caption),
    ]
    size = f'width="{LEFT + WIDTH + RIGHT}" height="{y}" viewBox="0 0 {LEFT + WIDTH + RIGHT} {y}"'
    body = "\n".join([*head, *parts, line])
    style = 'font-family="system-ui, sans-serif" font-size="11" fill="#1a202c"'
    background = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{background}\n{body}\n</svg>\n'


def _ratios(summary):
    return [(name, each["to_pingora"]) for name, each in summary.items() if "to_pingora" in each]


def _bar(y, proxy, value, scale):
    colour = COLOURS[proxy.split(" ")[0]]
    width = min(value, LONGEST) * scale
    return "\n".join([
        f'<text x="{LEFT - 6}" y="{y + BAR - 3}" text-anchor="end">{escape(proxy)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
        _text(LEFT + width + 4, y + BAR - 3, f"{value:.2f}"),
    ])


def _text(x, y, text, weight="normal"):
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}">{escape(text)}</text>'
