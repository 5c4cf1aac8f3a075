"""The warm times of a run as a picture: one row a question, one bar a system, on a logarithmic axis."""
import html
import math

COLOURS = ["#1f6f8b", "#e0a458", "#c8553d", "#7a7a7a"]
LEFT, WIDTH, BAR, GAP, TOP = 290, 560, 9, 10, 44


def svg(figures, names):
    """`figures`: system → {"warm": seconds by question}; `names`: the questions."""
    systems = list(figures)
    times = [t * 1000 for f in figures.values() for t in f["warm"]]
    low, high = 10 ** math.floor(math.log10(min(times))), 10 ** math.ceil(math.log10(max(times)))
    scale = WIDTH / (math.log10(high) - math.log10(low))
    row = len(systems) * BAR + GAP
    height = TOP + len(names) * row + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{height}" '
           'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>']
    for n, system in enumerate(systems):
        x = LEFT + n * 150
        out.append(f'<rect x="{x}" y="6" width="12" height="12" fill="{COLOURS[n]}"/><text x="{x + 17}" y="16">{system}</text>')
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        x = LEFT + (power - math.log10(low)) * scale
        out.append(f'<line x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{height}" stroke="#ddd"/>'
                   f'<text x="{x}" y="{TOP - 12}" text-anchor="middle" fill="#666">{10 ** power:g} ms</text>')
    for q, name in enumerate(names):
        y = TOP + q * row
        out.append(f'<text x="{LEFT - 8}" y="{y + row / 2}" text-anchor="end">{html.escape(name)}</text>')
        for n, system in enumerate(systems):
            milliseconds = figures[system]["warm"][q] * 1000
            length = max(1, (math.log10(milliseconds) - math.log10(low)) * scale)
            top = y + n * BAR
            out.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR - 1}" fill="{COLOURS[n]}"/>'
                       f'<text x="{LEFT + length + 4:.1f}" y="{top + 8}" font-size="9">{milliseconds:.1f}</text>')
    return "\n".join(out) + "\n</svg>\n"
