// Splits a log line into visible text and SGR styles. Log bytes are hostile: only colours and
// weights survive, as numbers that name CSS classes; every other escape sequence is dropped and
// every other control or bidi character is made visible.

/** A style in 16 bits: foreground 1..16 (0 is none), background likewise, then the attributes. */
export const FG = 0x1f;
export const BG_SHIFT = 5;
export const BOLD = 1 << 10;
export const DIM = 1 << 11;
export const ITALIC = 1 << 12;
export const UNDERLINE = 1 << 13;
export const STRIKE = 1 << 14;
export const INVERSE = 1 << 15;

export interface Styled {
  text: string;
  /** Flat triples start, end, style; offsets in UTF-16 units of `text`; ascending, never empty. */
  spans: number[] | null;
}

/** At most this many styled spans a line; what follows keeps its text and loses its colours. */
export const MAX_SPANS = 512;

// eslint-disable-next-line no-control-regex
const SPECIAL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
// CSI, OSC (to BEL or ST), DCS/SOS/PM/APC (to ST), two-character escapes; one alternative each, so
// that it stays linear.
const ESCAPE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])?/y;

export function split(line: string): Styled {
  if (!SPECIAL.test(line)) return { text: line, spans: null };
  let text = '';
  let plainFrom = 0;
  let style = 0;
  let spanFrom = 0;
  const spans: number[] = [];
  const endSpan = () => {
    if (style !== 0 && text.length > spanFrom && spans.length < MAX_SPANS * 3) spans.push(spanFrom, text.length, style);
    spanFrom = text.length;
  };
  for (let i = 0; i < line.length; ) {
    const code = line.charCodeAt(i);
    if (!special(code)) {
      i++;
      continue;
    }
    text += line.slice(plainFrom, i);
    if (code === 0x1b) {
      ESCAPE.lastIndex = i;
      const found = ESCAPE.exec(line);
      if (found?.[2] === 'm') {
        const next = sgr(style, found[1] ?? '');
        if (next !== style) {
          endSpan();
          style = next;
        }
      }
      i += Math.max(1, found?.[0].length ?? 1);
    } else {
      // A final CR is Windows' line end, not content.
      if (!(code === 13 && i === line.length - 1)) text += visible(code);
      i++;
    }
    plainFrom = i;
  }
  text += line.slice(plainFrom);
  endSpan();
  return { text, spans: spans.length > 0 ? spans : null };
}

function special(code: number): boolean {
  return (code < 0x20 && code !== 9) || (code >= 0x7f && code <= 0x9f) || code === 0x61c || code === 0x200e
    || code === 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

function visible(code: number): string {
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
}

/** Applies the parameters of one `ESC [ … m` to a style. */
export function sgr(style: number, params: string): number {
  const codes = params.split(/[;:]/).map((word) => (word === '' ? 0 : Number(word)));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] ?? 0;
    if (code === 0) style = 0;
    else if (code === 1) style |= BOLD;
    else if (code === 2) style |= DIM;
    else if (code === 3) style |= ITALIC;
    else if (code === 4) style |= UNDERLINE;
    else if (code === 7) style |= INVERSE;
    else if (code === 9) style |= STRIKE;
    else if (code === 22) style &= ~(BOLD | DIM);
    else if (code === 23) style &= ~ITALIC;
    else if (code === 24) style &= ~UNDERLINE;
    else if (code === 27) style &= ~INVERSE;
    else if (code === 29) style &= ~STRIKE;
    else if (code >= 30 && code <= 37) style = foreground(style, code - 29);
    else if (code >= 90 && code <= 97) style = foreground(style, code - 81);
    else if (code === 39) style = foreground(style, 0);
    else if (code >= 40 && code <= 47) style = background(style, code - 39);
    else if (code >= 100 && code <= 107) style = background(style, code - 91);
    else if (code === 49) style = background(style, 0);
    else if (code === 38 || code === 48) {
      const set = code === 38 ? foreground : background;
      if (codes[i + 1] === 5) {
        style = set(style, indexed(codes[i + 2] ?? 0));
        i += 2;
      } else if (codes[i + 1] === 2) {
        style = set(style, nearest(codes[i + 2] ?? 0, codes[i + 3] ?? 0, codes[i + 4] ?? 0));
        i += 4;
      }
    }
  }
  return style;
}

const foreground = (style: number, colour: number): number => (style & ~FG) | colour;
const background = (style: number, colour: number): number => (style & ~(FG << BG_SHIFT)) | (colour << BG_SHIFT);

function indexed(n: number): number {
  if (n < 16) return n + 1;
  if (n >= 232) return nearest((n - 232) * 10 + 8, (n - 232) * 10 + 8, (n - 232) * 10 + 8);
  const level = (v: number) => (v === 0 ? 0 : 55 + v * 40);
  const c = n - 16;
  return nearest(level(Math.floor(c / 36) % 6), level(Math.floor(c / 6) % 6), level(c % 6));
}

/** Free colours become the nearest of the sixteen, which each theme draws with enough contrast. */
function nearest(r: number, g: number, b: number): number {
  const max = Math.max(r, g, b);
  const min = Math.min(r, g, b);
  if (max - min < 40) return max < 60 ? 1 : max < 140 ? 9 : max < 220 ? 8 : 16;
  const middle = (max + min) / 2;
  const base = 1 + (r > middle ? 1 : 0) + (g > middle ? 2 : 0) + (b > middle ? 4 : 0);
  return max > 200 ? base + 8 : base;
}

/** The CSS classes of a style, such as `f2 bo`. */
export function classesOf(style: number): string {
  const known = CLASSES.get(style);
  if (known !== undefined) return known;
  const words: string[] = [];
  const fg = style & FG;
  const bg = (style >> BG_SHIFT) & FG;
  if (fg) words.push(`f${fg}`);
  if (bg) words.push(`g${bg}`);
  if (style & BOLD) words.push('bo');
  if (style & DIM) words.push('di');
  if (style & ITALIC) words.push('it');
  if (style & UNDERLINE) words.push('un');
  if (style & STRIKE) words.push('st');
  if (style & INVERSE) words.push('iv');
  const made = words.join(' ');
  // Bounded by the 16 bits of a style.
  CLASSES.set(style, made);
  return made;
}

const CLASSES = new Map<number, string>();
