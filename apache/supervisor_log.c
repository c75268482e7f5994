/* supervisor_log.c: lines for httpd's error log. */
#include "supervisor.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long a log that is a pipe may take no line until lines are dropped. */
#define LOG_PATIENCE 200

/* Bytes of a daemon's output that are read before others have their turn. */
#define TURN 65536

static int main_log = STDERR_FILENO;
static int highest_level = LEVEL_INFO;
static char *main_format, *main_server; /* or NULL */
static unsigned long dropped;

void log_set(int descriptor, int level, const char *format, const char *server)
{
    if (main_log != STDERR_FILENO) close(main_log);
    main_log = descriptor;
    highest_level = level;
    free(main_format);
    free(main_server);
    main_format = strdup(format);
    main_server = strdup(server);
}

int log_level(void)
{
    return highest_level;
}

/* One call for each line, so that lines of several processes do not mix. */
static void write_line(int descriptor, const char *line, size_t length)
{
    struct pollfd item = { .fd = descriptor, .events = POLLOUT };
    ssize_t written;

    /* A program that takes the log but is stuck must not stop us, too. */
    if (poll(&item, 1, LOG_PATIENCE) == 0) {
        dropped++;
        return;
    }
    do {
        written = write(descriptor, line, length);
    } while (written < 0 && errno == EINTR);
}

static void write_text(const backend *b, pid_t pid, enum level level, const char *text,
                       size_t length)
{
    const char *format = b ? b->strings[SUPERVISOR_LOG_FORMAT] : main_format;
    const char *server = b ? b->strings[SUPERVISOR_SERVER] : main_server;
    format_parts parts = { .server = server ? server : "",
                           .group = b ? b->strings[SUPERVISOR_GROUP] : NULL,
                           .pid = pid,
                           .level = level,
                           .text = text,
                           .count = length };
    char line[8192];
    size_t count;

    /* httpd never hides what is noticed. */
    if ((int)level > highest_level && level != LEVEL_NOTICE) return;
    count = format_line(line, sizeof(line) - 1, format ? format : "", &parts);
    line[count++] = '\n';
    write_line(b ? b->log : main_log, line, count);
}

void log_line(const backend *b, pid_t pid, enum level level, const char *format, ...)
{
    char text[2048];
    unsigned long lost = dropped;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0) return;
    if ((size_t)length >= sizeof(text)) length = sizeof(text) - 1;
    dropped = 0;
    write_text(b, pid ? pid : getpid(), level, text, (size_t)length);
    if (dropped) dropped += lost;
    else if (lost) {
        log_line(b, 0, LEVEL_WARNING, "SGI0419: %lu lines were lost, the log took none", lost);
    }
}

/* ---- what daemons print ---- */

/* The launcher writes "2026-11-24T22:15:41.123Z [warning] [pid 4711] text". */
static void skip_head(const char **text, size_t *length, enum level *level)
{
    static const struct {
        const char *name;
        enum level level;
    } levels[] = {
        { "[critical] ", LEVEL_CRITICAL }, { "[error] ", LEVEL_ERROR },
        { "[warning] ", LEVEL_WARNING },   { "[notice] ", LEVEL_NOTICE },
        { "[info] ", LEVEL_INFO },         { "[debug] ", LEVEL_DEBUG },
        { "[trace] ", LEVEL_DEBUG + 1 },
    };
    const char *rest = *text + 25;
    const char *end = *text + *length;
    size_t i;

    if (*length < 40 || (*text)[10] != 'T' || (*text)[23] != 'Z' || (*text)[24] != ' ') return;
    for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        size_t count = strlen(levels[i].name);

        if ((size_t)(end - rest) <= count || memcmp(rest, levels[i].name, count)) continue;
        rest += count;
        if ((size_t)(end - rest) > 5 && !memcmp(rest, "[pid ", 5)) {
            const char *bracket = memchr(rest, ']', (size_t)(end - rest));

            if (bracket && end - bracket > 2) rest = bracket + 2;
        }
        *level = levels[i].level;
        *length = (size_t)(end - rest);
        *text = rest;
        return;
    }
}

/* Logs a line, or a part of one: `is_last`, the last. */
static void log_printed(output *out, const backend *b, pid_t pid, const char *text,
                        size_t length, bool is_last)
{
    enum level level = out->level;

    if (out->is_cut) level = out->cut_level;
    else skip_head(&text, &length, &level);
    out->is_cut = !is_last;
    out->cut_level = level;
    if (length > 0) write_text(b, pid, level, text, length);
}

/* Logs the lines that are complete, and keeps the rest. */
static void log_complete(output *out, const backend *b, pid_t pid)
{
    const char *start = out->text, *end = out->text + out->length, *newline;

    while ((newline = memchr(start, '\n', (size_t)(end - start))) != NULL) {
        log_printed(out, b, pid, start, (size_t)(newline - start), true);
        start = newline + 1;
    }
    if (start == out->text && out->length == sizeof(out->text)) {
        log_printed(out, b, pid, start, out->length, false);
        start = end;
    }
    out->length = (size_t)(end - start);
    memmove(out->text, start, out->length);
}

/* The signal whose backtrace begins, 0: none does. Swift begins so, on a line that it completes
 * when it is done. */
static int find_crash(const output *out)
{
    static const char signal[] = "*** Signal ", backtracing[] = "Backtracing from";
    const char *end = out->text + out->length;
    const char *found = memmem(out->text, out->length, signal, sizeof(signal) - 1);
    int number = 0;

    if (!found || !memmem(found, (size_t)(end - found), backtracing, sizeof(backtracing) - 1))
        return 0;
    for (found += sizeof(signal) - 1; found < end && isdigit((unsigned char)*found); found++) {
        if (number < NSIG) number = number * 10 + (*found - '0');
    }
    return number < NSIG ? number : 0;
}

int log_output(output *out, const backend *b, pid_t pid)
{
    size_t total = 0;

    log_complete(out, b, pid);
    while (out->descriptor >= 0 && total < TURN) {
        ssize_t count =
            read(out->descriptor, out->text + out->length, sizeof(out->text) - out->length);

        if (count < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return 0;
        }
        if (count <= 0) {
            close(out->descriptor);
            out->descriptor = -1;
            break;
        }
        total += (size_t)count;
        out->length += (size_t)count;
        if (!out->has_crashed) {
            int number = find_crash(out);

            out->has_crashed = number != 0;
            if (number) return number;
        }
        log_complete(out, b, pid);
    }
    return 0;
}

void log_close(output *out, const backend *b, pid_t pid)
{
    /* Who is gone is not told of any more. */
    out->has_crashed = true;
    log_output(out, b, pid);
    if (out->length > 0) log_printed(out, b, pid, out->text, out->length, true);
    out->length = 0;
    if (out->descriptor >= 0) close(out->descriptor);
    out->descriptor = -1;
}
