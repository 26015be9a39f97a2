/* SPDX-License-Identifier: MIT */
/* The page: aligned text on stdout, and one line of progress on stderr.
 *
 * Texts are written in UTF-8. Where stdout is not a terminal with UTF-8, each other character is replaced by an ASCII one (`plain`)
 * before anything is measured, so that columns stay aligned. A no-break space (U+00A0) keeps a number and its unit together. Colours are
 * for terminals only, and not with NO_COLOR (no-color.org) or TERM=dumb.
 *
 * Progress is drawn by a thread of its own, ten times a second, so that a step which keeps every worker busy is seen to go on. The mutex
 * guards the progress and both streams: whoever writes a line to the page takes the bar away first, and the thread draws it again. Where
 * stderr is no terminal, a step that has taken a second is told of once, by a line. */
#include "tour.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define INDENT 4
#define WORD 11    /* width of the word of a pair */
#define COMMAND 48 /* of a command */
#define WIDEST 98  /* longer lines are no pleasure to read */
#define NARROWEST 72
#define BAR 16

static struct {
    bool silent, colour, utf8;
    bool gap; /* the last line is empty */
    int width;
    unsigned columns;
    int widths[PAGE_COLUMNS];
} page;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool running, ending, terminal, utf8;
    bool drawn, told; /* the bar stands on the terminal; the line was written */
    unsigned step, steps;
    int64_t began; /* when the step did; 0: none is under way */
    char what[96];
} progress = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- characters ---- */

static const struct {
    const char *fine, *plain;
} replacements[] = {
    {"µ", "u"}, {"×", "x"}, {"–", "-"}, {"…", "."}, {"─", "-"}, {"█", "#"}, {"░", "."}, {"·", "-"},
};

/* The length of the character at `text`, in bytes. */
static size_t character(const char *text)
{
    size_t length = 1;
    while (((unsigned char)text[length] & 0xc0) == 0x80)
        length++;
    return length;
}

static int columns_of(const char *text)
{
    int count = 0;
    for (; *text; text += character(text))
        count++;
    return count;
}

/* Replaces what the terminal cannot show, in place: no replacement is longer. */
static void plain(char *text, bool utf8)
{
    char *out = text;
    for (size_t length; !utf8 && *text; text += length) {
        length = character(text);
        if (length == 1 || strncmp(text, "\u00a0", length) == 0) {
            memmove(out, text, length);
            out += length;
            continue;
        }
        char replaced = '?';
        for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++)
            if (strncmp(text, replacements[i].fine, length) == 0)
                replaced = replacements[i].plain[0];
        *out++ = replaced;
    }
    if (!utf8)
        *out = 0;
}

/* No-break spaces have done their work. */
static void unbind(char *text)
{
    char *out = text;
    for (size_t length; *text; text += length) {
        length = character(text);
        bool space = strncmp(text, "\u00a0", length) == 0;
        memmove(out, space ? " " : text, space ? 1 : length);
        out += space ? 1 : length;
    }
    *out = 0;
}

static bool is_dumb(void)
{
    const char *term = getenv("TERM");
    return !term || !*term || strcmp(term, "dumb") == 0;
}

/* ---- lines ---- */

struct line {
    char text[2048];
    size_t length;
};

static void add(struct line *line, const char *text)
{
    int n = snprintf(line->text + line->length, sizeof line->text - line->length, "%s", text);
    line->length += (size_t)n;
    if (line->length >= sizeof line->text)
        line->length = sizeof line->text - 1;
}

static void add_many(struct line *line, const char *text, int count)
{
    for (; count > 0; count--)
        add(line, text);
}

static void add_toned(struct line *line, enum page_tone tone, const char *text)
{
    static const char *const begin[] = {"", "\033[1m", "\033[2m", "\033[32m", "\033[31m"};
    bool toned = page.colour && tone != PAGE_PLAIN;
    if (toned)
        add(line, begin[tone]);
    add(line, text);
    if (toned)
        add(line, "\033[0m");
}

static void bar_erase(void)
{
    if (progress.drawn)
        fputs("\r\033[K", stderr);
    progress.drawn = false;
}

static void put(struct line *line)
{
    if (page.silent)
        return;
    plain(line->text, page.utf8);
    unbind(line->text);
    page.gap = line->text[0] == 0;
    pthread_mutex_lock(&progress.mutex);
    bar_erase();
    puts(line->text);
    fflush(stdout);
    pthread_mutex_unlock(&progress.mutex);
}

void page_gap(void)
{
    if (!page.gap)
        put(&(struct line){.length = 0});
}

void page_title(const char *left, const char *right)
{
    struct line line = {.length = 0};
    add(&line, "  ");
    add_toned(&line, PAGE_STRONG, left);
    add_many(&line, " ", page.width - 2 - columns_of(left) - columns_of(right));
    add_toned(&line, PAGE_FAINT, right);
    page_gap();
    put(&line);
}

void page_chapter(int number, const char *title)
{
    char text[128];
    struct line head = {.length = 0}, rule = {.length = 0}, strokes = {.length = 0};
    snprintf(text, sizeof text, "%d  %s", number, title);
    add(&head, "  ");
    add_toned(&head, PAGE_STRONG, text);
    add_many(&strokes, "─", page.width - 2);
    add(&rule, "  ");
    add_toned(&rule, PAGE_FAINT, strokes.text);
    page_gap();
    put(&head);
    put(&rule);
}

/* Moves words from `text` to `words`, as many as `room` characters hold, at least one. @return what is left of the text. */
static char *take_words(char *text, int room, struct line *words)
{
    for (int used = 0; *text;) {
        size_t length = strcspn(text, " ");
        char rest = text[length];
        text[length] = 0;
        int width = columns_of(text);
        if (used && used + 1 + width > room) {
            text[length] = rest;
            break;
        }
        add(words, used ? " " : "");
        add(words, text);
        used += (used > 0) + width;
        text += length + (rest == ' ');
    }
    return text;
}

/* Writes `text` in lines from column `indent` on; `first`, which may be NULL, stands in front of the first. */
static void paragraph(char *text, int indent, const char *first)
{
    plain(text, page.utf8);
    while (*text) {
        struct line line = {.length = 0};
        add_many(&line, " ", first ? INDENT : indent);
        if (first) {
            add_toned(&line, PAGE_FAINT, first);
            add_many(&line, " ", indent - INDENT - columns_of(first));
        }
        text = take_words(text, page.width - indent, &line);
        put(&line);
        first = NULL;
    }
}

#define FORMATTED(text, format)                 \
    char text[2048];                            \
    va_list args;                               \
    va_start(args, format);                     \
    vsnprintf(text, sizeof text, format, args); \
    va_end(args)

void page_text(const char *format, ...)
{
    FORMATTED(text, format);
    paragraph(text, INDENT, NULL);
}

void page_note(const char *format, ...)
{
    FORMATTED(text, format);
    paragraph(text, INDENT + 2, NULL);
    page_gap();
}

void page_pair(const char *word, const char *format, ...)
{
    FORMATTED(text, format);
    paragraph(text, INDENT + WORD, word);
}

void page_line(const char *format, ...)
{
    FORMATTED(text, format);
    struct line line = {.length = 0};
    add_many(&line, " ", INDENT);
    add(&line, text);
    put(&line);
}

void page_complain(const char *format, ...)
{
    FORMATTED(text, format);
    pthread_mutex_lock(&progress.mutex);
    bar_erase();
    bench_say("tour: %s", text);
    pthread_mutex_unlock(&progress.mutex);
}

void page_command(const char *command, const char *what)
{
    struct line line = {.length = 0};
    add_many(&line, " ", INDENT);
    add(&line, command);
    add_many(&line, " ", COMMAND - columns_of(command));
    add_toned(&line, PAGE_FAINT, what);
    put(&line);
}

/* ---- rows ---- */

void page_layout(unsigned count, int width)
{
    int body = page.width - INDENT, stretched = width * body / (80 - 2 - INDENT);
    page.columns = count;
    page.widths[0] = body - ((int)count - 1) * stretched;
    for (unsigned i = 1; i < count; i++)
        page.widths[i] = stretched;
}

void page_row(const struct page_cell *cells)
{
    struct line line = {.length = 0};
    add_many(&line, " ", INDENT);
    for (unsigned i = 0; i < page.columns; i++) {
        int space = page.widths[i] - columns_of(cells[i].text);
        add_many(&line, " ", i ? space : 0);
        add_toned(&line, cells[i].tone, cells[i].text);
        add_many(&line, " ", i ? 0 : space);
    }
    put(&line);
}

void page_rule(void)
{
    struct line line = {.length = 0}, strokes = {.length = 0};
    for (unsigned i = 0; i < page.columns; i++)
        add_many(&strokes, "─", page.widths[i]);
    add_many(&line, " ", INDENT);
    add_toned(&line, PAGE_FAINT, strokes.text);
    put(&line);
}

void page_set(struct page_cell *cell, enum page_tone tone, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(cell->text, sizeof cell->text, format, args);
    va_end(args);
    cell->tone = tone;
}

/* ---- numbers ---- */

/* Three digits of `value`, in the largest of the units that it reaches. */
static char *scaled(char text[PAGE_NUMBER], double value, double step, const char *const *units, unsigned count)
{
    unsigned unit = 0;
    for (; unit + 1 < count && fabs(value) >= step - 0.5; unit++)
        value /= step;
    int digits = fabs(value) >= 99.95 ? 0 : fabs(value) >= 9.995 ? 1 : 2;
    snprintf(text, PAGE_NUMBER, "%.*f\u00a0%s", digits, value, units[unit]);
    return text;
}

char *page_time(char text[PAGE_NUMBER], double ns)
{
    static const char *const units[] = {"ns", "µs", "ms", "s"};
    return scaled(text, ns, 1000, units, 4);
}

char *page_bytes(char text[PAGE_NUMBER], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    return scaled(text, bytes, 1024, units, 5);
}

char *page_count(char text[PAGE_NUMBER], double count)
{
    char digits[PAGE_NUMBER];
    int length = snprintf(digits, sizeof digits, "%.0f", fmin(count, 1e18)), out = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = 0;
    return text;
}

char *page_roughly(char text[PAGE_NUMBER], double count)
{
    if (count < 99.95)
        snprintf(text, PAGE_NUMBER, "%.*f", count < 9.95, count);
    else if (count < 999500)
        page_count(text, count < 1000 ? count : round(count / 100) * 100);
    else
        snprintf(text, PAGE_NUMBER, "%.*f\u00a0million", count < 99.95e6, count / 1e6);
    return text;
}

char *page_rate(char text[PAGE_NUMBER], double count)
{
    static const char *const units[] = {"", "k", "M", "G"};
    return scaled(text, count, 1000, units, 4);
}

/* ---- progress ---- */

static void bar_draw(int64_t now)
{
    struct line bar = {.length = 0};
    char numbers[64];
    int done = progress.steps ? (int)((progress.step - 1) * BAR / progress.steps) : 0;
    add(&bar, "\r\033[K    ");
    add_many(&bar, "█", done);
    add_many(&bar, "░", BAR - done);
    snprintf(numbers, sizeof numbers, "  %u/%u  ", progress.step, progress.steps);
    add(&bar, numbers);
    add(&bar, progress.what);
    snprintf(numbers, sizeof numbers, "  %.1f s", (double)(now - progress.began) / 1e9);
    add(&bar, numbers);
    plain(bar.text, progress.utf8);
    fputs(bar.text, stderr);
    progress.drawn = true;
}

static void tell(void)
{
    char what[sizeof progress.what];
    strcpy(what, progress.what);
    plain(what, progress.utf8);
    bench_say("tour: %s ...", what);
    progress.told = true;
}

static void *progress_main(void *arg)
{
    pthread_mutex_lock(&progress.mutex);
    while (!progress.ending) {
        int64_t now = filch_now(), next = now + FILCH_MSEC(100);
        if (progress.began && progress.terminal && now - progress.began >= FILCH_MSEC(100))
            bar_draw(now);
        if (progress.began && !progress.terminal && !progress.told && now - progress.began >= FILCH_SEC(1))
            tell();
        if (!progress.terminal && progress.began)
            next = progress.began + FILCH_SEC(1);
        struct timespec until = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000};
        if (progress.began && !progress.told)
            pthread_cond_timedwait(&progress.changed, &progress.mutex, &until);
        else
            pthread_cond_wait(&progress.changed, &progress.mutex);
    }
    pthread_mutex_unlock(&progress.mutex);
    return arg;
}

static void progress_change(unsigned step, int64_t began, const char *what)
{
    pthread_mutex_lock(&progress.mutex);
    progress.step = step;
    progress.began = began;
    progress.told = false;
    snprintf(progress.what, sizeof progress.what, "%.*s", (int)sizeof progress.what - 1, what);
    if (!began)
        bar_erase();
    pthread_cond_signal(&progress.changed);
    pthread_mutex_unlock(&progress.mutex);
}

void progress_steps(unsigned steps)
{
    progress.steps = steps;
    progress.step = 0;
}

void progress_step(const char *format, ...)
{
    FORMATTED(text, format);
    progress_change(progress.step + 1, filch_now(), text);
}

void progress_end(void)
{
    progress_change(progress.step, 0, "");
}

/* ---- beginning and end ---- */

void page_open(bool silent)
{
    struct winsize size;
    bool terminal = isatty(STDOUT_FILENO), utf8;
    int columns = 80;
    setlocale(LC_CTYPE, "");
    utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        columns = size.ws_col;
    page.silent = silent;
    page.utf8 = utf8 && terminal;
    page.colour = terminal && !is_dumb() && !(getenv("NO_COLOR") && *getenv("NO_COLOR"));
    page.width = columns - 2 > WIDEST ? WIDEST : columns - 2 < NARROWEST ? NARROWEST : columns - 2;

    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&progress.changed, &attr);
    pthread_condattr_destroy(&attr);
    progress.terminal = isatty(STDERR_FILENO) && !is_dumb();
    progress.utf8 = utf8 && progress.terminal;
    progress.running = pthread_create(&progress.thread, NULL, progress_main, NULL) == 0;
}

int page_close(void)
{
    progress_end();
    pthread_mutex_lock(&progress.mutex);
    progress.ending = true;
    pthread_cond_signal(&progress.changed);
    pthread_mutex_unlock(&progress.mutex);
    if (progress.running)
        pthread_join(progress.thread, NULL);
    pthread_cond_destroy(&progress.changed);
    return fflush(stdout) || ferror(stdout) ? -EIO : 0;
}
