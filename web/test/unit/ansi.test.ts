import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BG_SHIFT, BOLD, FG, UNDERLINE, classesOf, split } from '../../src/log/ansi';

test('plain text stays the same string and has no spans', () => {
  assert.deepEqual(split('GET /cart\t200 – ünï 🚀'), { text: 'GET /cart\t200 – ünï 🚀', spans: null });
});

test('colours become spans over the text without the escapes', () => {
  assert.deepEqual(split('a \x1b[32mgreen\x1b[0m \x1b[1;31mred\x1b[m!'), {
    text: 'a green red!',
    spans: [2, 7, 3, 8, 11, 2 | BOLD],
  });
});

test('a style that is never reset goes to the end of the line', () => {
  assert.deepEqual(split('\x1b[4mx'), { text: 'x', spans: [0, 1, UNDERLINE] });
});

test('256 and true colours become one of the sixteen', () => {
  for (const code of ['38;5;9', '38;5;208', '38;2;255;10;10', '38;5;250', '38:2:1:2:3', '48;5;20', '48;2;0;0;0', '38;5;999', '38;2', '38']) {
    const { text, spans } = split(`\x1b[${code}mx`);
    assert.equal(text, 'x');
    for (let i = 0; i < (spans?.length ?? 0); i += 3) {
      const style = spans?.[i + 2] ?? 0;
      assert.ok((style & FG) <= 16 && ((style >> BG_SHIFT) & FG) <= 16, code);
      assert.match(classesOf(style), /^([a-z]+\d*( |$))*$/);
    }
  }
});

test('cursor movement, titles, links and clipboards leave nothing behind', () => {
  assert.equal(split('a\x1b[2K\x1b[1Gb\x1b]0;title\x07c\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\d\x1bPq#0\x1b\\e\x1b(Bf').text, 'abclinkdef');
  assert.equal(split('\x1b').text, '');
  assert.equal(split('x\x1b]52;c;AAAA').text, 'x');
});

test('other control and bidi characters are made visible', () => {
  assert.equal(split('a\0b\x07c\x7fd\x85e\u202ef\u2066g').text, 'a␀b␇c␡d⟨U+0085⟩e⟨U+202E⟩f⟨U+2066⟩g');
});

test('carriage returns inside are shown, one at the end is a line end', () => {
  assert.equal(split('10%\r20%\r').text, '10%␍20%');
});

test('a line of nothing but escapes stays cheap and bounded', () => {
  const began = performance.now();
  const { text, spans } = split('\x1b[31mx\x1b[32m'.repeat(20_000) + '\x1b['.repeat(20_000) + '\x1b]'.repeat(20_000));
  assert.ok(text.length >= 20_000);
  assert.ok((spans?.length ?? 0) <= 512 * 3);
  assert.ok(performance.now() - began < 1_000);
});
