/* writer: writes numbered and checksummed log lines, and checks them.
 *
 * The test image holds this one static program and nothing else: no shell, no
 * libraries. Tests run it in pods, read its lines through the thing under test,
 * and know from the lines alone what is missing, repeated, reordered or damaged.
 *
 * A LINE
 *
 *   W1 <run> <source> <stream> <number> <length> <crc> <payload>
 *
 *   run      --run or $RUN, else "-": tells one test from another
 *   source   --source, else "$POD_NAME.<start>.<pid>" (hostname if there is no
 *            POD_NAME; start is the Unix time in microseconds), so that every
 *            attempt of a container is a source of its own
 *   stream   o (stdout) or e (stderr)
 *   number   from 0, counted for each stream by itself, decimal
 *   length   bytes of the whole line without its LF, decimal
 *   crc      CRC-32C (Castagnoli) of the whole line without its LF, computed
 *            with this field as 00000000; eight lower-case hex digits
 *   payload  anything but LF; the payload of a last line is "END"
 *
 * WRITING: writer [write] OPTION...     (sizes may end in Ki or Mi; seconds may
 *                                        have a fraction; names have no spaces)
 *   --run ID --source NAME    see above
 *   --rate N                  lines per second, both streams together; 0: as fast
 *                             as it can (default 1)
 *   --lines N                 end after N lines, both streams together
 *   --seconds S               end after S seconds (default: never)
 *   --length N[-M]            bytes of a line, or a range to vary in (default 100);
 *                             raised to what the fields before the payload need
 *   --long EVERY:BYTES        every EVERY-th line of a stream has BYTES bytes
 *   --stream out|err|both     both: in turns, stdout first (default out)
 *   --burst S:N               every S seconds N lines at once, beside the rate
 *   --partial EVERY[:MS]      every EVERY-th line is written in four pieces with
 *                             pauses of MS milliseconds (default 50) between them
 *   --final-partial           the very last line has no LF
 *   --odd KIND,...            every tenth line is odd, the kinds taken in turns:
 *                               nul   NUL bytes in the payload
 *                               cr    carriage returns inside the payload
 *                               crlf  the line ends in CR LF; the CR is neither
 *                                     counted nor summed, for containerd drops it
 *                               utf8  invalid UTF-8 in the payload
 *                               esc   terminal escapes in the payload
 *                               empty an empty line follows (not numbered)
 *   --odd-every N             every N-th line instead of every tenth
 *   --start-delay S           wait before the first line
 *   --ready-after S           create the file /tmp/ready S seconds after the start;
 *                             see check-ready. It is removed first: a volume may
 *                             still have it from the last attempt
 *   --ready-file FILE         another file
 *   --end                     write an END line on each used stream at the end too
 *   --exit N                  exit status at the end (default 0)
 *   --crash-after N           after N lines exit at once, with --exit's status, or 1
 *   --hold                    at the end stay until SIGTERM instead of exiting
 *   --ignore-term             take no notice of SIGTERM
 *   --term-delay S            go on writing for S seconds after SIGTERM
 *   --term-exit N             exit status after SIGTERM (default 0)
 *
 * On SIGTERM or SIGINT it writes an END line, numbered as any other, on each used
 * stream and exits: within a second, if its reader reads.
 *
 * READINESS: writer check-ready [FILE]  exits 0 if the file is there, else 1: an
 * exec probe for an image without a shell.
 *
 * CHECKING: writer verify [OPTION...] < LINES
 *   --from-start      every stream must begin with number 0
 *   --ended           every stream must have an END line as its last
 *   --only            lines that are not the writer's are a fault (empty ones are not)
 *   --run ID          look at lines of this run only
 *   --prefixed        something precedes each "W1" (a timestamp, a pod's name)
 * Prints one line for each source and stream, then a sum, and exits 0 only if
 * every line is whole, none is missing between a stream's first and last, none
 * repeated, none out of order. Exits 1 for faults, 2 for wrong use.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("writer: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(2);
}

static void *need(void *memory) {
  if (!memory) fail("out of memory");
  return memory;
}

/* --- CRC-32C --------------------------------------------------------------- */

static uint32_t crc_table[256];

static void crc_prepare(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
    crc_table[i] = value;
  }
}

static uint32_t crc_add(uint32_t crc, const char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) crc = crc >> 8 ^ crc_table[(crc ^ (unsigned char)bytes[i]) & 255];
  return crc;
}

/* The sum of a line whose crc field (eight bytes at `field`) counts as zeros. */
static uint32_t crc_of_line(const char *line, size_t length, size_t field) {
  uint32_t crc = crc_add(~0u, line, field);
  crc = crc_add(crc, "00000000", 8);
  return ~crc_add(crc, line + field + 8, length - field - 8);
}

/* --- time and signals ------------------------------------------------------ */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static volatile sig_atomic_t told_to_end;

static void on_end_signal(int signal_number) {
  (void)signal_number;
  told_to_end = 1;
}

/* Sleeps, but wakes up for a signal. */
static void doze(double seconds) {
  if (seconds <= 0) return;
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&t, 0);
}

/* --- options --------------------------------------------------------------- */

enum odd { NUL, CR, CRLF, UTF8, ESC, EMPTY, ODD_KINDS };
static const char *const odd_names[] = {"nul", "cr", "crlf", "utf8", "esc", "empty"};

static struct {
  const char *run, *source;
  double rate, seconds, start_delay, ready_after, term_delay, burst_every;
  long lines, crash_after, burst_lines, partial_every, partial_pause, odd_every, long_every;
  size_t length_min, length_max, long_length;
  bool use_out, use_err, final_partial, end_line, hold, ignore_term;
  enum odd odd[16];
  int odd_count, exit_status, term_status;
  const char *ready_file;
} option = {
    .rate = 1, .seconds = -1, .ready_after = -1, .lines = -1, .crash_after = -1, .odd_every = 10,
    .length_min = 100, .length_max = 100, .use_out = true, .ready_file = "/tmp/ready",
};

static double number_of(const char *text, const char *what) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= 0)) fail("%s: '%s' is not a number", what, text);
  return value;
}

static long count_of(const char *text, const char *what) {
  char *end;
  long value = strtol(text, &end, 10);
  if (end == text || value < 0) fail("%s: '%s' is not a whole number", what, text);
  if (!strcmp(end, "Ki")) return value << 10;
  if (!strcmp(end, "Mi")) return value << 20;
  if (*end) fail("%s: '%s' is not a whole number", what, text);
  return value;
}

/* Splits "a:b" at the mark; returns b, or 0 if there is none. */
static char *split(char *text, char mark) {
  char *second = strchr(text, mark);
  if (second) *second++ = 0;
  return second;
}

static void parse_odd(char *list) {
  for (char *name = strtok(list, ","); name; name = strtok(0, ",")) {
    int kind = 0;
    while (kind < ODD_KINDS && strcmp(name, odd_names[kind])) kind++;
    if (kind == ODD_KINDS) fail("--odd: there is no '%s'", name);
    if (option.odd_count == 16) fail("--odd: too many");
    option.odd[option.odd_count++] = (enum odd)kind;
  }
}

static const struct option write_options[] = {
    {"run", 1, 0, 'r'},           {"source", 1, 0, 's'},      {"rate", 1, 0, 'R'},
    {"lines", 1, 0, 'n'},         {"seconds", 1, 0, 'S'},     {"length", 1, 0, 'l'},
    {"long", 1, 0, 'L'},          {"stream", 1, 0, 'o'},      {"burst", 1, 0, 'b'},
    {"partial", 1, 0, 'p'},       {"final-partial", 0, 0, 'f'}, {"odd", 1, 0, 'x'},
    {"odd-every", 1, 0, 'X'},     {"start-delay", 1, 0, 'd'}, {"ready-after", 1, 0, 'a'},
    {"ready-file", 1, 0, 'F'},    {"end", 0, 0, 'E'},         {"exit", 1, 0, 'e'},
    {"crash-after", 1, 0, 'c'},   {"hold", 0, 0, 'h'},        {"ignore-term", 0, 0, 'i'},
    {"term-delay", 1, 0, 't'},    {"term-exit", 1, 0, 'T'},   {0, 0, 0, 0},
};

static void parse_write_option(int key, char *text) {
  char *second;
  switch (key) {
    case 'r': option.run = text; break;
    case 's': option.source = text; break;
    case 'R': option.rate = number_of(text, "--rate"); break;
    case 'n': option.lines = count_of(text, "--lines"); break;
    case 'S': option.seconds = number_of(text, "--seconds"); break;
    case 'l':
      second = split(text, '-');
      option.length_min = (size_t)count_of(text, "--length");
      option.length_max = second ? (size_t)count_of(second, "--length") : option.length_min;
      if (option.length_max < option.length_min) fail("--length: the range is upside down");
      break;
    case 'L':
      second = split(text, ':');
      if (!second) fail("--long needs EVERY:BYTES");
      option.long_every = count_of(text, "--long");
      option.long_length = (size_t)count_of(second, "--long");
      break;
    case 'o':
      option.use_out = !strcmp(text, "out") || !strcmp(text, "both");
      option.use_err = !strcmp(text, "err") || !strcmp(text, "both");
      if (!option.use_out && !option.use_err) fail("--stream is out, err or both, not '%s'", text);
      break;
    case 'b':
      second = split(text, ':');
      if (!second) fail("--burst needs SECONDS:LINES");
      option.burst_every = number_of(text, "--burst");
      option.burst_lines = count_of(second, "--burst");
      if (option.burst_every <= 0) fail("--burst needs more than 0 seconds");
      break;
    case 'p':
      second = split(text, ':');
      option.partial_every = count_of(text, "--partial");
      option.partial_pause = second ? count_of(second, "--partial") : 50;
      break;
    case 'f': option.final_partial = true; break;
    case 'x': parse_odd(text); break;
    case 'X': option.odd_every = count_of(text, "--odd-every"); break;
    case 'd': option.start_delay = number_of(text, "--start-delay"); break;
    case 'a': option.ready_after = number_of(text, "--ready-after"); break;
    case 'F': option.ready_file = text; break;
    case 'E': option.end_line = true; break;
    case 'e': option.exit_status = (int)count_of(text, "--exit"); break;
    case 'c': option.crash_after = count_of(text, "--crash-after"); break;
    case 'h': option.hold = true; break;
    case 'i': option.ignore_term = true; break;
    case 't': option.term_delay = number_of(text, "--term-delay"); break;
    case 'T': option.term_status = (int)count_of(text, "--term-exit"); break;
    default: exit(2); /* getopt has said why */
  }
}

static const char *without_spaces(const char *text) {
  char *copy = need(strdup(text));
  for (char *c = copy; *c; c++)
    if (*c == ' ' || *c == '\n' || *c == '\t') *c = '_';
  return copy;
}

static const char *default_source(void) {
  char host[256] = "", *name;
  const char *pod = getenv("POD_NAME");
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  gethostname(host, sizeof host - 1);
  if (asprintf(&name, "%s.%lld%06ld.%d", pod && *pod ? pod : host, (long long)t.tv_sec, t.tv_nsec / 1000,
               (int)getpid()) < 0)
    fail("out of memory");
  return name;
}

/* --- writing --------------------------------------------------------------- */

struct stream {
  int fd;
  char letter;
  long number;      /* of the next line */
  char *bytes;      /* lines not yet written */
  size_t used, room;
  size_t last_line; /* where the last of them begins */
};

static struct stream streams[2] = {{.fd = 1, .letter = 'o'}, {.fd = 2, .letter = 'e'}};
static long lines_written;

/* Whoever reads may be slow; a signal may come in between. Neither may cost a byte. */
static void write_all(int fd, const char *bytes, size_t count) {
  while (count) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) _exit(3); /* nobody reads any more */
    bytes += written;
    count -= (size_t)written;
  }
}

static void flush(struct stream *s) {
  write_all(s->fd, s->bytes, s->used);
  s->used = 0;
}

static char *reserve(struct stream *s, size_t count) {
  if (s->used + count > s->room) {
    s->room = (s->used + count) * 2;
    s->bytes = need(realloc(s->bytes, s->room));
  }
  return s->bytes + s->used;
}

/* A cheap scrambler: the same line gets the same length in every run. */
static size_t varied(size_t from, size_t to, long number) {
  uint64_t x = (uint64_t)number * 0x9e3779b97f4a7c15u;
  return from + (size_t)((x ^ x >> 29) % (to - from + 1));
}

static size_t wanted_length(long number) {
  if (option.long_every && number % option.long_every == option.long_every - 1) return option.long_length;
  return varied(option.length_min, option.length_max, number);
}

static void fill(char *payload, size_t count, long number) {
  static const char text[] = "the quick brown fox jumps over the lazy dog and goes home to write more log lines; ";
  size_t at = (size_t)number % (sizeof text - 1);
  while (count) {
    size_t piece = sizeof text - 1 - at;
    if (piece > count) piece = count;
    memcpy(payload, text + at, piece);
    payload += piece;
    count -= piece;
    at = 0;
  }
}

/* Puts the odd bytes into the middle of a payload, so that its ends stay plain. */
static void make_odd(char *payload, size_t count, enum odd kind) {
  static const struct { const char *bytes; size_t count; } odd[] = {
      [NUL] = {"\0\0", 2}, [CR] = {"\rover\r", 6}, [UTF8] = {"\xff\xc3\x28\xed\xa0\x80\xf0\x9f", 8},
      [ESC] = {"\x1b[31mred\x1b[0m", 12}, [CRLF] = {"", 0}, [EMPTY] = {"", 0},
  };
  if (count >= odd[kind].count + 2) memcpy(payload + 1, odd[kind].bytes, odd[kind].count);
}

/* Adds a line to the stream's buffer, without an end. */
static void add_line(struct stream *s, const char *payload, const enum odd *odd) {
  char head[1024];
  size_t length = payload ? 0 : wanted_length(s->number), size = 0, payload_size = payload ? strlen(payload) : 1;
  /* The length is part of the line and makes it longer: repeat until it fits. */
  for (;;) {
    int n = snprintf(head, sizeof head, "W1 %s %s %c %ld %zu 00000000 ", option.run, option.source, s->letter,
                     s->number, length);
    if (n < 0 || (size_t)n >= sizeof head) fail("--run and --source are too long");
    size = (size_t)n;
    if (length >= size + payload_size) break;
    length = size + payload_size;
  }
  s->last_line = s->used;
  char *line = reserve(s, length + 3);
  memcpy(line, head, size);
  if (payload)
    memcpy(line + size, payload, payload_size);
  else
    fill(line + size, length - size, s->number);
  if (odd) make_odd(line + size, length - size, *odd);
  char crc[9];
  snprintf(crc, sizeof crc, "%08x", crc_of_line(line, length, size - 9));
  memcpy(line + size - 9, crc, 8);
  s->used += length;
  s->number++;
  lines_written++;
}

static void add(struct stream *s, const char *bytes) {
  size_t count = strlen(bytes);
  memcpy(reserve(s, count), bytes, count);
  s->used += count;
}

/* Writes what is in the buffer, the last line of it in pieces with pauses. */
static void flush_in_pieces(struct stream *s) {
  size_t from = s->last_line, rest = s->used - from;
  write_all(s->fd, s->bytes, from);
  for (int piece = 4; piece; piece--) {
    size_t count = rest / (size_t)piece;
    write_all(s->fd, s->bytes + from, count);
    from += count;
    rest -= count;
    if (rest) doze((double)option.partial_pause / 1000);
  }
  s->used = 0;
}

static struct stream *next_stream(void) {
  if (!option.use_err) return &streams[0];
  if (!option.use_out) return &streams[1];
  return &streams[lines_written % 2];
}

static void write_line(bool last) {
  struct stream *s = next_stream();
  long number = s->number;
  const enum odd *odd = 0;
  if (option.odd_count && option.odd_every && number % option.odd_every == option.odd_every - 1)
    odd = &option.odd[number / option.odd_every % option.odd_count];
  add_line(s, 0, odd);
  if (!(last && option.final_partial)) add(s, odd && *odd == CRLF ? "\r\n" : "\n");
  if (odd && *odd == EMPTY) add(s, "\n");
  if (option.partial_every && number % option.partial_every == option.partial_every - 1)
    flush_in_pieces(s);
  else if (s->used >= 1 << 16)
    flush(s);
}

static void flush_both(void) {
  flush(&streams[0]);
  flush(&streams[1]);
}

static void write_end(void) {
  for (int i = 0; i < 2; i++) {
    if (!(i ? option.use_err : option.use_out)) continue;
    add_line(&streams[i], "END", 0);
    if (!option.final_partial) add(&streams[i], "\n");
  }
  flush_both();
}

static void become_ready_when_due(double elapsed) {
  if (option.ready_after < 0 || elapsed < option.ready_after) return;
  FILE *file = fopen(option.ready_file, "w");
  if (!file) fail("cannot create %s: %s", option.ready_file, strerror(errno));
  fclose(file);
  option.ready_after = -1;
}

/* How many lines are due by now, and when the next one is. */
static long due_lines(double writing, double *next) {
  long bursts = option.burst_every > 0 ? (long)(writing / option.burst_every) : 0;
  long due = option.rate > 0 ? (long)(writing * option.rate) + 1 : lines_written + 1000;
  *next = option.rate > 0 ? (double)due / option.rate : writing;
  if (option.burst_every > 0) {
    if (option.rate <= 0) due = 0; /* bursts only */
    double burst = (double)(bursts + 1) * option.burst_every;
    if (option.rate <= 0 || burst < *next) *next = burst;
    due += bursts * option.burst_lines;
  }
  return due;
}

/* Writes until the end has come; says whether a signal was the reason. */
static bool write_lines(double start) {
  double begin = start + option.start_delay, term_at = -1;
  for (;;) {
    double time = now(), next;
    become_ready_when_due(time - start);
    if (told_to_end && term_at < 0) term_at = time + option.term_delay;
    if (term_at >= 0 && time >= term_at) return true;
    if (time >= begin) {
      if (option.seconds >= 0 && time - begin >= option.seconds) return false;
      long due = due_lines(time - begin, &next);
      while (lines_written < due) {
        if (option.lines >= 0 && lines_written >= option.lines) break;
        write_line(lines_written + 1 == option.lines && !option.end_line);
        if (lines_written == option.crash_after) {
          flush_both();
          _exit(option.exit_status ? option.exit_status : 1);
        }
        if (told_to_end && term_at < 0) break;
      }
      flush_both();
      if (option.lines >= 0 && lines_written >= option.lines) return false;
      next += begin;
    } else {
      next = begin;
    }
    /* Short sleeps batch fast writers, and never miss a deadline by much. */
    double until = next - now();
    if (option.ready_after >= 0 && start + option.ready_after - now() < until)
      until = start + option.ready_after - now();
    if (option.seconds >= 0 && begin + option.seconds - now() < until) until = begin + option.seconds - now();
    if (option.rate > 0 && until < 0.001) until = 0.001;
    if (until > 0.5) until = 0.5; /* a signal between the check and the sleep waits no longer */
    if (!told_to_end || term_at >= 0) doze(until);
  }
}

/* Stays until told to end; says whether that happened (it always does). */
static bool hold(double start) {
  while (!told_to_end) {
    become_ready_when_due(now() - start);
    doze(0.2);
  }
  doze(option.term_delay);
  return true;
}

static int write_command(int count, char **arguments) {
  double start = now();
  int key;
  while ((key = getopt_long(count, arguments, "", write_options, 0)) != -1) parse_write_option(key, optarg);
  if (optind < count) fail("what is '%s'?", arguments[optind]);
  if (!option.run) option.run = getenv("RUN");
  option.run = without_spaces(option.run && *option.run ? option.run : "-");
  option.source = without_spaces(option.source ? option.source : default_source());

  /* Process 1 of a container gets no signal that it has no handler for. No
   * SA_RESTART: sleeps shall end. */
  struct sigaction action = {.sa_handler = option.ignore_term ? SIG_IGN : on_end_signal};
  sigaction(SIGTERM, &action, 0);
  sigaction(SIGINT, &action, 0);
  signal(SIGPIPE, SIG_IGN);
  if (option.ready_after >= 0) unlink(option.ready_file);

  bool by_signal = write_lines(start);
  if (!by_signal && option.hold) by_signal = hold(start);
  if (by_signal || option.end_line) write_end();
  return by_signal ? option.term_status : option.exit_status;
}

/* --- checking -------------------------------------------------------------- */

/* One stream of one source, with a bit for each number that was seen. */
struct seen {
  char *run, *source;
  char stream;
  uint64_t *bits;
  size_t words;
  long first, last, previous, lines, repeated, backwards;
  bool ended;
  struct seen *next;
};

static struct seen *all_seen, **all_seen_end = &all_seen, *latest;
static long damaged, foreign, empty;

static struct seen *find_seen(const char *run, const char *source, char stream) {
  /* Lines come in runs from one source: look at the latest first. */
  struct seen *s = latest;
  if (s && s->stream == stream && !strcmp(s->source, source) && !strcmp(s->run, run)) return s;
  for (s = all_seen; s; s = s->next)
    if (s->stream == stream && !strcmp(s->source, source) && !strcmp(s->run, run)) return latest = s;
  s = need(calloc(1, sizeof *s));
  s->run = need(strdup(run));
  s->source = need(strdup(source));
  s->stream = stream;
  s->first = s->last = s->previous = -1;
  *all_seen_end = s;
  all_seen_end = &s->next;
  return latest = s;
}

static void note(struct seen *s, long number, bool end) {
  size_t word = (size_t)number / 64;
  if (word >= s->words) {
    size_t words = (word + 1) * 2;
    s->bits = need(realloc(s->bits, words * sizeof *s->bits));
    memset(s->bits + s->words, 0, (words - s->words) * sizeof *s->bits);
    s->words = words;
  }
  uint64_t bit = (uint64_t)1 << number % 64;
  if (s->bits[word] & bit) {
    s->repeated++;
  } else {
    s->bits[word] |= bit;
    s->lines++;
    if (number < s->previous) s->backwards++;
  }
  if (s->first < 0 || number < s->first) s->first = number;
  if (number > s->last) {
    s->last = number;
    s->ended = end;
  }
  s->previous = number;
}

static void count_damaged(const char *line) {
  if (damaged++ < 10) printf("damaged: %.200s\n", line);
}

static void check_line(char *line, size_t length, const char *only_run) {
  char run[512], source[512], stream;
  long number;
  size_t claimed;
  unsigned crc;
  int field = 0, head = 0;
  if (sscanf(line, "W1 %511s %511s %c %ld %zu %n%8x%n", run, source, &stream, &number, &claimed, &field, &crc,
             &head) != 6 || line[head++] != ' ' || number < 0 || number >= 1l << 40) {
    count_damaged(line);
    return;
  }
  if (only_run && strcmp(run, only_run)) return;
  if (length == claimed + 1 && line[length - 1] == '\r') length--;
  if (length != claimed || length < (size_t)head || crc_of_line(line, length, (size_t)field) != crc) {
    count_damaged(line);
    return;
  }
  note(find_seen(run, source, stream), number, length == (size_t)head + 3 && !memcmp(line + head, "END", 3));
}

/* Prints what was found for one stream; says whether it is in order. */
static bool report(const struct seen *s, bool from_start, bool ended) {
  long missing = s->last - s->first + 1 - s->lines;
  bool good = !missing && !s->repeated && !s->backwards && !(from_start && s->first) && !(ended && !s->ended);
  printf("%s %s %s %c first %ld last %ld lines %ld missing %ld repeated %ld backwards %ld%s\n", good ? "ok " : "BAD",
         s->run, s->source, s->stream, s->first, s->last, s->lines, missing, s->repeated, s->backwards,
         s->ended ? " END" : "");
  return good;
}

static const struct option verify_options[] = {
    {"from-start", 0, 0, 's'}, {"ended", 0, 0, 'e'}, {"only", 0, 0, 'o'},
    {"run", 1, 0, 'r'},        {"prefixed", 0, 0, 'p'}, {0, 0, 0, 0},
};

static int verify_command(int count, char **arguments) {
  bool from_start = false, ended = false, only = false, prefixed = false;
  const char *run = 0;
  int key;
  while ((key = getopt_long(count, arguments, "", verify_options, 0)) != -1) switch (key) {
      case 's': from_start = true; break;
      case 'e': ended = true; break;
      case 'o': only = true; break;
      case 'r': run = optarg; break;
      case 'p': prefixed = true; break;
      default: return 2;
    }
  if (optind < count) fail("verify reads standard input; what is '%s'?", arguments[optind]);

  char *line = 0;
  size_t room = 0;
  ssize_t got;
  while ((got = getline(&line, &room, stdin)) > 0) {
    size_t length = (size_t)got;
    if (line[length - 1] == '\n') line[--length] = 0;
    char *begin = prefixed ? memmem(line, length, "W1 ", 3) : length > 3 && !memcmp(line, "W1 ", 3) ? line : 0;
    if (begin)
      check_line(begin, length - (size_t)(begin - line), run);
    else if (length == 0 || (length == 1 && *line == '\r'))
      empty++;
    else
      foreign++;
  }

  bool good = !damaged && !(only && foreign);
  long lines = 0, sources = 0;
  for (struct seen *s = all_seen; s; s = s->next) {
    good &= report(s, from_start, ended);
    lines += s->lines;
    sources++;
  }
  if (!sources) good = false; /* nothing at all is never what a test hopes for */
  printf("%s streams %ld lines %ld damaged %ld foreign %ld empty %ld\n", good ? "ok " : "BAD", sources, lines, damaged,
         foreign, empty);
  return good ? 0 : 1;
}

int main(int count, char **arguments) {
  const char *command = count > 1 && arguments[1][0] != '-' ? arguments[1] : 0;
  crc_prepare();
  if (command) {
    count--;
    arguments++;
  }
  if (!command || !strcmp(command, "write")) return write_command(count, arguments);
  if (!strcmp(command, "verify")) return verify_command(count, arguments);
  if (!strcmp(command, "check-ready")) return access(count > 1 ? arguments[1] : option.ready_file, F_OK) ? 1 : 0;
  fail("there is no command '%s'; there are write, verify and check-ready", command);
}
