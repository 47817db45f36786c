"""How a page looks, asked of the page: contrast as WCAG 2.2 has it, focus, names, motion."""

from __future__ import annotations

CONTRAST = """() => {
    const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const pixel = (colour) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data];
    };
    const over = ([r, g, b, a], [x, y, z]) =>
        [[r, x], [g, y], [b, z]].map(([f, t]) => (f * a + t * (255 - a)) / 255);
    const ground = (e) => {
        const own = pixel(getComputedStyle(e).backgroundColor);
        if (own[3] === 255) return own;
        return over(own, e.parentElement ? ground(e.parentElement) : [255, 255, 255]);
    };
    const light = (colour) => {
        const one = (v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * one(colour[0]) + 0.7152 * one(colour[1]) + 0.0722 * one(colour[2]);
    };
    const ratio = (e, pseudo) => {
        const back = ground(e);
        const [a, b] = [light(over(pixel(getComputedStyle(e, pseudo).color), back)), light(back)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    const found = [];
    for (const e of document.querySelectorAll('.wb-part *')) {
        const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        const empty = e.placeholder && !e.value;
        if (!e.checkVisibility() || e.disabled || !(own || e.value || empty)) continue;
        const least = ratio(e, empty ? '::placeholder' : null);
        if (least < 4.5) found.push(`${e.tagName}.${e.className} ${least.toFixed(2)}`);
    }
    return found;
}"""

FOCUSED = """() => {
    const e = document.activeElement;
    const style = getComputedStyle(e);
    const labels = [...(e.labels ?? [])].map((label) => label.textContent);
    return {
        inside: Boolean(e.closest('.wb-part')),
        name: e.getAttribute('aria-label') ?? (labels.join(' ') || e.textContent.trim()),
        seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
    };
}"""

MOVING = """() => [...document.querySelectorAll('.wb-part, .wb-part *')].filter((e) => {
    const style = getComputedStyle(e);
    return style.animationName !== 'none' || style.scrollBehavior !== 'auto'
        || style.transitionDuration.split(', ').some((one) => parseFloat(one) > 0);
}).length"""

# One polite line in a view, whatever parts stand in it; and what else would speak by itself.
SPEAKING = """() => [...document.querySelectorAll('.wb-part')]
    .flatMap((part) => [...part.querySelectorAll('[role=status], [aria-live=polite]')])
    .filter((e, i, all) => all.indexOf(e) === i)
    .map((e) => e.textContent)"""
