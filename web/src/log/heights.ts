// Heights of shown rows while lines wrap, in text lines a row. Sums per block make "where is row i"
// and "which row is at line y" a walk over a few thousand numbers at most, a million rows or not.

const BLOCK = 1024;

export class Heights {
  #rows = new Uint16Array(BLOCK);
  #sums: number[] = [];
  length = 0;
  total = 0;

  clear(): void {
    this.length = 0;
    this.total = 0;
    this.#sums = [];
  }

  push(lines: number): void {
    if (this.length === this.#rows.length) {
      const larger = new Uint16Array(this.#rows.length * 2);
      larger.set(this.#rows);
      this.#rows = larger;
    }
    const block = Math.floor(this.length / BLOCK);
    this.#rows[this.length++] = lines;
    this.#sums[block] = (this.#sums[block] ?? 0) + lines;
    this.total += lines;
  }

  /** Corrects an estimate; returns by how much it was off. */
  set(index: number, lines: number): number {
    const off = lines - (this.#rows[index] ?? lines);
    if (off === 0) return 0;
    this.#rows[index] = lines;
    const block = Math.floor(index / BLOCK);
    this.#sums[block] = (this.#sums[block] ?? 0) + off;
    this.total += off;
    return off;
  }

  at(index: number): number {
    return this.#rows[index] ?? 1;
  }

  /** The line at which row `index` begins. */
  offset(index: number): number {
    const block = Math.floor(index / BLOCK);
    let sum = 0;
    for (let b = 0; b < block; b++) sum += this.#sums[b] ?? 0;
    for (let i = block * BLOCK; i < index; i++) sum += this.#rows[i] ?? 0;
    return sum;
  }

  /** The row that covers line `line`. */
  rowAt(line: number): number {
    let sum = 0;
    let block = 0;
    while (block < this.#sums.length - 1 && sum + (this.#sums[block] ?? 0) <= line) sum += this.#sums[block++] ?? 0;
    let index = block * BLOCK;
    while (index < this.length - 1 && sum + (this.#rows[index] ?? 0) <= line) sum += this.#rows[index++] ?? 0;
    return index;
  }
}
